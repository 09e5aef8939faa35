"""How fast events become conversations, in MB of JSON a second and core.

    python tests/bench/issues.py FOLDER [--megabytes 200] [--seed 1]

Files like GH Archive's are made from the seed below FOLDER unless they are there; seven of eight events are none of a
conversation, as in the archive. Then the source alone is timed, each op alone on the conversations, and a whole run in
one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.executor import execute
from engine.op import Filter, Losses
from engine.plan import make_plan
from engine.pool import InlinePool
from engine.recipe import from_dict
from engine.run import Run
from ops.anonymise import AnonymiseAuthors
from ops.bots import Bots
from ops.english import English
from ops.gharchive import Gharchive
from ops.issue_filters import UsersAndSize
from ops.issue_text import EmailTrailers, TruncateComments
from ops.render_issue import RenderIssue

FILE_ISSUES = 2000
STEPS = (EmailTrailers, TruncateComments, Bots, UsersAndSize, AnonymiseAuthors, RenderIssue, English)


def make(folder: Path, megabytes: int, seed: int) -> int:
    """The bytes of JSON in the files, which are made if they are not there."""
    told = folder / "made.json"
    if told.exists():
        return json.loads(told.read_text())["bytes"]
    # The maker is one of the tests' own.
    sys.path.append(str(Path(__file__).parents[1]))
    from gharchive_maker import events, write

    total = number = 0
    while total < megabytes * 1_000_000:
        made = events(seed + number, FILE_ISSUES, 7 * 3 * FILE_ISSUES, 80)
        for event in made:
            event["id"] = f"{number}{event['id']}"
        write(folder / f"{number:04d}", made, 1)
        total += sum(len(json.dumps(event)) + 1 for event in made)
        number += 1
    told.write_text(json.dumps({"bytes": total, "files": number, "seed": seed}))
    return total


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process; the better of two."""
    taken = []
    for _ in range(2):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    """Prints one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    files, out = asked.folder / "files", asked.folder / "run"
    total = make(files, asked.megabytes, asked.seed) / 1e6
    source = Gharchive(path=str(files))

    def read() -> int:
        return sum(b.num_rows for shard in source.shards() for b in source.read(shard, Losses()))

    print(f"gharchive: {total / seconds(read):.0f} MB/s of JSON, {read():,} events in {total:.0f} MB")
    recipe = {
        "name": "issues",
        "source": {"gharchive": {"path": str(files)}},
        "steps": ["gather_conversations"],
    }
    began = time.process_time()
    for _ in execute(make_plan(from_dict(recipe)), str(out), InlinePool()):
        pass
    print(f"gathered: {total / (time.process_time() - began):.0f} MB/s of JSON, from files to conversations")
    batch: Any = Run(str(out)).documents.collect().to_arrow().combine_chunks().to_batches()[0]
    batch = pa.RecordBatch.from_arrays(
        [c.cast(t) for c, t in ((batch[n], _kind(batch.schema.field(n).type)) for n in batch.schema.names)],
        names=batch.schema.names,
    )
    text = sum(len(t or "") for t in batch["content"].to_pylist()) / 1e6
    for step in STEPS:
        op = step()
        made: list[Any] = []

        def work(op: Any = op, batch: Any = batch, made: list[Any] = made) -> None:
            made[:] = [op.judge(batch)[0] if isinstance(op, Filter) else op.run(batch)]

        taken = seconds(work)
        print(f"{op.name()}: {text / taken:.0f} MB/s of text")
        (batch,) = made


def _kind(kind: pa.DataType) -> pa.DataType:
    from ops.issue_events import EVENTS

    if pa.types.is_large_list(kind):
        return EVENTS
    return pa.large_string() if pa.types.is_string_view(kind) else kind


if __name__ == "__main__":
    main()
