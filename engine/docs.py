"""The catalogue's pages and the editors' schema of recipes, written from the ops themselves.

`python -m engine.docs` writes `docs/ops/*.md` and `docs/recipe.schema.json`; with `--check` it names those that are
stale and fails.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic_core import to_jsonable_python

from engine import catalogue
from engine.errors import Mistake
from engine.marked_yaml import Text, flow, parse
from engine.op import Op
from engine.recipe import KEYS, LARGEST_SEED, NAME, STREAM_KEYS, STREAM_NAME
from engine.schema import DOCUMENT
from engine.steps import check_source, check_steps

KINDS = ("source", "filter", "map", "global", "gather", "job", "measure")
"""The kinds of ops, in the order of the index."""
SIZE = r"^\s*\d*\.?\d+\s*([kKmMgGtTpPeE]?([iI]?[bB]([iI][tT])?)?)?\s*$"
"""Sizes such as `1GB`, which pydantic's own schema leaves open behind the number."""

_SECTION = re.compile(r"^(Examples?|References?):[ \t]*\n((?:[ \t]+.*(?:\n|\Z)|[ \t]*\n)*)", re.MULTILINE)
_SENTENCE = re.compile(r"(.+?[.!?])(?=\s|\Z)", re.DOTALL)


def summary(op: type[Op]) -> str:
    """The first sentence of an op's docstring, in one line."""
    return _told(op)[0]


def example(op: type[Op]) -> str:
    """The YAML of an op's Example as it stands in a recipe, or an empty text."""
    yaml = _told(op)[2]
    return yaml.replace("- ", "source:\n  ", 1) if yaml.startswith("- ") and catalogue.kind(op) == "source" else yaml


def page(op: type[Op]) -> str:
    """An op's page as Markdown: what it does, its parameters, columns and reasons, an example, where it comes from."""
    first, body, _, reference = _told(op)
    where = op.__module__.replace(".", "/") + ".py"
    parts = [f"# {op.name()}", f"*{catalogue.kind(op)}* · `{where}` · version {op.version}", first, body]
    measured = {} if set(op.contract.reads) <= set(DOCUMENT.names) else catalogue.measures()
    columns = []
    for name, kind in op.contract.reads.items():
        by = f", measured by `{measured[name].name()}`" if name in measured else ""
        columns.append(["reads", f"`{name}`", _column(kind) + by])
    columns += [["writes", f"`{name}`", _column(kind)] for name, kind in catalogue.written(op).items()]
    parts.append(_table(["", "column", "holds"], columns))
    parts.append(_table(["parameter", "takes", "default", ""], _parameters(op)))
    if reasons := (*op.contract.reasons, *getattr(op, "reasons", ())):
        parts.append("Drops for " + ", ".join(f"`{reason}`" for reason in reasons) + ".")
    if op.resources.gpus:
        parts.append(f"Runs on {op.resources.gpus:g} GPU.")
    parts += [f"```yaml\n{yaml}\n```" if (yaml := example(op)) else "", f"Reference: {reference}" if reference else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def index(ops: Iterable[type[Op]]) -> str:
    """The page that lists the ops, by kind."""
    parts = ["# Ops", "Written from the ops by `python -m engine.docs`; `engine ops NAME` prints the same pages."]
    ops = list(ops)
    for kind in KINDS:
        of_kind = [op for op in ops if catalogue.kind(op) == kind]
        if kind == "measure":
            rows = [[_link(op), ", ".join(f"`{c}`" for c in op.contract.writes), summary(op)] for op in of_kind]
            intro = "The engine takes these by itself where a step reads their columns; no recipe names them."
            table = f"{intro}\n\n{_table(['measure', 'columns', ''], rows)}"
        else:
            table = _table([kind, ""], [[_link(op), summary(op)] for op in of_kind])
        parts += [f"## {kind.capitalize()}{' ops' if kind == 'global' else 's'}", table] if of_kind else []
    return "\n\n".join(parts) + "\n"


def flaws(op: type[Op]) -> list[str]:
    """What an op's page lacks: a first sentence, one for each parameter, an Example that is a proper use of the op."""
    told = [] if summary(op) else ["has no docstring"]
    told += [
        f"its parameter `{name}` has no docstring" for name, field in op.model_fields.items() if not field.description
    ]
    if catalogue.kind(op) != "measure":
        told += _flaws_of_example(op)
    return [f"{op.name()} {flaw}" for flaw in told]


def _flaws_of_example(op: type[Op]) -> list[str]:
    wrong: list[Mistake] = []
    node = parse(Text(f"Example of {op.name()}", example(op)), wrong)
    if node is None:
        return [str(mistake) for mistake in wrong] or ["has no Example"]
    if catalogue.kind(op) == "source" and isinstance(node.value, dict) and list(node.value) == ["source"]:
        uses = [check_source(node.value["source"].node, wrong)]
    else:
        uses = check_steps(node, wrong, jobs=True)
    if not wrong and [use.cls for use in uses if use] != [op]:
        return ["has an Example that is not one use of it"]
    return [f"has a wrong Example\n{mistake}" for mistake in wrong]


# --- the schema of recipes ----------------------------------------------------------------------------------------


def schema(ops: Iterable[type[Op]]) -> dict[str, Any]:
    """The JSON schema of recipes that use these ops: completion and red underlines in editors.

    It refuses what `engine.recipe` refuses, but for the order of jobs and for columns that no earlier step writes.
    """
    definitions: dict[str, Any] = {}
    kinds: dict[str, list[type[Op]]] = {"source": [], "step": [], "job": []}
    for op in ops:
        kind = catalogue.kind(op)
        if kind != "measure":
            kinds.setdefault(kind if kind in kinds else "step", []).append(op)
            definitions |= _definitions(op)
    definitions["source"] = _one_of(kinds["source"])
    definitions["step"] = _one_of(kinds["step"])
    definitions["last"] = _one_of([*kinds["step"], *kinds["job"]])
    steps = {name: {"type": "array", "items": _ref(name), "description": KEYS["steps"]} for name in ("step", "last")}
    source = _ref("source") | {"description": KEYS["source"]}
    stream = {
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": source,
            "steps": steps["step"],
            "optional": {"type": "boolean", "description": STREAM_KEYS["optional"]},
        },
        "additionalProperties": False,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Recipe",
        "type": "object",
        "required": ["name"],
        "oneOf": [{"required": ["source"]}, {"required": ["streams"]}],
        "properties": {
            "name": {"type": "string", "pattern": f"^{NAME}$", "description": KEYS["name"]},
            "seed": {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED, "description": KEYS["seed"]},
            "source": source,
            "streams": {
                "type": "object",
                "minProperties": 1,
                "patternProperties": {f"^{STREAM_NAME}$": stream},
                "additionalProperties": False,
                "description": KEYS["streams"],
            },
            "steps": steps["last"],
        },
        "additionalProperties": False,
        "definitions": definitions,
    }


