"""What all tests share: hypothesis without deadlines, small corpora, runs and their bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from engine import catalogue
from engine import recipe as recipes
from engine.executor import RunDone, execute
from engine.plan import make_plan
from engine.pool import InlinePool, Pool
from engine.report import Report

# Test processes share the processors: torch's threads would wait for one another, spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A kernel's first call compiles it, so deadlines would measure the compiler.
settings.register_profile("engine", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("engine")

IDENTICAL = ("documents", "ledger", "duplicates", "measures")
"""What is the same byte for byte whatever ran it (architecture §8)."""


def texts(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of a corpus: ordinary files, one in five with a long line, one in seven a copy of the one before."""
    rows = []
    for n in range(first, first + count):
        m = n - 1 if n % 7 == 6 else n
        body = "\n".join(f"def f{m}_{k}(a, b):\n    return a * {k} + b - {m}" for k in range(m % 9 + 2))
        if m % 5 == 4:
            body += "\n# " + "x" * 1200
        rows.append({"content": body + "\n", "path": f"src/file_{n}.py", "repo_name": f"repo{n % 4}", "ext": "py"})
    return rows


@pytest.fixture(scope="module")
def ray_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One of the test processes at a time: a Ray joins the cluster of this machine, also one that another test ends."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as Parquet files of a few row groups each and answers the folder."""

    def make(name: str = "corpus", files: int = 6, rows: int = 20, start: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for n in range(start, start + files):
            table = pa.Table.from_pylist(texts(rows, n * rows))
            pq.write_table(table, folder / f"part-{n}.parquet", row_group_size=8)
        return folder

    return make


RECIPE = """\
name: test
seed: 7
source:
  parquet: {{path: "{path}"}}
steps:
  - line_length: {{longest: 1000}}
  - exact_dedup
"""


@pytest.fixture
def run_recipe(tmp_path: Path) -> Callable[..., Report]:
    """Runs a recipe text (or the small one over a folder of Parquet) into a folder, in this process by default."""

    def run(
        out: Path | str, path: Path | str = "", text: str = RECIPE, pool: Pool | None = None, **options: Any
    ) -> Report:
        recipe = recipes.read(text.format(path=path))
        reports = [
            event.report
            for event in execute(make_plan(recipe), str(out), pool or InlinePool(), **options)
            if isinstance(event, RunDone)
        ]
        return reports[0]

    return run


def bytes_of(run: Path | str, folders: tuple[str, ...] = IDENTICAL) -> dict[str, str]:
    """For each file of the run's folders the digest of its bytes."""
    return {
        f"{folder}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in folders
        for file in sorted((Path(run) / folder).glob("*"))
    }


@pytest.fixture(name="bytes_of")
def bytes_of_fixture() -> Callable[..., dict[str, str]]:
    """The function of that name."""
    return bytes_of


@pytest.fixture
def outside_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a module of ops the way that an outside package does: with an entry point."""

    def install(module: str, source: str) -> None:
        place = tmp_path / "site"
        info = place / f"{module}-1.dist-info"
        info.mkdir(parents=True)
        (place / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[engine.ops]\n{module} = {module}\n")
        monkeypatch.syspath_prepend(str(place))
        catalogue.refresh()

    yield install
    catalogue.refresh()
