"""Listings: in the order of the paths, and cut where only the paths around a change can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import listing
from ops.listing import cut, shard_name, walk
from ops.trees import Entry

NAMES = st.text("ab-./_é", min_size=1, max_size=12).filter(lambda name: name.strip("./") == name and "//" not in name)
TREES = st.dictionaries(NAMES, st.integers(0, 40_000), min_size=1, max_size=60)


def entries(files: dict[str, int]) -> list[Entry]:
    return [Entry(path, size) for path, size in sorted(files.items())]


@pytest.fixture(autouse=True, scope="module")
def small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SHARD_BYTES", 100_000)
        yield


@given(TREES)
def test_groups_are_the_listing(files: dict[str, int]) -> None:
    groups = list(cut(entries(files), 30_000))
    assert [entry for group in groups for entry in group] == entries(files)
    assert all(groups)


@given(TREES, NAMES, st.integers(0, 40_000))
def test_another_file_touches_one_group(files: dict[str, int], path: str, size: int) -> None:
    files.pop(path, None)
    before = list(cut(entries(files), 30_000))
    after = list(cut(entries({**files, path: size}), 30_000))
    # The group that it falls into; two where it ends one.
    assert len([group for group in after if group not in before]) <= 2
    assert len([group for group in before if group not in after]) <= 1


def test_groups_are_about_as_large_as_they_should_be() -> None:
    groups = list(cut((Entry(f"{n:05}", 1000) for n in range(20_000)), 1 << 20))
    assert 0.8 < sum(len(group) for group in groups) / len(groups) * 5096 / 100_000 < 1.25


@pytest.mark.parametrize("name", ["", "../..", "/", "Größe", "a" * 500, "_hidden", ".x"])
def test_names_of_shards_are_taken_by_any_file_system(name: str) -> None:
    made = shard_name(name, "a\udcff/b")
    assert made.isascii()
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made[0].isalnum()
    assert len(made) < 100
    assert made != shard_name(name, "a/b")


class Made:
    """A tree out of a mapping from folders to what lies in them."""

    def __init__(self, folders: dict[str, list[Entry]]) -> None:
        self.folders = folders

    def scan(self, folder: str) -> list[Entry]:
        if folder not in self.folders:
            raise PermissionError(13, "Permission denied", "/somewhere")
        return self.folders[folder]

    def read(self, paths: object, max_bytes: int) -> object:
        raise NotImplementedError


def test_a_walk_is_in_the_order_of_whole_paths() -> None:
    def folder(path: str) -> Entry:
        return Entry(path, kind="folder")

    tree = Made(
        {"": [folder("a"), Entry("a.b"), Entry("a-b"), folder("c"), folder("shut")], "a": [Entry("a/z")], "c": []}
    )
    assert [(e.path, e.kind) for e in walk(tree)] == [  # type: ignore[arg-type]
        ("a-b", "file"),
        ("a.b", "file"),
        ("a/z", "file"),
        ("shut", "unreadable"),
    ]
    assert [e.path for e in walk(tree, lambda _, found: [e for e in found if e.path != "a"])] == ["a-b", "a.b", "shut"]  # type: ignore[arg-type]
