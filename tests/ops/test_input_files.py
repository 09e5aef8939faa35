import errno
import os

import fsspec
import pyarrow as pa
import pytest

from engine.errors import OpError
from ops import input_files
from ops.input_files import find

ENDINGS = (".jsonl", ".jsonl.gz")


@pytest.fixture
def folder(tmp_path):
    for place in ("a.jsonl", "python/a.jsonl", "python/b.jsonl.gz", "read.me", ".hidden/a.jsonl", "_done.jsonl"):
        file = tmp_path / "corpus" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(place)
    return tmp_path / "corpus"


def names(path):
    return {file.place: file.name for file in find(path, ENDINGS)}


def test_a_folder_gives_the_files_below_it(folder):
    found = find(str(folder), ENDINGS)
    assert [f.place for f in found] == ["a.jsonl", "python/a.jsonl", "python/b.jsonl.gz"]
    assert [f.url for f in found] == [str(folder / f.place) for f in found]
    assert [f.bytes for f in found] == [len(f.place) for f in found]


def test_names_are_readable_and_one_each(folder):
    slugs = [name.rpartition("-")[0] for name in names(str(folder)).values()]
    assert slugs == ["a", "python-a", "python-b"]
    (folder / "python-a.jsonl").write_text("")
    (folder / "Python-A.jsonl").write_text("")
    assert len(set(names(str(folder)).values())) == 5
    assert len({name.lower() for name in names(str(folder)).values()}) == 5


def test_a_name_is_the_files_own(folder, tmp_path):
    before = names(str(folder))
    (folder / "0.jsonl").write_text("a file that comes first")
    after = names(str(folder))
    assert {place: after[place] for place in before} == before
    folder.rename(tmp_path / "moved")
    assert names(str(tmp_path / "moved")) == after
    assert names(str(tmp_path / "moved" / "*.jsonl"))["a.jsonl"] == before["a.jsonl"]
    assert names(str(tmp_path / "moved" / "a.jsonl")) == {"a.jsonl": before["a.jsonl"]}
    assert names(f"file://{tmp_path}/moved/**/*.jsonl")["python/a.jsonl"] == before["python/a.jsonl"]


def test_a_file_by_two_routes_is_read_once(folder):
    routes = [
        str(folder),
        str(folder / "a.jsonl"),
        f"file://{folder}/*.jsonl",
        str(folder / "python" / ".." / "a.jsonl"),
    ]
    assert names(routes) == names(str(folder))


def test_equal_places_below_two_roots_have_different_names(folder):
    found = find([str(folder), str(folder / "python")], ENDINGS)
    assert len({f.url for f in found}) == len(found) == 3
    copy = folder.parent / "copy"
    copy.mkdir()
    (copy / "a.jsonl").write_text("another")
    first, second = (f for f in find([str(folder), str(copy)], ENDINGS) if f.place == "a.jsonl")
    assert first.name == names(str(folder))["a.jsonl"] != second.name


def test_places_below_a_folder_that_is_given(folder):
    found = find(str(folder / "python" / "*.jsonl"), ENDINGS, below=str(folder))
    assert [(f.place, f.name) for f in found] == [("python/a.jsonl", names(str(folder))["python/a.jsonl"])]


def test_a_glob_with_an_ending_is_taken_at_its_word(folder):
    assert [f.place for f in find(str(folder / "*.me"), ENDINGS)] == ["read.me"]
    assert [f.place for f in find(str(folder / "*"), ENDINGS)] == ["a.jsonl"]
    assert [f.place for f in find(str(folder / "read.me"), ENDINGS)] == ["read.me"]


def test_nothing_there_is_an_error_that_says_so(folder):
    for path in (str(folder / "nowhere"), str(folder / "*.txt"), "memory://nowhere"):
        with pytest.raises(
            OpError, match=r"no file at `.*`; give a file, a folder that holds \.jsonl or \.jsonl\.gz files"
        ):
            find(path, ENDINGS)


def test_versions_change_with_files(folder):
    def versions():
        return {f.place: f.version for f in find(str(folder), ENDINGS)}

    before = versions()
    (folder / "a.jsonl").write_text("A.JSONL")
    os.utime(folder / "a.jsonl", ns=(1, 1))
    changed = {place for place, version in versions().items() if version != before[place]}
    assert changed == {"a.jsonl"}


def test_other_file_systems():
    fs = fsspec.filesystem("memory")
    fs.pipe({"/input_files/x/a.jsonl": b"1", "/input_files/b.jsonl": b"22"})
    found = find("memory://input_files", ENDINGS)
    assert [(f.url, f.place, f.bytes) for f in found] == [
        ("memory:///input_files/b.jsonl", "b.jsonl", 2),
        ("memory:///input_files/x/a.jsonl", "x/a.jsonl", 1),
    ]
    assert found[1].name == find("memory://input_files/*/a.jsonl", ENDINGS, below="memory://input_files")[0].name


def test_names_that_are_no_utf8(tmp_path):
    with open(os.fsencode(tmp_path) + b"/a\xff.jsonl", "wb"):
        pass
    (found,) = find(str(tmp_path), ENDINGS)
    assert found.place == r"a\xff.jsonl"
    found.place.encode()
    found.name.encode()


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        (pa.ArrowInvalid("corrupt"), True),
        (OSError("Arrow's own has no number"), True),
        (EOFError(), True),
        (PermissionError(errno.EACCES, "no"), True),
        (input_files.Damage("x"), True),
        (OSError(errno.EIO, "the disk"), False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (RuntimeError("a fault of ours"), False),
    ],
    ids=repr,
)
def test_damage_is_what_lies_in_the_file(error, damage):
    assert input_files.is_damage(error) is damage
