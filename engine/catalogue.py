"""The ops that recipes may name, found when they are asked for.

The source files of `ops/` and of outside packages are read for their class statements, which costs milliseconds; a
module is imported once one of its ops is wanted. So a recipe does not pay for the ops that it leaves out, and does not
fail with them: a module that cannot be imported is told by name. An outside package lists itself in the entry-point
group `engine.ops`, by a module, a package of modules or one class (`package.module:Class`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from typing import TypeGuard

import pyarrow as pa

from engine.errors import CatalogueError
from engine.op import Measure, Op, snake_case

PACKAGES = ("ops", "model.ops")
"""The modules and packages of this project that hold ops."""
GROUP = "engine.ops"
"""The entry-point group in which outside packages list theirs."""

_CLASS = re.compile(r"^class\s+([A-Za-z]\w*)\s*\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Listed:
    """A class that may be an op: nothing of it has been imported yet."""

    module: str
    attribute: str
    parents: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return snake_case(self.attribute)


def op(name: str) -> type[Op]:
    """The op of this name; a CatalogueError tells the nearest one, that a module is broken, or that two ops clash."""
    listed = _listed().get(name, ())
    found = _load(listed)
    if len(found) > 1:
        modules = " and ".join(f"`{c.__module__}`" for c in found)
        raise CatalogueError(f"two ops are called `{name}`, in {modules}; rename one of them")
    if found:
        return found[0]
    for module in dict.fromkeys(entry.module for entry in listed):
        if module in _broken():
            raise CatalogueError(f"`{name}` cannot be used: {_broken()[module]}")
    close = _close(name)
    raise CatalogueError(f"no op `{name}`" + (f"; did you mean `{close}`?" if close else ""), True, close)


def kind(op: type[Op]) -> str:
    """`source`, `map`, `filter`, `measure`, ...: what an op is called in the catalogue."""
    return "measure" if issubclass(op, Measure) else op.kind()


def names(of: str | None = None) -> list[str]:
    """The names that recipes may use, sorted; those of one kind if it is given."""
    return [c.name() for c in all_ops() if (kind(c) == of if of else not issubclass(c, Measure))]


def all_ops() -> list[type[Op]]:
    """Every op and measure that can be imported, by name; of two with one name, both."""
    return [found for _, listed in sorted(_listed().items()) for found in _load(listed)]


def measures() -> dict[str, type[Measure]]:
    """For each column that a measure writes, that measure."""
    by_column: dict[str, type[Measure]] = {}
    entries = [e for listed in _listed().values() for e in listed if not e.parents or "Measure" in e.parents]
    for measure in _load(sorted(entries)):
        if not issubclass(measure, Measure):
            continue
        for column in measure.contract.writes:
            other = by_column.setdefault(column, measure)
            if other is not measure:
                raise CatalogueError(
                    f"two measures write `{column}`: {other.__module__}.{other.__name__} and "
                    f"{measure.__module__}.{measure.__name__}"
                )
    return by_column


def written(op: Op | type[Op]) -> dict[str, pa.DataType]:
    """The columns that documents have after this op and did not need to have before, with their types."""
    if op.kind() != "global":
        return dict(op.contract.writes)
    # What a global op writes beside its sketch is its rule's.
    rule = getattr(op, "rule", None)
    return dict(rule.contract.writes) if rule else {}


def writers(column: str) -> list[str]:
    """The names of the ops that write a column; measures, which no recipe names, are left out."""
    return [c.name() for c in all_ops() if column in written(c) and not issubclass(c, Measure)]


def broken() -> dict[str, str]:
    """For each module that should hold ops and does not import, what is wrong with it."""
    all_ops()
    return dict(_broken())


def refresh() -> None:
    """Forgets what was found, so that ops written or installed since are found too."""
    importlib.invalidate_caches()
    _listed.cache_clear()
    _broken.cache_clear()


# --- finding without importing ------------------------------------------------------------------------------------


@cache
def _listed() -> dict[str, tuple[Listed, ...]]:
    entries: set[Listed] = set()
    for module in PACKAGES:
        entries.update(_in_module(module))
    for point in entry_points(group=GROUP):
        try:
            entries.update([Listed(point.module, point.attr)] if point.attr else _in_module(point.module, outside=True))
        except Exception as error:  # whatever another package has wrong is no reason to refuse all recipes
            told = f"the entry point `{point.name} = {point.value}` leads nowhere"
            _broken()[point.value] = f"{told}: {type(error).__name__}: {error}"
    by_name: dict[str, tuple[Listed, ...]] = {}
    for entry in sorted(entries):
        by_name[entry.name] = (*by_name.get(entry.name, ()), entry)
    return by_name


@cache
def _broken() -> dict[str, str]:
    """What is wrong with each module that did not import; filled as modules are imported."""
    return {}


def _in_module(name: str, outside: bool = False) -> Iterator[Listed]:
    """The classes of a module, and of the modules of a package."""
    spec = _find(name)
    if spec is None:
        if outside:
            _broken()[name] = f"`{name}` is listed as holding ops, but there is no such module"
        return
    yield from _classes(spec)
    for info in pkgutil.iter_modules(list(spec.submodule_search_locations or ())):
        below = info.module_finder.find_spec(f"{name}.{info.name}", None)
        if below is not None:
            yield from _classes(below)


def _find(name: str) -> ModuleSpec | None:
    """Where a module lies; unlike `importlib.util.find_spec` it imports no parent."""
    spec, path = None, None
    parts = name.split(".")
    for n in range(len(parts)):
        finders = (f for f in sys.meta_path if hasattr(f, "find_spec"))
        try:
            spec = next(filter(None, (f.find_spec(".".join(parts[: n + 1]), path) for f in finders)), None)
        except KeyError:
            # A namespace package within another tells its path only once the outer one is imported.
            return importlib.util.find_spec(name)
        if spec is None:
            return None
        path = spec.submodule_search_locations or []
    return spec


def _classes(spec: ModuleSpec) -> Iterator[Listed]:
    source = None
    if isinstance(spec.loader, InspectLoader):
        try:
            source = spec.loader.get_source(spec.name)
        except ImportError as error:
            _broken()[spec.name] = f"`{spec.name}` cannot be read: {error}"
            return
    if source is not None:
        for attribute, parents in _CLASS.findall(source):
            words = tuple(re.findall(r"\w+", parents))
            yield Listed(spec.name, attribute, words)
    elif spec.loader is not None:
        # Compiled modules show their classes only once they are imported.
        values = getattr(_import(spec.name), "__dict__", {})
        yield from (Listed(spec.name, n) for n, c in values.items() if _is_op(c) and c.__module__ == spec.name)


# --- importing ----------------------------------------------------------------------------------------------------


def _import(name: str) -> object:
    """The module, or None if it does not import, of which `_broken` then says why."""
    if name in _broken():
        return None
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the module does as it is imported
        _broken()[name] = f"`{name}` does not import: {type(error).__name__}: {error}"
        return None


def _is_op(value: object) -> TypeGuard[type[Op]]:
    """Whether this is a finished op, rather than a kind of op or something else."""
    if not (isinstance(value, type) and issubclass(value, Op)) or inspect.isabstract(value):
        return False
    return Op not in value.__bases__ and not value.__name__.startswith("_")


def _load(entries: Iterable[Listed]) -> list[type[Op]]:
    found: dict[type[Op], None] = {}
    for entry in entries:
        value = getattr(_import(entry.module), entry.attribute, None)
        if _is_op(value):
            found[value] = None
    return list(found)


def _close(name: str) -> str | None:
    """The nearest name that leads to an op: only the modules of near names are imported to find out."""
    for close in difflib.get_close_matches(name, list(_listed()), n=5, cutoff=0.6):
        found = _load(_listed()[close])
        if len(found) == 1 and not issubclass(found[0], Measure):
            return close
    return None
