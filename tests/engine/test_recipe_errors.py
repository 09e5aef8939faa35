"""What a person is told about a recipe that is wrong: the printed text, whole."""

import pickle
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recipe_texts import BROAD, WRONG, wrong

from engine import recipe, storage
from engine.errors import Mistake, RecipeError
from engine.recipe import load, read

CASES = [pytest.param(*case, id=title) for title, *case in wrong()]

pytestmark = pytest.mark.usefixtures("sample_ops")


@pytest.mark.parametrize(("text", "settings", "shown"), CASES)
def test_what_is_printed(text: str, settings: list[str], shown: str) -> None:
    with pytest.raises(RecipeError) as told:
        read(text, "r.yaml", settings)
    assert str(told.value) == shown
    assert told.value.exit_code == 2


def test_there_are_enough_of_them() -> None:
    mistakes = re.findall(r"^(?:r\.yaml(?::\d+:\d+)?|--set): (.*)", WRONG, re.MULTILINE)
    assert len(mistakes) > 150
    kinds = {re.sub(r"[`\"'].*?[`\"']|-?\d+(\.\d+)?", "", mistake) for mistake in mistakes}
    assert len(kinds) > 80


# --- files --------------------------------------------------------------------------------------------------------


def told(path: str) -> str:
    with pytest.raises(RecipeError) as error:
        load(path)
    assert error.value.exit_code == 2
    return str(error.value)


def test_a_missing_file_and_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stack.yaml").write_text("name: r\n")
    (tmp_path / "stack.txt").write_text("no recipe")
    monkeypatch.chdir(tmp_path)
    assert told("stak.yaml") == "stak.yaml: there is no such file; did you mean `stack.yaml`?"
    where = f"{tmp_path}/stak.yaml"
    assert told(where) == f"{where}: there is no such file; did you mean `{tmp_path}/stack.yaml`?"
    assert told("quite/else.yaml") == "quite/else.yaml: there is no such file"


def test_what_is_no_file_to_read(tmp_path: Path) -> None:
    assert told(str(tmp_path)) == f"{tmp_path}: this is a folder; a recipe is a YAML file"
    inside = tmp_path / "file"
    inside.write_text("name: r\n")
    assert told(f"{inside}/r.yaml") == f"{inside}/r.yaml: cannot be read: Not a directory"
    assert told("a\0b").endswith("cannot be read: embedded null byte")
    assert told("nosuch://bucket/r.yaml").startswith("nosuch://bucket/r.yaml: cannot be read: ")


def test_a_file_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(storage, "open_read", refuse)
    assert told("r.yaml") == "r.yaml: cannot be read: Permission denied"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# a remark\n", b"---\n", b"\xef\xbb\xbf", b"{}", b"null"])
def test_a_file_with_nothing_in_it(tmp_path: Path, data: bytes) -> None:
    (file := tmp_path / "r.yaml").write_bytes(data)
    assert re.search("the recipe is empty|a recipe is a map, not nothing", told(str(file)))


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"name: r\nsource: caf\xe9\n")
    assert told(str(file)) == f"{file}:2:12: byte 0xe9 is not UTF-8"
    file.write_bytes(b"name: r\nseed: \x07\n")
    assert told(str(file)).splitlines()[0] == f"{file}:2:7: the character U+0007 cannot stand in YAML"
    file.write_bytes(b"x" * ((1 << 20) + 1))
    assert told(str(file)) == f"{file}: this is larger than 1 MiB and so no recipe"


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: r\r\nsource: environment\r\nseed: -1\r\n")
    assert told(str(file)).splitlines()[:2] == [
        f"{file}:3:7: `seed` is a whole number from 0 to 2**63 - 1, not -1",
        "   3 | seed: -1",
    ]


def test_a_number_of_very_many_digits() -> None:
    with pytest.raises(RecipeError, match=r"^r.yaml:3:7: a number of 5000 digits"):
        read("name: r\nsource: environment\nseed: " + "9" * 5000, "r.yaml")


