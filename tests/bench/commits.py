"""A real history as single-file commits, beside `git log -p` and libgit2, in MB of files a second and core.

python tests/bench/commits.py REPOSITORY [--revision main]

REPOSITORY is a clone, bare or not, with all of its history. What is found is compared with libgit2: which commits
change one file, and their contents before and after.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pygit2
from results import Goal, Results, Table

from engine.op import Batch, Filter, Losses, Map, Op, with_columns
from ops.commit_changes import CommitChanges
from ops.commit_filters import CommitChange, CommitSize, CommitSubject
from ops.commits import Commits
from ops.language import Language
from ops.render_commit import RenderCommit

STEPS: tuple[Op, ...] = (CommitChanges(), CommitSize(), CommitChange(), CommitSubject(), Language(), RenderCommit())

ABOUT = """
The source `commits` over {commits:,} commits of a real repository, and the ops of the stream over what it found, one
process, processor seconds, the best of {runs} rounds. MB are those of the files before and after. `git log -p` writes
differences only; to say as much as the source, it has to write whole files (`-U1000000`), and a program has to take
these apart again. The pygit2 loop does what its users would: compare each commit's tree with its parent's, read both
files.
"""


def seconds(work: Callable[[], Any], runs: int) -> float:
    """Processor seconds of this process and those that it waited for, of the best of some rounds."""
    taken = []
    for _ in range(runs):
        began = _spent()
        work()
        taken.append(_spent() - began)
    return min(taken)


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def read(source: Commits) -> tuple[list[Batch], Losses]:
    """All batches and losses."""
    losses = Losses()
    return [batch for shard in source.shards() for batch in source.read(shard, losses)], losses


def by_pygit2(repository: str, revision: str) -> dict[str, tuple[bytes, bytes]]:
    """The contents before and after of each commit that changes one file, as far as libgit2 finds it."""
    opened = pygit2.Repository(repository)
    found = {}
    for commit in opened.walk(opened.revparse_single(revision).peel(pygit2.Commit).id):
        if len(commit.parents) > 1:
            continue
        tree = commit.tree
        difference = commit.parents[0].tree.diff_to_tree(tree) if commit.parents else tree.diff_to_tree(swap=True)
        deltas = list(difference.deltas)
        if len(deltas) == 1:
            sides = (deltas[0].old_file, deltas[0].new_file)
            found[str(commit.id)] = tuple(_blob(opened, side) if side.mode else b"" for side in sides)
    return found


def _blob(repository: pygit2.Repository, side: Any) -> bytes:
    found = repository.get(side.id)
    return found.data if isinstance(found, pygit2.Blob) else b""


def by_git_log(repository: str, revision: str) -> dict[str, tuple[bytes, bytes]]:
    """The same, taken out of what `git log -p` writes with whole files for context."""
    command = ["git", "-C", repository, "log", "-p", "-U1000000", "--no-merges", "--no-renames", "--no-color"]
    process = subprocess.Popen([*command, "--format=\1%H", revision], stdout=subprocess.PIPE)
    assert process.stdout is not None
    found: dict[str, tuple[bytes, bytes]] = {}
    name, files, old, new, inside = "", 0, [], [], False

    def enter() -> None:
        if files == 1:
            found[name] = b"".join(old), b"".join(new)

    for line in process.stdout:
        if line[:1] == b"\1":
            enter()
            name, files, old, new, inside = line[1:41].decode(), 0, [], [], False
        elif line.startswith(b"diff --git "):
            files, inside = files + 1, False
        elif line.startswith(b"@@ "):
            inside = True
        elif inside:
            sign = line[:1]
            if sign != b"+" and sign != b"\\":
                old.append(line[1:])
            if sign != b"-" and sign != b"\\":
                new.append(line[1:])
    enter()
    process.wait()
    return found


def written_by_git(repository: str, revision: str, *options: str) -> None:
    """Lets Git write its log to nowhere."""
    command = ["git", "-C", repository, "log", "-p", "--no-merges", *options, revision]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Measures, compares, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    repository, revision = str(given.repository), given.revision
    source = Commits(path=repository, revision=revision)
    batches, losses = read(source)
    size = sum(_size(batch) for batch in batches) / 1e6
    kinds = Counter(lost["reason"] for lost in losses.dropped)
    found = {row["revision_id"]: row for batch in batches for row in batch.to_pylist()}
    wanted = by_pygit2(repository, revision)
    lost = {each["path"][:40] for each in losses.dropped if each["reason"] not in ("merge", "several_files")}
    same = sum(_equal(found[name], wanted[name]) for name in found.keys() & wanted.keys())
    missing = [name for name in wanted if name not in found and name not in lost]
    rates = {
        "`commits`": size / seconds(lambda: read(source), given.runs),
        "pygit2, a loop of its own": size / seconds(lambda: by_pygit2(repository, revision), given.runs),
        "`git log -p -U1000000`, taken apart": size / seconds(lambda: by_git_log(repository, revision), 1),
        "`git log -p -U1000000`, to nowhere": size
        / seconds(lambda: written_by_git(repository, revision, "-U1000000"), given.runs),
        "`git log -p`, to nowhere": size / seconds(lambda: written_by_git(repository, revision), given.runs),
    }
    rows: list[list[Any]] = [[name, rate] for name, rate in rates.items()]
    batches = [with_columns(batch, {"id": batch.column("revision_id")}) for batch in batches]
    for op in STEPS:
        assert isinstance(op, Filter | Map)
        whole = sum(_size(batch) for batch in batches) / 1e6
        work = _judged if isinstance(op, Filter) else _mapped
        rows.append([f"`{op.name()}`", whole / seconds(lambda op=op, work=work: work(op, batches), given.runs)])  # noqa: B023
        batches = work(op, batches)
    results = Results("commits", "Commits", "", given.runs, versions={"pygit2": version("pygit2"), "git": _git()})
    results.about = ABOUT.format(commits=len(found) + len(losses.dropped), runs=given.runs)
    read_in_all = len(found) + len(losses.dropped) + len(losses.quarantined)
    results.tables = [
        Table("Commits", ["what", "MB/s a core"], rows),
        Table(
            "What was found",
            ["commits", "of one file", "MB before and after", "equal to Git's", *kinds],
            [[read_in_all, len(found), size, same, *kinds.values()]],
        ),
    ]
    results.goals = [
        Goal(
            "commits: faster than `git log -p` with whole files, taken apart",
            10,
            rates["`commits`"] / rates["`git log -p -U1000000`, taken apart"],
        ),
        Goal("commits: found and equal to Git's", 100, 100 * same / len(found), "%"),
        Goal("commits of one file that were missed", 0, len(missing), "commits", "at most"),
    ]
    results.save()


def _size(batch: Batch) -> int:
    column: Any = batch.column("commit")
    return sum(int(pa.compute.sum(pa.compute.binary_length(c)).as_py() or 0) for c in _texts(batch, column))


def _texts(batch: Batch, column: Any) -> list[Any]:
    return [batch.column("content"), pa.compute.struct_field(column, "old_contents")]


def _equal(row: dict[str, Any], wanted: tuple[bytes, bytes]) -> bool:
    """Whether the texts are those bytes, as the engine's decoder reads files of any encoding."""
    from ops.decode import decode_file

    texts = [decode_file(data)[0] if data else "" for data in wanted]
    return texts == [row["commit"]["old_contents"], row["content"]]


def _judged(op: Any, batches: list[Batch]) -> list[Batch]:
    made = []
    for batch in batches:
        written, verdict = op.judge(batch)
        made.append(written.filter(verdict.reason().is_null()))
    return made


def _mapped(op: Any, batches: list[Batch]) -> list[Batch]:
    return [op.run(batch) for batch in batches]


def _git() -> str:
    return subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
