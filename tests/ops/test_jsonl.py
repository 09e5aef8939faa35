import bz2
import gzip
import json
import lzma
import pickle
from itertools import pairwise

import fsspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import OpError
from engine.op import Losses
from engine.schema import SOURCE_COLUMNS
from ops import jsonl, line_blocks
from ops.jsonl import Jsonl

ROWS = [
    {
        "path": f"src/file_{n}.py",
        "repo_name": f"octo/repo{n // 4}",
        "license": ["MIT", "MIT AND ISC", None][n % 3],
        "star_events_count": [None, n][n % 2],
        "content": f'def é{n}():\n\treturn "{n}"\n' * (n % 5 + 1),
    }
    for n in range(40)
]
PACK = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def spell(rows, **options):
    return "".join(json.dumps(row, **options) + "\n" for row in rows).encode()


def write(place, data):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data if isinstance(data, bytes) else spell(data))
    return place


def read(op, columns=None):
    """All documents of a source, shard by shard, and what was lost."""
    losses, batches = Losses(), []
    for shard in op.shards():
        batches += op.read(shard, losses, columns)
    return [row for batch in batches for row in batch.to_pylist()], losses


def rows(op, columns=None):
    """The documents, without the columns that they lack."""
    found, losses = read(op, columns)
    assert not losses.dropped and not losses.quarantined
    return [{k: v for k, v in row.items() if v is not None} for row in found]


def without_nulls(found):
    return [{k: v for k, v in row.items() if v is not None} for row in found]


def from_text(tmp_path, data, **options):
    found, losses = read(Jsonl(path=str(write(tmp_path / "a.jsonl", data)), **options))
    return [row["content"] for row in found], losses


# --- columns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", PACK)
def test_lines_become_documents_packed_or_not(tmp_path, ending):
    place = write(tmp_path / f"a.jsonl{ending}", PACK[ending](spell(ROWS)))
    found, losses = read(Jsonl(path=str(place)))
    assert not losses.dropped and not losses.quarantined
    assert [{k: row[k] for k in ROWS[0]} for row in found] == ROWS
    assert list(found[0]) == ["content", *(c for c in SOURCE_COLUMNS if c != "content")]


def test_the_stack_v1(tmp_path):
    row = {
        "content": "x",
        "max_stars_repo_path": "a.cs",
        "max_stars_repo_licenses": ["MIT", "ISC"],
        "max_stars_count": 5.0,
        "lang": "C#",
        "ext": "cs",
        "avg_line_length": float("nan"),
    }
    assert rows(Jsonl(path=str(write(tmp_path / "a.jsonl", [row])))) == [
        {
            "content": "x",
            "path": "a.cs",
            "language": "c-sharp",
            "extension": "cs",
            "license": "MIT AND ISC",
            "star_events_count": 5,
        }
    ]


def test_licences_of_every_shape(tmp_path):
    shapes = [["MIT"], [], ["MIT", None, "MIT"], "MIT", None, "", "[not a list", '["ISC"]', {"name": "MIT"}, 5]
    found, _ = read(Jsonl(path=str(write(tmp_path / "a.jsonl", [{"content": "x", "license": s} for s in shapes]))))
    expected = ["MIT", None, "MIT", "MIT", None, None, "[not a list", "ISC", '{"name": "MIT"}', "5"]
    assert [row["license"] for row in found] == expected


def test_columns_of_ones_own(tmp_path):
    table = [{"body": "x = 1", "meta": {"file": "/a.py", "size": [5]}, "text": "not this", "path": "nor this"}]
    op = Jsonl(path=str(write(tmp_path / "a.jsonl", table)), columns={"content": "body", "path": "meta.file"})
    assert rows(op) == [{"content": "x = 1", "path": "a.py"}]


def test_the_first_name_with_something_under_it_counts(tmp_path):
    lines = [{"content": "a", "text": "b"}, {"text": "c"}, {"content": None, "text": "d"}, {"code": "e"}]
    assert [row["content"] for row in rows(Jsonl(path=str(write(tmp_path / "a.jsonl", lines))))] == ["a", "c", "d", "e"]


