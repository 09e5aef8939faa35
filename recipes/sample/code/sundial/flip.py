def flip(string: str) -> str:
    """The text with small letters for capitals."""
    return string.swapcase()
