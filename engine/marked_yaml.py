"""YAML whose keys and values know where they stand.

Recipes use a small part of YAML 1.2: maps, lists, texts, numbers, `true` and `false`, and null. Anchors, tags, merge
keys and second documents are refused, each at its place. A number in whole units is an integer however it is written
(`1e6`); everything that is no number, truth value or null is a text, `on`, `no`, `1GB` and dates among them.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import yaml
from yaml.error import Mark, MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from engine.errors import Mistake

DEPTH = 40
"""Levels of nesting beyond which a text is no recipe."""
WHOLE = 2**53
"""Whole numbers up to this size may be written with an exponent: beyond it a float is not exact."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF))\Z")
_TAGS = {"tag:yaml.org,2002:null": _NULL, "tag:yaml.org,2002:bool": _BOOL, "tag:yaml.org,2002:int": _INT}


@dataclass(frozen=True)
class Text:
    """A text and the name that mistakes in it are shown under; YAML begins at `start`."""

    file: str
    text: str
    start: int = 0
    numbered: bool = True
    """Whether its lines have numbers that a reader can look up."""

    @cached_property
    def lines(self) -> list[int]:
        """Where each line begins."""
        return [0, *(found.end() for found in _BREAK.finditer(self.text))]

    def line_at(self, place: int) -> int:
        """The number of the line, from one, or 0 where lines have none."""
        return bisect.bisect_right(self.lines, place) if self.numbered else 0


@dataclass(frozen=True)
class Spot:
    """A stretch of a text."""

    text: Text
    begin: int = 0
    end: int = 0

    @property
    def line(self) -> int:
        """The number of the line, from one, or 0 where lines have none."""
        return self.text.line_at(self.begin)

    def mistake(self, message: str, hint: str = "") -> Mistake:
        """A mistake at this place; the caret line ends with the place's first line."""
        start = self.text.lines[bisect.bisect_right(self.text.lines, self.begin) - 1]
        stop = _BREAK.search(self.text.text, start)
        end = stop.start() if stop else len(self.text.text)
        marked = self.text.text[self.begin : min(self.end, end)].rstrip()
        source = self.text.text[start:end]
        return Mistake(self.text.file, self.line, self.begin - start + 1, message, source, len(marked) or 1, hint)


class Entry(NamedTuple):
    """A value under its key."""

    key: Spot
    node: Node


