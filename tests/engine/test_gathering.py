"""Rows that lie in many shards become documents: the same ones, whatever shards they lay in."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xxhash

from engine import gathering
from engine.errors import RunError
from engine.executor import RunDone, execute
from engine.op import Filter, Gather, Global, Groups, Losses, Map, Reasons, Shard, Source, at_least, reasons
from engine.plan import make_plan
from engine.pool import InlinePool
from engine.recipe import Recipe, Step, Stream
from engine.schema import TEXT, VERDICT, Integers, Strings
from engine.shard_run import run_shard


class Words(Source):
    """Reads lines `book place word` from the files of a folder."""

    writes: ClassVar[dict[str, pa.DataType]] = {"place": pa.int64()}

    path: str

    def shards(self):
        for file in sorted(Path(self.path).iterdir()):
            yield Shard(file.name, xxhash.xxh3_64_hexdigest(file.read_bytes()), file.stat().st_size, {"at": str(file)})

    def read(self, shard: Shard, losses: Losses, columns: Any = None):
        rows = [line.split() for line in Path(shard.at["at"]).read_text().splitlines()]
        losses.note("lines", len(rows))
        yield pa.RecordBatch.from_pydict(
            {
                "content": pa.array([r[2] for r in rows], TEXT),
                "repo_name": pa.array([r[0] for r in rows], TEXT),
                "path": pa.array([f"{r[0]}/{r[1]}" for r in rows], TEXT),
                "place": pa.array([int(r[1]) for r in rows], pa.int64()),
            }
        )


class Book(TypedDict):
    content: str
    repo_name: str
    words: int
    short: bool


class Bind(Gather):
    """Makes books of words."""

    key: ClassVar[tuple[str, ...]] = ("repo_name",)
    order: ClassVar[tuple[str, ...]] = ("place",)

    def gather(self, groups: Groups, content: Strings, repo_name: Strings, place: Integers) -> Book:
        words = content.to_pylist()
        if "raise" in words:
            raise ValueError("a word that raises")
        texts = [" ".join(words[a:b]) for a, b in pairwise(groups)]
        many = np.diff(groups)
        answer: Any = {"content": texts, "repo_name": repo_name.take(pa.array(groups[:-1]))}
        return answer | {"words": pa.array(many), "short": pa.array(many < 3)}


class Text(TypedDict):
    content: str


class Shout(Map):
    """Ends a book with as many marks as it has words."""

    def map(self, content: str, words: int) -> Text:
        return {"content": content + "!" * words}


class Key(TypedDict):
    key: Integers


class OneOfEachLength(Global):
    """Keeps one document of each length."""

    def sketch(self, length_bytes: Integers) -> Key:
        return {"key": length_bytes.cast(pa.uint64())}  # type: ignore

    def match(self, meeting):
        again = np.flatnonzero(meeting.keys[1:] == meeting.keys[:-1]) + 1
        rows = meeting.fetch(["id", "row"]).column("row").take(pa.array(again))
        columns = [pa.array(meeting.shard[again]), rows, ["same_length"] * len(again)]
        return pa.table([*columns, pa.nulls(len(again), TEXT), pa.nulls(len(again), pa.float64())], schema=VERDICT)


class Counting(InlinePool):
    """Remembers the shards that it ran."""

    def __init__(self):
        self.ran = []

    def map(self, work, items, needs=None, threads=False):
        if work is run_shard:
            self.ran += [(task.stage.number, task.shard.name) for task in items]
        yield from super().map(work, items, needs, threads)


def run(folder: Path, out: Path, *ops: Any, pool: Any = None, max_errors: int = 0) -> Any:
    steps = tuple(Step(op.name(), op) for op in ops)
    recipe = Recipe("books", 1, (Stream("book", Words(path=str(folder)), steps),))
    for event in execute(make_plan(recipe), str(out), pool or InlinePool(), max_errors):
        if isinstance(event, RunDone):
            return event.report
    raise AssertionError


def documents(out: Path) -> dict[str, str]:
    table = pl.read_parquet(out / "documents" / "*.parquet")
    return dict(zip(table["repo_name"], table["content"], strict=True))


def written(out: Path, kind: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / kind).glob("*.parquet"))}


BOOKS = {f"book{n}": [f"w{n}-{k}" for k in range(1 + n % 7)] for n in range(200)}
LINES = [f"{book} {k} {word}" for book, words in BOOKS.items() for k, word in enumerate(words)]


def lay(folder: Path, lines: list[str], files: int, seed: int) -> Path:
    folder.mkdir()
    lines = random.Random(seed).sample(lines, len(lines))
    for n in range(files):
        (folder / f"part{n}").write_text("\n".join(lines[n::files]))
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PARTITION_BYTES", 1 << 10)
    monkeypatch.setattr(gathering, "RUN_BYTES", 1 << 10)
    monkeypatch.setattr(gathering, "PIECE_BYTES", 1 << 7)
    monkeypatch.setattr(gathering, "BATCH_BYTES", 1 << 9)


def test_documents_are_those_of_a_dictionary(tmp_path):
    report = run(lay(tmp_path / "in", LINES, 5, 1), tmp_path / "out", Bind(), Shout())
    assert documents(tmp_path / "out") == {b: " ".join(w) + "!" * len(w) for b, w in BOOKS.items()}
    assert (report.read, report.kept, report.born) == (len(LINES), 200, 200 - len(LINES))
    noted = {s.step: s.noted for s in report.steps}
    assert noted["words"] == {"lines": len(LINES)}
    assert noted["bind"] == {"short": sum(len(w) < 3 for w in BOOKS.values())}
    assert report.gathered == {"book": {"step": "bind", "rows": len(LINES), "documents": 200}}
    told = f"book: bind made 200 documents of {len(LINES)} rows, so there were {len(LINES) - 200} fewer from there on"
    assert told in (tmp_path / "out" / "report.md").read_text()
    measures = pl.read_parquet(tmp_path / "out" / "measures" / "*.parquet")
    assert sorted(measures["repo_name"]) == sorted(BOOKS)


def test_the_layout_does_not_matter(tmp_path):
    for n, files in enumerate((1, 3, 8)):
        run(lay(tmp_path / f"in{n}", LINES, files, n), tmp_path / f"out{n}", Bind(), Shout())
        for kind in ("documents", "measures"):
            assert written(tmp_path / f"out{n}", kind) == written(tmp_path / "out0", kind)
    assert len(written(tmp_path / "out0", "documents")) > 4


def test_a_row_that_lies_in_two_files_counts_once(tmp_path):
    folder = lay(tmp_path / "in", LINES, 3, 1)
    (folder / "again").write_text("\n".join(LINES[:50]))
    report = run(folder, tmp_path / "out", Bind())
    assert documents(tmp_path / "out") == {b: " ".join(w) for b, w in BOOKS.items()}
    assert report.dropped == 50
    assert report.read + report.born == report.kept + report.dropped


def test_a_second_run_does_nothing_and_new_input_only_what_it_must(tmp_path):
    folder = lay(tmp_path / "in", LINES, 3, 1)
    run(folder, tmp_path / "out", Bind(), Shout())
    pool = Counting()
    run(folder, tmp_path / "out", Bind(), Shout(), pool=pool)
    assert pool.ran == []
    (folder / "part9").write_text("book3 9 end\nnew 0 word")
    run(folder, tmp_path / "out", Bind(), Shout(), pool=pool)
    assert [name for number, name in pool.ran if number == 1] == ["part9"]
    assert documents(tmp_path / "out")["book3"].startswith("w3-0 w3-1 w3-2 w3-3 end!")
    run(folder, tmp_path / "fresh", Bind(), Shout())
    assert written(tmp_path / "out", "documents") == written(tmp_path / "fresh", "documents")
    pool.ran.clear()
    run(folder, tmp_path / "out", Bind(), pool=pool)
    assert {number for number, _ in pool.ran} == {2}


class NotFirst(Filter):
    """Drops the first word of each book."""

    def drop(self, place: Integers) -> Reasons[Literal["first"]]:
        return reasons(first=at_least(place, 1))


def test_all_adds_up_where_rows_are_dropped_before_and_documents_behind(tmp_path):
    folder = lay(tmp_path / "in", LINES, 3, 1)
    report = run(folder, tmp_path / "out", NotFirst(), Bind(), OneOfEachLength())
    totals = report.streams["book"]
    assert totals["read"] + totals["born"] == totals["kept"] + totals["dropped"] + totals["quarantined"]
    measures, ledger = (pl.read_parquet(tmp_path / "out" / k / "*.parquet") for k in ("measures", "ledger"))
    made = report.gathered["book"]
    # Measures begin behind the gather: every document that it made is there, and no row that it was made of.
    assert measures.height == made["documents"] == totals["read"] + totals["born"] - 200
    assert ledger.filter(pl.col("reason") == "first").height == 200 == totals["read"] - made["rows"]
    kept = set(pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")["id"])
    behind = set(ledger.filter(pl.col("step") == "one_of_each_length")["id"])
    assert set(measures["id"]) == kept | behind and not kept & behind


def test_global_ops_stand_before_and_behind(tmp_path):
    folder = lay(tmp_path / "in", LINES, 3, 1)
    report = run(folder, tmp_path / "out", OneOfEachLength(), Bind(), OneOfEachLength(), Shout())
    assert report.read + report.born == report.kept + report.dropped
    lengths = [len(text.rstrip("!")) for text in documents(tmp_path / "out").values()]
    assert len(set(lengths)) == len(lengths) > 1


def test_rows_of_a_group_that_raises_are_set_aside_and_counted(tmp_path):
    folder = lay(tmp_path / "in", [*LINES, "bad 0 fine", "bad 1 raise"], 3, 1)
    report = run(folder, tmp_path / "out", Bind(), max_errors=1)
    assert documents(tmp_path / "out") == {b: " ".join(w) for b, w in BOOKS.items()}
    assert report.quarantined == 2
    with pytest.raises(RunError, match="a word that raises"):
        run(folder, tmp_path / "other", Bind())


def test_a_gather_takes_its_key():
    with pytest.raises(TypeError, match="key"):

        class Keyless(Gather):
            key: ClassVar[tuple[str, ...]] = ("repo_name",)

            def gather(self, groups: Groups, content: Strings) -> Text:
                raise NotImplementedError


def test_no_input_gives_no_documents(tmp_path):
    (tmp_path / "in").mkdir()
    assert run(tmp_path / "in", tmp_path / "out", Bind(), Shout()).kept == 0


# --- many shards ----------------------------------------------------------------------------------------------------


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Merges three files at a time whatever there is, and tells how many files each partition opened."""
    opened: list[int] = []

    def read(folder, shards, op, at):
        opened.append(len(shards))
        return whole(folder, shards, op, at)

    whole = gathering.read_partition
    monkeypatch.setattr(gathering, "MERGE", 3)
    monkeypatch.setattr(gathering, "MOST_OPENED", 0)
    monkeypatch.setattr(gathering, "read_partition", read)
    return opened


