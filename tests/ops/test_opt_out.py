"""Opting out: by account, repository and hash, whatever the capitals, against hashes that others compute."""

import hashlib

import pyarrow as pa
import pygit2
import pytest

from engine.errors import Refused
from engine.schema import TEXT
from ops.opt_out import OptOut, git_blob_hash, name_digest, read_list

REPOS = ["octocat/hello", "Octocat/World", "other/hello", "numpy", None, "other/octocat", "group/sub/thing"]
TEXTS = ["a\n", "b\n", "c\n", "", "é\n", "f\n", "g\n"]


def dropped(tmp_path, *entries, repos=REPOS, texts=TEXTS):
    (tmp_path / "list.txt").write_text("\n".join(entries))
    op = OptOut(list=str(tmp_path / "list.txt"))
    verdict = op.drop(pa.array(repos, TEXT), pa.array(texts, TEXT))
    return {n: reason for n, reason in enumerate(verdict.reason().to_pylist()) if reason}


def test_nothing_is_dropped_by_the_list_that_comes_with_the_engine():
    verdict = OptOut().drop(pa.array(REPOS, TEXT), pa.array(TEXTS, TEXT))
    assert not any(verdict.reason().to_pylist())


def test_an_account_takes_all_its_repositories_and_no_others(tmp_path):
    assert dropped(tmp_path, "OCTOCAT") == {0: "opted_out_account", 1: "opted_out_account"}


@pytest.mark.parametrize(
    "entry",
    [
        "octocat/hello",
        "Octocat/Hello",
        "https://github.com/octocat/hello",
        "https://github.com/octocat/hello.git",
        "octocat/hello/",
    ],
)
def test_a_repository_is_named_in_full_or_by_its_address(tmp_path, entry):
    assert dropped(tmp_path, entry) == {0: "opted_out_repository"}


def test_a_name_without_an_owner_is_a_repository_too(tmp_path):
    assert dropped(tmp_path, "numpy", "group/sub/thing") == {3: "opted_out_repository", 6: "opted_out_repository"}


def test_a_digest_stands_for_a_name(tmp_path):
    assert set(dropped(tmp_path, f"name:{name_digest('OctoCat')}", f"name:{name_digest('numpy')}")) == {0, 1, 3}


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_file_is_known_by_its_hash(tmp_path, kind):
    digest = hashlib.new(kind, "é\n".encode()).hexdigest()
    assert dropped(tmp_path, digest.upper()) == {4: "opted_out_content"}


@pytest.mark.parametrize("text", ["", "hello\n", "é" * 1000])
def test_git_gives_a_file_the_same_hash(text):
    assert git_blob_hash(text.encode()) == str(pygit2.hash(text.encode()))


def test_the_hash_that_git_gives_is_known(tmp_path):
    assert dropped(tmp_path, str(pygit2.hash(b"f\n"))) == {5: "opted_out_content"}


def test_a_missing_text_has_no_hash(tmp_path):
    empty = hashlib.sha256(b"").hexdigest()
    assert dropped(tmp_path, empty, repos=["a/b", "a/b"], texts=["", None]) == {0: "opted_out_content"}


def test_a_slice_of_a_column_is_judged_by_its_own_rows(tmp_path):
    (tmp_path / "list.txt").write_text(hashlib.sha1(b"c\n").hexdigest() + "\nother\n")
    op = OptOut(list=str(tmp_path / "list.txt"))
    verdict = op.drop(pa.array(REPOS, TEXT)[2:], pa.array(TEXTS, TEXT)[2:])
    assert verdict.reason().to_pylist() == ["opted_out_account", None, None, "opted_out_account", None]


def test_comments_and_empty_lines_are_no_entries():
    read = read_list("# all of them\n\n  octocat # asked on 3 May\n@someone\n")
    assert read.names == {"octocat", "someone"}


def test_what_is_no_entry_is_told_by_its_line():
    with pytest.raises(Refused, match=r"list.txt:2: 'two words' is no account"):
        read_list("octocat\ntwo words\n", "list.txt")


def test_a_list_that_is_not_there_is_told():
    with pytest.raises(Refused, match=r"missing\.txt cannot be read"):
        OptOut(list="missing.txt").besides()


def test_a_changed_list_is_another_step(tmp_path):
    (tmp_path / "list.txt").write_text("one\n")
    before = OptOut(list=str(tmp_path / "list.txt")).besides()
    (tmp_path / "list.txt").write_text("two\n")
    assert OptOut(list=str(tmp_path / "list.txt")).besides() != before
