"""Ops: all that the author of one needs to read.

An op is a frozen pydantic model with one method. Its fields are its parameters; the method's parameter names are the
columns it reads; its return type is what it writes or why it drops. A method whose parameters are whole columns
(`Strings`, `Integers`, `Numbers`, `Flags`) is called once a batch; one whose parameters are plain values (`str`,
`int | None`) is called once a row, which is for what is rare or cheap.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar, Union

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from engine.columns import nulls
from engine.errors import OpError
from engine.schema import LEDGER, TEXT, VERDICT

R = TypeVar("R", bound=str)
Batch = pa.RecordBatch
Codes = np.ndarray[Any, np.dtype[np.int32]]
Groups = np.ndarray[Any, np.dtype[np.int64]]
"""Where the groups of rows of one key begin, in their order, and behind them where the last ends."""

_VALUES = {str: TEXT, int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.large_binary()}


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage asks for: cores, GPUs, and memory in bytes."""

    cpus: float = 1
    gpus: float = 0
    memory: int = 1 << 30

    def __or__(self, other: Resources) -> Resources:
        """The larger of each."""
        pairs = zip((self.cpus, self.gpus, self.memory), (other.cpus, other.gpus, other.memory), strict=True)
        cpus, gpus, memory = (max(a, b) for a, b in pairs)
        return Resources(cpus, gpus, int(memory))


@dataclass(frozen=True)
class Contract:
    """What an op's signature says: the columns it reads and writes, the reasons it drops for."""

    reads: Mapping[str, pa.DataType] = field(default_factory=dict)
    writes: Mapping[str, pa.DataType] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    columns: bool = True
    """Whether the method takes whole columns."""
    many: bool = False
    """Whether one row may become several."""


def snake_case(name: str) -> str:
    """`NearDedup` as `near_dedup`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Op(BaseModel):
    """A named transformation with typed parameters; the class is the recipe's entry."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ignored_types=())

    version: ClassVar[int] = 1
    """Raised when the answer changes for the same parameters."""
    resources: ClassVar[Resources] = Resources()
    contract: ClassVar[Contract] = Contract()
    method: ClassVar[str] = ""
    """The one method that an op of this kind defines."""

    @classmethod
    def name(cls) -> str:
        """The op's name in recipes."""
        return snake_case(cls.__name__)

    @classmethod
    def kind(cls) -> str:
        """`filter`, `map`, `source`, ...: the name of the kind that the op is of."""
        return next(snake_case(c.__name__) for c in cls.__mro__ if Op in c.__bases__)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        method = cls.__dict__.get(cls.method) if cls.method else None
        if method is not None and not getattr(method, "__isabstractmethod__", False):
            cls.contract = _contract(cls, method)

    def __reduce__(self) -> Any:
        # A loaded network or tokenizer stays behind: an op travels as its parameters.
        return _rebuild, (type(self), self.model_dump())

    def parameters(self) -> dict[str, Any]:
        """The parameters as plain values that JSON can hold."""
        return self.model_dump(mode="json")

    def besides(self) -> Any:
        """What the answer depends on besides the parameters, such as the digest of a file that one of them names."""
        return None


def _rebuild(cls: type[Op], parameters: dict[str, Any]) -> Op:
    return cls.model_validate(parameters)


# --- signatures -------------------------------------------------------------------------------------------------


def _column_type(annotation: Any) -> pa.DataType | None:
    if typing.get_origin(annotation) is Annotated:
        kind, *notes = typing.get_args(annotation)
        if kind is pa.Array and notes and isinstance(notes[0], pa.DataType):
            return notes[0]
    return None


def _value_type(annotation: Any) -> pa.DataType | None:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        kinds = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _value_type(kinds[0]) if len(kinds) == 1 else None
    if typing.get_origin(annotation) is list:
        inner = _value_type(typing.get_args(annotation)[0])
        return pa.large_list(inner) if inner is not None else None
    if typing.is_typeddict(annotation):
        return pa.struct([pa.field(k, _arrow_type(v)) for k, v in typing.get_type_hints(annotation).items()])
    return _VALUES.get(annotation) if isinstance(annotation, type) else None


