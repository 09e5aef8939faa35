"""Ops of a package outside the project, as a user's would be: what the tests of recipes and pages work with."""
