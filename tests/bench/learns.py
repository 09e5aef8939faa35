"""Whether a small model learns: bits a byte of `recipes/starcoder-smol.yaml` on files it never saw, beside `xz -9`.

python tests/bench/learns.py [--cores 2] [--out FOLDER] [--finished RUN]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import measure
from results import ROOT, Goal, Results, Table

ABOUT = """
`engine run recipes/starcoder-smol.yaml --on here` on {cores} cores, from the code on this machine to an evaluated
checkpoint: {minutes:.1f} minutes in all, of which {training:.1f} were training. The model has {parameters:,} parameters
and saw {tokens:,} tokens. It is evaluated on {files} files of 200 bytes and more, of repositories that were kept out of
training, each file by itself, through a window that moves on by half a context, without fill-in-the-middle; `xz` is
Python's `lzma` at preset 9, each file by itself, its container included. *Mean* is over files, *all bytes* over bytes.
"""

MINUTES = 15


def main() -> None:
    """Runs the recipe, or reads a finished run of it, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--name", default="learns", help="of the file of results")
    parser.add_argument("--out", type=Path, help="where to run; a folder that is removed afterwards unless given")
    parser.add_argument("--finished", type=Path, help="a finished run to read, in place of running the recipe")
    given = parser.parse_args()
    measure.pin(given.cores)
    results = Results(given.name, "What a small model learns in fifteen minutes on two cores", "", 1)
    with tempfile.TemporaryDirectory() as scratch:
        run, seconds = given.finished, None
        if run is None:
            run = given.out or Path(scratch) / "run"
            command = [sys.executable, "-m", "engine.cli", "run", ROOT / "recipes/starcoder-smol.yaml"]
            taken = measure.Taken("smol", [measure.run([*command, "--on", "here", "--out", run])])
            results.timed([taken])
            seconds = taken.median("seconds")
        tell(results, run, seconds, given.cores)
    results.save()


def tell(results: Results, run: Path, seconds: float | None, cores: int) -> None:
    """Fills in what a finished run found."""
    told = json.loads((run / "report.json").read_text())["jobs"]["train"]
    scores = json.loads((run / "train" / "evaluation.json").read_text())
    lines = [json.loads(line) for line in (run / "train" / "metrics.jsonl").read_text().splitlines()]
    results.about = ABOUT.format(
        cores=cores,
        minutes=(seconds or told["seconds"]) / 60,
        training=told["seconds"] / 60,
        parameters=told["parameters"],
        tokens=told["tokens"],
        files=scores["files"],
    )
    columns = ["", "files", "KB", "model, mean", "xz, mean", "model, all bytes", "xz, all bytes"]

    def row(name: str, part: dict[str, Any]) -> list[Any]:
        figures = [float(part[key]) for key in ("mean", "xz_mean", "total", "xz_total")]
        return [name, part["files"], part["bytes"] / 1e3, *figures]

    rows = [row("all", scores), *(row(name or "(none)", part) for name, part in scores["languages"].items())]
    results.tables = [Table("Bits a byte on held-out files", columns, rows)]
    points = [m for m in lines if "bits_per_byte" in m]
    curve = [[m["step"], m["tokens"], float(m["bits_per_byte"]), float(m["xz"])] for m in points]
    results.tables.append(Table("On the way: mean over the first of them", ["step", "tokens", "model", "xz"], curve))
    ratio = scores["mean"] / scores["xz_mean"]
    results.goals = [Goal("mean bits a byte over held-out files, beside xz -9's", 1.0, ratio, "×", "at most")]
    if seconds is not None:
        results.goals.append(Goal("from documents to an evaluated checkpoint", MINUTES, seconds / 60, "min", "at most"))
    results.versions = {"torch": metadata.version("torch")}


if __name__ == "__main__":
    main()