def _arrow_type(annotation: Any) -> pa.DataType:
    kind = _column_type(annotation)
    kind = kind if kind is not None else _value_type(annotation)
    if kind is None:
        raise TypeError(
            f"{annotation!r} is no column type: use str, int, float, bool, bytes or the names in engine.schema"
        )
    return kind


def _literals(annotation: Any) -> tuple[str, ...]:
    if typing.get_origin(annotation) is Literal:
        return tuple(typing.get_args(annotation))
    return tuple(r for a in typing.get_args(annotation) for r in _literals(a))


def _contract(cls: type[Op], method: Any) -> Contract:
    where = f"{cls.__name__}.{method.__name__}"
    hints = typing.get_type_hints(method, include_extras=True)
    names = [p for p in inspect.signature(method).parameters if p != "self"]
    if issubclass(cls, Gather):
        names = [n for n in names if hints.get(n) != Groups]
        unread = [n for n in (*cls.key, *cls.order) if n not in names]
        if not cls.key or unread:
            raise TypeError(f"{where}: name the columns of `key`, and take them and those of `order`: {unread}")
    missing = [n for n in [*names, "return"] if n not in hints]
    if missing:
        raise TypeError(
            f"{where}: annotate {', '.join(missing)}; the engine reads columns and reasons from the signature"
        )
    whole = [_column_type(hints[n]) is not None for n in names]
    if any(whole) and not all(whole):
        raise TypeError(f"{where}: takes whole columns or single values, not both")
    answer, many = hints["return"], False
    if typing.get_origin(answer) in (Iterator, Iterable, list):
        answer, many = typing.get_args(answer)[0], True
    writes: dict[str, pa.DataType] = {}
    reasons: tuple[str, ...] = ()
    if issubclass(cls, Filter):
        if typing.get_origin(answer) is tuple:
            written, answer = typing.get_args(answer)
            writes = {k: _arrow_type(v) for k, v in typing.get_type_hints(written, include_extras=True).items()}
        reasons = _literals(answer)
        if not reasons:
            raise TypeError(
                f"{where}: say why it drops in the return type: Literal['reason'] | None, or Reasons[Literal[...]]"
            )
    elif typing.is_typeddict(answer):
        writes = {k: _arrow_type(v) for k, v in typing.get_type_hints(answer, include_extras=True).items()}
    elif issubclass(cls, Map):
        raise TypeError(f"{where}: the return type is a TypedDict that names the columns written")
    return Contract({n: _arrow_type(hints[n]) for n in names}, writes, reasons, all(whole) and bool(names), many)


def read_columns(op: Op, batch: Batch) -> list[pa.Array]:
    """The columns that the op's method takes, in its order; a column that the batch lacks is null throughout."""
    return [
        batch.column(name) if name in batch.schema.names else nulls(batch.num_rows, kind)
        for name, kind in op.contract.reads.items()
    ]


# --- filters ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One bound held against a column: which rows fail it, the figure it was judged by, and the bound."""

    failed: pa.Array
    score: pa.Array | None = None
    bound: pa.Array | float | None = None
    sign: str = ""
    """How score and bound stand to each other in a row that passes: `<=`, `>=`, `>`, `<`, or nothing."""
    of: pa.Array | None = None
    """For each row that fails, what it fails because of: another document's id, or a benchmark's item."""


def _check(values: pa.Array, bound: pa.Array | float | None, fails: Any, sign: str) -> Check:
    if bound is None:
        return Check(pa.array(np.zeros(len(values), bool)), values, None, sign)
    return Check(pc.fill_null(fails(values, bound), False), values, bound, sign)


def at_most(values: pa.Array, bound: pa.Array | float | None) -> Check:
    """Fails above the bound; a bound may be a column, and a null on either side passes."""
    return _check(values, bound, pc.greater, "<=")


def at_least(values: pa.Array, bound: pa.Array | float | None) -> Check:
    """Fails below the bound; a bound may be a column, and a null on either side passes."""
    return _check(values, bound, pc.less, ">=")


def more_than(values: pa.Array, bound: pa.Array | float | None) -> Check:
    """Fails at or below the bound; a bound may be a column, and a null on either side passes."""
    return _check(values, bound, pc.less_equal, ">")


