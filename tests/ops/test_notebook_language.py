"""The language of notebooks, as they tell it and as their code looks."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from engine.schema import TEXT
from ops import notebook_language
from ops.notebook_language import NotebookLanguage

PYTHON = "import numpy as np\n\n\ndef mean(values):\n    return sum(values) / len(values)\n\n\nprint(mean([1, 2, 3]))\n"
JAVA = """import java.util.List;

public class Mean {
    public static double mean(List<Double> values) {
        double total = 0;
        for (double value : values) { total += value; }
        return total / values.size();
    }
}
"""


def notebook(code: str = "a = 1", **metadata) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": code}], "metadata": metadata, "nbformat": 4})


def judged(*texts: str, **options) -> list[tuple]:
    batch = pa.RecordBatch.from_pydict({"content": pa.array(texts, TEXT)})
    written, verdict = NotebookLanguage(**options).judge(batch)
    columns = [written.column(n).to_pylist() for n in ("language", "extension")]
    return list(zip(*columns, verdict.reason().to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("metadata", "language", "extension"),
    [
        ({"language_info": {"file_extension": ".py", "name": "python"}}, "python", "py"),
        ({"language_info": {"file_extension": ".jl"}}, "julia", "jl"),
        ({"language_info": {"file_extension": ".r", "name": "R"}}, "r", "r"),
        ({"language_info": {"file_extension": ".R"}}, "r", "r"),
        ({"language_info": {"name": "C++17", "file_extension": ".unknown"}}, "cpp", "cpp"),
        ({"language_info": {"name": "scala"}}, "scala", "scala"),
        ({"kernelspec": {"language": "javascript"}}, "javascript", "js"),
        ({"kernelspec": {"name": "ir"}}, "r", "r"),
        ({"kernelspec": {"name": "conda-env-py37"}}, "python", "py"),
        ({"kernelspec": {"display_name": "my pyolite"}}, "python", "py"),
        ({"language": "Julia"}, "julia", "jl"),
    ],
)
def test_metadata_decide(metadata, language, extension):
    assert judged(notebook(**metadata)) == [(language, extension, None)]


@pytest.mark.parametrize(
    "metadata", [{}, {"language_info": 3, "kernelspec": ["py"]}, {"kernelspec": {"name": "mystery"}}]
)
def test_a_notebook_without_metadata_is_unknown(metadata):
    assert judged(notebook(**metadata)) == [(None, None, "unknown_language")]


def test_the_language_of_old_cells():
    cell = {"cell_type": "code", "input": "a = 1", "language": "python", "outputs": []}
    assert judged(json.dumps({"worksheets": [{"cells": [cell]}], "metadata": {"name": "x"}})) == [
        ("python", "py", None)
    ]


def test_a_guess_where_the_metadata_tell_nothing():
    found = judged(notebook(PYTHON), notebook(JAVA), notebook("%%bash\n" + PYTHON), guess=True)
    assert found == [("python", "py", None), ("java", "java", None), ("python", "py", None)]


def test_a_guess_is_not_made_where_the_metadata_tell():
    assert judged(notebook(JAVA, kernelspec={"language": "python"}), guess=True) == [("python", "py", None)]


def test_a_guess_must_be_sure():
    assert judged(notebook("x"), notebook("hello there\n" * 9), guess=True) == [(None, None, "unknown_language")] * 2
    sure = NotebookLanguage(guess=True)._magika.identify_bytes(PYTHON.strip().encode()).score
    assert judged(notebook(PYTHON), guess=True, at_least=min(1, sure + 0.001))[0][2] in (None, "unknown_language")


def test_a_guess_without_magika_is_refused_when_the_recipe_is_read(monkeypatch):
    monkeypatch.setattr(notebook_language, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="notebooks"):
        NotebookLanguage(guess=True)
    assert judged(notebook(), guess=False)[0][2] == "unknown_language"


def test_languages_that_are_kept():
    texts = [notebook(kernelspec={"language": name}) for name in ("python", "r", "julia")]
    assert [reason for *_, reason in judged(*texts, keep=["r", "julia"])] == ["language_not_kept", None, None]


def test_a_language_that_no_script_can_be_in_is_a_mistake():
    with pytest.raises(ValueError, match="no script can be written in `pyhton`; did you mean `python`"):
        NotebookLanguage(keep=["pyhton"])


def test_py_in_the_metadata_is_python_in_reproduction():
    found = judged(notebook(a="spy"), notebook(language_info={"name": "R"}), reproduce=True)
    assert found == [("python", "py", None), (None, None, "unknown_language")]


@pytest.mark.parametrize(("text", "reason"), [("{", "not_json"), ("[]", "not_a_notebook"), (notebook(" "), "no_code")])
def test_what_is_wrong_is_the_reason(text, reason):
    assert judged(text) == [(None, None, reason)]


def test_what_is_kept_hangs_on_magikas_version_only_if_it_is_asked():
    assert NotebookLanguage().besides() is None and NotebookLanguage(guess=True).besides()[0].isdigit()
