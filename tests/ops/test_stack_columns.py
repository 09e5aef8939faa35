import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OpError
from engine.schema import SOURCE_COLUMNS, TEXT
from ops import stack_columns as sc

STACK_V1 = (
    *("hexsha", "size", "ext", "lang", "max_stars_repo_path", "max_stars_repo_name", "max_stars_repo_head_hexsha"),
    *("max_stars_repo_licenses", "max_stars_count", "max_stars_repo_stars_event_min_datetime", "max_issues_repo_path"),
    *("content", "avg_line_length", "max_line_length", "alphanum_fraction"),
)
STACK_V2 = (
    *("blob_id", "directory_id", "path", "content_id", "detected_licenses", "license_type", "repo_name"),
    *("snapshot_id", "revision_id", "branch_name", "visit_date", "star_events_count", "gha_license_id"),
    *("src_encoding", "language", "is_vendor", "is_generated", "length_bytes", "extension"),
)


def test_every_column_of_a_source_has_names_and_a_conversion():
    assert set(sc.THEIR_NAMES) == set(SOURCE_COLUMNS)
    assert set(sc.CONVERSIONS) == set(SOURCE_COLUMNS) - {"content"}


def test_the_stack_v1():
    assert sc.chosen(STACK_V1, {}, "f") == {
        "content": "content",
        "path": "max_stars_repo_path",
        "repo_name": "max_stars_repo_name",
        "revision_id": "max_stars_repo_head_hexsha",
        "language": "lang",
        "extension": "ext",
        "license": "max_stars_repo_licenses",
        "star_events_count": "max_stars_count",
    }


def test_the_stack_v2():
    same = ("content", "path", "repo_name", "revision_id", "language", "extension", "star_events_count")
    assert sc.chosen([*STACK_V2, "content"], {}, "f") == {n: n for n in same} | {"license": "detected_licenses"}


def test_starcoderdata():
    names = ["max_stars_repo_path", "max_stars_repo_name", "max_stars_count", "id", "content"]
    assert sc.chosen(names, {}, "f") == {
        "content": "content",
        "path": "max_stars_repo_path",
        "repo_name": "max_stars_repo_name",
        "star_events_count": "max_stars_count",
    }


def test_our_own_documents_keep_all_but_what_the_engine_makes():
    from engine.schema import DOCUMENT

    assert sc.chosen(DOCUMENT.names, {}, "f") == {name: name for name in SOURCE_COLUMNS}


def test_plain_text_corpora_and_given_names():
    assert sc.chosen(["text", "meta", "meta.file"], {"path": "meta.file"}, "f") == {
        "content": "text",
        "path": "meta.file",
    }
    assert sc.chosen(["text", "content"], {"content": "text"}, "f") == {"content": "text"}


def test_repositories_as_lists_of_files():
    names = ["repo_name", "star_events_count", "files", "files.path", "files.content", "files.language", "path"]
    assert sc.chosen(names, {}, "f") == {
        "content": "files.content",
        "path": "files.path",
        "repo_name": "repo_name",
        "language": "files.language",
        "star_events_count": "star_events_count",
    }
    assert sc.chosen([*names, "content"], {}, "f")["path"] == "path"
    assert sc.chosen([*names, "content", "files.body"], {"content": "files.body"}, "f")["path"] == "files.path"


def test_a_missing_column_is_told_with_what_there_is():
    with pytest.raises(OpError) as told:
        sc.chosen(["contents", "path"], {}, "a/b.parquet")
    assert str(told.value).startswith("a/b.parquet: no column `content`; did you mean `contents`?")
    assert "its columns: contents, path" in str(told.value)
    assert "`columns: {content: …}`" in str(told.value)
    with pytest.raises(OpError, match=r"no column `fiel`; did you mean `file`\?[\s\S]*columns: \{path: …\}"):
        sc.chosen(["content", "file"], {"path": "fiel"}, "f")


def test_the_stack_v2_without_its_texts_is_told_so():
    with pytest.raises(OpError, match="Software Heritage"):
        sc.chosen(STACK_V2, {}, "f")