def less_than(values: pa.Array, bound: pa.Array | float | None) -> Check:
    """Fails at or above the bound; a bound may be a column, and a null on either side passes."""
    return _check(values, bound, pc.greater_equal, "<")


def absent(found: pa.Array, of: pa.Array | None = None) -> Check:
    """Fails where the column is true; `of` names the cause in rows that fail."""
    return Check(found.fill_null(False), of=of)


class Reasons(Generic[R]):
    """Why each row is dropped: the checks by reason, of which the first that fails speaks for a row."""

    def __init__(self, rows: int, checks: Mapping[str, Check]) -> None:
        self.rows, self.checks = rows, dict(checks)

    def codes(self) -> Codes:
        """For each row the place of the check that speaks for it, or -1 where it is kept."""
        codes = np.full(self.rows, -1, np.int32)
        for code, check in reversed(list(enumerate(self.checks.values()))):
            codes[np.asarray(check.failed)] = code
        return codes

    def reason(self) -> pa.Array:
        """A dictionary-encoded column of reasons, null where the row is kept."""
        codes = self.codes()
        return pa.DictionaryArray.from_arrays(
            pa.array(codes, pa.int32(), mask=codes < 0), pa.array(list(self.checks), TEXT)
        )

    def score(self) -> pa.Array:
        """For dropped rows the figure that the failed check was judged by; null elsewhere."""
        out = np.full(self.rows, np.nan)
        for check in reversed(list(self.checks.values())):
            failed = np.asarray(check.failed)
            out[failed] = np.nan if check.score is None else _floats(check.score)[failed]
        return pa.array(out, mask=np.isnan(out))

    def names_causes(self) -> bool:
        """Whether any check names what a document fails because of."""
        return any(check.of is not None for check in self.checks.values())

    def of(self) -> pa.Array:
        """For dropped rows what the failed check names as the cause; null elsewhere."""
        if not self.names_causes():
            return pa.nulls(self.rows, TEXT)
        out = np.full(self.rows, None, object)
        for check in reversed(list(self.checks.values())):
            failed = np.asarray(check.failed)
            out[failed] = None if check.of is None else np.asarray(check.of.to_pylist(), object)[failed]
        return pa.array(out, TEXT)


def _floats(values: pa.Array) -> Any:
    return np.asarray(values.cast(pa.float64()).fill_null(float("nan")))


def reasons(**checks: Check) -> Reasons[Any]:
    """The verdict of a filter over whole columns: `reasons(longest_line=at_most(longest, 1000))`."""
    return Reasons(len(next(iter(checks.values())).failed), checks)


class Filter(Op):
    """Keeps or drops each document: `drop(columns)` answers why, or None to keep.

    A filter that finds out something worth keeping writes it too: over whole columns it may answer
    `tuple[TypedDict, Reasons[...]]`, the columns written and the verdict.
    """

    method: ClassVar[str] = "drop"
    forgets: ClassVar[bool] = False
    """Whether the run keeps nothing of a document dropped but its id and the reason: no path, measure or sample."""

    @abstractmethod
    def drop(self, *columns: Any, **named: Any) -> Any: ...

    def judge(self, batch: Batch) -> tuple[Batch, Reasons[Any]]:
        """The batch, with what the filter writes, and the reasons for each of its rows; no row has gone yet."""
        columns = read_columns(self, batch)
        if self.contract.columns:
            answer = self.drop(*columns)
            if not self.contract.writes:
                return batch, answer
            written, verdict = answer
            return with_columns(batch, {k: as_column(written[k], t) for k, t in self.contract.writes.items()}), verdict
        rows = zip(*(c.to_pylist() for c in columns), strict=True)
        given = np.array([self.drop(*row) or "" for row in rows], dtype=object)
        checks = {r: Check(pa.array(given == r, pa.bool_())) for r in self.contract.reasons}
        return batch, Reasons(batch.num_rows, checks)

    def run(self, batch: Batch, ledger: Ledger) -> Batch:
        """The rows that are kept; the others are entered in the ledger. What a worker does with a batch."""
        batch, verdict = self.judge(batch)
        reason = verdict.reason()
        ledger.drop(self.name(), batch, reason, verdict.score(), verdict.of())
        return batch.filter(reason.is_null())


