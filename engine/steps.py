"""The steps and sources of a recipe: whether each is an op, has the right parameters, and may stand where it does."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from engine import catalogue
from engine.errors import CatalogueError, EngineError, Mistake, did_you_mean, nearest
from engine.marked_yaml import Node, Spot
from engine.op import Op, parameter_names
from engine.settings import numbered

STREAM = "documents"
"""The name of the only stream of a recipe that has no `streams`."""


@dataclass(frozen=True)
class Use:
    """An op where a recipe uses it."""

    name: str
    key: Spot
    """Where its name stands."""
    cls: type[Op] | None
    """The op, or that of the nearest name if there is none; None if nothing is known about it."""
    op: Op | None = None
    """The op with its parameters, or None if something is wrong with them."""


def check_source(node: Node, wrong: list[Mistake], unset: list[str] | None = None) -> Use | None:
    """The source that a node names, or None if it has no such form.

    Parameters that it needs and lacks are mistakes, or else are named in `unset`.
    """
    form = _form(node, "a source", wrong)
    if form is None:
        return None
    name, key, parameters = form
    try:
        cls = catalogue.op(name)
    except CatalogueError as error:
        sources = catalogue.names("source")
        message = f"no source `{name}`{did_you_mean(name, sources)}" if error.unknown else str(error)
        wrong.append(key.mistake(message, f"sources: {', '.join(sources)}" if error.unknown else ""))
        return Use(name, key, None)
    kind = catalogue.kind(cls)
    if kind != "source":
        message = f"`{name}` is a {kind}{' op' if kind == 'global' else ''}, not a source"
        wrong.append(key.mistake(message, f"sources: {', '.join(catalogue.names('source'))}"))
        return Use(name, key, None)
    return Use(name, key, cls, _op(cls, key, parameters, wrong, unset))


def check_steps(node: Node, wrong: list[Mistake], jobs: bool, before: Counter[str] | None = None) -> list[Use]:
    """The steps that a node lists; jobs may stand at their end if `jobs` says so.

    `before` counts the uses of each op in earlier steps.
    """
    if not isinstance(node.value, list):
        wrong.append(node.spot.mistake(f"`steps` is a list, each step behind a `- `, not {node.told()}"))
        return []
    forms = [_form(item, "a step", wrong) for item in node.value]
    names = numbered((form[0] if form else "" for form in forms), before)
    uses = [_step(name, *form, wrong) for name, form in zip(names, forms, strict=True) if form]
    _check_jobs(uses, jobs, wrong)
    return uses


def _step(name: str, op: str, key: Spot, parameters: Node | None, wrong: list[Mistake]) -> Use:
    try:
        cls = catalogue.op(op)
    except CatalogueError as error:
        wrong.append(key.mistake(str(error), "`engine ops` lists them" if error.unknown and not error.near else ""))
        return Use(name, key, catalogue.op(error.near) if error.near else None)
    kind = catalogue.kind(cls)
    if kind == "source":
        wrong.append(key.mistake(f"`{op}` is a source: it stands under `source:`, not among the steps"))
    elif kind == "measure":
        message = f"`{op}` is a measure: the engine puts it in where a step reads its columns"
        wrong.append(key.mistake(message, "leave this step out"))
    else:
        return Use(name, key, cls, _op(cls, key, parameters, wrong))
    return Use(name, key, cls)


def _check_jobs(uses: list[Use], jobs: bool, wrong: list[Mistake]) -> None:
    last = max((n for n, use in enumerate(uses) if use.cls and not _is_job(use)), default=-1)
    for n, use in enumerate(uses):
        if not _is_job(use):
            continue
        if not jobs:
            message = f"`{use.name}` is a job: it runs once, on what all streams leave"
            wrong.append(use.key.mistake(message, "put it at the end of the recipe's own `steps`"))
        elif n < last:
            message = f"`{use.name}` is a job: it runs once, after all steps that work on documents"
            wrong.append(use.key.mistake(message, f"put it below `{uses[last].name}`"))


def _is_job(use: Use) -> bool:
    return use.cls is not None and catalogue.kind(use.cls) == "job"


# --- the form of a step -------------------------------------------------------------------------------------------


def _form(node: Node, what: str, wrong: list[Mistake]) -> tuple[str, Spot, Node | None] | None:
    """Name, its place and parameters of a step or source, which is a name, or a name with parameters."""
    if isinstance(node.value, str):
        return node.value, node.spot, None
    if not isinstance(node.value, dict) or not node.value:
        told = "an empty map" if node.value == {} else node.told()
        wrong.append(node.spot.mistake(f"{what} is an op's name, or a name with its parameters, not {told}"))
        return None
    (name, entry), *others = node.value.items()
    if others:
        keys = ", ".join(f"`{key}`" for key in node.value)
        hint = (
            f"indent the parameters below `{name}:`" if entry.node.value is None else f"give {what} an entry of its own"
        )
        wrong.append(others[0][1].key.mistake(f"{what} is one op, and here are {len(node.value)} keys: {keys}", hint))
        return None
    if isinstance(entry.node.value, dict):
        return name, entry.key, entry.node
    if entry.node.value is None:
        message, hint = f"nothing follows `{name}:`", f"without parameters, write `{name}` alone"
    else:
        message, hint = f"the parameters of `{name}` are a map, not {entry.node.told()}", _takes_of(name)
    wrong.append((entry.key if entry.node.value is None else entry.node.spot).mistake(message, hint))
    return name, entry.key, None


def _takes_of(name: str) -> str:
    try:
        return _takes(catalogue.op(name))
    except CatalogueError:
        return ""


def _takes(cls: type[Op]) -> str:
    names = parameter_names(cls)
    return f"{cls.name()} takes: {', '.join(names)}" if names else f"{cls.name()} takes no parameters"


# --- parameters ---------------------------------------------------------------------------------------------------

_SAID = {
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "string_type": "should be a text",
    "bool_type": "should be true or false",
    "none_required": "should be null",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "should be a list"),
    **dict.fromkeys(("dict_type", "model_type", "mapping_type", "dataclass_type"), "should be a map"),
    **dict.fromkeys(
        ("byte_size", "byte_size_unit"), "should be a number of bytes, or one with a unit such as `1GB` or `256 MiB`"
    ),
}
"""What pydantic's kinds of errors are called in recipes, where its own words are Python's."""
_PYDANTIC = ("Input", "String", "List", "Tuple", "Set", "Frozenset", "Dictionary", "Value", "URL", "Data")
"""Words that begin pydantic's own messages."""


