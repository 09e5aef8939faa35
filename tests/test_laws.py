"""What every op keeps, whoever wrote it: a new op is covered the moment its file exists."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
import yaml
from flawed_corpus import corpus, with_commits, with_conversations

from engine import catalogue, docs
from engine.op import Batch, Filter, Global, Ledger, Map, Op, read_columns
from engine.schema import DOCUMENT

GOLDEN = Path(__file__).parent / "golden.json"
"""Each op's digest on the corpus, by version; `UPDATE_GOLDEN=1 pytest tests/test_laws.py` writes it anew."""


def instance(cls: type[Op]) -> Op:
    """The op as its own example has it."""
    example = yaml.safe_load(docs.example(cls)) or [cls.name()]
    (step,) = [example["source"]] if isinstance(example, dict) else example
    return cls.model_validate(step[cls.name()] or {}) if isinstance(step, dict) else cls()


def ready(op: Op, batch: Batch) -> Batch:
    """The batch with every column that the op reads, written by measures and ops as a recipe would have them."""
    measures = catalogue.measures()
    if "events" in op.contract.reads and "events" not in batch.schema.names:
        batch = with_conversations(batch)
    if "commit" in op.contract.reads and "commit" not in batch.schema.names:
        batch = with_commits(batch)
    for column in op.contract.reads:
        if column in batch.schema.names:
            continue
        writer = measures.get(column) or catalogue.op(catalogue.writers(column)[0])
        made = instance(writer)
        batch = ready(made, batch)
        batch = made.judge(batch)[0] if isinstance(made, Filter) else made.run(batch)
    return batch


def outcome(op: Op, batch: Batch) -> tuple[Batch, pa.Table]:
    ledger = Ledger("code")
    if isinstance(op, Filter):
        return op.run(batch, ledger), ledger.table()
    assert isinstance(op, Map)
    return op.run(batch), ledger.table()


def of_kind(*kinds: type) -> list[Any]:
    return [pytest.param(op, id=op.name()) for op in catalogue.all_ops() if issubclass(op, kinds)]


def same(one: Batch, other: Batch) -> bool:
    return pa.Table.from_batches([one]).equals(pa.Table.from_batches([other]))


def joined(*parts: Batch) -> Batch:
    whole = pa.Table.from_batches(list(parts)).combine_chunks().to_batches()
    return whole[0] if whole else parts[0]


@pytest.mark.parametrize("cls", of_kind(Op))
def test_it_has_an_example_and_a_sentence_for_everything(cls):
    assert not docs.flaws(cls)


@pytest.mark.parametrize("cls", of_kind(Filter, Map, Global))
def test_it_travels(cls):
    op = instance(cls)
    assert pickle.loads(pickle.dumps(op)) == op


@pytest.mark.parametrize("cls", of_kind(Filter, Map))
def test_shards_do_not_matter(cls):
    op = instance(cls)
    batch = ready(op, corpus())
    whole, ledger = outcome(op, batch)
    for cut in (1, 17, batch.num_rows - 1):
        parts = [outcome(op, batch.slice(0, cut)), outcome(op, batch.slice(cut))]
        assert same(joined(*(p[0] for p in parts)), whole)
        assert pa.concat_tables([p[1] for p in parts]).equals(ledger)


@pytest.mark.parametrize("cls", of_kind(Filter, Map))
def test_order_does_not_matter(cls):
    op = instance(cls)
    batch = ready(op, corpus())
    whole, _ = outcome(op, batch)
    order = np.random.default_rng(3).permutation(batch.num_rows)
    shuffled, _ = outcome(op, batch.take(pa.array(order)))
    by_id = lambda b: pa.Table.from_batches([b]).sort_by("id")  # noqa: E731
    assert by_id(shuffled).equals(by_id(whole))


@pytest.mark.parametrize("cls", of_kind(Filter, Map))
def test_no_rows_give_no_rows(cls):
    op = instance(cls)
    kept, ledger = outcome(op, ready(op, corpus()).slice(0, 0))
    assert kept.num_rows == 0 == ledger.num_rows
    assert set(op.contract.writes) <= set(kept.schema.names)


@pytest.mark.parametrize("cls", of_kind(Filter))
def test_nothing_is_lost_and_every_reason_is_declared(cls):
    op = instance(cls)
    batch = ready(op, corpus())
    kept, ledger = outcome(op, batch)
    assert sorted(kept["id"].to_pylist() + ledger["id"].to_pylist()) == sorted(batch["id"].to_pylist())
    assert set(ledger["reason"].to_pylist()) <= set(cls.contract.reasons)


@pytest.mark.parametrize("cls", of_kind(Map))
def test_a_map_keeps_ids_and_their_order(cls):
    op = instance(cls)
    batch = ready(op, corpus())
    grown, _ = outcome(op, batch)
    if cls.contract.many:
        own = [i.rsplit("#", 1)[0] for i in grown["id"].to_pylist()]
        assert [i for i in batch["id"].to_pylist() if i in own] == list(dict.fromkeys(own))
    else:
        assert grown["id"].to_pylist() == batch["id"].to_pylist()


@pytest.mark.parametrize("cls", of_kind(Filter, Map))
def test_what_it_writes_has_the_declared_types(cls):
    op = instance(cls)
    grown, _ = outcome(op, ready(op, corpus()))
    for column, kind in op.contract.writes.items():
        assert grown.schema.field(column).type == kind


@pytest.mark.parametrize("cls", of_kind(Filter, Map))
def test_columns_it_does_not_write_stay(cls):
    op = instance(cls)
    batch = ready(op, corpus())
    grown, _ = outcome(op, batch)
    where = {i: n for n, i in enumerate(batch["id"].to_pylist())}
    rows = pa.array([where[i.rsplit("#", 1)[0]] for i in grown["id"].to_pylist()], pa.int64())
    for column in set(DOCUMENT.names) - set(op.contract.writes) - {"id"}:
        assert grown[column].equals(batch[column].take(rows)), column


def digest(cls: type[Op]) -> str:
    op = instance(cls)
    batch = ready(op, corpus())
    if isinstance(op, Global):
        sketch = op.sketch(*read_columns(op, batch))
        return xxhash.xxh3_64_hexdigest(repr({k: sketch[k].to_pylist() for k in sorted(op.contract.writes)}).encode())
    grown, ledger = outcome(op, batch)
    written = {c: grown[c].to_pylist() for c in sorted(op.contract.writes)}
    return xxhash.xxh3_64_hexdigest(repr([grown["id"].to_pylist(), written, ledger.to_pylist()]).encode())


def test_the_same_answer_bears_the_same_version():
    found = {f"{p.values[0].name()} {p.values[0].version}": digest(p.values[0]) for p in of_kind(Filter, Map, Global)}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    known = json.loads(GOLDEN.read_text())
    changed = [name for name in found if name in known and known[name] != found[name]]
    assert not changed, f"the answer of {changed} changed: raise `version`, then write {GOLDEN.name} anew"
    assert set(known) == set(found), f"write {GOLDEN.name} anew: UPDATE_GOLDEN=1"