# --- the shape of a mistake ---------------------------------------------------------------------------------------


def test_a_mistake_is_shown_with_line_caret_and_hint() -> None:
    mistake = Mistake("r.yaml", 12, 3, "no op `x`", "  x: 1", 1, "try y")
    assert str(mistake) == "r.yaml:12:3: no op `x`\n  12 |   x: 1\n         ^\n     = try y"
    assert str(Mistake("r.yaml", 0, 0, "empty")) == "r.yaml: empty"


@given(st.text(max_size=400), st.integers(1, 500), st.integers(0, 600))
def test_a_mistake_in_any_line_fits_the_screen(line: str, column: int, length: int) -> None:
    shown = str(Mistake("r.yaml", 1, column, "wrong", line, length)).split("\n")
    assert len(shown) in (1, 3) and bool(line) == (len(shown) == 3)
    if len(shown) == 3:
        assert len(shown[1]) <= 7 + 120 and all(c.isprintable() for c in shown[1])
        assert set(shown[2]) <= {" ", "^"} and shown[2].endswith("^")


def test_mistakes_survive_a_process_boundary() -> None:
    error = RecipeError([Mistake("r.yaml", 2, 1, "b"), Mistake("r.yaml", 1, 1, "a")])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "r.yaml:1:1: a\n\nr.yaml:2:1: b"
    assert again.mistakes == error.mistakes


# --- nothing but RecipeError --------------------------------------------------------------------------------------

PIECES = [
    *("\t", "\n", " ", "  ", ":", ": ", "- ", "-", "[", "]", "{", "}", ",", "&a ", "*a", "!t ", "<<", "|", ">", "'"),
    *('"', "#", "%", "@", "`", "?", "? ", "---\n", "...\n", "null", "true", "on", "~", "1e999", "0x", "\0", "\ud800"),
    *("\x85", "\u2028", "é", "\\ud800", "9" * 5000, "[" * 60, "{a: " * 60, "steps", "streams", "source", "line_length"),
    *("#2", "twin", "wilted", "pack"),
]


def test_the_good_recipe_is_good() -> None:
    assert len(read(BROAD).streams) == 2


def survives(text: str, settings: list[str]) -> None:
    try:
        found = read(text, "r.yaml", settings)
    except RecipeError as error:
        assert error.mistakes and str(error)
        return
    assert read(recipe.dump(found)) == found


@given(st.randoms(use_true_random=False))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_a_recipe_changed_at_random_is_read_or_refused(chance: random.Random) -> None:
    text = BROAD
    for _ in range(chance.randint(1, 4)):
        at, other = chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)
        start, stop = min(at, other), min(max(at, other), min(at, other) + chance.choice([1, 3, 10, 60]))
        kind = chance.randrange(4)
        if kind == 0:
            text = text[:start] + text[stop:]
        elif kind == 1:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif kind == 2:
            text = text[:at] + text[start:stop] + text[at:]
        else:
            lines = text.splitlines(keepends=True)
            chance.shuffle(lines)
            text = "".join(lines[: chance.randint(1, len(lines))])
    survives(text, [])


WORDS = [
    *("streams", "code", "commits", "source", "steps", "line_length", "line_length#2", "parquet", "path", "seed"),
    *("name", "redact", "redact#2", "by", "everything", "rules", "weights", "json", "longest", "1", "0", "99999999999"),
    *("", "²", '"a.b"'),
]


@given(st.lists(st.sampled_from(WORDS), max_size=6), st.sampled_from([*PIECES, "5", "[]", "{}", "environment", ""]))
@settings(max_examples=200)
def test_any_setting_is_taken_or_refused(words: list[str], value: str) -> None:
    survives(BROAD, [".".join(words) + "=" + value])


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_text_is_read_or_refused(text: str) -> None:
    survives(text, [text])
    survives(f"name: r\nsource: environment\nsteps: [redact: {{by: {text}}}]\n", [f"steps.redact.by={text}"])
