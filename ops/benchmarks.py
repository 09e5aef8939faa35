"""Benchmarks that models are judged by: what must not be in a corpus, from the files that were published.

HumanEval and MBPP are shipped (`data/BENCHMARKS.md`). The others are read from a path: APPS, GSM8K and DS-1000 are
known by their fields or folders; of any other JSONL the fields are named.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from engine import storage
from engine.errors import OpError

SHIPPED = ("humaneval", "mbpp")
"""The benchmarks that need no path."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Passage:
    """A text of a benchmark: of which item it is, and of which of its fields."""

    benchmark: str
    item: str
    field: str
    text: str


def shipped(benchmark: str, reproduce: bool = False) -> list[Passage]:
    """The passages of a benchmark that is shipped; `reproduce` is that of `read_benchmark`."""
    data = resources.files("ops").joinpath("data", f"{benchmark}.jsonl.gz").read_bytes()
    return _passages(benchmark, _rows(data, benchmark), (), reproduce)


def read_benchmark(benchmark: str, path: str, fields: Sequence[str] = (), reproduce: bool = False) -> list[Passage]:
    """The passages of a benchmark in a file (JSON lines, or a JSON list; may be gzipped) or in an unpacked folder.

    `fields` names the fields that are taken; without it those that StarCoder took of a benchmark whose form is known.
    `reproduce` exempts three trivial solutions of HumanEval, as StarCoder's script did, in place of the four meant.
    Raises OpError where the form is not known and no fields are named, or where the file holds no such text.
    """
    if not storage.exists(path):
        raise OpError(f"{benchmark}: there is no file {path}")
    named = [] if _is_file(path) else storage.find_files(path, tuple(_FOLDERS))
    if named:
        found = [p for f in named for p in _FOLDERS[PurePosixPath(f.url).name](benchmark, f.url)]
    else:
        found = _passages(benchmark, _rows(storage.read_bytes(path), f"{benchmark}: {path}"), fields, reproduce)
    if not found:
        raise OpError(f"{benchmark}: {path} holds no text to look for")
    return found


def versions(path: str) -> list[str]:
    """What changes when the file of a benchmark, or one in its folder, does."""
    if not storage.exists(path):
        return []
    if _is_file(path):
        return [storage.file_info(path).version]
    return [file.version for file in storage.find_files(path, tuple(_FOLDERS))]


def _is_file(path: str) -> bool:
    fs, inner = storage.file_system(path)
    return bool(fs.isfile(inner))


def _rows(data: bytes, where: str) -> list[Row]:
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    try:
        rows = json.loads(text) if text.lstrip()[:1] == "[" else [json.loads(x) for x in text.split("\n") if x.strip()]
    except ValueError as error:
        raise OpError(f"{where}: this is neither JSON lines nor a JSON list: {error}") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise OpError(f"{where}: an item of a benchmark is a JSON object with named fields")
    return rows


def _passages(benchmark: str, rows: list[Row], fields: Sequence[str], reproduce: bool) -> list[Passage]:
    texts = (lambda row: _named(row, fields)) if fields else _form(benchmark, rows[0], reproduce)
    return [
        Passage(benchmark, _item(row, n), field, text)
        for n, row in enumerate(rows)
        for field, text in texts(row)
        if text.strip()
    ]


def _item(row: Row, n: int) -> str:
    inner = row.get("metadata")
    for found in (row, inner if isinstance(inner, dict) else {}):
        for key in ("task_id", "problem_id", "id", "name"):
            if isinstance(found.get(key), str | int):
                return str(found[key])
    return str(n)


def _named(row: Row, fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    for field in fields:
        value = row.get(field)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield field, text


# --- the forms ------------------------------------------------------------------------------------------------------

_TRIVIAL = ("return x + y", "return len(string)", "return n**2", "return ''.join(strings)")


def _humaneval(row: Row, reproduce: bool) -> Iterator[tuple[str, str]]:
    quotes = '"""' if '"""' in row["prompt"] else "'''"
    parts = row["prompt"].split(quotes)
    # A prompt with two docstrings begins with a function that is given; the second belongs to the one asked for.
    if len(parts) >= 3:
        yield "prompt", (parts[3] if len(parts) >= 5 else parts[1]).strip()
    solution = row["canonical_solution"].strip()
    if solution not in (_TRIVIAL[:3] if reproduce else _TRIVIAL):
        yield "canonical_solution", solution


def _mbpp(row: Row, reproduce: bool) -> Iterator[tuple[str, str]]:
    # Items 11 to 510 are the test split; the others are prompts for few-shot use, training and validation.
    if 11 <= int(row["task_id"]) <= 510:
        yield "text", row["text"] if "text" in row else row["prompt"]
        yield "code", row["code"]


def _question(row: Row, reproduce: bool) -> Iterator[tuple[str, str]]:
    yield "question", row["question"].strip()


_SOLUTION = re.compile(r"#?[ \t]*(SOLUTION START|BEGIN SOLUTION)")


def _before_solution(prompt: str) -> str:
    return _SOLUTION.split(prompt, maxsplit=1)[0].strip()


def _ds1000(row: Row, reproduce: bool) -> Iterator[tuple[str, str]]:
    yield "prompt", _before_solution(row["prompt"])


_FORMS: dict[tuple[str, ...], Callable[[Row, bool], Iterator[tuple[str, str]]]] = {
    ("task_id", "prompt", "canonical_solution", "entry_point"): _humaneval,
    ("task_id", "text", "code"): _mbpp,
    ("task_id", "prompt", "code", "test_list"): _mbpp,
    ("prompt", "reference_code"): _ds1000,
    ("question", "solutions"): _question,
    ("question", "answer"): _question,
}


def _form(benchmark: str, row: Row, reproduce: bool) -> Callable[[Row], Iterator[tuple[str, str]]]:
    for keys, texts in _FORMS.items():
        if all(key in row for key in keys):
            return lambda row: texts(row, reproduce)
    texts_in = ", ".join(k for k, v in row.items() if isinstance(v, str))
    raise OpError(
        f"{benchmark}: its items have a form that is not known; say which fields hold what must not be in the corpus, "
        f"such as `fields: {{{benchmark}: [prompt]}}`; there are {texts_in or 'no fields of text'}"
    )


def _apps_folder(benchmark: str, url: str) -> Iterator[Passage]:
    # APPS as unpacked: test/0000/question.txt.
    text = storage.read_bytes(url).decode().strip()
    if text:
        yield Passage(benchmark, PurePosixPath(url).parent.name, "question", text)


def _ds1000_folder(benchmark: str, url: str) -> Iterator[Passage]:
    # DS-1000 as unpacked: Pandas/Insertion/q0/prompt.txt; the Completion variants repeat the same texts.
    parts = PurePosixPath(url).parts
    if "Insertion" in parts:
        text = _before_solution(storage.read_bytes(url).decode())
        if text:
            yield Passage(benchmark, f"{parts[parts.index('Insertion') - 1]}/{parts[-2]}", "prompt", text)


_FOLDERS = {"question.txt": _apps_folder, "prompt.txt": _ds1000_folder}
