"""What a benchmark found: tables, goals and the machine, as a small JSON file that `write_docs.py` makes a page of."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import environments
import measure
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results"
RECIPES = Path(__file__).parent / "recipes"
RIVALS = Path(__file__).parent / "rivals"
ROOT = Path(__file__).parents[2]
QUIET = 0.1
"""Cores that others may keep busy in a run that counts as undisturbed."""
START_ROWS = 20
"""Documents of each file of the corpus on which starting is measured."""

Cell = str | float | int | None


@dataclass
class Table:
    """A table of the page: numbers are formatted there, by the column's head."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""


@dataclass
class Goal:
    """A figure that was promised, beside the one that was measured."""

    what: str
    goal: float
    measured: float | None
    unit: str = "×"
    sense: Literal["at least", "at most"] = "at least"

    @property
    def met(self) -> bool | None:
        """Whether it was reached; None where it could not be measured."""
        if self.measured is None:
            return None
        return self.measured >= self.goal if self.sense == "at least" else self.measured <= self.goal


@dataclass
class Results:
    """All that one script found."""

    name: str
    title: str
    about: str
    """What was measured and how, in Markdown."""
    runs: int
    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    taken: str = ""
    foreign_cores: float = 0.0
    """The most that others kept busy in a run."""
    raw: list[Any] = field(default_factory=list)

    def timed(self, taken: Sequence[measure.Taken]) -> None:
        """Keeps the raw figures of these runs."""
        for record in taken:
            self.raw.append(record.as_json())
            runs = [*record.runs, *record.starts]
            self.foreign_cores = max([self.foreign_cores, *(round(r.foreign, 2) for r in runs)])

    def save(self) -> None:
        """Writes `results/NAME.json`, and tells the tables and goals."""
        self.machine, self.taken = machine(), datetime.date.today().isoformat()
        self.versions = {**own_versions(), **self.versions}
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (RESULTS / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        for table in self.tables:
            print(f"\n{table.title}\n  " + " | ".join(table.columns))
            for row in table.rows:
                print("  " + " | ".join(f"{c:,.2f}" if isinstance(c, float) else str(c) for c in row))
        for goal in self.goals:
            told = "not measured" if goal.measured is None else f"{goal.measured:,.3g} {goal.unit}"
            verdict = {True: "met", False: "MISSED", None: "?"}[goal.met]
            print(f"{verdict:>7}  {goal.what}: {told} ({goal.sense} {goal.goal:g} {goal.unit})")
        if self.foreign_cores > QUIET:
            print(f"disturbed: others kept up to {self.foreign_cores:.1f} cores busy")

    @staticmethod
    def load(path: Path) -> Results:
        """The results in a file."""
        given = json.loads(path.read_text(encoding="utf-8"))
        given["tables"] = [Table(**t) for t in given["tables"]]
        given["goals"] = [Goal(**g) for g in given["goals"]]
        return Results(**given)


# --- the machine and the corpora --------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpu, flags = platform.processor(), ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            cpu = value.strip()
        elif name.strip() == "flags":
            flags = value
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    vectors = [name for name in ("avx2", "avx512f", "avx512bw") if f" {name} " in f" {flags} "]
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "vectors": vectors,
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def own_versions() -> dict[str, str]:
    """The project's version and commit, and what of its packages the figures hang on."""
    names = ("starcoder-engine", "pyarrow", "numpy", "numba", "polars", "ray")
    known = {name: metadata.version(name) for name in names}
    if shutil.which("git"):
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0:
            known["commit"] = answer.stdout.strip()
    return known


def rival_versions(rival: str, folder: Path) -> dict[str, str]:
    """The version of a rival and of what it leans on."""
    known = environments.packages(rival, folder)
    name = environments.RIVALS[rival][0].split("==")[0].split("[")[0]
    return {name: known.get(name.lower(), known.get(name.lower().replace("-", "_"), "?"))}


def files(corpus: Path) -> list[Path]:
    """The Parquet files of a corpus, in the order in which its rows are numbered."""
    return sorted(corpus.glob("*.parquet"))


def facts(corpus: Path) -> dict[str, Any]:
    """Files, bytes of text and of Parquet, shards and row groups of a corpus."""
    rows = text = groups = 0
    for path in files(corpus):
        file = pq.ParquetFile(path)
        rows, groups = rows + file.metadata.num_rows, groups + file.metadata.num_row_groups
        for batch in file.iter_batches(columns=["content"]):
            text += int(pc.sum(pc.binary_length(batch.column(0))).as_py() or 0)
    if not rows:
        raise SystemExit(f"{corpus} holds no Parquet files; make a corpus with corpus.py")
    size = sum(path.stat().st_size for path in files(corpus))
    return {
        "files": rows,
        "text_bytes": text,
        "parquet_bytes": size,
        "shards": len(files(corpus)),
        "row_groups": groups,
    }


def start_input(corpus: Path, scratch: Path) -> Path:
    """A folder with the first few documents of each file: what is left of a run on it is starting."""
    folder = scratch / "start"
    if not folder.exists():
        folder.mkdir(parents=True)
        for path in files(corpus):
            rows = next(pq.ParquetFile(path).iter_batches(START_ROWS))
            pq.write_table(pa.Table.from_batches([rows]), folder / path.name, compression="zstd")
    return folder


def documents(corpus: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of all rows of a corpus."""
    return pa.concat_tables([pq.read_table(path, columns=list(columns)) for path in files(corpus)])


def kept_paths(folder: Path) -> set[tuple[str, str]]:
    """Repository and path of each row of the Parquet files below a folder, under The Stack's names or the engine's."""
    kept: set[tuple[str, str]] = set()
    for path in folder.rglob("*.parquet"):
        names = pq.read_schema(path).names
        pair = ["max_stars_repo_name", "max_stars_repo_path"]
        table = pq.read_table(path, columns=pair if pair[0] in names else ["repo_name", "path"])
        kept |= set(zip(*(table.column(n).to_pylist() for n in table.column_names), strict=True))
    return kept


# --- the engine as a command ------------------------------------------------------------------------------------------


def engine(*arguments: str | Path) -> list[str]:
    """The command `engine` of this environment with these arguments."""
    return [sys.executable, "-m", "engine.cli", *map(str, arguments)]


def engine_run(recipe: str, cores: int, *settings: str, on: str = "here") -> Callable[[Path, Path], list[str]]:
    """How a contender runs one of the recipes here: a function of the corpus and the output folder."""

    def command(corpus: Path, out: Path) -> list[str]:
        given = [f"streams.code.source.parquet.path={corpus}", *settings]
        options = [part for setting in given for part in ("--set", setting)]
        return engine("run", RECIPES / f"{recipe}.yaml", "--on", on, "--workers", str(cores), "--out", out, *options)

    return command


def arguments(about: str | None, runs: int = 3) -> argparse.ArgumentParser:
    """The arguments that all scripts share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of Parquet files in The Stack's columns")
    parser.add_argument("--runs", type=int, default=runs, help="rounds; figures are medians")
    parser.add_argument("--cores", type=int, default=2, help="processors that everything is kept on")
    parser.add_argument("--scratch", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "engine-bench")
    parser.add_argument("--environments", type=Path, default=environments.default_folder())
    parser.add_argument("--name", help="of the file of results; the script's own unless given")
    return parser
