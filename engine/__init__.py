"""The machine: recipes are read, planned and run here; no op and no torch lives in this package."""