def test_a_map_names_our_columns():
    sc.check_names({"content": "x", "license": "y"})
    with pytest.raises(ValueError, match=r"no column of a document is called `contnet`; did you mean `content`\?"):
        sc.check_names({"contnet": "x"})
    with pytest.raises(ValueError, match="`id`"):
        sc.check_names({"id": "x"})


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ([], None),
        ([None, "", " "], None),
        (["MIT"], "MIT"),
        (["MIT", "Apache-2.0", "MIT"], "MIT AND Apache-2.0"),
        (["MIT OR Apache-2.0"], "MIT OR Apache-2.0"),
        (["MIT OR Apache-2.0", "BSD-3-Clause"], "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        (["(MIT OR Apache-2.0)", "ISC"], "(MIT OR Apache-2.0) AND ISC"),
    ],
)
def test_licences_that_all_apply(licenses, expected):
    assert sc.expression(licenses) == expected


def spdx(licenses):
    return None if licenses is None else " AND ".join(dict.fromkeys(n for n in licenses if n)) or None


names = st.sampled_from(["MIT", "Apache-2.0", "GPL-3.0-only", "", None])


@given(st.lists(st.none() | st.lists(names, max_size=4), max_size=12), st.integers(0, 3))
def test_lists_of_licences_as_columns(lists, start):
    expected = [spdx(licenses) for licenses in lists][start:]
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string_view())):
        column = sc.license(pa.array(lists, kind)[start:])
        assert column.type == TEXT
        assert column.to_pylist() == expected


def test_licences_in_other_shapes():
    plain = pa.array(["MIT", None, "", "mit"])
    assert sc.license(plain).to_pylist() == ["MIT", None, None, "mit"]
    assert sc.license(plain.dictionary_encode()).to_pylist() == ["MIT", None, None, "mit"]
    assert sc.license(pa.array([[{"name": "MIT"}]])).to_pylist() == [None]
    assert sc.license(pa.nulls(2)).to_pylist() == [None, None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "é"], pa.string()),
        pa.array(["a", None, "é"], pa.large_string()),
        pa.array(["a", None, "é"], pa.string_view()),
        pa.array(["a", None, "é"]).dictionary_encode(),
        pa.array([b"a", None, "é".encode()], pa.binary()),
        pa.array([b"a", None, "é".encode()], pa.large_binary()),
        pa.array([b"a", None, "é".encode()], pa.binary_view()),
    ],
    ids=lambda c: str(c.type),
)
def test_text_of_any_type(column):
    text = sc.text(column)
    assert (text.type, text.to_pylist()) == (TEXT, ["a", None, "é"])


def test_text_of_what_is_none():
    assert sc.text(pa.array([1, None])).to_pylist() == ["1", None]
    assert sc.text(pa.array([b"ab"], pa.binary(2))).to_pylist() == ["ab"]
    assert sc.text(pa.array([[1]])).to_pylist() == [None]
    assert sc.text(pa.array([b"a\xff", b"b"])).to_pylist() == ["a\ufffd", "b"]
    # A column that is called a string and holds bytes that are none, as a careless writer leaves it.
    lie = pa.Array.from_buffers(pa.string(), 1, pa.array([b"a\xff"]).buffers())
    assert sc.text(lie).to_pylist() == ["a\ufffd"]


def test_paths_are_relative_and_extensions_bare():
    assert sc.path(pa.array(["/src/a.py", "src/b.py", "//c", None])).to_pylist() == ["src/a.py", "src/b.py", "c", None]
    assert sc.extension(pa.array([".py", "py", "", None])).to_pylist() == ["py", "py", "", None]


def test_languages_are_folders():
    given = ["C#", "Python", "c-sharp", None, "Jupyter Notebook"]
    assert sc.language(pa.array(given)).to_pylist() == ["c-sharp", "python", "c-sharp", None, "jupyter-notebook"]


def test_counts():
    for counts in ([3, None], [3.0, float("nan")], ["3", "many"], ["3.0", ""], [b"3", None]):
        column = sc.count(pa.array(counts))
        assert (column.type, column.to_pylist()) == (pa.int64(), [3, None])
    assert sc.count(pa.array([2.0**63])).to_pylist() == [None]
    assert sc.count(pa.nulls(2)).to_pylist() == [None, None]
