"""The language of each notebook, as it says itself or as its code looks."""

from __future__ import annotations

import json
import re
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal, TypedDict

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from engine.errors import did_you_mean
from engine.op import Filter, Reasons, absent, fail, reasons
from engine.schema import TEXT, Strings
from ops.notebooks import FLAWS, NoNotebook, Notebook, read
from ops.script_languages import LANGUAGES, ScriptLanguage, by_extension, by_label, by_name

_FLAWS = (*FLAWS, "unknown_language")
# What Jupyter reads itself would mislead a judge of languages.
_MAGIC = re.compile(r"^[ \t]*(?:%%?[a-zA-Z]|[!?]|#!).*$|^.*\?[ \t]*$", re.MULTILINE)


class Named(TypedDict):
    language: Strings
    extension: Strings


class NotebookLanguage(Filter):
    """Write the language of each notebook, and drop what is no notebook, has no code, or is in no language wanted.

    A notebook's metadata decide: the extension of its language's files, then the names that language and kernel give;
    in formats before 4, the language of the cells. A kernel whose entry has `py` in it runs Python. Where these tell
    nothing, Magika judges the code if `guess` is set: it is a content-type detector that is kept up, while StarCoder's
    Guesslang is not and asks for a TensorFlow of its time. Python, and what else jupytext or a common kernel knows, are
    the languages.

    `language` is the name of The Stack's folder where there is one, `extension` that of a script in it.

    Example:
        - notebook_language: {keep: [python, r, julia], guess: true}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.4;
        Fratantonio et al. 2025, Magika, https://arxiv.org/abs/2409.13768
    """

    keep: Literal["all"] | list[str] = "all"
    """Languages to keep: all that a script can be written in, or names of folders."""
    guess: bool = False
    """Whether the code is looked at where the metadata name no language; takes the extra `notebooks`. What is kept must
    not hang on what happens to be installed, so that it is asked for."""
    at_least: float = Field(0.5, ge=0, le=1)
    """How sure a guess must be."""
    reproduce: bool = False
    """StarCoder's own test for its structured notebooks, which replaces all others: a notebook is Python if the letters
    `py` occur in its metadata, and in no language if not."""

    @field_validator("keep")
    @classmethod
    def _known(cls, keep: Any) -> Any:
        known = [language.name for language in LANGUAGES]
        for name in keep if isinstance(keep, list) else []:
            if name not in known:
                raise ValueError(f"no script can be written in `{name}`{did_you_mean(name, known)}")
        return keep

    @model_validator(mode="after")
    def _can_guess(self) -> NotebookLanguage:
        if self.guess and not self.reproduce and find_spec("magika") is None:
            raise ValueError(
                "`guess: true` takes Magika: pip install 'starcoder-engine[notebooks]', or leave `guess` out"
            )
        return self

    def besides(self) -> Any:
        return version("magika") if self.guess and not self.reproduce else None

    def drop(
        self, content: Strings
    ) -> tuple[
        Named,
        Reasons[Literal["not_json", "not_a_notebook", "no_code", "unknown_language", "language_not_kept"]],
    ]:
        texts: list[Any] = content.to_pylist()
        found = [self._found(text) for text in texts]
        languages = [each if isinstance(each, ScriptLanguage) else None for each in found]
        named: Named = {
            "language": pa.array([each and each.name for each in languages], TEXT),
            "extension": pa.array([each and each.extension for each in languages], TEXT),
        }
        is_found = {why: absent(pa.array([each == why for each in found], pa.bool_())) for why in _FLAWS}
        unwanted = [each is not None and not self._keeps(each) for each in languages]
        return named, reasons(**is_found, language_not_kept=absent(pa.array(unwanted, pa.bool_())))

    def _found(self, text: str) -> ScriptLanguage | str:
        """The language of a notebook, or what is wrong with it."""
        try:
            return self.language(read(text)) or "unknown_language"
        except NoNotebook as flaw:
            return str(flaw)

    def _keeps(self, language: ScriptLanguage) -> bool:
        return self.keep == "all" or language.name in self.keep

    def language(self, notebook: Notebook) -> ScriptLanguage | None:
        """The language of a notebook; None where neither its metadata nor its code tell."""
        if self.reproduce:
            return by_name()["python"] if "py" in json.dumps(notebook.metadata) else None
        return told_language(notebook) or (self._guessed(notebook) if self.guess else None)

    @cached_property
    def _magika(self) -> Any:
        try:
            # An extra: its network and runtime are larger than all else that the engine asks for.
            from magika import Magika, PredictionMode
        except ImportError:
            raise fail(self, "this needs Magika: pip install 'starcoder-engine[notebooks]'") from None
        return Magika(prediction_mode=PredictionMode.BEST_GUESS)

    def _guessed(self, notebook: Notebook) -> ScriptLanguage | None:
        code = _MAGIC.sub("", "\n".join(notebook.code)).strip()
        found = self._magika.identify_bytes(code.encode())
        # Rounded, so that processors which add in another order agree.
        return by_label().get(str(found.output.label)) if round(found.score, 4) >= self.at_least else None


def told_language(notebook: Notebook) -> ScriptLanguage | None:
    """The language that a notebook's metadata tell."""
    info, kernel = (_entries(notebook.metadata.get(key)) for key in ("language_info", "kernelspec"))
    ending = _name(info.get("file_extension")).removeprefix(".")
    told = by_extension().get(ending) or by_extension().get(ending.lower())
    if told:
        return told
    names = [info.get("name"), kernel.get("language"), notebook.metadata.get("language"), notebook.cell_language]
    for name in (*names, kernel.get("name")):
        told = by_name().get(_name(name).lower())
        if told:
            return told
    return by_name()["python"] if "py" in json.dumps(kernel) else None


def _entries(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""