# --- maps -------------------------------------------------------------------------------------------------------


class Map(Op):
    """Writes columns of each document: `map(columns)` answers a TypedDict of them.

    Over whole columns the values are columns. Over single values they are values, and a method that yields several
    makes several documents of one, with the ids `parent#0`, `parent#1`, ...
    """

    method: ClassVar[str] = "map"

    @abstractmethod
    def map(self, *columns: Any, **named: Any) -> Any: ...

    def run(self, batch: Batch, ledger: Ledger | None = None) -> Batch:
        """The batch with the op's columns written. What a worker does with a batch."""
        columns, writes = read_columns(self, batch), self.contract.writes
        if self.contract.columns:
            answer = self.map(*columns)
            return with_columns(batch, {k: as_column(answer[k], kind) for k, kind in writes.items()})
        rows = zip(*(c.to_pylist() for c in columns), strict=True)
        if not self.contract.many:
            answers = [self.map(*row) for row in rows]
            return with_columns(batch, {k: pa.array([a[k] for a in answers], kind) for k, kind in writes.items()})
        parents: list[int] = []
        ids: list[str] = []
        born: list[Any] = []
        own = batch.column("id").to_pylist()
        for n, row in enumerate(rows):
            for k, answer in enumerate(self.map(*row)):
                parents.append(n)
                ids.append(f"{own[n]}#{k}")
                born.append(answer)
        grown = with_columns(batch.take(pa.array(parents, pa.int64())), {"id": pa.array(ids, TEXT)})
        return with_columns(grown, {k: pa.array([a[k] for a in born], kind) for k, kind in writes.items()})


class Measure(Map):
    """A map that the planner puts in by itself where a step reads a column that it writes; no recipe names it."""


def as_column(values: Any, kind: pa.DataType) -> pa.Array:
    """What an op answered, as a column of the type that it declared."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return column if column.type == kind else column.cast(kind)


def with_columns(batch: Batch, columns: Mapping[str, pa.Array]) -> Batch:
    """The batch with these columns set, in place of those of the same name or behind the others."""
    names, arrays = list(batch.schema.names), list(batch.columns)
    for name, column in columns.items():
        if name in names:
            arrays[names.index(name)] = column
        else:
            names.append(name)
            arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, names=names)


# --- sources ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shard:
    """A named piece of the input: the unit of work, retry and resumption.

    `name` is unique in its stream and does not depend on other shards; `version` changes when the input behind the
    shard does (size and time of a file, a revision); `at` is what the source needs to find it again.
    """

    name: str
    version: str
    bytes: int
    at: Mapping[str, Any] = field(default_factory=dict)


class Losses:
    """What a source could not turn into documents, collected while a shard is read."""

    def __init__(self) -> None:
        self.dropped: list[dict[str, Any]] = []
        self.quarantined: list[dict[str, Any]] = []
        self.noted: dict[str, int] = {}

    def drop(self, reason: str, path: str, repo_name: str | None = None, score: float | None = None) -> None:
        """Enters a file that is left out on purpose; `score` is the figure it was judged by, such as its bytes."""
        self.dropped.append({"path": path, "repo_name": repo_name, "reason": reason, "score": score})

    def quarantine(self, path: str, error: str, repo_name: str | None = None) -> None:
        """Enters a file or member that could not be read."""
        self.quarantined.append({"path": path, "repo_name": repo_name, "error": error})

    def note(self, what: str, count: int = 1) -> None:
        """Counts, for the report, what is in the input and is no document of this source's by its nature."""
        if count:
            self.noted[what] = self.noted.get(what, 0) + count


class Source(Op):
    """Finds the input and reads it: `shards()` names the pieces, `read(shard, losses)` yields batches of documents.

    A batch holds `content` and any of `engine.schema.SOURCE_COLUMNS`, at most about 64 MB; reading a shard twice gives
    the same rows in the same order.
    """

    rereads: ClassVar[bool] = False
    """Whether a later pass reads the text from the source again, rather than from a copy kept by the pass before."""
    threads: ClassVar[bool] = False
    """Whether reading leaves Python's lock alone, so that threads serve as workers."""
    where: ClassVar[tuple[str, ...]] = ("path",)
    """Parameters that say where the input lies; they do not enter the fingerprint, since each shard has its own."""
    reasons: ClassVar[tuple[str, ...]] = ()
    """Reasons for which `read` drops."""
    writes: ClassVar[Mapping[str, pa.DataType]] = {}
    """Columns that `read` yields beyond `engine.schema.SOURCE_COLUMNS`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.contract = Contract(writes=cls.writes)

    @abstractmethod
    def shards(self) -> Iterator[Shard]: ...

    @abstractmethod
    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the shard's documents; with `columns`, at least those and the same rows."""


