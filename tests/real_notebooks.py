"""Notebooks that people wrote: those that papermill ships with its own tests, and ours."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "recipes" / "sample" / "notebooks"


def real_notebooks() -> list[Path]:
    """The files, in order."""
    package = find_spec("papermill")
    assert package is not None and package.origin is not None, "papermill is one of the development dependencies"
    found = sorted(Path(package.origin).parent.rglob("*.ipynb"))
    assert len(found) >= 20
    return [*found, *sorted(SHIPPED.glob("*.ipynb"))]
