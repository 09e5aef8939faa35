"""A package in which not all is well."""
