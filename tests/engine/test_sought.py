"""Forgetting in runs that gather: with its events a conversation goes from every byte of the run."""

import hashlib
import io
import json
from pathlib import Path

import gharchive_maker as maker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import gathering, sought
from engine.errors import Refused
from engine.forgetting import forget
from engine.pool import InlinePool
from engine.run import Run

STEPS = """\
name: talk
seed: 3
streams:
  issues:
    source: {{gharchive: {{path: "{path}"}}}}
    steps:
      - gather_conversations
      - users_and_size: {{at_least: 120}}
      - anonymise_authors
      - render_issue
      - exact_dedup
  again:
    source: {{gharchive: {{path: "{path}"}}}}
    steps: [gather_conversations, near_dedup: {{threshold: 0.7, alarm: 1}}, line_length]
steps:
  - detect_pii_rules
  - redact
  - export
"""
SECRET, PRIVATE = "xyzzy-plugh", "zanzibar"
"""What only one event says, and what all events of an account say."""


def everything(run: Path) -> bytes:
    """All bytes of a run, and all that they say once they are unpacked."""
    told = []
    for file in sorted(run.rglob("*")):
        told.append(str(file.relative_to(run)).encode())
        if file.is_file():
            told.append(file.read_bytes())
        if file.suffix == ".parquet":
            told.append(json.dumps(pq.read_table(file).to_pylist(), default=str, ensure_ascii=False).encode())
            footer = pq.ParquetFile(file).metadata
            told += [str(footer.row_group(n).to_dict()).encode() for n in range(footer.num_row_groups)]
        elif file.suffix == ".arrow":
            told.append(str(pa.ipc.open_file(file).read_all().to_pylist()).encode())
        elif file.suffix == ".npy":
            told.append(str(np.load(io.BytesIO(file.read_bytes())).tolist()).encode())
    return b"\n".join(told)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Several partitions, runs and pieces, as in a large corpus.
    monkeypatch.setattr(gathering, "PARTITION_BYTES", 4 << 10)
    monkeypatch.setattr(gathering, "RUN_BYTES", 2 << 10)
    monkeypatch.setattr(gathering, "PIECE_BYTES", 1 << 9)


def archive() -> list[dict]:
    made = maker.events(5, 30, pushes=5)
    said = f"Nobody knows {SECRET}, but here it is said in a comment that is long enough to be kept by the filter."
    for n, text in enumerate(("Does it work on an empty file too? It did not here, when I tried it.", said)):
        kind = "IssueCommentEvent" if n else "IssuesEvent"
        action = "created" if n else "opened"
        made.append(maker.event(kind, action, "org/open", 77, f"user{n}", 900 + n, 50_000 + n, text, "Empty file"))
    for n in range(4):
        title, text = f"{PRIVATE} {n}", f"This is what {PRIVATE} thinks of it, number {n}. " * 6
        one = maker.event("IssuesEvent", "opened", "Alice/private", 900 + n // 2, f"u{n}", n, 60_000 + n, text, title)
        made.append(one)
    return made


@pytest.fixture
def finished(tmp_path, run_recipe) -> Path:
    maker.write(tmp_path / "in", archive(), 4)
    run_recipe(tmp_path / "run", tmp_path / "in", STEPS)
    return tmp_path / "run"


def listed(tmp_path: Path, *entries: str) -> str:
    (tmp_path / "list.txt").write_text("".join(e + "\n" for e in entries))
    return str(tmp_path / "list.txt")


def secret_hash() -> str:
    said = next(
        e["payload"]["comment"]["body"] for e in archive() if SECRET in str(e["payload"].get("comment", {}).get("body"))
    )
    return hashlib.sha256(said.encode()).hexdigest()


def issue_paths(run: Path) -> set[str]:
    kept = Run(str(run)).documents.collect()
    return {f"{r['stream']}:{r['repo_name']}:{r['path']}" for r in kept.to_dicts()}


def test_every_byte_that_tells_of_an_account_is_gone(finished, tmp_path, run_recipe):
    assert PRIVATE.encode() in everything(finished) and b"Alice" in everything(finished)
    outcome = forget(listed(tmp_path, "alice"), str(finished), InlinePool())
    after = everything(finished)
    assert PRIVATE.encode() not in after and b"alice" not in after.lower()
    assert outcome.removed and any(place.endswith("export") for place in outcome.deleted)
    assert not (finished / "export").exists()
    report = Run(str(finished)).report
    assert report["read"] + report["born"] == report["kept"] + report["dropped"] + report["quarantined"]
    made = run_recipe(finished, tmp_path / "in", STEPS)
    assert PRIVATE.encode() not in everything(finished)
    assert (finished / "export").exists() and made.kept == report["kept"]


def test_a_conversation_goes_with_a_comment_that_is_known_by_its_hash(finished, tmp_path, run_recipe):
    before = issue_paths(finished)
    mine = {p for p in before if p.endswith("org/open:issues/77")}
    assert mine == {"issues:org/open:issues/77", "again:org/open:issues/77"}
    assert SECRET.encode() in everything(finished)
    forget(listed(tmp_path, secret_hash()), str(finished), InlinePool())
    assert SECRET.encode() not in everything(finished)
    assert issue_paths(finished) == before - mine
    # What is left of it comes back without the comment.
    run_recipe(finished, tmp_path / "in", STEPS)
    assert SECRET.encode() not in everything(finished)
    assert "again:org/open:issues/77" in issue_paths(finished)


def test_a_list_of_hashes_may_grow(finished, tmp_path, run_recipe):
    forget(listed(tmp_path, secret_hash()), str(finished), InlinePool())
    forget(listed(tmp_path, "alice"), str(finished), InlinePool())
    after = everything(finished)
    assert SECRET.encode() not in after and PRIVATE.encode() not in after


def test_rows_that_are_not_there_to_tell_are_made_anew_first(finished, tmp_path, run_recipe):
    forget(listed(tmp_path, "alice"), str(finished), InlinePool())
    with pytest.raises(Refused, match=r"made anew first: engine run \S+recipe.yaml"):
        forget(listed(tmp_path, secret_hash()), str(finished), InlinePool())
    run_recipe(finished, tmp_path / "in", STEPS)
    forget(listed(tmp_path, secret_hash()), str(finished), InlinePool())
    assert SECRET.encode() not in everything(finished)


def test_the_ids_of_what_is_gathered_again_are_those_of_the_run(finished):
    from engine.plan import make_plan
    from engine.recipe import load

    chain = make_plan(load(str(finished / "recipe.yaml"))).chains[0]
    rolls = (finished / "stages" / chain.stages[0].folder / "roll").glob("*.parquet")
    rows = {roll.stem: set(pq.read_table(roll).column("id").to_pylist()) for roll in rolls}
    gathered = pq.read_table(finished / "stages" / chain.stages[1].folder / "roll").column("id").to_pylist()
    assert set(sought._gathered(str(finished), chain, {}, rows)) == set(gathered)
