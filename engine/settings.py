"""`--set key=value`: one value of a recipe replaced for one run.

A setting changes the tree of the YAML before it is checked, and what it puts there keeps its place in the setting's own
text. So a setting is checked as the file is, and a mistake is shown where it was typed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.errors import Mistake, did_you_mean
from engine.marked_yaml import Entry, Node, Spot, Text, parse

FILE = "--set"
"""What stands for the file's name in mistakes of settings."""

_PART = re.compile(r'\s*(?:"(?P<quoted>[^"]+)"|(?P<word>[^."=\s](?:[^."=]*[^."=\s])?))\s*(?P<then>[.=])')


class Part(NamedTuple):
    """A piece of a setting's dotted path."""

    name: str
    spot: Spot


def apply_settings(root: Node, settings: Sequence[str], wrong: list[Mistake]) -> None:
    """Changes the tree of a recipe as the settings say, in their order; what they get wrong is added to `wrong`."""
    for setting in settings:
        parts, start = _parts(setting, wrong)
        text = Text(FILE, setting, start, numbered=False)
        found: list[Mistake] = []
        value = parse(text, found) if parts else None
        wrong += found
        if parts and not found:
            _set(root, parts, value or Node(None, Spot(text, len(setting), len(setting))), wrong)


def numbered(ops: Iterable[str], before: Counter[str] | None = None) -> list[str]:
    """The names of steps: the second use of an op is `line_length#2`; `before` counts the uses in earlier steps."""
    uses = Counter(before or {})
    names = []
    for op in ops:
        uses[op] += 1
        names.append(op if uses[op] == 1 else f"{op}#{uses[op]}")
    return names


def uses(stream: Node) -> Counter[str]:
    """How often each op stands in the steps of a stream."""
    entry = stream.value.get("steps") if isinstance(stream.value, dict) else None
    steps = entry.node.value if entry is not None else None
    return Counter(_op(step) for step in steps) if isinstance(steps, list) else Counter()


def most_uses(streams: Iterable[Counter[str]]) -> Counter[str]:
    """For each op the uses in the stream that uses it most: where the counting of joint steps begins."""
    most: Counter[str] = Counter()
    for stream in streams:
        most |= stream
    return most


def is_set(node: Node) -> bool:
    """Whether any setting put something into this part of a recipe."""
    below: list[tuple[Spot, Node]] = []
    if isinstance(node.value, dict):
        below = [(entry.key, entry.node) for entry in node.value.values()]
    elif isinstance(node.value, list):
        below = [(item.spot, item) for item in node.value]
    return node.spot.text.file == FILE or any(spot.text.file == FILE or is_set(part) for spot, part in below)


# --- reading a setting --------------------------------------------------------------------------------------------


def _parts(setting: str, wrong: list[Mistake]) -> tuple[list[Part], int]:
    """The path of a setting, empty if it has no proper form, and where its value begins."""
    text = Text(FILE, setting, numbered=False)
    parts: list[Part] = []
    at = 0
    while found := _PART.match(setting, at):
        group = "quoted" if found["quoted"] else "word"
        parts.append(Part(found[group], Spot(text, *found.span(group))))
        at = found.end()
        if found["then"] == "=":
            return parts, at
    form = "a setting is written key=value, such as `seed=3` or `steps.line_length.longest=500`"
    if "=" in setting[at:]:
        wrong.append(Spot(text, at, setting.index("=", at) + 1).mistake("a name is missing or unfinished here", form))
    else:
        wrong.append(Spot(text, 0, len(setting)).mistake("there is no `=`", form))
    return [], 0


# --- changing the tree --------------------------------------------------------------------------------------------


def _set(root: Node, parts: list[Part], value: Node, wrong: list[Mistake]) -> None:
    if not isinstance(root.value, dict):
        return
    first, *rest = parts
    if first.name in ("name", "seed"):
        if rest:
            wrong.append(rest[0].spot.mistake(f"`{first.name}` has nothing below it"))
        else:
            root.value[first.name] = Entry(first.spot, value)
    elif first.name == "streams":
        _set_stream(root, first, rest, value, wrong)
    elif first.name == "source" and "streams" in root.value:
        wrong.append(first.spot.mistake("this recipe has streams: `streams.NAME.source`", _streams_hint(root)))
    elif first.name == "source":
        _set_source(root, first, rest, value, wrong)
    elif first.name == "steps":
        _set_step(root, first, rest, value, wrong, _joint(root))
    else:
        keys = ("name", "seed", "source", "streams", "steps")
        nearest = did_you_mean(first.name, keys)
        wrong.append(first.spot.mistake(f"a recipe has no `{first.name}`{nearest}", f"a recipe has: {', '.join(keys)}"))


