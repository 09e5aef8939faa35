import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import OVERREAD
from ops import line_blocks
from ops.input_files import Damage
from ops.line_blocks import blocks


def read(data, begin=0, end=None, longest=1000, room=8):
    """The lines as (place, text) and those left out as (place, bytes)."""
    lines, left_out = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "BLOCK_BYTES", room)
        for block in blocks(io.BytesIO(data), begin, end, longest):
            if block.left_out:
                left_out.append((block.byte, block.left_out))
                continue
            text = bytes(block.data[: block.stop])
            assert text.endswith(b"\n") and len(block.data) >= block.stop + OVERREAD
            at = block.byte
            for line in text[:-1].split(b"\n"):
                lines.append((at, line))
                at += len(line) + 1
    return lines, left_out


def expected(data, begin=0, end=None):
    lines, at = [], 0
    parts = data.split(b"\n")
    for line in parts if parts[-1] else parts[:-1]:
        if begin <= at and (end is None or at < end):
            lines.append((at, line))
        at += len(line) + 1
    return lines


data = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"bcdefgh", b"ij" * 9]), max_size=14).map(b"".join)


@given(data, st.integers(1, 40))
def test_all_lines_come_whole_and_once(data, room):
    assert read(data, room=room) == (expected(data), [])


@given(data, st.integers(1, 20), st.integers(1, 40))
def test_parts_share_the_lines_among_them(data, step, room):
    lines = []
    for begin in range(0, max(1, len(data)), step):
        part, left_out = read(data, begin, begin + step, room=room)
        assert part == expected(data, begin, begin + step) and not left_out
        lines += part
    assert lines == expected(data)


@given(data, st.integers(1, 12), st.integers(1, 20))
def test_lines_above_the_limit_are_left_out(data, longest, step):
    lines, left_out = [], []
    for begin in range(0, max(1, len(data)), step):
        part = read(data, begin, begin + step, longest, room=min(4, longest))
        lines, left_out = lines + part[0], left_out + part[1]
    seen = sorted([*lines, *((at, size) for at, size in left_out)], key=lambda item: item[0])
    assert [at for at, _ in seen] == [at for at, _ in expected(data)]
    by_place = dict(expected(data))
    assert all(by_place[at] == line for at, line in lines)
    assert all(len(by_place[at]) == size >= longest for at, size in left_out)
    assert all(len(line) <= longest for _, line in lines)


def test_a_slow_file_is_read_to_its_end():
    class Slow(io.BytesIO):
        def readinto(self, room):
            return super().readinto(memoryview(room)[:3])

    text = b"one\ntwo\nthree"
    assert b"".join(bytes(b.data[: b.stop]) for b in blocks(Slow(text), 0, None, 1000)) == text + b"\n"


def test_byte_order_marks():
    assert read(b"\xef\xbb\xbfa\nb") == ([(3, b"a"), (5, b"b")], [])
    assert read(b"\xef\xbb\xbf") == ([], [])
    for mark in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        with pytest.raises(Damage, match=mark[:6].upper()):
            read("\ufeffa\n".encode(mark))