def _ref(name: str) -> dict[str, Any]:
    return {"allOf": [{"$ref": f"#/definitions/{name}"}]}


def _one_of(ops: Sequence[type[Op]]) -> dict[str, Any]:
    """An op's name, or the name with its parameters."""
    bare = [op for op in ops if not any(f.is_required() for f in op.model_fields.values())]
    return {
        "anyOf": [
            {
                "type": "string",
                "enum": [op.name() for op in bare],
                "enumDescriptions": [summary(op) for op in bare],
            },
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {op.name(): _ref(f"op.{op.name()}") | {"description": summary(op)} for op in ops},
            },
        ]
    }


def _definitions(op: type[Op]) -> dict[str, Any]:
    """The schema of an op's parameters, and those of the types that they use."""
    own = op.model_json_schema(ref_template=f"#/definitions/{op.name()}.{{model}}")
    inner = {f"{op.name()}.{name}": value for name, value in own.pop("$defs", {}).items()}
    own["description"] = summary(op)
    return {name: _plain(value) for name, value in {f"op.{op.name()}": own, **inner}.items()}


def _plain(value: Any, names: bool = False) -> Any:
    """A schema without titles, which repeat the names, and with sizes closed behind their unit.

    `names` says that the keys are the names of parameters.
    """
    if isinstance(value, dict):
        size = value.get("type") == "string" and str(value.get("pattern", "")).startswith(r"^\s*(\d*\.?\d+)")
        kept = {k: v for k, v in value.items() if names or k != "title" or not isinstance(v, str)}
        plain = {k: v if k in ("default", "enum") else _plain(v, k == "properties") for k, v in kept.items()}
        return {**plain, "pattern": SIZE} if size else plain
    return [_plain(item) for item in value] if isinstance(value, list) else value


# --- what a page says ---------------------------------------------------------------------------------------------


def _told(op: type[Op]) -> tuple[str, str, str, str]:
    """First sentence, the rest, example and reference of an op's docstring."""
    text = inspect.cleandoc(op.__dict__.get("__doc__") or "")
    found = {name[:7].lower(): textwrap.dedent(block).strip() for name, block in _SECTION.findall(text + "\n")}
    body = _SECTION.sub("", text + "\n").strip()
    first = _SENTENCE.match(body.split("\n\n")[0])
    rest = body[first.end() :].strip() if first else ""
    return " ".join((first[0] if first else body).split()), rest, found.get("example", ""), found.get("referen", "")


