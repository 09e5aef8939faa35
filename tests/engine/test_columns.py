"""Arrow columns as buffers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import OVERREAD, one_array, padded_parts, text_buffers, text_column

VALUES = st.lists(st.one_of(st.none(), st.text(max_size=100)), max_size=20)


@given(VALUES, st.integers(0, 5), st.sampled_from([pa.string(), pa.large_string()]))
def test_buffers_hold_the_values(values, start, kind):
    column = pa.array(values, kind)[start:]
    data, offsets = text_buffers(column)
    found = [bytes(data[offsets[n] : offsets[n + 1]]).decode() for n in range(len(column))]
    assert found == [v or "" for v in values[start:]]


def test_bytes_under_a_null_are_not_part_of_it():
    column = pa.Array.from_buffers(
        pa.string(),
        2,
        [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 3, 5], np.int32)), pa.py_buffer(b"abcde")],
    )
    assert column.to_pylist() == [None, "de"]
    data, offsets = text_buffers(column)
    assert [bytes(data[offsets[n] : offsets[n + 1]]) for n in range(2)] == [b"", b"de"]


@given(VALUES)
def test_padded_parts_cover_all_rows_with_room_behind(values):
    column = pa.array(values, pa.large_string())
    data, offsets = text_buffers(column)
    seen = []
    for rows, part, ends in padded_parts(data, offsets):
        assert len(part) >= ends[-1] + OVERREAD
        seen += [bytes(part[ends[n] : ends[n + 1]]).decode() for n in range(rows.stop - rows.start)]
    assert seen == [v or "" for v in values]


def test_a_column_is_made_of_bytes_without_a_copy():
    data = np.frombuffer("añb".encode(), np.uint8)
    column = text_column(data, np.array([0, 1, 4]))
    assert column.to_pylist() == ["a", "ñb"]
    assert column.buffers()[2].address == data.ctypes.data


@pytest.mark.parametrize("chunks", [[], [["a"]], [["a"], ["b", None]]])
def test_chunks_become_one_array(chunks):
    column = pa.chunked_array([pa.array(c, pa.string()) for c in chunks], pa.string())
    assert one_array(column).to_pylist() == column.to_pylist()
