"""What may happen to a corpus: one op a file, found by name when a recipe asks for it."""
