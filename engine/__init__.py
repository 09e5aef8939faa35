"""The machine: recipes are read, planned and run here; no op and no torch lives in this package.

From Python, `engine.Recipe` and `engine.Run` are all that is needed. They are imported when asked for, so that
`import engine` alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.notebook import Recipe
    from engine.run import Run

__all__ = ["Recipe", "Run"]


def __getattr__(name: str) -> Any:
    if name == "Recipe":
        from engine.notebook import Recipe  # the executor and polars

        return Recipe
    if name == "Run":
        from engine.run import Run  # polars

        return Run
    raise AttributeError(f"module 'engine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
