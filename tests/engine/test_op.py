"""The contract of ops: signatures, verdicts, ledgers."""

import pickle
from collections.abc import Iterator
from functools import cached_property
from typing import Literal, TypedDict

import pyarrow as pa
import pytest

from engine.op import Filter, Ledger, Map, Reasons, Resources, absent, at_least, at_most, more_than, reasons, snake_case
from engine.schema import LEDGER, Integers, Numbers, Strings


class TooLong(Filter):
    """Drops long things."""

    longest: int = 3
    """Characters."""

    def drop(self, size: Integers, mean: Numbers) -> Reasons[Literal["long", "wide"]]:
        return reasons(long=at_most(size, self.longest), wide=at_most(mean, 1.0))


class Named(Filter):
    """Drops by name."""

    def drop(self, path: str | None) -> Literal["bad_name"] | None:
        return "bad_name" if path == "bad" else None


class Upper(TypedDict):
    path: str


class Shout(Map):
    """Makes names loud."""

    def map(self, path: str) -> Upper:
        return {"path": path.upper()}


class Letter(TypedDict):
    content: str


class Letters(Map):
    """A document a letter."""

    @cached_property
    def heavy(self) -> bytes:
        return b"x" * 10_000

    def map(self, content: str) -> Iterator[Letter]:
        for letter in content:
            yield {"content": letter}


def batch() -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "id": ["a", "b", "c"],
            "stream": ["s", "s", "s"],
            "path": ["good", "bad", None],
            "content": ["xy", "", "z"],
            "size": [1, 9, None],
            "mean": [0.5, 5.0, 2.0],
        }
    )


def test_the_signature_says_what_is_read_written_and_dropped_for():
    assert dict(TooLong.contract.reads) == {"size": pa.int64(), "mean": pa.float64()}
    assert TooLong.contract.reasons == ("long", "wide")
    assert TooLong.contract.columns and not Named.contract.columns
    assert Named.contract.reasons == ("bad_name",)
    assert dict(Shout.contract.writes) == {"path": pa.large_string()}
    assert Letters.contract.many


def test_the_first_check_that_fails_speaks_and_gives_its_score():
    ledger = Ledger("s")
    kept = TooLong().run(batch(), ledger)
    assert kept["id"].to_pylist() == ["a"]
    table = ledger.table()
    assert table.schema == LEDGER
    assert table.select(["id", "step", "reason", "score"]).to_pylist() == [
        {"id": "b", "step": "too_long", "reason": "long", "score": 9.0},
        {"id": "c", "step": "too_long", "reason": "wide", "score": 2.0},
    ]


def test_a_row_method_is_called_for_each_row():
    ledger = Ledger("s")
    assert Named().run(batch(), ledger)["id"].to_pylist() == ["a", "c"]
    assert ledger.table()["reason"].to_pylist() == ["bad_name"]
    assert Shout().run(batch().slice(0, 2))["path"].to_pylist() == ["GOOD", "BAD"]


def test_one_document_becomes_several_with_ids_of_their_own():
    grown = Letters().run(batch())
    assert grown["id"].to_pylist() == ["a#0", "a#1", "c#0"]
    assert grown["content"].to_pylist() == ["x", "y", "z"]
    assert grown["path"].to_pylist() == ["good", "good", None]


def test_checks_pass_nulls_and_take_bounds_by_row():
    values = pa.array([1.0, 2.0, None])
    assert at_most(values, 1).failed.to_pylist() == [False, True, False]
    assert at_least(values, 2).failed.to_pylist() == [True, False, False]
    assert more_than(values, 1).failed.to_pylist() == [True, False, False]
    assert at_most(values, pa.array([0.5, None, 1.0])).failed.to_pylist() == [True, False, False]
    assert at_most(values, None).failed.to_pylist() == [False, False, False]
    cause = reasons(found=absent(pa.array([True, False, None]), of=pa.array(["x", "y", "z"])))
    assert cause.of().to_pylist() == ["x", None, None]


def test_an_op_travels_as_its_parameters():
    op = Letters()
    assert len(op.heavy) == 10_000
    sent = pickle.dumps(op)
    assert len(sent) < 300
    assert pickle.loads(sent) == op


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def drop(self, content): return None", "annotate content, return"),
        ("def drop(self, content: str) -> str | None: return None", "say why it drops"),
        ("def drop(self, content: dict) -> Literal['x'] | None: return None", "no column type"),
        ("def drop(self, a: Strings, b: str) -> Literal['x'] | None: return None", "not both"),
    ],
)
def test_a_wrong_signature_fails_as_the_op_is_imported(source, told):
    scope = {"Filter": Filter, "Literal": Literal, "Strings": Strings}
    with pytest.raises(TypeError, match=told):
        exec(f"class Wrong(Filter):\n    {source}", scope)


def test_names_and_resources():
    assert [snake_case(n) for n in ("NearDedup", "DetectPII", "XmlHeader", "A")] == [
        "near_dedup",
        "detect_pii",
        "xml_header",
        "a",
    ]
    assert Resources(1, 0, 5) | Resources(2, 1, 3) == Resources(2, 1, 5)
