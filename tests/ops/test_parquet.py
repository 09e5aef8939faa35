import pickle
from itertools import pairwise

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import OpError
from engine.op import Losses
from engine.schema import TEXT
from ops import dataset_rows, parquet
from ops.parquet import Parquet

ROWS = [
    {
        "max_stars_repo_path": f"src/file_{n}.py",
        "max_stars_repo_name": f"octo/repo{n // 4}",
        "max_stars_repo_licenses": [["MIT"], ["MIT", "Apache-2.0"], [], None][n % 4],
        "max_stars_count": [None, n][n % 2],
        "lang": "Python",
        "ext": "py",
        "content": f"def f{n}():\n    return {n}\n" * (n % 5 + 1),
    }
    for n in range(40)
]


def read(op, columns=None):
    """All documents of a source, shard by shard, and what was lost."""
    losses, batches = Losses(), []
    for shard in op.shards():
        batches += op.read(shard, losses, columns)
    return batches, losses


def rows(op, columns=None):
    batches, losses = read(op, columns)
    assert not losses.dropped and not losses.quarantined
    return [row for batch in batches for row in batch.to_pylist()]


def write(place, table, **options):
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pylist(table), place, **options)
    return place


def by_path(found):
    return sorted(found, key=lambda row: row["path"])


# --- columns ----------------------------------------------------------------------------------------------------


def test_the_stack_v1_becomes_documents(tmp_path):
    batches, losses = read(Parquet(path=str(write(tmp_path / "a.parquet", ROWS))))
    assert not losses.dropped and not losses.quarantined
    assert all(
        kind == TEXT or name == "star_events_count"
        for b in batches
        for name, kind in zip(b.schema.names, b.schema.types, strict=True)
    )
    found = [row for batch in batches for row in batch.to_pylist()]
    assert found[:2] == [
        {
            "content": ROWS[0]["content"],
            "path": "src/file_0.py",
            "repo_name": "octo/repo0",
            "language": "python",
            "extension": "py",
            "license": "MIT",
            "star_events_count": None,
        },
        {
            "content": ROWS[1]["content"],
            "path": "src/file_1.py",
            "repo_name": "octo/repo0",
            "language": "python",
            "extension": "py",
            "license": "MIT AND Apache-2.0",
            "star_events_count": 1,
        },
    ]
    assert [row["content"] for row in found] == [row["content"] for row in ROWS]


def test_columns_of_ones_own(tmp_path):
    table = [{"body": "x = 1", "meta": {"file": "/a.py", "size": 5}, "text": "not this"}]
    op = Parquet(path=str(write(tmp_path / "a.parquet", table)), columns={"content": "body", "path": "meta.file"})
    assert rows(op) == [{"content": "x = 1", "path": "a.py"}]


def test_a_column_with_a_dot_in_its_name(tmp_path):
    op = Parquet(path=str(write(tmp_path / "a.parquet", [{"meta.text": "a"}])), columns={"content": "meta.text"})
    assert rows(op) == [{"content": "a"}]


def test_repositories_as_lists_of_files(tmp_path):
    table = [
        {"repo_name": "a/b", "files": [{"path": "/x.py", "content": "1"}, {"path": None, "content": None}]},
        {"repo_name": "c/d", "files": []},
        {"repo_name": "e/f", "files": None},
        {"repo_name": "g/h", "files": [{"path": "y.py", "content": "2"}, {"path": None, "content": ""}]},
    ]
    batches, losses = read(Parquet(path=str(write(tmp_path / "a.parquet", table))))
    assert [row for b in batches for row in b.to_pylist()] == [
        {"content": "1", "path": "x.py", "repo_name": "a/b"},
        {"content": "2", "path": "y.py", "repo_name": "g/h"},
    ]
    assert [(d["path"], d["repo_name"], d["reason"]) for d in losses.dropped] == [
        ("a.parquet#0.1", "a/b", "no_content"),
        ("a.parquet#3.1", "g/h", "empty"),
    ]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_content_of_any_type(tmp_path, kind):
    table = pa.table({"content": pa.array(["a", "b\u00e9", "a"]).cast(kind)})
    (batch,), _ = read(Parquet(path=str(write(tmp_path / "a.parquet", table))))
    assert batch.to_pydict() == {"content": ["a", "bé", "a"]} and batch.schema.types == [TEXT]


def test_only_what_is_asked_for_is_read(tmp_path):
    op = Parquet(path=str(write(tmp_path / "a.parquet", ROWS)))
    (batch,), _ = read(op, frozenset(["content"]))
    assert batch.schema.names == ["content"]
    (batch,), _ = read(op, frozenset(["path", "license", "longest_line"]))
    assert batch.schema.names == ["content", "path", "license"]