# --- global ops, gathers and jobs ---------------------------------------------------------------------------------


class Meeting(Protocol):
    """The records of one partition whose key another record has too, in the order of key, shard and place."""

    keys: Any
    """uint64, one a record."""
    shard: Any
    """int32: the number of the record's shard."""
    place: Any
    """int64: the place of the record's document in the shard's sketches."""

    def fetch(self, columns: Sequence[str]) -> pa.Table:
        """The sketches of the records' documents; beside the op's own columns there are `id` and `row`."""
        ...


class Sketches(Protocol):
    """The sketches of all shards; it travels to workers, and reads only what is asked for."""

    @property
    def shards(self) -> Sequence[Any]: ...

    def fetch(self, shard: Any, place: Any, columns: Sequence[str]) -> pa.Table:
        """The sketches of documents named by shard and place, in the order given."""
        ...

    def read(self, shard: int, columns: Sequence[str]) -> pa.Table:
        """The sketches of one shard, in the order of its documents."""
        ...

    def kept(self, shard: int, columns: Sequence[str]) -> pa.Table:
        """The sketches of those documents of one shard that no earlier global op dropped."""
        ...


Texts = Iterator[tuple[pa.Array, Any, Any]]
"""Pieces of a shard's text: a column of it, the places wanted in this column, and which of the wanted rows they are."""


class Exchange(Protocol):
    """What a global op may ask while it decides: work over the sketches and texts of all shards, in bounded memory.

    Documents that an earlier global op dropped are left out. Answers come in the order of what was asked.
    """

    @property
    def sketches(self) -> Sketches: ...

    @property
    def scratch(self) -> str:
        """A folder for files that workers hand on to one another."""
        ...

    def match(self, work: Callable[[Meeting], Any]) -> list[Any]:
        """The answer of `work` for every partition of the keys."""
        ...

    def map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """The answer of `work` for every item."""
        ...

    def texts(self, work: Callable[[int, Texts], Any], wanted: Sequence[tuple[int, Any]]) -> list[Any]:
        """The answer of `work` for each shard and its rows wanted, ascending: it is given the shard and their text."""
        ...


class Global(Op):
    """Decides by looking at all documents: `sketch` each, then `match` those that meet, and say which are dropped.

    `sketch(columns)` answers a TypedDict of columns with a row for each document. Its column `key`, a 64-bit number or
    a list of them, says which documents meet: those that have a key in common. `match` is called once for each
    partition of the keys and answers verdicts (see `engine.schema.VERDICT`). An op whose verdicts take more than one
    round defines `verdicts` instead, which is given the whole exchange; it may add the columns of
    `engine.schema.DUPLICATE_DETAILS` to its verdicts, and the run then keeps a table of duplicates.
    """

    method: ClassVar[str] = "sketch"
    reasons: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[type[Filter] | type[Map] | None] = None
    """The op that carries out the decision, where that is one rule for all documents rather than many verdicts."""

    @abstractmethod
    def sketch(self, *columns: Any, **named: Any) -> Any: ...

    def match(self, meeting: Meeting) -> pa.Table:
        """The verdicts on the documents of one partition."""
        raise NotImplementedError

    def verdicts(self, exchange: Exchange) -> pa.Table:
        """The verdicts on all documents."""
        return pa.concat_tables([VERDICT.empty_table(), *exchange.match(self.match)])

    def settle(self, exchange: Exchange) -> Filter | Map:
        """What was decided, as an op of the class `rule`, which the next pass runs first; in place of verdicts."""
        raise NotImplementedError


