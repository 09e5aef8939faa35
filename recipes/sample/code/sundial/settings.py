"""Where the garden's clock reports to."""

CONTACT = "gardener@sundial-gardens.org"
SERVER = "84.17.52.119"
API_KEY = "q8Zx2LrT0vNc7HbW5mKd1PfY"


def address(path: str) -> str:
    """The address of a page on the server."""
    return f"https://{SERVER}/clock/{path.lstrip('/')}"
