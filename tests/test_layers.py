"""Dependencies point one way (docs/architecture.md): an arrow that points up fails here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    {"errors", "memory", "schema"},
    {"columns", "shown", "simd", "storage"},
    {"as_run", "bpe", "digest", "figures", "merges", "pretokens", "text_diff", "token_shards", "tokenizer"},
    {"op", "lock", "trace"},
    {"catalogue", "compiling", "gathering", "marked_yaml", "pool", "stage"},
    {"reads", "receipt", "roll", "samples", "settings", "sketches", "steps"},
    {"losses", "shard_files"},
    {"new_documents"},
    {"documents_again"},
    {"shard_run"},
    {"docs", "publish", "recipe"},
    {"plan", "report", "run", "story", "evidence", "html_report", "judging"},
    {"sought"},
    {"erasing"},
    {"forgetting"},
    {"estimate", "executor"},
    {"difference", "doctor", "notebook", "preview", "progress", "token_view", "whatif"},
    {"terminal"},
    {"cli"},
]
OPEN_TO_OPS = {"op", "schema", "columns", "digest", "simd", "storage", "errors"}
OPEN_TO_OPS |= {"as_run", "token_shards", "tokenizer", "trace"}
DOORS = {
    "ray": {"engine/pool.py", "model/train.py", "model/gang.py"},
    "yaml": {"engine/as_run.py", "engine/marked_yaml.py", "engine/recipe.py"},
    "fsspec": {"engine/storage.py", "ops/files.py", "ops/archives.py", "ops/hub.py"},
    "cyclopts": {"engine/cli.py"},
}
NAMELESS = {
    *("util", "utils", "helper", "helpers", "common", "base"),
    *("misc", "core", "manager", "handler", "processor", "factory"),
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def engine_parts(path: Path) -> set[str]:
    known = {p.stem for p in modules("engine")}
    return {name.split(".")[1] for name in imports(path) if name.startswith("engine.")} & known


@pytest.mark.parametrize("path", modules("engine"), ids=lambda p: p.name)
def test_the_engine_imports_lower_floors_only(path):
    floor = {name: n for n, names in enumerate(FLOORS) for name in names}
    if path.stem == "__init__":
        return
    assert path.stem in floor, f"{path.name} has no floor: give it one"
    up = {name for name in engine_parts(path) if floor[name] > floor[path.stem]}
    assert not up, f"{path.name} imports {up} from a floor above"


@pytest.mark.parametrize("path", modules("engine"), ids=lambda p: p.name)
def test_the_engine_knows_ops_and_models_by_name_only(path):
    assert not {n for n in imports(path) if n.split(".")[0] in ("ops", "model")}


@pytest.mark.parametrize("path", modules("ops"), ids=lambda p: p.name)
def test_ops_import_the_contract_and_no_machine(path):
    assert engine_parts(path) <= OPEN_TO_OPS
    assert not {n for n in imports(path) if n.split(".")[0] in ("ray", "torch", "model")}


@pytest.mark.parametrize("path", modules("model"), ids=lambda p: p.name)
def test_models_import_the_contract_and_no_ops(path):
    assert engine_parts(path) <= OPEN_TO_OPS
    assert not {n for n in imports(path) if n.split(".")[0] == "ops"}
    if path.name == "ops.py":
        top = {n for node in ast.parse(path.read_text()).body for n in _named(node)}
        assert "torch" not in {n.split(".")[0] for n in top}, "a recipe must plan where there is no torch"


def _named(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or ""} if isinstance(node, ast.ImportFrom) else set()


@pytest.mark.parametrize("thing", DOORS)
def test_each_outside_thing_has_its_doors(thing):
    users = {
        str(p.relative_to(ROOT))
        for package in ("engine", "ops", "model")
        for p in modules(package)
        if thing in {n.split(".")[0] for n in imports(p)}
    }
    assert users <= DOORS[thing]


def test_only_the_command_line_prints():
    for package in ("engine", "ops", "model"):
        for path in modules(package):
            if path.name in ("cli.py", "docs.py"):
                continue
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


def test_no_file_or_class_has_a_name_that_says_nothing():
    for package in ("engine", "ops", "model"):
        for path in modules(package):
            assert path.stem not in NAMELESS
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    words = set("".join(" " + c.lower() if c.isupper() else c for c in node.name).split())
                    assert not words & NAMELESS, f"{path.name}: {node.name}"


def test_the_command_line_starts_without_arrow_and_polars():
    top = {n for node in ast.parse((ROOT / "engine/cli.py").read_text()).body for n in _named(node)}
    assert not {n.split(".")[0] for n in top} & {"pyarrow", "polars", "numpy", "numba", "ray", "pydantic"}
