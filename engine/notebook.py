"""The engine from Python and notebooks: `engine.Recipe.load(path).run(out=…)`, then the tables of `engine.Run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine import recipe as recipes
from engine.executor import execute
from engine.plan import make_plan
from engine.pool import InlinePool, LocalPool, Pool, RayPool
from engine.run import Run


class Recipe(recipes.Recipe):
    """A recipe that was read and checked, and can be run."""

    @classmethod
    def load(cls, path: str, settings: Sequence[str] = ()) -> Recipe:
        """The recipe of a YAML file, with `key=value` settings in place; RecipeError tells all its mistakes."""
        return cls(**vars(recipes.load(path, settings)))

    def run(
        self,
        out: str | None = None,
        on: Literal["ray", "here", "inline"] = "here",
        workers: int | None = None,
        max_errors: int = 0,
        limit: int | None = None,
    ) -> Run:
        """The finished run in the folder or URL `out`, runs/NAME unless given; what is done there is not done again.

        `on` is `here` (workers of this machine), `ray`, or `inline` (in this process, one shard after the other).
        Raises RunError where more than `max_errors` documents make an op raise; `limit` reads only the first documents
        of each shard.
        """
        place = out or f"runs/{self.name}"
        pool: Pool = InlinePool() if on == "inline" else RayPool(workers) if on == "ray" else LocalPool(workers)
        try:
            for _ in execute(make_plan(self), place, pool, max_errors, limit):
                pass
        finally:
            pool.close()
        return Run(place)
