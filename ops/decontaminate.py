"""Benchmark text in the corpus: a model that has seen the answers is not measured by them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import Field, PositiveInt, field_validator

from engine.errors import did_you_mean
from engine.op import Filter, Reasons, absent, reasons
from engine.schema import TEXT, Strings
from ops.benchmarks import SHIPPED, Passage, read_benchmark, shipped, versions
from ops.substrings import WINDOW, Substrings, without_white_space
from ops.word_ngrams import WordNgrams, count_words


class Prepared(NamedTuple):
    """What is looked for: the names of the texts, and for each search the places of its own among them."""

    items: list[str]
    searches: list[tuple[Substrings | WordNgrams, Any]]


class Decontaminate(Filter):
    """Drop files that hold text of a benchmark.

    A file goes when its lower-cased text holds a benchmark's question or reference solution, lower-cased. Of HumanEval
    these are the docstring of the function asked for and the canonical solution, of MBPP `text` and `code` of the test
    split, of APPS and GSM8K the question, of DS-1000 the prompt. Four trivial solutions of HumanEval, such as
    `return x + y`, are not looked for. The ledger names the benchmark and the item, the first of those found in the
    order in which the benchmarks are listed: `humaneval/HumanEval/23`.

    Put it above `redact`, which changes text.

    Example:
        - decontaminate: {against: [humaneval, mbpp]}

    Reference:
        Li et al. 2023, https://arxiv.org/abs/2305.06161; n-grams: Brown et al. 2020, https://arxiv.org/abs/2005.14165
    """

    against: tuple[str | dict[str, str], ...] = SHIPPED
    """Benchmarks: `humaneval` and `mbpp` by name, any other as `name: path` of its published file or folder."""
    fields: dict[str, list[str]] = Field(default_factory=dict)
    """For a benchmark in a form that is not known, the fields whose text is looked for: `{name: [prompt, answer]}`."""
    match: Literal["exact", "normalised", "ngram"] = "exact"
    """`exact`: as a substring, but for case; `normalised`: without regard to white space too; `ngram`: any `words`
    words in a row (a text of fewer words is looked for as in `exact`)."""
    words: PositiveInt = 13
    """Words in a row that a file and a benchmark may not share, for `ngram`."""
    shortest: int = Field(10, ge=WINDOW)
    """Characters that a benchmark's text must have to be looked for: a file may well hold `yes`."""
    reproduce: bool = False
    """Texts exactly as StarCoder looked for them: with the line ends and the outer white space as published, and with
    `return ''.join(strings)` among them."""

    @field_validator("against")
    @classmethod
    def _known(cls, against: tuple[str | dict[str, str], ...]) -> tuple[str | dict[str, str], ...]:
        for name in against:
            if isinstance(name, str) and name not in SHIPPED:
                raise ValueError(
                    f"`{name}` is not shipped{did_you_mean(name, SHIPPED)}; "
                    f"give the path of its file as `{{{name}: path}}`; shipped are {', '.join(SHIPPED)}"
                )
        return against

    def drop(self, content: Strings) -> Reasons[Literal["benchmark_text"]]:
        found: Any = np.full(len(content), -1, np.int64)
        search_in = _prepared(self.model_dump_json(), self._versions)
        for search, numbers in search_in.searches:
            searched = without_white_space(content) if self.match == "normalised" else content
            hit = search.first(searched)
            hit = np.where(hit >= 0, numbers[hit], -1)
            found = np.where((found < 0) | ((hit >= 0) & (hit < found)), hit, found)
        items: Any = pa.array(search_in.items, TEXT)
        of = items.take(pa.array(found, mask=found < 0))
        return reasons(benchmark_text=absent(pa.array(found >= 0), of))

    @functools.cached_property
    def passages(self) -> list[Passage]:
        """The texts that are looked for, in the order of the benchmarks."""
        found: list[Passage] = []
        for entry in self.against:
            for name, path in entry.items() if isinstance(entry, dict) else [(entry, "")]:
                found += (
                    read_benchmark(name, path, self.fields.get(name, ()), self.reproduce)
                    if path
                    else shipped(name, self.reproduce)
                )
        return [p for p in found if len(p.text) >= self.shortest and len(_squeezed(p.text).encode()) >= WINDOW]

    def besides(self) -> Any:
        """The digest of the texts that are looked for: a benchmark whose file changed is another step."""
        return xxhash.xxh3_128_hexdigest(repr(self.passages).encode())

    @functools.cached_property
    def _versions(self) -> tuple[str, ...]:
        paths = [path for entry in self.against if isinstance(entry, dict) for path in entry.values()]
        return tuple(version for path in paths for version in versions(path))

    def search(self) -> Prepared:
        """The texts, made ready to be looked for."""
        texts = [p.text for p in self.passages]
        return Prepared([f"{p.benchmark}/{p.item}" for p in self.passages], list(self._searches(texts)))

    def _searches(self, texts: list[str]) -> Iterator[tuple[Substrings | WordNgrams, Any]]:
        if self.match == "normalised":
            yield Substrings([_squeezed(t).encode() for t in texts]), np.arange(len(texts))
            return
        long = [n for n, t in enumerate(texts) if self.match == "ngram" and count_words(t) >= self.words]
        if long:
            yield WordNgrams([texts[n] for n in long], self.words), np.array(long)
        rest = sorted(set(range(len(texts))) - set(long))
        spelled = [(n, s) for n in rest for s in self._spellings(texts[n])]
        if spelled:
            yield Substrings([s.lower().encode() for _, s in spelled]), np.array([n for n, _ in spelled])

    def _spellings(self, text: str) -> list[str]:
        # MBPP was published with the line ends of Windows, which no copy of its solutions need have.
        if self.reproduce:
            return [text]
        lines = text.strip().replace("\r\n", "\n")
        return sorted({text.strip(), lines, lines.replace("\n", "\r\n")})


@functools.lru_cache(maxsize=4)
def _prepared(parameters: str, versions: tuple[str, ...]) -> Prepared:
    """What an op of these parameters looks for: a worker prepares it once, and not for each shard."""
    return Decontaminate.model_validate_json(parameters).search()


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())