def test_missing_columns_are_told_before_anything_runs(tmp_path):
    write(tmp_path / "a.parquet", [{"contents": "x", "path": "p"}])
    with pytest.raises(OpError, match=r"a.parquet: no column `content`; did you mean `contents`\?\n.*contents, path\n"):
        list(Parquet(path=str(tmp_path)).shards())
    assert rows(Parquet(path=str(tmp_path), columns={"content": "contents"})) == [{"content": "x", "path": "p"}]
    with pytest.raises(OpError, match="no column `nmae`"):
        list(Parquet(path=str(tmp_path), columns={"content": "contents", "repo_name": "nmae"}).shards())
    write(tmp_path / "b.parquet", [{"content": 5}])
    with pytest.raises(OpError, match="column `content` is int64, not text"):
        list(Parquet(path=str(tmp_path / "b.parquet")).shards())
    with pytest.raises(ValidationError, match="did you mean `content`"):
        Parquet(path="x", columns={"contents": "y"})


# --- rows that are no documents ---------------------------------------------------------------------------------


def test_rows_are_dropped_for_what_they_hold(tmp_path):
    contents = [b"ok", None, b"", b"x" * 11, b"a\0b", b"caf\xe9", b"\xef\xbb\xbfmarked", b"\xef\xbb\xbf"]
    table = pa.table({"content": pa.array(contents, pa.binary()), "path": [*"0123456", None]})
    batches, losses = read(Parquet(path=str(write(tmp_path / "a.parquet", table)), max_bytes=10))
    assert [row["content"] for b in batches for row in b.to_pylist()] == ["ok", "marked"]
    assert {d["path"]: (d["reason"], d["score"]) for d in losses.dropped} == {
        "1": ("no_content", None),
        "2": ("empty", None),
        "3": ("too_large", 11.0),
        "4": ("binary", None),
        "5": ("undecodable", None),
        "a.parquet#7": ("empty", None),
    }
    assert {d["reason"] for d in losses.dropped} == set(Parquet.reasons)


def test_rows_without_a_path_are_named_by_their_number_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "READ_ROWS", 3)
    monkeypatch.setattr(parquet, "SHARD_BYTES", 1)
    table = pa.table({"content": [None if n % 7 == 5 else f"text {n}" for n in range(30)]})
    _, losses = read(Parquet(path=str(write(tmp_path / "d" / "a.parquet", table, row_group_size=10))))
    assert [d["path"] for d in losses.dropped] == ["a.parquet#5", "a.parquet#12", "a.parquet#19", "a.parquet#26"]


def test_asking_for_columns_changes_no_rows(tmp_path):
    table = [{"content": text, "path": str(n), "lang": "c"} for n, text in enumerate(["a", "", None, "b\0", "c"])]
    op = Parquet(path=str(write(tmp_path / "a.parquet", table)))
    for columns in (None, frozenset(["content"]), frozenset(["path"])):
        batches, losses = read(op, columns)
        assert [text for b in batches for text in b.column("content").to_pylist()] == ["a", "c"]
        assert sorted(d["reason"] for d in losses.dropped) == ["binary", "empty", "no_content"]


# --- shards -----------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, len(ROWS)), max_size=3),
    group=st.integers(1, 50),
    shard=st.sampled_from([1, 2000, 1 << 28]),
    read_rows=st.sampled_from([1, 3, 512]),
    piece=st.sampled_from([50, 1 << 26]),
)
def test_documents_do_not_hang_on_files_row_groups_or_shards(tmp_path_factory, cuts, group, shard, read_rows, piece):
    folder = tmp_path_factory.mktemp("split")
    edges = [0, *sorted(cuts), len(ROWS)]
    table = pa.Table.from_pylist(ROWS)
    for n, (first, stop) in enumerate(pairwise(edges)):
        write(folder / f"{n}.parquet", table.slice(first, stop - first), row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "SHARD_BYTES", shard)
        patch.setattr(parquet, "READ_ROWS", read_rows)
        patch.setattr(dataset_rows, "BATCH_BYTES", piece)
        found = rows(Parquet(path=str(folder)))
    whole = write(folder / "whole" / "all.parquet", table)
    assert by_path(found) == by_path(rows(Parquet(path=str(whole))))