def _set_stream(root: Node, first: Part, rest: list[Part], value: Node, wrong: list[Mistake]) -> None:
    entry = _child(root, "streams")
    if entry is None or not isinstance(entry.value, dict):
        wrong.append(first.spot.mistake("this recipe has no streams: write `source.…` or `steps.…`"))
        return
    if not rest:
        wrong.append(first.spot.mistake("say which stream: `streams.NAME.…`", _streams_hint(root)))
        return
    name, *below = rest
    stream = _child(entry, name.name)
    if stream is None:
        nearest = did_you_mean(name.name, entry.value)
        wrong.append(name.spot.mistake(f"no stream `{name.name}`{nearest}", _streams_hint(root)))
    elif not below or below[0].name not in ("source", "steps"):
        at = below[0] if below else name
        nearest = did_you_mean(at.name, ("source", "steps")) if below else ""
        wrong.append(at.spot.mistake(f"a stream has `source` and `steps`{nearest}"))
    elif isinstance(stream.value, dict) and below[0].name == "source":
        _set_source(stream, below[0], below[1:], value, wrong)
    elif isinstance(stream.value, dict):
        _set_step(stream, below[0], below[1:], value, wrong)


def _streams_hint(root: Node) -> str:
    streams = _child(root, "streams")
    return f"streams: {', '.join(streams.value)}" if streams is not None and isinstance(streams.value, dict) else ""


def _set_source(owner: Node, at: Part, rest: list[Part], value: Node, wrong: list[Mistake]) -> None:
    assert isinstance(owner.value, dict)
    if not rest:
        owner.value["source"] = Entry(at.spot, value)
        return
    kind, *below = rest
    source = _child(owner, "source")
    if source is None or _op(source) != kind.name:
        source = Node({kind.name: Entry(kind.spot, Node({}, kind.spot))}, kind.spot)
        owner.value["source"] = Entry(at.spot, source)
    _set_parameter(source, kind, below, value, wrong)


def _set_step(
    owner: Node, at: Part, rest: list[Part], value: Node, wrong: list[Mistake], before: Counter[str] | None = None
) -> None:
    assert isinstance(owner.value, dict)
    if not rest:
        owner.value["steps"] = Entry(at.spot, value)
        return
    steps = _child(owner, "steps")
    found = steps.value if steps is not None and isinstance(steps.value, list) else []
    names = numbered((_op(step) for step in found), before)
    name, *below = rest
    if name.name in names:
        step = found[names.index(name.name)]
    elif re.fullmatch("[0-9]{1,6}", name.name) and 1 <= int(name.name) <= len(found):
        step = found[int(name.name) - 1]
    else:
        hint = f"steps, counted from 1: {', '.join(filter(None, names))}" if names else "there are no steps"
        wrong.append(name.spot.mistake(f"no step `{name.name}`{did_you_mean(name.name, names)}", hint))
        return
    _set_parameter(step, name, below, value, wrong)


def _joint(root: Node) -> Counter[str]:
    streams = _child(root, "streams")
    if streams is None or not isinstance(streams.value, dict):
        return Counter()
    return most_uses(uses(entry.node) for entry in streams.value.values())


def _set_parameter(use: Node, at: Part, below: list[Part], value: Node, wrong: list[Mistake]) -> None:
    """Sets a parameter of a step or source, or all of them."""
    if isinstance(use.value, str):
        use.value = {use.value: Entry(use.spot, Node({}, use.spot))}
    if not isinstance(use.value, dict) or len(use.value) != 1:
        return
    (name, entry), *_ = use.value.items()
    if not below:
        use.value[name] = Entry(entry.key, value)
        return
    parameters = entry.node
    if parameters.value is None:
        parameters.value = {}
    for part in below[:-1]:
        parameters = _below(parameters, at, part, wrong)
        at = part
        if parameters is None:
            return
    last = below[-1]
    if not isinstance(parameters.value, dict):
        wrong.append(last.spot.mistake(f"`{at.name}` is {parameters.told()} and has nothing below it"))
        return
    parameters.value[last.name] = Entry(last.spot, value)


def _below(parent: Node, at: Part, part: Part, wrong: list[Mistake]) -> Node | None:
    if not isinstance(parent.value, dict):
        wrong.append(part.spot.mistake(f"`{at.name}` is {parent.told()} and has nothing below it"))
        return None
    child = _child(parent, part.name)
    if child is None or child.value is None:
        child = Node({}, part.spot)
        parent.value[part.name] = Entry(part.spot, child)
    return child


def _child(node: Node, key: str) -> Node | None:
    entry = node.value.get(key) if isinstance(node.value, dict) else None
    return entry.node if entry is not None else None


def _op(step: Node) -> str:
    """The name of the op that a step or source uses; empty where it has no proper form."""
    if isinstance(step.value, str):
        return step.value
    if isinstance(step.value, dict) and len(step.value) == 1:
        return next(iter(step.value))
    return ""
