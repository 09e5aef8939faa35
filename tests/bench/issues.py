"""How fast events become conversations, beside plain Python that does the same.

    python tests/bench/issues.py FOLDER [--megabytes 200] [--seed 1]

Files like GH Archive's are made from the seed below FOLDER unless they are there; seven of eight events are none of a
conversation, as in the archive.
"""

from __future__ import annotations

import gzip
import json
import runpy
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measure
import pyarrow as pa
from results import Cell, Goal, Results, Table, arguments

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
from ops.issue_events import EVENTS
from ops.issue_filters import UsersAndSize
from ops.issue_text import EmailTrailers, TruncateComments
from ops.render_issue import RenderIssue

ABOUT = """
Files as GH Archive publishes them, made from a seed: {events:,} events in {files} files, {megabytes:.0f} MB of JSON, of
which seven in eight are none of a conversation. One process on one core, by processor time, medians of {runs} rounds;
MB are those of the JSON, unpacked. Plain Python reads each line with `json`, collects the events of each issue in a
dictionary, sorts them and joins what was said. Conversations and their texts are equal in number and length.
"""
FILE_ISSUES = 2000
STEPS = (EmailTrailers, TruncateComments, Bots, UsersAndSize, AnonymiseAuthors, RenderIssue, English)


def made(folder: Path, megabytes: int, seed: int) -> dict[str, Any]:
    """What is in the files, which are made if they are not there."""
    told = folder / "made.json"
    if told.exists():
        return json.loads(told.read_text())
    # The maker is one of the tests' own; their folder is no place to import from, since it has an `ops` too.
    maker = runpy.run_path(str(Path(__file__).parents[1] / "gharchive_maker.py"))
    total = number = count = 0
    while total < megabytes * 1_000_000:
        found = maker["events"](seed + number, FILE_ISSUES, 7 * 3 * FILE_ISSUES, 80)
        for event in found:
            event["id"] = f"{number}{event['id']}"
        maker["write"](folder / f"{number:04d}", found, 1)
        total, count = total + sum(len(json.dumps(event)) + 1 for event in found), count + len(found)
        number += 1
    facts = {"bytes": total, "files": number, "events": count, "seed": seed}
    told.write_text(json.dumps(facts))
    return facts


def plain_python(files: Path) -> Iterator[str]:
    """The conversations, each with its titles and texts, made by loops and dictionaries."""
    actions = {"opened", "closed", "reopened", "merged", "created", "submitted"}
    found: dict[tuple[str, int], dict[str, tuple[str, str]]] = {}
    for path in sorted(files.rglob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                payload = event["payload"]
                if event["type"] == "PushEvent" or payload.get("action") not in actions:
                    continue
                about = payload.get("issue") or payload["pull_request"]
                said = title = ""
                if event["type"] in ("IssuesEvent", "PullRequestEvent"):
                    if payload["action"] == "opened":
                        said, title = about.get("body") or "", about.get("title") or ""
                else:
                    said = (payload.get("comment") or payload["review"])["body"] or ""
                text = f"{title}\n{said}" if title else said
                found.setdefault((event["repo"]["name"], about["number"]), {})[event["id"]] = (
                    event["created_at"],
                    text,
                )
    for events in found.values():
        yield "\n".join(text for _, text in sorted((time, text) for time, text in events.values()))


def seconds(work: Callable[[], Any], rounds: int) -> float:
    """Processor seconds of this process, the median of some rounds."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def main() -> None:
    """Measures, compares and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    measure.pin(1)
    files = given.corpus / "files"
    facts = made(files, given.megabytes, given.seed)
    total = facts["bytes"] / 1e6
    source = Gharchive(path=str(files))
    rows: list[list[Cell]] = []

    def read() -> int:
        return sum(b.num_rows for shard in source.shards() for b in source.read(shard, Losses()))

    rows.append(["`gharchive` alone", total / seconds(read, given.runs), read(), None])

    def gathered() -> None:
        with measure.fresh(given.scratch) as out:
            _run(files, out)

    _run(files, given.corpus / "run")
    batch = _documents(given.corpus / "run")
    ours = total / seconds(gathered, given.runs)
    length = sum(len(t) for t in batch["content"].to_pylist())
    rows.append(["`gharchive` and `gather_conversations`, a whole run", ours, batch.num_rows, length])
    theirs = total / seconds(lambda: list(plain_python(files)), given.runs)
    texts = list(plain_python(files))
    rows.append(["plain Python", theirs, len(texts), sum(map(len, texts))])
    steps: list[list[Cell]] = []
    for step in STEPS:
        op, answer, before = step(), list[Any](), batch

        def work(op: Any = op, before: Any = before, answer: list[Any] = answer) -> None:
            answer[:] = [op.judge(before)[0] if isinstance(op, Filter) else op.run(before)]

        steps.append([f"`{op.name()}`", length / 1e6 / seconds(work, given.runs)])
        (batch,) = answer
    about = ABOUT.format(events=facts["events"], files=facts["files"], megabytes=total, runs=given.runs)
    results = Results(given.name or "issues", "Issues", about, given.runs)
    columns = ["", "MB/s a core", "rows", "characters of text"]
    results.tables.append(Table("From events to conversations", columns, rows))
    results.tables.append(Table("Each step alone", ["", "MB of text/s a core"], steps))
    same = rows[1][2:] == rows[2][2:]
    results.goals.append(
        Goal("issues: a whole run beside plain Python, equal findings", 1, ours / theirs if same else 0)
    )
    results.save()


def _run(files: Path, out: Path) -> None:
    recipe = {
        "name": "issues",
        "source": {"gharchive": {"path": str(files)}},
        "steps": ["gather_conversations"],
    }
    for _ in execute(make_plan(from_dict(recipe)), str(out), InlinePool()):
        pass


def _documents(run: Path) -> Any:
    batch: Any = Run(str(run)).documents.collect().to_arrow().combine_chunks().to_batches()[0]
    columns = [batch[n].cast(_kind(batch.schema.field(n).type)) for n in batch.schema.names]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _kind(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_list(kind):
        return EVENTS
    return pa.large_string() if pa.types.is_string_view(kind) else kind


if __name__ == "__main__":
    main()
