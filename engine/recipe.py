"""From YAML to a checked Recipe, and back.

All mistakes of a recipe are told at once, each at its place, before anything runs: what YAML does not allow, what is
no op or no parameter of one, steps where they cannot stand, and columns that a step reads and nothing above it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import storage
from engine.errors import EngineError, Mistake, RecipeError, did_you_mean, nearest
from engine.marked_yaml import Entry, Spot, Text, flow, parse
from engine.op import Op, Source
from engine.reads import check_reads
from engine.settings import apply_settings, is_set, most_uses, uses
from engine.steps import STREAM, Use, check_source, check_steps

KEYS = {
    "name": "what the run is called",
    "seed": "the number that all chance is made of",
    "source": "where the documents come from",
    "streams": "several sources, each with steps of its own",
    "steps": "what happens to the documents, in this order",
}
"""The keys of a recipe, and what each says."""
STREAM_KEYS = {
    "source": KEYS["source"],
    "steps": KEYS["steps"],
    "optional": "whether the stream is skipped, and said to be, while its source has no input",
}
"""The keys of a stream, and what each says."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Names that can be a folder's, everywhere."""
STREAM_NAME = r"[a-z][a-z0-9_]{0,63}"
LARGEST_SEED = 2**63 - 1
LARGEST_FILE = 1 << 20
"""Bytes beyond which a file is taken for something else than a recipe."""


@dataclass(frozen=True)
class Step:
    """An op at its place; `name` is its own within the stream, as `line_length#2` is for a second use."""

    name: str
    op: Op
    line: int = field(default=0, compare=False)
    """Its line in the file, or 0 if it comes from a `--set`."""


@dataclass(frozen=True)
class Stream:
    """A source and the steps over its documents alone."""

    name: str
    source: Source
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """An optional stream that is not run, since its source has no input that the recipe knows of."""

    name: str
    why: str
    parameter: str
    """The setting that would give the input, but for its value: `streams.issues.source.gharchive.path`."""
    source: Mapping[str, Any]
    """The source's name with the parameters that were given."""
    steps: tuple[Step, ...] = ()

    def told(self) -> str:
        """Why the stream is skipped, and how to give its input."""
        return f"{self.name} is skipped: {self.why}; give it with --set {self.parameter}=PATH"


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read and checked; `steps` are those over the streams together."""

    name: str
    seed: int
    streams: tuple[Stream, ...]
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    path: str = field(default="", compare=False)
    text: str = field(default="", compare=False, repr=False)


def load(path: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, with `key=value` settings in place; a RecipeError tells all that is wrong with it."""
    return read(_text(path), path, settings)


def from_dict(recipe: Mapping[str, Any], settings: Sequence[str] = ()) -> Recipe:
    """The recipe of plain values, as they would stand in YAML."""
    text = "".join(f"{flow(key)}: {flow(value)}\n" for key, value in recipe.items())
    return read(text, "<dict>", settings)


def read(text: str, path: str = "<text>", settings: Sequence[str] = ()) -> Recipe:
    """The recipe of a text; `path` is what mistakes are shown under."""
    wrong: list[Mistake] = []
    root = parse(Text(path, text), wrong)
    if root is not None and not isinstance(root.value, dict):
        raise RecipeError([*wrong, root.spot.mistake(f"a recipe is a map, not {root.told()}", _FORM)])
    unread = list(wrong)
    if root is not None:
        apply_settings(root, settings, wrong)
    if root is None or not isinstance(root.value, dict) or not root.value:
        raise RecipeError(wrong or [Mistake(path, 0, 0, "the recipe is empty", hint=_FORM)])
    recipe = _recipe(root.value, wrong, path, text)
    if recipe is None:
        # What could not be read is told once, and not also as the value that stands in for it.
        places = {(m.line, m.column) for m in unread}
        later = wrong[len(unread) :]
        raise RecipeError([*unread, *(m for m in later if not m.line or (m.line, m.column) not in places)])
    return recipe


def dump(recipe: Recipe) -> str:
    """The recipe as run, as YAML that loads to an equal one: every default and setting is written out."""
    lines = [f"name: {flow(recipe.name)}", f"seed: {recipe.seed}"]
    first = recipe.streams[0]
    if len(recipe.streams) == 1 and first.name == STREAM and not recipe.steps and not recipe.skipped:
        return "\n".join([*lines, *_dump_stream(first, "")]) + "\n"
    lines.append("streams:")
    for stream in recipe.streams:
        lines += [f"  {flow(stream.name)}:", *_dump_stream(stream, "    ")]
    for left in recipe.skipped:
        lines += [f"  {flow(left.name)}:", "    optional: true", f"    source: {flow(left.source)}"]
        lines += _dump_steps(left.steps, "    ")
    return "\n".join([*lines, *_dump_steps(recipe.steps, "")]) + "\n"


