"""Runs: nothing is lost, nothing depends on who ran what, and a run that was stopped goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import storage
from engine.errors import RunError
from engine.executor import find_repeats
from engine.pool import InlinePool, LocalPool
from engine.run import Run
from engine.shard_run import run_shard


class StopAfter(InlinePool):
    """Stops the run, as Ctrl-C would, after a number of shards."""

    def __init__(self, shards):
        self.left = shards

    def map(self, work, items, needs=None, threads=False):
        for n, result in super().map(work, items, needs, threads):
            if work is run_shard:
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            yield n, result


class Counting(InlinePool):
    """Remembers the shards that it ran."""

    def __init__(self):
        self.ran = []

    def map(self, work, items, needs=None, threads=False):
        if work is run_shard:
            self.ran += [(task.stage.number, task.shard.name) for task in items]
        yield from super().map(work, items, needs, threads)


def test_every_document_is_accounted_for(make_corpus, run_recipe, tmp_path):
    report = run_recipe(tmp_path / "out", make_corpus())
    run = Run(str(tmp_path / "out"))
    documents, ledger = run.documents.collect(), run.ledger.collect()
    assert report.read == 120 == report.kept + report.dropped + report.quarantined
    assert (documents.height, ledger.height) == (report.kept, report.dropped)
    assert set(documents["id"]).isdisjoint(ledger["id"])
    assert set(documents["id"]) | set(ledger["id"]) == set(run.measures.collect()["id"])
    long = {n for n in range(120) if (n - 1 if n % 7 == 6 else n) % 5 == 4}
    assert ledger.filter(reason="longest_line").height == len(long)
    copies = ledger.filter(reason="exact_duplicate")
    assert copies.height == len([n for n in range(120) if n % 7 == 6 and n not in long])
    assert set(copies["of"]) <= set(documents["id"])
    kept = documents.join(copies, left_on="id", right_on="of", suffix="_lost")
    # Path settles between two copies that are alike in everything else.
    assert (kept["path"] < kept["path_lost"]).all()


def test_the_report_counts_by_step(make_corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "out", make_corpus())
    report = storage.read_json(str(tmp_path / "out" / "report.json"))
    for key in ("read", "kept", "dropped", "quarantined", "seconds", "bytes_read", "steps"):
        assert key in report
    rows = {s["step"]: s for s in report["steps"]}
    assert list(rows) == ["parquet", "line_length", "exact_dedup"]
    assert rows["line_length"]["in"] == 120
    assert rows["exact_dedup"]["in"] == rows["line_length"]["kept"]
    assert rows["exact_dedup"]["kept"] == report["kept"]
    for key in ("stream", "op", "in", "kept", "dropped", "changed", "seconds"):
        assert key in rows["line_length"]


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_and_any_number_of_them_give_the_same_bytes(make_corpus, run_recipe, tmp_path, bytes_of, workers):
    folder = make_corpus()
    run_recipe(tmp_path / "a", folder)
    pool = LocalPool(workers)
    run_recipe(tmp_path / "b", folder, pool=pool)
    pool.close()
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") != {}


def test_processes_give_the_same_bytes(make_corpus, run_recipe, tmp_path, bytes_of):
    folder = make_corpus(files=2)

    class Processes(LocalPool):
        def map(self, work, items, needs=None, threads=False):
            yield from super().map(work, items, needs, False)

    pool = Processes(2)
    try:
        run_recipe(tmp_path / "b", folder, pool=pool)
    finally:
        pool.close()
    run_recipe(tmp_path / "a", folder)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") != {}


def test_a_second_run_does_nothing_again(make_corpus, run_recipe, tmp_path, bytes_of):
    folder = make_corpus()
    run_recipe(tmp_path / "out", folder)
    before, pool = bytes_of(tmp_path / "out"), Counting()
    run_recipe(tmp_path / "out", folder, pool=pool)
    assert pool.ran == []
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize("shards", [0, 1, 5, 6, 8])
def test_a_run_that_was_stopped_goes_on(make_corpus, run_recipe, tmp_path, bytes_of, shards):
    folder = make_corpus()
    run_recipe(tmp_path / "whole", folder)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(tmp_path / "out", folder, pool=StopAfter(shards))
    pool = Counting()
    run_recipe(tmp_path / "out", folder, pool=pool)
    # The shard under way when it stopped is whole too, or not there at all.
    assert len(pool.ran) == 12 - shards - 1
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_a_changed_step_runs_its_pass_again_and_no_other(make_corpus, run_recipe, tmp_path, bytes_of):
    folder = make_corpus()
    text = "name: t\nsource: {{parquet: {{path: '{path}'}}}}\nsteps: [exact_dedup, line_length: {{longest: %d}}]\n"
    run_recipe(tmp_path / "out", folder, text % 1000)
    pool = Counting()
    run_recipe(tmp_path / "out", folder, text % 60, pool=pool)
    assert {stage for stage, _ in pool.ran} == {2}
    run_recipe(tmp_path / "fresh", folder, text % 60)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")
    assert len(list((tmp_path / "out" / "stages").iterdir())) == 2


def test_added_input_gives_the_bytes_of_a_fresh_run_and_touches_only_what_changes(
    make_corpus, run_recipe, tmp_path, bytes_of
):
    folder = make_corpus(files=4)
    run_recipe(tmp_path / "out", folder)
    # A copy of an early document under a path that ranks before it takes its place.
    row = pq.read_table(folder / "part-1.parquet").slice(1, 1).to_pylist()[0] | {"path": "a.py"}
    pq.write_table(pa.Table.from_pylist([row]), folder / "part-9.parquet")
    pool = Counting()
    run_recipe(tmp_path / "out", folder, pool=pool)
    assert len([s for s in pool.ran if s[0] == 1]) == 1
    assert len([s for s in pool.ran if s[0] == 2]) == 2
    run_recipe(tmp_path / "fresh", folder)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")
    # And taken away again, the first answer comes back.
    (folder / "part-9.parquet").unlink()
    run_recipe(tmp_path / "out", folder)
    run_recipe(tmp_path / "less", folder)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "less")


def test_a_row_that_comes_twice_is_dropped_at_the_source(make_corpus, run_recipe, tmp_path):
    folder = make_corpus(files=2)
    again = pq.read_table(folder / "part-0.parquet").slice(2, 3)
    pq.write_table(pa.concat_tables([again, again.slice(0, 1)]), folder / "part-5.parquet")
    report = run_recipe(tmp_path / "out", folder)
    ledger = Run(str(tmp_path / "out")).ledger.filter(reason="repeated").collect()
    assert report.read == 44
    assert ledger.height == 4
    assert (ledger["id"] == ledger["of"]).all()
    assert set(ledger["step"]) == {"parquet"}
    assert report.steps[0].dropped == {"repeated": 4}


def test_repeats_are_found_in_any_number_of_ranges(tmp_path):
    import numpy as np

    rng = np.random.default_rng(1)
    ids = rng.integers(0, 2**64, (100, 2), np.uint64)
    files = []
    for n, rows in enumerate(([0, 1, 2, 1], [5, 2, 6], [1])):
        files.append(str(tmp_path / f"{n}.npy"))
        np.save(files[-1], ids[rows])
    for at_once in (1, 3, 100):
        found = find_repeats(files, 8, at_once)
        assert {k: v.tolist() for k, v in found.items()} == {0: [3], 1: [1], 2: [0]}


OUTSIDE = '''
"""An op that a user wrote."""
from typing import TypedDict
from engine.op import Map
class Text(TypedDict):
    content: str
class Fragile(Map):
    """Raises on some documents."""
    def map(self, content: str, path: str) -> Text:
        if path.endswith(("_3.py", "_11.py")):
            raise ValueError("no threes")
        return {"content": content.upper()}
'''


def test_documents_on_which_an_op_raises_are_set_aside_and_counted(make_corpus, run_recipe, tmp_path, outside_op):
    outside_op("fragile_ops", OUTSIDE)
    folder = make_corpus(files=2)
    text = "name: t\nsource: {{parquet: {{path: '{path}'}}}}\nsteps: [fragile]\n"
    with pytest.raises(
        RunError, match=r"2 documents made an op raise[\s\S]*fragile: src/file_3.py .*ValueError: no threes"
    ):
        run_recipe(tmp_path / "out", folder, text)
    pool = Counting()
    report = run_recipe(tmp_path / "out", folder, text, pool=pool, max_errors=2)
    assert pool.ran == []
    assert (report.read, report.kept, report.quarantined) == (40, 38, 2)
    assert report.steps[1].changed == 38
    rows = Run(str(tmp_path / "out")).quarantine.collect()
    assert rows["error"].to_list() == ["ValueError: no threes"] * 2
    assert Run(str(tmp_path / "out")).documents.collect()["content"].str.contains("DEF F").all()


def test_a_full_disk_stops_the_run_and_it_goes_on(make_corpus, run_recipe, tmp_path, bytes_of, monkeypatch):
    folder = make_corpus()
    run_recipe(tmp_path / "whole", folder)
    real, calls = storage.open_whole, []

    def full(url):
        calls.append(url)
        if len(calls) == 30:
            raise OSError(28, "No space left on device")
        return real(url)

    monkeypatch.setattr(storage, "open_whole", full)
    with pytest.raises(OSError, match="No space left"):
        run_recipe(tmp_path / "out", folder)
    monkeypatch.undo()
    run_recipe(tmp_path / "out", folder)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_killed_driver_and_workers_leave_a_run_that_goes_on(make_corpus, run_recipe, tmp_path, bytes_of):
    folder = make_corpus(files=30, rows=60)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: t\nseed: 7\nsource: {{parquet: {{path: '{folder}'}}}}\nsteps: [line_length, exact_dedup]\n"
    )
    command = [sys.executable, "-m", "engine.cli", "run", str(recipe), "--out", str(tmp_path / "out"), "--on", "here"]
    receipts = tmp_path / "out" / "stages"
    for wanted in (2, 20, 35):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and len(list(receipts.glob("*/receipts/*.json"))) < wanted:
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    run_recipe(tmp_path / "whole", text=recipe.read_text().replace("{", "{{").replace("}", "}}"))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole") != {}
    assert not list(Path(tmp_path / "out").rglob(f"documents/*{storage.ASIDE}"))


def test_streams_run_side_by_side_and_meet_in_joint_steps(make_corpus, run_recipe, tmp_path):
    one, two = make_corpus("one", files=2), make_corpus("two", files=3)
    text = (
        "name: t\nstreams:\n"
        f"  a: {{{{source: {{{{parquet: {{{{path: '{one}'}}}}}}}}, steps: [line_length, exact_dedup]}}}}\n"
        f"  b: {{{{source: {{{{parquet: {{{{path: '{two}'}}}}}}}}, steps: [line_length]}}}}\nsteps: [exact_dedup]\n"
    )
    report = run_recipe(tmp_path / "out", text=text)
    documents = Run(str(tmp_path / "out")).documents.collect()
    assert documents["content"].is_unique().all()
    ledger = Run(str(tmp_path / "out")).ledger.collect()
    across = ledger.filter(pl.col("step") == "exact_dedup#2")
    assert across.height and set(across["of"]) <= set(documents["id"])
    assert report.streams["a"]["read"] == 40 and report.streams["b"]["read"] == 60


def test_a_limit_reads_the_first_documents_of_each_shard(make_corpus, run_recipe, tmp_path):
    report = run_recipe(tmp_path / "out", make_corpus(), limit=3)
    assert report.read == 18
