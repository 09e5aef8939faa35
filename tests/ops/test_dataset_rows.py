from itertools import chain, pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.op import Losses
from ops import dataset_rows
from ops.dataset_rows import documents, is_text, joined, pieces

KINDS = [
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.binary()),
]


def run(rows, max_bytes=100):
    losses = Losses()
    batch = documents(rows, max_bytes, losses, lambda n: f"f#{n}")
    return batch.to_pydict(), [(d["path"], d["reason"], d["score"]) for d in losses.dropped]


def fate(value, max_bytes):
    """What becomes of a text, as the docs say it."""
    if value is None:
        return None, "no_content"
    if len(value) > max_bytes:
        return None, "too_large"
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "binary" if b"\0" in value else "undecodable"
    if "\0" in text:
        return None, "binary"
    return (text, None) if text else (None, "empty")


texts = st.text("ab\0é\n\ufeff", max_size=6).map(str.encode)
values = st.none() | texts | st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb\xbfx", b"\xe9t\xe9", b"a\0b", b"\xc3"])


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(column=st.lists(values, max_size=12), start=st.integers(0, 3))
def test_every_row_is_a_document_or_is_lost_for_a_reason(kind, column, start):
    content = pa.array(column, pa.large_binary()).cast(pa.binary())
    content = content.dictionary_encode() if pa.types.is_dictionary(kind) else content.cast(kind)
    kept, lost = run({"content": content[start:]}, max_bytes=5)
    fates = [fate(value, 5) for value in column[start:]]
    assert kept["content"] == [text for text, reason in fates if reason is None]
    assert sorted(lost) == sorted(
        (f"f#{n}", reason, float(len(value)) if reason == "too_large" else None)
        for n, ((_, reason), value) in enumerate(zip(fates, column[start:], strict=True))
        if reason is not None
    )
    assert {reason for _, reason, _ in lost} <= set(dataset_rows.REASONS)


def test_columns_stay_beside_their_rows():
    rows = {
        "content": pa.array(["a", None, "b", "", "x" * 101, "c\0", "d"]),
        "path": pa.array(["1", "2", "/3", "4", "5", None, "7"]),
        "repo_name": pa.array(["r1", "r2", "r3", "r4", "r5", "r6", "r7"]).dictionary_encode(),
        "license": pa.array([["MIT"], [], ["MIT", "ISC"], None, [], [], None]),
        "star_events_count": pa.array([1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0]),
    }
    kept, lost = run(rows)
    assert kept == {
        "content": ["a", "b", "d"],
        "path": ["1", "3", "7"],
        "repo_name": ["r1", "r3", "r7"],
        "license": ["MIT", "MIT AND ISC", None],
        "star_events_count": [1, None, 7],
    }
    assert sorted(lost) == [
        ("2", "no_content", None),
        ("4", "empty", None),
        ("5", "too_large", 101.0),
        ("f#5", "binary", None),
    ]


def test_utf16_of_a_binary_column_is_text():
    kept, lost = run({"content": pa.array(["héllo".encode("utf-16"), "x".encode("utf-16-le")])})
    assert kept["content"] == ["héllo"]
    assert lost == [("f#1", "binary", None)]


def test_a_string_column_that_holds_other_bytes_is_looked_at():
    lie = pa.Array.from_buffers(pa.string(), 2, pa.array([b"caf\xe9", b"ok"]).buffers())
    assert run({"content": lie}) == ({"content": ["ok"]}, [("f#0", "undecodable", None)])


def test_what_can_be_text():
    assert all(is_text(k) for k in (*KINDS, pa.string(), pa.large_string(), pa.string_view(), pa.null()))
    assert not any(
        is_text(k) for k in (pa.int64(), pa.list_(pa.string()), pa.struct([]), pa.dictionary(pa.int8(), pa.int8()))
    )


@given(st.lists(st.integers(0, 9), max_size=20), st.booleans())
def test_pieces_hold_no_more_than_their_share(lengths, encoded):
    column = pa.array(["x" * n for n in lengths])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_rows, "BATCH_BYTES", 10)
        cut = [lengths[piece] for piece in pieces(column.dictionary_encode() if encoded else column)]
    assert list(chain(*cut)) == lengths
    assert all(sum(piece) <= 10 for piece in cut)
    assert all(sum(a) + b[0] > 10 for a, b in pairwise(cut))


def test_a_text_above_the_share_stands_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_rows, "BATCH_BYTES", 10)
        assert list(pieces(pa.array(["a", "x" * 50, "b"]))) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_small_batches_are_joined():
    def batch(*texts):
        return pa.RecordBatch.from_pydict({"content": pa.array(texts, pa.large_string())})

    parts = [batch("a"), batch(), batch("b"), batch("c" * 90), batch("d")]
    assert [b.column(0).to_pylist() for b in joined(iter(parts), 60)] == [["a", "b", "c" * 90], ["d"]]
    other = pa.RecordBatch.from_pydict({"content": pa.array(["e"], pa.large_string()), "path": ["p"]})
    assert [b.num_rows for b in joined(iter([batch("a"), other, other]), 1 << 20)] == [1, 2]
    assert list(joined(iter([batch()]), 1)) == []