def _op(
    cls: type[Op], key: Spot, parameters: Node | None, wrong: list[Mistake], unset: list[str] | None = None
) -> Op | None:
    """The op with these parameters, or None if they are not right, which `wrong` or `unset` then says."""
    given = Node(parameters.value if parameters is not None else {}, key)
    try:
        # The strictness of JSON: a text is no number, but a list may be a tuple and a text a path.
        return cls.model_validate_json(json.dumps(given.plain()), strict=True)
    except ValidationError as error:
        wrong += _mistakes(cls, given, error, unset)
    except OSError as error:  # of a validator that looks for a file
        told = f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
        wrong.append(key.mistake(f"{cls.name()}: {told}", _takes(cls)))
    except EngineError as error:
        wrong.append(key.mistake(str(error), _takes(cls)))
    return None


def _mistakes(cls: type[Op], parameters: Node, error: ValidationError, unset: list[str] | None) -> Iterator[Mistake]:
    """What pydantic found: a mistake for each value, told by those branches of a union that got furthest."""
    errors = error.errors(include_url=False)
    walks = [_walk(parameters, found["loc"]) for found in errors]
    inner = {id(node) for nodes, _ in walks for node in nodes[:-1]}
    unknown = [found["loc"] for found in errors if found["type"] == "extra_forbidden"]
    meant = {nearest(str(loc[0]), parameter_names(cls)) for loc in unknown if len(loc) == 1}
    said: dict[int, tuple[Node, str, list[str]]] = {}
    for found, (nodes, path) in zip(errors, walks, strict=True):
        where = ".".join([cls.name(), *path])
        if found["type"] == "missing":
            if unset is not None and not nodes[1:]:
                unset.append(str(found["loc"][-1]))
            elif nodes[1:] or found["loc"][-1] not in meant:
                yield nodes[-1].spot.mistake(f"{where} needs the parameter `{found['loc'][-1]}`", _takes(cls))
        elif found["type"] == "extra_forbidden" or found["loc"][-1:] == ("[key]",):
            yield _key(nodes[-2], path[-1]).mistake(_about_key(cls, found, path), _takes(cls))
        elif id(nodes[-1]) not in inner:
            said.setdefault(id(nodes[-1]), (nodes[-1], where, []))[2].append(_told(found))
    for node, where, told in said.values():
        first, *others = dict.fromkeys(told)
        message = " or ".join([first, *(other.removeprefix("input should be ") for other in others)])
        if node is not parameters and message.startswith("input should"):
            message += f", not {node.told()}{_near(node, first)}"
        yield node.spot.mistake(f"{where}: {message}", _takes(cls))


def _near(node: Node, told: str) -> str:
    return did_you_mean(node.value, re.findall(r"'([^']*)'", told)) if isinstance(node.value, str) else ""


def _walk(parameters: Node, location: tuple[int | str, ...]) -> tuple[list[Node], list[str]]:
    """The values on the way to an error, and the keys; what is no key is the name of a union's branch."""
    nodes, path = [parameters], []
    for part in location:
        here = nodes[-1].value
        if isinstance(here, dict) and str(part) in here:
            nodes.append(here[str(part)].node)
            path.append(str(part))
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            nodes.append(here[part])
    return nodes, path


def _key(node: Node, name: str) -> Spot:
    return node.value[name].key if isinstance(node.value, dict) else node.spot


def _about_key(cls: type[Op], found: Any, path: list[str]) -> str:
    where = ".".join([cls.name(), *path[:-1]])
    if found["type"] != "extra_forbidden":
        return f"{where}: the key `{path[-1]}`: {_told(found)}"
    near = did_you_mean(path[-1], parameter_names(cls)) if len(path) == 1 else ""
    return f"{where} has no parameter `{path[-1]}`{near}"


def _told(found: Any) -> str:
    if found["type"] in _SAID:
        return f"input {_SAID[found['type']]}"
    told = found["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return told[:1].lower() + told[1:] if told.split(" ")[0] in _PYDANTIC else told
