"""What learns from a corpus; the only package that imports torch."""
