"""Languages of scripts, against jupytext's own table and Magika's labels."""

import json

import jupytext.languages
from magika.types import ContentTypeLabel

from ops.inspection import LANGUAGES as OF_THE_STACK
from ops.script_languages import LANGUAGES, OF_JUPYTEXT, by_extension, by_label, by_name


def test_comments_and_extensions_are_those_of_jupytext():
    ours = by_extension()
    for ending, told in jupytext.languages._SCRIPT_EXTENSIONS.items():
        language = ours[ending.removeprefix(".")]
        assert language in OF_JUPYTEXT
        assert (language.comment, language.close) == (told["comment"], told.get("comment_suffix", ""))


def test_no_name_and_no_ending_belongs_to_two():
    for names in (
        [ending for language in LANGUAGES for ending in language.extensions],
        [name for language in LANGUAGES for name in (language.name, *language.names)],
        [label for language in LANGUAGES for label in language.labels or (language.name,)],
    ):
        assert len(names) == len(set(names))


def test_the_letters_that_misled_starcoder_mislead_nobody():
    """Its table took any guess with a `q` in it for Q, could not match `R` at all, and wrote Q# as Python."""
    assert by_label()["sql"].extension == "sql" and by_label()["r"].extension == "r" and "qsharp" not in by_label()


def test_labels_are_those_of_magika():
    known = {str(label) for label in ContentTypeLabel}
    assert all(label in known for language in LANGUAGES for label in language.labels)
    assert {"python", "r", "julia", "cpp", "scala", "javascript", "rust", "java", "go", "sql"} <= known & set(
        by_label()
    )


def test_names_are_those_of_the_stacks_folders():
    folders = {each["folder"] for each in json.loads(OF_THE_STACK.read_bytes())["languages"]}
    others = {language.name for language in LANGUAGES} - folders
    assert len(others) <= 12, others


def test_all_names_lead_to_their_language():
    assert by_name()["python3"].name == "python" and by_name()["ir"].name == "r" and by_name()["c++17"].name == "cpp"