def test_only_what_is_asked_for_is_read(tmp_path):
    op = Jsonl(path=str(write(tmp_path / "a.jsonl", ROWS)))
    found, _ = read(op, frozenset(["content"]))
    assert found == [{"content": row["content"]} for row in ROWS]
    found, _ = read(op, frozenset(["path", "longest_line"]))
    assert found == [{"content": row["content"], "path": row["path"]} for row in ROWS]


def test_a_file_without_texts_is_an_error_that_names_what_there_is(tmp_path):
    write(tmp_path / "a.jsonl", b'broken\n{"contents": "x", "meta": {"path": "p"}}\n')
    with pytest.raises(
        OpError, match=r"a.jsonl: no column `content`; did you mean `contents`\?\n.*contents, meta, meta.path\n"
    ):
        read(Jsonl(path=str(tmp_path)))
    with pytest.raises(OpError, match="no column `body`"):
        read(Jsonl(path=str(tmp_path), columns={"content": "body"}))
    with pytest.raises(ValidationError, match="did you mean `content`"):
        Jsonl(path="x", columns={"contents": "y"})


# --- lines of every kind ----------------------------------------------------------------------------------------


def test_line_ends_blank_lines_and_byte_order_marks(tmp_path):
    assert from_text(tmp_path, b'{"text":"a"}\r\n\r\n  \n\t{"text":"b"} \n{"text":"c"}')[0] == ["a", "b", "c"]
    assert from_text(tmp_path, b'\xef\xbb\xbf{"text":"a"}\n')[0] == ["a"]
    assert from_text(tmp_path, b"")[0] == []
    assert from_text(tmp_path, b"\n\n")[0] == []


def test_a_broken_line_goes_to_quarantine_by_its_number_and_the_rest_goes_on(tmp_path):
    data = b'{"text":"a"}\n\n{"text":"b"\n{"text":5}\n[1]\n{"text":"c"}\n{"text":"d'
    found, losses = from_text(tmp_path, data)
    assert found == ["a", "c"] and not losses.dropped
    assert [(e["path"], e["error"]) for e in losses.quarantined] == [
        ("a.jsonl:3", "the line has neither comma nor bracket behind a value (at its byte 12)"),
        ("a.jsonl:4", "the line's text is a number, a truth value, a list or an object"),
        ("a.jsonl:5", "the line is no JSON object (at its byte 1)"),
        ("a.jsonl:7", "the line has a string that does not end, or holds a control character (at its byte 9)"),
    ]


def test_lines_are_dropped_for_what_they_hold(tmp_path):
    lines = [
        {"text": "ok", "path": "0"},
        {"text": None, "path": "1"},
        {"path": "/2", "repo_name": "r"},
        {"text": ""},
        {"text": "x" * 11, "path": "4"},
        {"text": "a\0b", "path": "5"},
        {"text": "\ufeffé", "path": "6"},
    ]
    data = spell(lines) + b'{"text":"caf\xe9","path":"7"}\n'
    found, losses = from_text(tmp_path, data, max_bytes=10)
    assert found == ["ok", "é"]
    assert {d["path"]: (d["reason"], d["repo_name"], d["score"]) for d in losses.dropped} == {
        "1": ("no_content", None, None),
        "2": ("no_content", "r", None),
        "a.jsonl:4": ("empty", None, None),
        "4": ("too_large", None, 11.0),
        "5": ("binary", None, None),
        "7": ("undecodable", None, None),
    }


def test_text_that_is_no_utf8_in_other_columns(tmp_path):
    op = Jsonl(path=str(write(tmp_path / "a.jsonl", b'{"text":"a","path":"\xff.py","lang":"\xff"}\n')))
    assert rows(op) == [{"content": "a", "path": "\ufffd.py", "language": "\ufffd"}]