def test_shards_are_runs_of_row_groups_of_one_file(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet", ROWS, row_group_size=5)
    write(tmp_path / "b.parquet", ROWS[:7], row_group_size=5)
    sizes = [pq.read_metadata(tmp_path / "a.parquet").row_group(g).total_byte_size for g in range(8)]
    monkeypatch.setattr(parquet, "SHARD_BYTES", sum(sizes[:3]))
    shards = list(Parquet(path=str(tmp_path)).shards())
    of_a = [s for s in shards if s.at["place"] == "a.parquet"]
    groups = [g for shard in of_a for g in range(*shard.at["groups"])]
    assert groups == list(range(8)) and len(of_a) > 1
    for shard in of_a:
        assert shard.bytes == sum(sizes[g] for g in range(*shard.at["groups"]))
        assert shard.bytes <= parquet.SHARD_BYTES or len(range(*shard.at["groups"])) == 1
    assert [s.name[-5:] for s in of_a] == [f"-{n:04d}" for n in range(len(of_a))]
    assert [s.at["groups"] for s in shards if s.at["place"] == "b.parquet"] == [(0, 2)]


def test_a_shard_hangs_on_its_file_alone(tmp_path):
    write(tmp_path / "b.parquet", ROWS)
    (before,) = Parquet(path=str(tmp_path)).shards()
    write(tmp_path / "a.parquet", ROWS[:3])
    write(tmp_path / "c" / "b.parquet", ROWS[:4])
    after = list(Parquet(path=str(tmp_path)).shards())
    assert before in after and len({s.name for s in after}) == 3
    assert list(Parquet(path=str(tmp_path / "b.parquet")).shards()) == [before]
    write(tmp_path / "b.parquet", ROWS[::-1])
    (changed,) = (s for s in Parquet(path=str(tmp_path)).shards() if s.at["place"] == "b.parquet")
    assert changed.name == before.name and changed.version != before.version


def test_a_file_that_changed_since_is_an_error(tmp_path):
    op = Parquet(path=str(write(tmp_path / "a.parquet", ROWS)))
    (shard,) = op.shards()
    write(tmp_path / "a.parquet", ROWS[:5])
    for change in (
        lambda: None,
        lambda: (tmp_path / "a.parquet").write_bytes(b"gone"),
        (tmp_path / "a.parquet").unlink,
    ):
        change()
        with pytest.raises(OpError, match=r"a.parquet` changed while the run was under way: run again"):
            list(op.read(shard, Losses()))


def test_a_file_without_rows(tmp_path):
    write(tmp_path / "a.parquet", pa.table({"content": pa.array([], pa.string())}))
    assert rows(Parquet(path=str(tmp_path))) == []


def test_the_op_travels_and_reads_elsewhere(tmp_path):
    op = Parquet(path=str(write(tmp_path / "a.parquet", ROWS)), max_bytes=1000)
    shards = pickle.loads(pickle.dumps(list(op.shards())))
    again = pickle.loads(pickle.dumps(op))
    assert [row for b in again.read(shards[0], Losses()) for row in b.to_pylist()] == rows(op)


def test_other_file_systems(tmp_path):
    local = write(tmp_path / "a.parquet", ROWS, row_group_size=7)
    fs = fsspec.filesystem("memory")
    fs.pipe({"/test_parquet/x/a.parquet": local.read_bytes(), "/test_parquet/README.md": b"no"})
    for path in ("memory://test_parquet", "memory://test_parquet/*/*.parquet", f"file://{tmp_path}"):
        assert rows(Parquet(path=path)) == rows(Parquet(path=str(local)))


# --- memory -----------------------------------------------------------------------------------------------------


def test_a_text_that_is_stored_once_is_not_written_out_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_rows, "BATCH_BYTES", 1 << 20)
    monkeypatch.setattr(parquet, "YIELD_BYTES", 1)
    table = pa.table({"content": ["x" * 100_000] * 500, "path": [str(n) for n in range(500)]})
    op = Parquet(path=str(write(tmp_path / "a.parquet", table)))
    (shard,) = op.shards()
    assert shard.bytes < 1 << 20
    before = pa.total_allocated_bytes()
    seen = 0
    for batch in op.read(shard, Losses()):
        assert pa.total_allocated_bytes() - before < 8 << 20
        assert batch.column("content").nbytes <= 1 << 20
        assert batch.column("path").to_pylist() == [str(seen + n) for n in range(batch.num_rows)]
        seen += batch.num_rows
    assert seen == 500


def test_a_large_row_group_is_read_in_pieces(tmp_path):
    table = pa.table({"content": [f"{n:06d}" + "x" * 20_000 for n in range(4000)]})
    op = Parquet(path=str(write(tmp_path / "a.parquet", table, use_dictionary=False)))
    (shard,) = op.shards()
    assert shard.bytes > 80_000_000
    before, seen = pa.total_allocated_bytes(), 0
    for batch in op.read(shard, Losses()):
        assert pa.total_allocated_bytes() - before < 48 << 20
        seen += batch.num_rows
    assert seen == 4000


# --- damage -----------------------------------------------------------------------------------------------------