class Gather(Op):
    """Makes documents of rows that belong together, in whatever shards they lie.

    `key` names the columns that the rows of one document have in common, `order` those by which they are sorted in it;
    rows that tie are in the order of their ids. `gather(groups, columns)` is given such rows, whole columns of them
    with the edges of the groups, and answers a TypedDict of columns with a row for each group: `content`, and any
    others. From there on documents have these columns and no others. Truth values that it writes are counted in the
    report.
    """

    method: ClassVar[str] = "gather"
    key: ClassVar[tuple[str, ...]] = ()
    order: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def gather(self, groups: Groups, *columns: Any, **named: Any) -> Any: ...

    def run(self, groups: Groups, rows: Batch) -> Batch:
        """A row for each group of rows."""
        answer = self.gather(groups, *read_columns(self, rows))
        return pa.RecordBatch.from_pydict({k: as_column(answer[k], t) for k, t in self.contract.writes.items()})


class Workers(Protocol):
    """Runs a function over items; `map` answers (place of the item, result) as they are done."""

    def map(
        self, work: Callable[[Any], Any], items: Sequence[Any], needs: Resources = ..., threads: bool = ...
    ) -> Iterator[tuple[int, Any]]: ...


class Job(Op):
    """Makes something of a finished corpus: runs once, after the steps that work on documents.

    It runs again when the corpus or its parameters changed, and replaces what it made before.
    """

    folder: ClassVar[str] = ""
    """The folder of the run that it makes; that of the step's name unless given."""
    holds_text: ClassVar[bool] = True
    """Whether what it makes holds the documents' text, so that `engine forget` removes it, to be made anew."""

    @abstractmethod
    def run(self, run: str, out: str, pool: Workers) -> dict[str, Any]:
        """What to tell in the report. `run` is the folder of the finished run, `out` that of what the job makes."""
        ...

    def bill(self, above: Sequence[Op]) -> list[str]:
        """What the job will cost, as lines for `engine plan`; nothing unless the op can tell.

        `above` are the ops of the recipe before it. Raises OpError where the job could not run behind these.
        """
        return []


# --- the ledger -------------------------------------------------------------------------------------------------


class Ledger:
    """The rows dropped so far: every document that leaves a stage has a row here, with its reason."""

    def __init__(self, stream: str = "") -> None:
        self.stream = stream
        self.batches: list[Batch] = []

    def drop(
        self, step: str, batch: Batch, reason: pa.Array, score: pa.Array | None = None, of: pa.Array | None = None
    ) -> None:
        """Enters the rows of a batch whose reason is not null."""
        lost = reason.is_valid()
        rest = [None if column is None else column.filter(lost) for column in (score, of)]
        self.enter(step, batch.filter(lost), reason.filter(lost), *rest)

    def enter(
        self,
        step: str | pa.Array,
        batch: Batch,
        reason: pa.Array,
        score: pa.Array | None = None,
        of: pa.Array | None = None,
    ) -> None:
        """Enters all rows of a batch, each with its reason; all of one step or each with its own."""
        rows = batch.num_rows
        if not rows:
            return
        given = {
            "stream": pa.repeat(pa.scalar(self.stream, TEXT), rows),
            "step": pa.repeat(pa.scalar(step, TEXT), rows) if isinstance(step, str) else step,
            "reason": reason.dictionary_decode() if isinstance(reason, pa.DictionaryArray) else reason,
            "score": score,
            "of": of,
        }
        columns = []
        for item in LEDGER:
            column = given.get(item.name)
            if column is None and item.name in batch.schema.names:
                column = batch.column(item.name)
            columns.append(pa.nulls(rows, item.type) if column is None else column)
        cast = [c if c.type == f.type else c.cast(f.type) for c, f in zip(columns, LEDGER, strict=True)]
        self.batches.append(pa.RecordBatch.from_arrays(cast, schema=LEDGER))

    def table(self) -> pa.Table:
        """All rows entered, in the order in which they were."""
        return pa.Table.from_batches(self.batches, LEDGER)


def parameter_names(op: type[Op]) -> list[str]:
    """The names of an op's parameters, in their order."""
    return list(op.model_fields)


def fail(op: Op, message: str) -> OpError:
    """An error of this op, to be raised: its text names the op."""
    return OpError(f"{op.name()}: {message}")