@dataclass(eq=False)
class Node:
    """A value at its place."""

    value: str | int | float | bool | list[Node] | dict[str, Entry] | None
    spot: Spot

    def plain(self) -> Any:
        """The value alone, as JSON could hold it."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def told(self) -> str:
        """The value as a message names it: `a list`, `nothing`, `-3`, `"a text"`."""
        if self.value is None:
            return "nothing"
        if isinstance(self.value, (list, dict)):
            return "a list" if isinstance(self.value, list) else "a map"
        if isinstance(self.value, bool):
            return str(self.value).lower()
        told = f'"{self.value}"' if isinstance(self.value, str) else str(self.value)
        return told if len(told) <= 60 else told[:57] + "…" + told[-1]


def parse(text: Text, wrong: list[Mistake]) -> Node | None:
    """The tree of a text, or None if there is none; what YAML or recipes do not allow is added to `wrong`."""
    loader = None
    try:
        loader = _Loader(text, wrong)
        root = loader.get_single_node()
        return _node(root, text, wrong) if root is not None else None
    except YAMLError as error:
        wrong.append(_syntax(error, text))
        return None
    finally:
        if loader is not None:
            loader.dispose()


def flow(value: Any) -> str:
    """One line of YAML that `parse` reads as the same plain value."""
    # Within a list no end-of-document mark follows a single value.
    line = yaml.dump(
        [value], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30, default_flow_style=True
    )
    return line.strip()[1:-1]


# --- reading ------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  PyYAML fills it in

    def __init__(self, text: Text, wrong: list[Mistake]) -> None:
        super().__init__(text.text[text.start :])
        self.source, self.wrong, self.depth = text, wrong, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            self._refuse(event, f"`*{event.anchor}` is an alias", f'write the value out; as a text, "*{event.anchor}"')
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        if event.anchor is not None:
            self._refuse(event, f"`&{event.anchor}` is an anchor", "recipes have no anchors and aliases")
            event.anchor = None
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"`{tag}` is a tag", "recipes have no tags; put a text that begins with `!` in quotes")
            event.tag = None
            event.implicit = (True, False) if isinstance(event, yaml.ScalarEvent) else True
        if self.depth == DEPTH:
            raise MarkedYAMLError(problem=f"nested more than {DEPTH} deep", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, event: Any, message: str, hint: str) -> None:
        self.wrong.append(_spot(self.source, event.start_mark, event.end_mark).mistake(message, hint))


for _tag, _pattern in [*_TAGS.items(), ("tag:yaml.org,2002:float", _FLOAT)]:
    _Loader.add_implicit_resolver(_tag, _pattern, None)


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML 1.1 or 1.2 would take for something else than a text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In double quotes a line break is an escape, so that a value stays in its line.
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)

for _tag, _pattern in [*_TAGS.items(), ("tag:yaml.org,2002:float", _FLOAT)]:
    _Dumper.add_implicit_resolver(_tag, _pattern, None)


def _spot(text: Text, begin: Mark | None, end: Mark | None = None) -> Spot:
    at = begin.index if begin else 0
    return Spot(text, text.start + at, text.start + (end.index if end else at + 1))


def _node(found: yaml.Node, text: Text, wrong: list[Mistake]) -> Node:
    spot = _spot(text, found.start_mark, found.end_mark)
    if isinstance(found, yaml.SequenceNode):
        return Node([_node(item, text, wrong) for item in found.value], spot)
    if isinstance(found, yaml.MappingNode):
        return Node(_entries(found, text, wrong), spot)
    value = _scalar(found.tag.rpartition(":")[2], found.value)
    if isinstance(value, str):
        value = _joined(value, spot, wrong)
        if found.tag.endswith(":int"):
            wrong.append(spot.mistake(f"a number of {len(value)} digits"))
    return Node(value, spot)


def _joined(value: str, spot: Spot, wrong: list[Mistake]) -> str:
    """A text in which pairs of surrogates, as JSON escapes characters, are joined."""
    if not any("\ud800" <= c <= "\udfff" for c in value):
        return value
    try:
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        wrong.append(spot.mistake("half of a surrogate pair, which is no character"))
        return ""


def _entries(found: yaml.MappingNode, text: Text, wrong: list[Mistake]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for key, value in found.value:
        at = _spot(text, key.start_mark, key.end_mark)
        name = _joined(key.value, at, wrong) if isinstance(key, yaml.ScalarNode) else ""
        if not isinstance(key, yaml.ScalarNode):
            wrong.append(at.mistake("a key is a word, not a list or a map"))
        elif not key.value and key.style is None:
            wrong.append(at.mistake("a key is missing in front of this `:`"))
        elif key.value == "<<" and key.style is None:
            wrong.append(at.mistake("`<<` is a merge key", "recipes have no merge keys; write the keys out"))
        elif name in entries:
            first = entries[name].key.line
            where = f", first in line {first}" if first else ""
            wrong.append(at.mistake(f"the key `{name}` stands here again{where}"))
        else:
            entries[name] = Entry(at, _node(value, text, wrong))
    return entries


def _scalar(tag: str, text: str) -> str | int | float | bool | None:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int" and len(text) <= 300:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if tag == "float":
        number = float(text.replace(".", "", 1) if text[-3:].lower() == "inf" else text)
        exact = "e" in text.lower() and abs(number) <= WHOLE and number.is_integer()
        return int(number) if exact else number
    return text


# --- mistakes of syntax -------------------------------------------------------------------------------------------

_COLON = "a `:` cannot stand here; put a text that holds `: ` in quotes, and indent the keys of one map alike"
_SYNTAX = (
    (r"'\\t' that cannot start", "problem", "a tab; YAML indents by spaces alone"),
    (r"character '(.)' that cannot start", "problem", r"a text cannot begin with `\1`; put it in quotes"),
    ("mapping values are not allowed", "problem", _COLON),
    ("sequence entries are not allowed", "problem", "a `- ` cannot stand here; a list begins on a line of its own"),
    ("mapping keys are not allowed", "problem", "a text that begins with `? ` stands in quotes"),
    (r"scanning a simple key.*expected ':'", "context", "a `:` is missing behind this key"),
    (r"expected '?<(?:block end|document start)>.* found '([\]},])'", "problem", r"a `\1` cannot stand here"),
    ("expected '?<(block end|document start)>", "problem", "this line's indentation fits none above it"),
    (r"expected ',' or '[\]}]', but got ':'", "problem", _COLON),
    (r"expected ',' or '\]'", "context", "this list is not closed: a `,` or `]` is missing"),
    ("expected ',' or '}'", "context", "this map is not closed: a `,` or `}` is missing"),
    ("quoted scalar.*unexpected end", "context", "this quote is not closed"),
    ("quoted scalar.*document separator", "context", "this quote is not closed"),
    (r"unknown escape character (.*)", "problem", r"no escape in double quotes: \1; single quotes take it as it is"),
    ("single document", "problem", "a second document; a recipe is one"),
    ("scanning an (alias|anchor)", "context", "a text that begins with `*` or `&` stands in quotes"),
    ("scanning a directive", "context", "a text that begins with `%` stands in quotes"),
    ("scanning a block scalar", "context", "a text that begins with `|` or `>` stands in quotes"),
    ("(scanning|parsing) a (tag|node)", "context", "a text that begins with `!` stands in quotes"),
    ("expected the node content, but found '<stream end>'", "problem", "the text ends within a list or a map"),
    ("expected the node content, but found ':'", "problem", "a key is missing in front of this `:`"),
    ("expected the node content", "problem", "a value is missing here"),
    ("nested more than", "problem", f"nested more than {DEPTH} deep"),
)
"""What PyYAML says, where the mistake is (its problem or its context), and how it is told here."""


def _syntax(error: YAMLError, text: Text) -> Mistake:
    if isinstance(error, ReaderError):
        at = text.start + error.position
        return Spot(text, at, at + 1).mistake(f"the character U+{ord(text.text[at]):04X} cannot stand in YAML")
    if not isinstance(error, MarkedYAMLError):
        return Spot(text).mistake(f"this is no YAML: {error}")
    said = f"{error.context or ''}: {error.problem or ''}"
    for pattern, which, message in _SYNTAX:
        if found := re.search(pattern, said):
            mark = error.context_mark if which == "context" else error.problem_mark
            return _spot(text, mark or error.problem_mark).mistake(found.expand(message))
    return _spot(text, error.problem_mark or error.context_mark).mistake(f"this is no YAML: {said.strip(': ')}")