def damage(place, column, group, table=None):
    """Overwrites the bytes of one column of one row group."""
    chunk = pq.read_metadata(place).row_group(group)
    names = [chunk.column(c).path_in_schema for c in range(chunk.num_columns)]
    chunk = chunk.column(names.index(column))
    raw = bytearray(place.read_bytes())
    start = chunk.data_page_offset
    raw[start : start + chunk.total_compressed_size // 2] = b"\xff" * (chunk.total_compressed_size // 2)
    place.write_bytes(raw)


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (b"", "does not end as Parquet files do"),
        (b"PAR1", "Parquet"),
        (b"no Parquet at all, only text", "does not end as Parquet files do"),
        (b"PAR1" + b"\0" * 20 + b"\x0c\0\0\0PAR1", "thrift"),
        (b"PAR1" + b"\0" * 20 + b"\xff\xff\xff\x7fPAR1", "Parquet file size"),
        (b"PAR1" + b"\0" * 20 + b"\x0c\0\0\0PARE", "its footer is encrypted"),
    ],
)
def test_a_file_that_is_no_parquet_goes_to_quarantine_alone(tmp_path, contents, told):
    write(tmp_path / "good.parquet", ROWS)
    (tmp_path / "bad.parquet").write_bytes(contents)
    batches, losses = read(Parquet(path=str(tmp_path)))
    assert sum(b.num_rows for b in batches) == len(ROWS)
    (entry,) = losses.quarantined
    assert entry["path"] == "bad.parquet" and told in entry["error"]


def test_a_file_that_is_cut_off_goes_to_quarantine(tmp_path):
    place = write(tmp_path / "a.parquet", ROWS)
    place.write_bytes(place.read_bytes()[:-100])
    batches, losses = read(Parquet(path=str(tmp_path)))
    assert not batches and [e["path"] for e in losses.quarantined] == ["a.parquet"]


def test_a_damaged_row_group_goes_to_quarantine_and_the_others_are_read(tmp_path):
    place = write(tmp_path / "a.parquet", ROWS, row_group_size=10, compression="zstd", write_page_checksum=True)
    damage(place, "content", 1)
    batches, losses = read(Parquet(path=str(tmp_path)))
    found = [row["path"] for b in batches for row in b.to_pylist()]
    assert found == [row["max_stars_repo_path"] for row in ROWS[:10] + ROWS[20:]]
    (entry,) = losses.quarantined
    assert entry["path"] == "a.parquet"
    assert entry["error"].startswith("row group 1, the 10 rows from row 10 on: ")


def test_rows_before_the_damage_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "READ_ROWS", 10)
    table = pa.table({"content": [f"{n:04d}" * 1000 for n in range(1000)]})
    options = {
        "data_page_size": 10_000,
        "write_batch_size": 10,
        "use_dictionary": False,
        "write_page_checksum": True,
        "compression": "none",
    }
    place = write(tmp_path / "a.parquet", table, **options)
    raw = bytearray(place.read_bytes())
    middle = raw.index(b"0505" * 1000)
    raw[middle : middle + 4] = b"abcd"
    place.write_bytes(raw)
    batches, losses = read(Parquet(path=str(tmp_path)))
    found = [text for b in batches for text in b.column("content").to_pylist()]
    assert 480 <= len(found) <= 505 and found == table["content"].to_pylist()[: len(found)]
    (entry,) = losses.quarantined
    assert f"the {1000 - len(found)} rows from row {len(found)} on" in entry["error"]


def test_damage_in_another_column_costs_that_column_and_no_rows(tmp_path):
    place = write(tmp_path / "a.parquet", ROWS, row_group_size=10, compression="zstd", write_page_checksum=True)
    damage(place, "max_stars_repo_path", 1)
    op = Parquet(path=str(tmp_path))
    batches, losses = read(op)
    found = [row for b in batches for row in b.to_pylist()]
    assert [row["content"] for row in found] == [row["content"] for row in ROWS]
    assert [row.get("path") for row in found[8:22]] == [
        "src/file_8.py",
        "src/file_9.py",
        *[None] * 10,
        "src/file_20.py",
        "src/file_21.py",
    ]
    (entry,) = losses.quarantined
    assert "row group 1, the 10 rows from row 10 on, all columns but the text" in entry["error"]
    batches, losses = read(op, frozenset(["content"]))
    assert [t for b in batches for t in b.column("content").to_pylist()] == [row["content"] for row in ROWS]
    assert not losses.quarantined


def test_a_failing_connection_is_no_damage(tmp_path, monkeypatch):
    op = Parquet(path=str(write(tmp_path / "a.parquet", ROWS)))
    (shard,) = op.shards()
    monkeypatch.setattr(
        parquet.storage, "open_read", lambda *_, **__: (_ for _ in ()).throw(TimeoutError("the network"))
    )
    with pytest.raises(TimeoutError):
        list(op.read(shard, Losses()))
    with pytest.raises(TimeoutError):
        list(op.shards())