# --- reading the file ---------------------------------------------------------------------------------------------

_FORM = f"a recipe has: {', '.join(KEYS)}"


def _text(path: str) -> str:
    def refuse(message: str, hint: str = "") -> RecipeError:
        return RecipeError([Mistake(path, 0, 0, message, hint=hint)])

    try:
        data = _bytes(path)
    except FileNotFoundError:
        raise refuse(f"there is no such file{_similar(path)}") from None
    except IsADirectoryError:
        raise refuse("this is a folder; a recipe is a YAML file") from None
    except (OSError, ValueError, ImportError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST_FILE:
        raise refuse("this is larger than 1 MiB and so no recipe")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise RecipeError([Mistake(path, line, column, f"byte 0x{data[error.start]:02x} is not UTF-8")]) from None


def _bytes(path: str) -> bytes:
    """At most one byte more than a recipe may have."""
    with storage.open_read(path) as file:
        return file.read(LARGEST_FILE + 1)


def _similar(path: str) -> str:
    if not storage.is_local(path):
        return ""
    at = Path(path)
    found = storage.names(str(at.parent))
    near = did_you_mean(at.name, [n for n in found if n.endswith((".yaml", ".yml"))])
    return near.replace("`", f"`{at.parent}/", 1) if near and str(at.parent) != "." else near


# --- checking -----------------------------------------------------------------------------------------------------


Entries = Mapping[str, Entry]
Meant = set[str | None]
"""Keys that unknown ones seem to have been meant for: they are not told to be missing as well."""


def _recipe(entries: Entries, wrong: list[Mistake], path: str, text: str) -> Recipe | None:
    """The recipe, or None if it cannot be made, which `wrong` then says why."""
    meant = _unknown_keys(entries, KEYS, "a recipe", wrong)
    name = _name(entries, meant, wrong)
    seed = _seed(entries, wrong)
    streams = _streams(entries, meant, wrong)
    joint: list[Use] = []
    if "streams" in entries and "steps" in entries:
        parts = entries["streams"].node.value
        before = most_uses(uses(e.node) for e in parts.values()) if isinstance(parts, dict) else None
        joint = check_steps(entries["steps"].node, wrong, jobs=True, before=before)
    check_reads({n: p.source for n, p in streams.items()}, {n: p.steps for n, p in streams.items()}, joint, wrong)
    if wrong:
        return None
    skipped = tuple(left for n, part in streams.items() if (left := _skipped(n, part)))
    gone = {left.name for left in skipped}
    made = tuple(
        Stream(n, p.source.op, _made(p.steps))
        for n, p in streams.items()
        if n not in gone and p.source and isinstance(p.source.op, Source)
    )
    if not made:
        wrong += [Mistake(path, 0, 0, f"nothing is left to be read: {left.told()}") for left in skipped]
        return None
    return Recipe(name, seed, made, _made(joint), skipped, path, text)


def _skipped(name: str, part: _Part) -> Skipped | None:
    """The stream, if it is optional and has no input."""
    source = part.source
    if part.unset is None or source is None or source.cls is None or not issubclass(source.cls, Source):
        return None
    kind, missing = source.cls.name(), part.unset[:1] or source.cls.where[:1]
    why = f"its source {kind} has no `{missing[0]}`" if part.unset else _without_input(source.op)
    if not why:
        return None
    given = part.given if source.op is None else source.op.parameters()
    return Skipped(name, why, f"streams.{name}.source.{kind}.{missing[0]}", {kind: given}, _made(part.steps))


def _without_input(source: Op | None) -> str:
    """Why the source finds nothing; an empty text where it finds something."""
    assert isinstance(source, Source)
    try:
        return "" if next(iter(source.shards()), None) else "its source finds nothing"
    except (EngineError, OSError) as error:
        return str(error)


def _made(uses: list[Use]) -> tuple[Step, ...]:
    return tuple(Step(use.name, use.op, use.key.line) for use in uses if use.op is not None)


def _unknown_keys(entries: Entries, known: Iterable[str], where: str, wrong: list[Mistake]) -> Meant:
    unknown = [key for key in entries if key not in known]
    for key in unknown:
        message = f"{where} has no `{key}`{did_you_mean(key, known)}"
        wrong.append(entries[key].key.mistake(message, f"{where} has: {', '.join(known)}"))
    return {nearest(key, known) for key in unknown}


def _name(entries: Entries, meant: Meant, wrong: list[Mistake]) -> str:
    if "name" not in entries:
        if "name" not in meant:
            hint = "a run is kept under it: `name: my_corpus`"
            wrong.append(_first(entries).mistake("the recipe has no `name`", hint))
        return ""
    node = entries["name"].node
    if not isinstance(node.value, str):
        quote = f'; write it in quotes: "{node.value}"' if isinstance(node.value, (int, float)) else ""
        wrong.append(node.spot.mistake(f"`name` is a text, not {node.told()}{quote}"))
        return ""
    if not re.fullmatch(NAME, node.value):
        hint = "letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit"
        wrong.append(node.spot.mistake(f"{node.told()} cannot be the name of a folder", hint))
    return node.value


def _seed(entries: Entries, wrong: list[Mistake]) -> int:
    if "seed" not in entries:
        return 0
    node = entries["seed"].node
    if isinstance(node.value, bool) or not isinstance(node.value, int) or not 0 <= node.value <= LARGEST_SEED:
        wrong.append(node.spot.mistake(f"`seed` is a whole number from 0 to 2**63 - 1, not {node.told()}"))
        return 0
    return node.value


def _first(entries: Entries) -> Spot:
    """The place of what concerns the whole recipe: its first key."""
    return next(iter(entries.values())).key


@dataclass(frozen=True)
class _Part:
    """What stands under a stream."""

    source: Use | None
    steps: list[Use]
    given: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of its source."""
    unset: list[str] | None = None
    """Those that the source lacks, where the stream is optional and nobody has set anything of the source."""


def _streams(entries: Entries, meant: Meant, wrong: list[Mistake]) -> dict[str, _Part]:
    """For each stream what stands under it."""
    if "streams" not in entries:
        if "source" not in entries and not meant & {"source", "streams"}:
            message = "the recipe has no `source` and no `streams`: it reads nothing"
            wrong.append(_first(entries).mistake(message, _FORM))
        return {STREAM: _stream(entries, wrong, jobs=True)}
    if "source" in entries:
        message = "a recipe has `source` or `streams`, not both"
        wrong.append(entries["source"].key.mistake(message, "put the source into a stream: `streams.NAME.source`"))
    node = entries["streams"].node
    if not isinstance(node.value, dict) or not node.value:
        found = "an empty map" if node.value == {} else node.told()
        wrong.append(node.spot.mistake(f"`streams` is a map from the names of streams to their parts, not {found}"))
        return {}
    streams = {}
    for name, (key, stream) in node.value.items():
        if not re.fullmatch(STREAM_NAME, name):
            hint = "small letters, digits and `_`, the first a letter, such as `git_commits`"
            wrong.append(key.mistake(f'"{name}" cannot be the name of a stream', hint))
        if not isinstance(stream.value, dict):
            message = f"stream `{name}` is a map with `source` and `steps`, not {stream.told()}"
            wrong.append(stream.spot.mistake(message))
            continue
        meant = _unknown_keys(stream.value, STREAM_KEYS, "a stream", wrong)
        if "source" not in stream.value and "source" not in meant:
            wrong.append(key.mistake(f"stream `{name}` has no `source`"))
        streams[name] = _stream(stream.value, wrong)
    return streams


def _stream(entries: Entries, wrong: list[Mistake], jobs: bool = False) -> _Part:
    node = entries["source"].node if "source" in entries else None
    # What a user has set is meant to be read: that it is not there is a mistake then.
    unset = [] if _optional(entries, wrong) and node and not is_set(node) else None
    source = check_source(node, wrong, unset) if node else None
    steps = check_steps(entries["steps"].node, wrong, jobs=jobs) if "steps" in entries else []
    below = next(iter(node.value.values())).node.plain() if node and isinstance(node.value, dict) else None
    return _Part(source, steps, below or {}, unset)


def _optional(entries: Entries, wrong: list[Mistake]) -> bool:
    node = entries["optional"].node if "optional" in entries else None
    if node is not None and not isinstance(node.value, bool):
        wrong.append(node.spot.mistake(f"`optional` is true or false, not {node.told()}"))
    return node is not None and node.value is True


# --- writing ------------------------------------------------------------------------------------------------------


def _dump_stream(stream: Stream, indent: str) -> list[str]:
    source = flow({stream.source.name(): stream.source.parameters()})
    return [f"{indent}source: {source}", *_dump_steps(stream.steps, indent)]


def _dump_steps(steps: tuple[Step, ...], indent: str) -> list[str]:
    if not steps:
        return []
    told = [(step.op.name(), step.op.parameters()) for step in steps]
    lines = [f"{name}: {flow(parameters)}" if parameters else name for name, parameters in told]
    return [f"{indent}steps:", *(f"{indent}  - {line}" for line in lines)]
