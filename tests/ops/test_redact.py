"""Spans are replaced, whoever found them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.op import with_columns
from engine.schema import TEXT
from ops.pii import DetectPiiRules
from ops.redact import Redact
from ops.spans import SPANS


def _span(text: str, value: str, kind: str, at: int = 0, rule: str | None = None) -> dict:
    start = text.index(value, at)
    first = len(text[:start].encode())
    return {
        "kind": kind,
        "start": start,
        "end": start + len(value),
        "start_byte": first,
        "end_byte": first + len(value.encode()),
        "rule": rule,
    }


def _run(texts: list[str], spans: list[list[dict] | None], ids: list[str] | None = None, **parameters) -> list[dict]:
    columns = {
        "id": pa.array(ids or [str(n) for n in range(len(texts))], TEXT),
        "content": pa.array(texts, TEXT),
        "pii": pa.array(spans, SPANS),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return Redact(**parameters).run(batch).to_pylist()


def _one(text: str, spans: list[dict], **parameters) -> str:
    return _run([text], [spans], **parameters)[0]["content"]


def test_each_kind_has_its_placeholder():
    text = "é Ada Lovelace, ada@host.org, q8Zk2LmPx09QwErTy77, hunTer2"
    spans = [
        _span(text, "Ada Lovelace", "NAME"),
        _span(text, "ada@host.org", "EMAIL"),
        _span(text, "q8Zk2LmPx09QwErTy77", "KEY"),
        _span(text, "hunTer2", "PASSWORD"),
    ]
    row = _run([text], [spans])[0]
    assert row["content"] == "é <NAME>, <EMAIL>, <KEY>, <PASSWORD>"
    assert (row["n_redacted"], row["redacted_kinds"]) == (4, ["EMAIL", "KEY", "NAME", "PASSWORD"])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Ada", "NAME"),
        ("Lovelace", "NAME"),
        ("a@b", "EMAIL"),
        ("ada99", "USERNAME"),
        ("whatever", "AMBIGUOUS"),
        ("getElementById", "KEY"),
        ("q8Zk2LmP", "KEY"),
        ("10.1.2.3", "IP_ADDRESS"),
        ("8.8.8.8", "IP_ADDRESS"),
        ("1.2.3", "IP_ADDRESS"),
    ],
)
def test_what_is_left_alone(value, kind):
    text = f"x {value} y"
    row = _run([text], [[_span(text, value, kind)]])[0]
    assert (row["content"], row["n_redacted"], row["pii"]) == (text, 0, [])


def test_an_example_address_is_an_address():
    assert _one("to ada@host.org", [_span("to ada@host.org", "ada@host.org", "EMAIL_EXAMPLE")]) == "to <EMAIL>"


def test_a_key_that_a_rule_found_need_not_look_drawn():
    text = "key get_element_by_name"
    span = _span(text, "get_element_by_name", "KEY", rule="some_token")
    assert _one(text, [span]) == "key <KEY>"
    assert _one(text, [span], reproduce=True) == text
    assert _one(text, [{**span, "rule": None}]) == text


def test_equal_addresses_of_a_file_get_equal_private_ones_of_their_family():
    text = "93.184.216.34 93.184.216.35 93.184.216.34 2606:2800::1946"
    spans = [
        _span(text, "93.184.216.34", "IP_ADDRESS"),
        _span(text, "93.184.216.35", "IP_ADDRESS"),
        _span(text, "93.184.216.34", "IP_ADDRESS", 20),
        _span(text, "2606:2800::1946", "IP_ADDRESS"),
    ]
    rows = _run([text] * 40, [spans] * 40)
    for row in rows:
        first, _, third, v6 = row["content"].split(" ")
        assert first == third and first.startswith(("172.16.", "192.168.")) and v6.startswith(("fc00:", "fd"))
    assert len({row["content"].split(" ")[0] for row in rows}) == 5
    assert _run([text] * 40, [spans] * 40) == rows


def test_overlapping_spans_are_one():
    text = "by Ada Lovelace <ada.lovelace@host.org> now"
    spans = [_span(text, "Ada Lovelace <ada", "NAME"), _span(text, "ada.lovelace@host.org", "EMAIL")]
    assert _one(text, spans) == "by <EMAIL>> now"
    assert _one(text, [spans[1], spans[0]]) == "by <EMAIL>> now"


def test_reproducing_puts_spaces_and_does_not_resolve():
    text = "ada@host.orgbob@host.org!"
    spans = [_span(text, "ada@host.org", "EMAIL"), _span(text, "bob@host.org", "EMAIL")]
    assert _one(text, spans) == "<EMAIL><EMAIL>!"
    assert _one(text, spans, reproduce=True) == " <EMAIL> <EMAIL>!"
    inner = [_span(text, "ada@host.orgbob", "EMAIL"), _span(text, "host.org", "PASSWORD")]
    assert _one(text, inner, reproduce=True) == " <EMAIL> <PASSWORD>" + text[text.index("bob") :]


def test_a_file_without_spans_is_the_same_even_where_others_are_not():
    rows = _run(["one", "ada@host.org", "two", ""], [[], [_span("ada@host.org", "ada@host.org", "EMAIL")], None, []])
    assert [r["content"] for r in rows] == ["one", "<EMAIL>", "two", ""]
    assert [r["n_redacted"] for r in rows] == [0, 1, 0, 0]
    assert [r["redacted_kinds"] for r in rows] == [[], ["EMAIL"], [], []]


def test_without_a_column_of_spans_nothing_is_redacted():
    batch = pa.RecordBatch.from_arrays([pa.array(["a"], TEXT), pa.array(["ada@host.org"], TEXT)], ["id", "content"])
    assert Redact().run(batch).column("content").to_pylist() == ["ada@host.org"]


_PIECES = st.sampled_from(["ada@host.org", " ", "é", "93.184.216.34", "中\n", "😀", "bob@host.org,", "x"])


@given(st.lists(st.lists(_PIECES, max_size=12).map("".join), max_size=4))
def test_what_rules_found_is_gone_and_the_spans_are_where_the_placeholders_stand(texts):
    ids = pa.array([str(n) for n in range(len(texts))], TEXT)
    batch = pa.RecordBatch.from_arrays([ids, pa.array(texts, TEXT)], ["id", "content"])
    found = DetectPiiRules().run(batch)
    for before, row in zip(found.to_pylist(), Redact().run(found).to_pylist(), strict=True):
        assert len(row["pii"]) == len(before["pii"]) == row["n_redacted"]
        rest, raw = row["content"], row["content"].encode()
        for span in reversed(row["pii"]):
            value = rest[span["start"] : span["end"]]
            assert value == "<EMAIL>" or value.startswith(("172.16.", "192.168."))
            assert raw[span["start_byte"] : span["end_byte"]].decode() == value
            rest = rest[: span["start"]] + rest[span["end"] :]
        kept = before["content"]
        for span in reversed(before["pii"]):
            kept = kept[: span["start"]] + kept[span["end"] :]
        assert rest == kept


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_any_spans_of_any_text_leave_valid_text(text, places):
    spans = []
    for a, b in places:
        start, end = sorted((min(a, len(text)), min(b, len(text))))
        spans.append(
            {
                "kind": "PASSWORD",
                "start": start,
                "end": end,
                "start_byte": len(text[:start].encode()),
                "end_byte": len(text[:end].encode()),
                "rule": None,
            }
        )
    covered = {k for s in spans if s["end"] - s["start"] > 3 for k in range(s["start"], s["end"])}
    content = _one(text, spans)
    assert content.replace("<PASSWORD>", "") == "".join(c for k, c in enumerate(text) if k not in covered)


def test_a_batch_with_other_columns_keeps_them():
    text = "ada@host.org"
    batch = pa.RecordBatch.from_arrays([pa.array(["i"], TEXT), pa.array([text], TEXT)], ["id", "content"])
    batch = with_columns(batch, {"path": pa.array(["p"], TEXT), "pii": pa.array([[_span(text, text, "EMAIL")]], SPANS)})
    assert Redact().run(batch).column("path").to_pylist() == ["p"]
