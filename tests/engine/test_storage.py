"""Files appear whole or not at all, on any file system."""

import pyarrow as pa
import pytest

from engine import storage


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    yield str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"
    if request.param == "memory":
        storage.remove(f"memory://{tmp_path.name}")


def test_what_is_written_is_read(root):
    storage.write_bytes(storage.join(root, "a", "b.txt"), b"one")
    storage.write_json(storage.join(root, "c.json"), {"x": [1, "ü"]})
    table = pa.table({"n": [1, 2]})
    storage.write_parquet(storage.join(root, "t.parquet"), table)
    assert storage.read_bytes(storage.join(root, "a", "b.txt")) == b"one"
    assert storage.read_json(storage.join(root, "c.json")) == {"x": [1, "ü"]}
    assert storage.read_parquet(storage.join(root, "t.parquet")).equals(table)
    assert storage.names(root) == ["a", "c.json", "t.parquet"]
    assert storage.exists(storage.join(root, "a")) and not storage.exists(storage.join(root, "z"))
    storage.remove(storage.join(root, "a"))
    assert storage.names(root) == ["c.json", "t.parquet"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    url = str(tmp_path / "f")
    storage.write_bytes(url, b"before")
    with pytest.raises(RuntimeError), storage.open_whole(url) as file:
        file.write(b"half")
        raise RuntimeError
    assert storage.read_bytes(url) == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_the_version_changes_with_the_content(root):
    url = storage.join(root, "f")
    storage.write_bytes(url, b"one")
    before = storage.file_info(url)
    storage.write_bytes(url, b"three")
    after = storage.file_info(url)
    assert (before.bytes, after.bytes) == (3, 5)
    assert before.version != after.version


def test_find_files_below_a_folder_by_glob_and_alone(root):
    for name in ("b/2.txt", "a/1.txt", "a/.hidden", "a/x.aside", "a/3.md", "_tmp/4.txt"):
        storage.write_bytes(storage.join(root, name), b"x")
    ends = [f.url.rsplit("/", 2)[-2:] for f in storage.find_files(root, (".txt",))]
    assert ends == [["a", "1.txt"], ["b", "2.txt"]]
    assert len(storage.find_files(storage.join(root, "*", "*.md"))) == 1
    (alone,) = storage.find_files(storage.join(root, "a", ".hidden"))
    assert alone.bytes == 1
