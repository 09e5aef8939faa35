"""Spans: characters and bytes agree, and what overlaps is merged."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.spans import SPANS, Found, merged, span_column

_TEXTS = st.lists(st.text(alphabet="aé中😀\n", max_size=12), min_size=1, max_size=5)


@given(_TEXTS, st.data())
def test_offsets_are_those_of_the_text_and_of_its_bytes(texts, data):
    content = pa.array(["before", *texts], TEXT).slice(1)
    _, offsets = text_buffers(content)
    found, wanted = [], [[] for _ in texts]
    for row, text in enumerate(texts):
        for _ in range(data.draw(st.integers(0, 3))):
            start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
            begin_byte, end_byte = len(text[:start].encode()), len(text[:end].encode())
            first = int(offsets[row])
            found.append(Found(row, first + begin_byte, first + end_byte, "NAME", None))
            wanted[row].append((start, end, begin_byte, end_byte))
    column = span_column(content, data.draw(st.permutations(found)))
    assert column.type == SPANS
    got = [[(s["start"], s["end"], s["start_byte"], s["end_byte"]) for s in row] for row in column.to_pylist()]
    assert got == [sorted(row) for row in wanted]


_SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from("ABC")), max_size=8)


@given(_SPANS)
def test_merged_spans_cover_the_same_and_do_not_overlap(drawn):
    spans = [(begin, begin + size, kind) for begin, size, kind in drawn]
    answer = merged(spans)
    assert {k for b, e, _ in answer for k in range(b, e)} == {k for b, e, _ in spans for k in range(b, e)}
    assert all(a[1] <= b[0] for a, b in pairwise(answer))
    for begin, end, kind in answer:
        inside = [s for s in spans if begin <= s[0] and s[1] <= end]
        longest = max(e - b for b, e, _ in inside)
        assert kind in {k for b, e, k in inside if e - b == longest}