def _parameters(op: type[Op]) -> list[list[str]]:
    own = op.model_json_schema()
    rows = []
    for name, field in op.model_fields.items():
        default = "needed"
        if not field.is_required():
            default = f"`{flow(to_jsonable_python(field.get_default(call_default_factory=True)))}`"
        takes = _takes(own["properties"][name], own.get("$defs", {}))
        rows.append([f"`{name}`", takes, default, " ".join((field.description or "").split())])
    return rows


def _takes(kind: dict[str, Any], named: dict[str, Any]) -> str:
    """A JSON schema in words: `integer > 0`, `list of text`, `` `a` or `b` ``."""
    if "$ref" in kind:
        return _takes(named[kind["$ref"].rpartition("/")[2]], named)
    if "anyOf" in kind:
        if any(str(branch.get("pattern", "")).startswith(r"^\s*(\d*\.?\d+)") for branch in kind["anyOf"]):
            return "bytes, or a size such as `1GB`"
        return " or ".join(dict.fromkeys(_takes(branch, named) for branch in kind["anyOf"]))
    if "enum" in kind or "const" in kind:
        *others, last = [f"`{value}`" for value in kind.get("enum", [kind.get("const")])]
        return f"{', '.join(others)} or {last}" if others else last
    of = kind.get("type")
    if of == "array":
        return f"list of {_takes(kind['items'], named)}" if "items" in kind else "list"
    if of == "object":
        values = kind.get("additionalProperties")
        if isinstance(values, dict):
            return f"map from text to {_takes(values, named)}"
        if patterns := kind.get("patternProperties"):
            return " or ".join(f"map from text like `{p}` to {_takes(v, named)}" for p, v in patterns.items())
        return f"map of {', '.join(f'`{name}`' for name in kind.get('properties', {}))}".removesuffix(" of ")
    words = {"string": "text", "boolean": "`true` or `false`", "null": "`null`"}
    bounds = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    told = [f"{sign} {kind[bound]}" for bound, sign in bounds.items() if bound in kind]
    return f"{words.get(of, of) if of else 'anything'} {' and '.join(told)}".strip()


def _column(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_column(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"map of {', '.join(f'`{field.name}`' for field in kind)}"
    words = {"large_string": "text", "int64": "integer", "double": "number", "bool": "flag", "large_binary": "bytes"}
    return words.get(str(kind), str(kind))


def _link(op: type[Op]) -> str:
    return f"[`{op.name()}`]({op.name()}.md)"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is also read well as plain text; an empty text without rows."""
    if not rows:
        return ""
    cells = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    widths[-1] = len(head[-1])
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


# --- files --------------------------------------------------------------------------------------------------------


def files(ops: Iterable[type[Op]]) -> dict[str, str]:
    """The written files by their path below `docs/`."""
    ops = sorted(ops, key=lambda op: op.name())
    pages = {f"ops/{op.name()}.md": page(op) for op in ops}
    written = json.dumps(schema(ops), indent=1, ensure_ascii=False) + "\n"
    return {"ops/index.md": index(ops), **pages, "recipe.schema.json": written}


def stale(folder: Path, ops: Iterable[type[Op]]) -> list[str]:
    """The files below a folder that are not as they would be written, and pages of ops that are no more."""
    wanted = files(ops)
    old = [p for name in wanted if not (p := folder / name).is_file() or p.read_text("utf-8") != wanted[name]]
    gone = [p for p in sorted((folder / "ops").glob("*.md")) if f"ops/{p.name}" not in wanted]
    return [str(p) for p in [*old, *gone]]


def write(folder: Path, ops: Iterable[type[Op]]) -> list[str]:
    """Writes the files below a folder and removes pages of ops that are no more; those that changed."""
    wanted, changed = files(ops := list(ops)), stale(folder, ops)
    for path in map(Path, changed):
        name = path.relative_to(folder).as_posix()
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], "utf-8")
        else:
            path.unlink()
    return changed


def own_ops() -> list[type[Op]]:
    """The ops of this project, without those of outside packages."""
    return [
        op for op in catalogue.all_ops() if f"{op.__module__}.".startswith(tuple(f"{p}." for p in catalogue.PACKAGES))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the pages and the schema, or checks them."""
    parser = argparse.ArgumentParser(prog="python -m engine.docs", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="the folder (default: docs)")
    given = parser.parse_args(arguments)
    if broken := catalogue.broken():
        sys.exit("\n".join(broken.values()))
    ops = own_ops()
    problems = [flaw for op in ops for flaw in flaws(op)]
    if given.check:
        problems += [f"{path} is stale: run `python -m engine.docs`" for path in stale(given.to, ops)]
    else:
        write(given.to, ops)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
