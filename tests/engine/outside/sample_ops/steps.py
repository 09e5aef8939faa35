"""One op of each kind that works on documents."""

from pathlib import Path
from typing import Annotated, Literal, TypedDict

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from engine.op import Filter, Global, Job, Map, Measure, Resources
from engine.schema import Integers, Numbers, Strings


class Lines(TypedDict):
    longest_line: Integers
    mean_line: Numbers


class LineMeasures(Measure):
    """Measures the lines of each text."""

    def map(self, content: Strings) -> Lines:
        raise NotImplementedError


class Density(TypedDict):
    spans_a_line: float


class SpanMeasures(Measure):
    """Measures how dense spans stand."""

    def map(self, spans: str, longest_line: int) -> Density:
        raise NotImplementedError


class LineLength(Filter):
    """Drop files whose lines are too long for code
    written by hand. Short lines stay.

    A line ends as `str.splitlines` has it.

    Two paragraphs.

    Example:
        - line_length: {longest: 1000, mean: 100}

    Reference:
        Li et al. 2023,
        https://arxiv.org/abs/2305.06161
    """

    longest: PositiveInt = 1000
    """Characters that the longest line may have."""
    mean: PositiveFloat = 100
    """Characters that lines
    may have on average."""

    def drop(self, longest_line: int, mean_line: float) -> Literal["longest_line", "mean_line"] | None:
        if longest_line > self.longest:
            return "longest_line"
        return "mean_line" if mean_line > self.mean else None


class Spans(TypedDict):
    spans: str


class FindSpans(Map):
    """Find spans.

    Example:
        - find_spans: {sort: key, largest: 1GB}
    """

    sort: Literal["mail", "key"] = "mail"
    """What is looked for."""
    largest: ByteSize = ByteSize(1 << 20)
    """Texts larger than this are left alone."""
    folder: Path | None = None
    """Where more patterns lie."""

    def map(self, content: str) -> Spans:
        return {"spans": content}


class Redacted(TypedDict):
    content: str


class Redact(Map):
    """Replace spans.

    Example:
        - redact: {by: "<X>"}
    """

    by: str = "<X>"
    """What stands in a span's place."""

    def map(self, content: str, spans: str) -> Redacted:
        return {"content": content.replace(spans, self.by)}


class FewSpans(Filter):
    """Drop texts with many spans.

    Example:
        - few_spans
    """

    def drop(self, spans_a_line: float) -> Literal["many_spans"] | None:
        return "many_spans" if spans_a_line > 1 else None


class Orphan(Filter):
    """Drop by a column that nothing writes.

    Example:
        - orphan
    """

    def drop(self, parents: int) -> Literal["orphan"] | None:
        return None if parents else "orphan"


def even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def readable(path: str) -> str:
    Path(path).read_bytes()
    return path


class Rule(BaseModel):
    """A rule, as a parameter that is a map of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_most: PositiveInt
    word: str = Field("x", min_length=1)


Words = dict[Annotated[str, Field(pattern="^[a-z]+$")], ByteSize]


class Everything(Filter):
    """Drop nothing; have a parameter of each sort.

    Example:
        - everything: {against: [a, b], rules: [{at_most: 3}]}
    """

    flag: bool = False
    """A flag."""
    share: float = Field(0.5, ge=0, le=1)
    """A share."""
    count: Annotated[int, AfterValidator(even)] = 2
    """An even number."""
    against: str | list[str] = Field(default_factory=lambda: ["a"])
    """A text or several."""
    weights: Words = Field(default_factory=dict)
    """Bytes by word."""
    rules: tuple[Rule, ...] = ()
    """Rules."""
    nothing: None = None
    """Nothing."""
    limit: int | float | None = None
    """A number, or nothing."""
    names: frozenset[str] = frozenset()
    """Names in no order."""
    listed: Annotated[str, AfterValidator(readable)] | None = None
    """A file that must be there."""
    least: int = 0
    """At most `most`."""
    most: int = 9
    """At least `least`."""

    @model_validator(mode="after")
    def _ordered(self) -> "Everything":
        if self.least > self.most:
            raise ValueError("least is above most")
        return self

    def drop(self, content: str) -> Literal["never"] | None:
        return None


class Key(TypedDict):
    key: Integers


class NearDedup(Global):
    """Keep one file of each cluster.

    Example:
        - near_dedup: {threshold: 0.7}
    """

    reasons = ("near_duplicate",)
    version = 3

    threshold: float = Field(0.7, gt=0, le=1)
    """The Jaccard similarity from which files count as copies."""
    by: Literal["language", "extension"] | None = None
    """Compare only files that agree in this."""

    def sketch(self, content: Strings) -> Key:
        return {"key": pa.nulls(len(content), pa.int64())}


class NeedKey(Filter):
    """Drop by the column of a sketch, which no document has.

    Example:
        - need_key
    """

    def drop(self, key: int) -> Literal["key"] | None:
        return None


class Pack(Job):
    """Write token shards.

    Example:
        - pack: {length: 8192}
    """

    resources = Resources(gpus=1)

    length: PositiveInt
    """Tokens of a sample."""

    def run(self) -> None:
        raise NotImplementedError
