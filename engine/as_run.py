"""What a recipe said when it ran: for who works on a finished run and has to know how it was made."""

from __future__ import annotations

from typing import Any

import yaml

from engine import storage


def parameters(run: str, op: str) -> list[dict[str, Any]]:
    """The parameters of every step of the run's recipe that is this op, defaults filled in."""
    told = yaml.safe_load(storage.read_bytes(storage.join(run, "recipe.yaml")))
    steps = [told, *(told.get("streams") or {}).values()]
    uses = [use for part in steps for use in part.get("steps") or []]
    return [given or {} for use in uses if isinstance(use, dict) for name, given in use.items() if name == op] + [
        {} for use in uses if use == op
    ]