def test_files_of_many_shards_are_merged_before_partitions_open_them(tmp_path, few_at_a_time):
    report = run(lay(tmp_path / "in", LINES, 40, 1), tmp_path / "out", Bind(), Shout())
    assert few_at_a_time and max(few_at_a_time) <= 3
    assert documents(tmp_path / "out") == {b: " ".join(w) + "!" * len(w) for b, w in BOOKS.items()}
    assert report.read + report.born == report.kept
    run(lay(tmp_path / "few", LINES, 2, 1), tmp_path / "other", Bind(), Shout())
    for kind in ("documents", "measures"):
        assert written(tmp_path / "out", kind) == written(tmp_path / "other", kind)


def test_what_was_merged_goes_when_the_run_is_over_and_is_made_only_when_wanted(tmp_path, few_at_a_time, monkeypatch):
    folder = lay(tmp_path / "in", LINES, 10, 1)
    run(folder, tmp_path / "out", Bind())
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(gathering.MERGED)]
    monkeypatch.setattr(gathering, "_merge", None)
    pool = Counting()
    run(folder, tmp_path / "out", Bind(), pool=pool)
    assert pool.ran == []


def test_a_merged_file_is_sorted_and_holds_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "MERGE", 4)
    monkeypatch.setattr(gathering, "MOST_OPENED", 0)
    op, draw = Bind(), random.Random(2)
    schema = pa.schema([("id", TEXT), ("content", TEXT), ("repo_name", TEXT), ("place", pa.int64())])
    rows = [
        {"id": f"{n}", "content": "x" * draw.randrange(90), "repo_name": f"b{n % 37}", "place": n} for n in range(900)
    ]
    (tmp_path / "rows").mkdir()
    for k in range(9):
        url = tmp_path / "rows" / f"s{k}.arrow"
        with url.open("wb") as file:
            runs = gathering.Runs(file, op, schema)
            for lo in range(k, 900, 450):
                runs.add(pa.RecordBatch.from_pylist(rows[lo : lo + 450 : 9], schema))
            runs.close()
        gathering.write_index(str(url.with_suffix(".npy")), runs)
    names = gathering.merged(
        str(tmp_path), [f"s{k}" for k in range(9)], 64, lambda work, items: [work(i) for i in items]
    )
    assert len(names) == 3
    tables = [pa.ipc.open_file(tmp_path / "rows" / f"{name}.arrow").read_all() for name in names]
    for table in tables:
        hashes = table.column("~hash").to_numpy()
        assert (hashes[1:] >= hashes[:-1]).all()
    assert sorted(r["place"] for t in tables for r in t.to_pylist()) == list(range(900))
    every = [gathering.read_partition(str(tmp_path), names, op, part.at) for part in gathering.partitions(20_000, "")]
    assert sum(t.num_rows for t in every) == 900
    assert len({name for t in every for name in set(t.column("repo_name").to_pylist())}) == 37