def test_a_line_that_is_too_long_is_left_out_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 8 << 20)
    lines = [{"text": "a"}, {"text": "b", "more": "x" * (9 << 20)}, {"text": "c" * 500}]
    found, losses = from_text(tmp_path, spell(lines), max_bytes=1000)
    assert found == ["a", "c" * 500]
    assert [(d["path"], d["reason"], d["score"]) for d in losses.dropped] == [
        ("a.jsonl:2", "too_large", float(len(json.dumps(lines[1]))))
    ]


def test_max_bytes_makes_room_for_its_own_escapes(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 10)
    text = "\x01" * (1 << 20)
    data = spell([{"text": text}])
    assert len(data) > 6 << 20
    assert from_text(tmp_path, data)[0] == [text]


# --- shards -----------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    cuts=st.lists(st.integers(0, len(ROWS)), max_size=3),
    step=st.sampled_from([97, 400, 1 << 28]),
    room=st.sampled_from([16, 333, 1 << 20]),
    blank=st.booleans(),
)
def test_documents_do_not_hang_on_files_shards_or_blocks(tmp_path_factory, cuts, step, room, blank):
    folder = tmp_path_factory.mktemp("split")
    edges = [0, *sorted(cuts), len(ROWS)]
    for n, (first, stop) in enumerate(pairwise(edges)):
        write(folder / f"{n}.jsonl", spell(ROWS[first:stop]).replace(b"\n", b"\r\n\n" if blank else b"\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "SHARD_BYTES", step)
        patch.setattr(line_blocks, "BLOCK_BYTES", room)
        found = rows(Jsonl(path=str(folder)))
    assert sorted(found, key=lambda r: r["path"]) == sorted(without_nulls(ROWS), key=lambda r: r["path"])


def test_large_plain_files_are_cut_and_packed_ones_are_not(tmp_path, monkeypatch):
    data = spell(ROWS)
    monkeypatch.setattr(jsonl, "SHARD_BYTES", len(data) // 4 + 1)
    write(tmp_path / "a.jsonl", data)
    write(tmp_path / "b.jsonl.gz", gzip.compress(data, 0))
    shards = list(Jsonl(path=str(tmp_path)).shards())
    plain = [s for s in shards if s.at["place"] == "a.jsonl"]
    assert len(plain) == 4 and sum(s.bytes for s in plain) == len(data)
    assert [s.name[-5:] for s in plain] == ["-0000", "-0001", "-0002", "-0003"]
    assert len(shards) == 5
    assert len(rows(Jsonl(path=str(tmp_path)))) == 2 * len(ROWS)


def test_a_shard_hangs_on_its_file_alone(tmp_path):
    write(tmp_path / "b.jsonl", ROWS)
    (before,) = Jsonl(path=str(tmp_path)).shards()
    write(tmp_path / "a.jsonl", ROWS[:3])
    write(tmp_path / "b.jsonl.gz", gzip.compress(spell(ROWS)))
    after = list(Jsonl(path=str(tmp_path)).shards())
    assert before in after and len({s.name for s in after}) == 3
    write(tmp_path / "b.jsonl", ROWS[:5])
    changed = [s for s in Jsonl(path=str(tmp_path)).shards() if s.name == before.name]
    assert [s.version == before.version for s in changed] == [False]


def test_in_a_file_that_is_cut_lines_are_named_by_their_first_byte(tmp_path, monkeypatch):
    data = b'{"text":"a"}\n' * 10 + b"broken\n" + b'{"text":""}\n'
    monkeypatch.setattr(jsonl, "SHARD_BYTES", 40)
    found, losses = from_text(tmp_path, data)
    assert len(found) == 10
    assert [e["path"] for e in losses.quarantined] == ["a.jsonl@130"]
    assert [d["path"] for d in losses.dropped] == ["a.jsonl@137"]
    assert data[130:136] == b"broken"


def test_a_file_that_changed_since_is_an_error(tmp_path):
    op = Jsonl(path=str(write(tmp_path / "a.jsonl", ROWS)))
    (shard,) = op.shards()
    write(tmp_path / "a.jsonl", ROWS[:5])
    for change in (lambda: None, (tmp_path / "a.jsonl").unlink):
        change()
        with pytest.raises(OpError, match=r"a.jsonl` changed while the run was under way: run again"):
            list(op.read(shard, Losses()))


def test_the_op_travels_and_reads_elsewhere(tmp_path):
    op = Jsonl(path=str(write(tmp_path / "a.jsonl", ROWS)), max_bytes=1000)
    shards = pickle.loads(pickle.dumps(list(op.shards())))
    again = pickle.loads(pickle.dumps(op))
    assert [row["content"] for b in again.read(shards[0], Losses()) for row in b.to_pylist()] == [
        r["content"] for r in ROWS
    ]


@pytest.mark.parametrize("ending", PACK)
def test_other_file_systems(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(jsonl, "SHARD_BYTES", 700)
    fs = fsspec.filesystem("memory")
    fs.pipe({f"/test_jsonl{ending}/x/a.jsonl{ending}": PACK[ending](spell(ROWS))})
    for path in (f"memory://test_jsonl{ending}", f"memory://test_jsonl{ending}/*/a.jsonl{ending}"):
        assert rows(Jsonl(path=path)) == without_nulls(ROWS)


def test_the_endings_that_are_read_in_a_folder(tmp_path):
    names = ["a.jsonl", "b.ndjson", "c.jsonl.gz", "d.json.zst", "e.JSONL"]
    for name in [*names, "f.json", "g.txt", "h.parquet"]:
        write(tmp_path / name, b"")
    assert [s.at["place"] for s in Jsonl(path=str(tmp_path)).shards()] == sorted(names)
    assert [s.at["place"] for s in Jsonl(path=str(tmp_path / "*.json")).shards()] == ["f.json"]


# --- damage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [e for e in PACK if e])
def test_a_packed_file_that_is_cut_off_gives_what_it_has(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 4000)
    lines = [{"text": f"{n} " + str(pow(7, n, 10**301))} for n in range(800)]
    packed = PACK[ending](spell(lines))
    write(tmp_path / f"a.jsonl{ending}", packed[: len(packed) * 3 // 4])
    write(tmp_path / "b.jsonl", ROWS)
    found, losses = read(Jsonl(path=str(tmp_path)))
    texts = [row["content"] for row in found]
    assert texts[-len(ROWS) :] == [row["content"] for row in ROWS]
    assert texts[: -len(ROWS)] == [row["text"] for row in lines[: len(texts) - len(ROWS)]]
    assert len(texts) < len(lines)
    (entry,) = losses.quarantined
    assert entry["path"] == f"a.jsonl{ending}" and entry["error"]


@pytest.mark.parametrize("ending", [e for e in PACK if e])
def test_a_file_that_is_not_packed_as_its_ending_says(tmp_path, ending):
    write(tmp_path / f"a.jsonl{ending}", spell(ROWS))
    found, losses = read(Jsonl(path=str(tmp_path)))
    assert not found and [e["path"] for e in losses.quarantined] == [f"a.jsonl{ending}"]


def test_utf16_is_told(tmp_path):
    found, losses = from_text(tmp_path, spell(ROWS).decode().encode("utf-16"))
    assert not found
    assert [(e["path"], e["error"]) for e in losses.quarantined] == [
        ("a.jsonl", "it is UTF-16 or UTF-32, where UTF-8 belongs")
    ]


def test_several_packed_members_in_one_file(tmp_path):
    for ending in (e for e in PACK if e):
        data = b"".join(PACK[ending](spell(part)) for part in (ROWS[:7], ROWS[7:]))
        assert rows(Jsonl(path=str(write(tmp_path / f"a.jsonl{ending}", data)))) == without_nulls(ROWS)
