"""Pages and the editors' schema come from the ops, and the schema refuses what the engine refuses."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from recipe_texts import ALONE, BROAD, STREAMS, wrong

from engine import catalogue, docs
from engine.errors import RecipeError
from engine.marked_yaml import Node, Text, parse
from engine.op import Filter, Op
from engine.recipe import load, read

pytestmark = pytest.mark.usefixtures("sample_ops")


def sample() -> list[type[Op]]:
    return [op for op in catalogue.all_ops() if op.__module__.startswith("sample_ops.")]


# --- pages --------------------------------------------------------------------------------------------------------


def test_a_filters_page() -> None:
    assert docs.page(catalogue.op("line_length")) == textwrap.dedent("""\
        # line_length

        *filter* · `sample_ops/steps.py` · version 1

        Drop files whose lines are too long for code written by hand.

        Short lines stay.

        A line ends as `str.splitlines` has it.

        Two paragraphs.

        |       | column         | holds |
        |-------|----------------|-------|
        | reads | `longest_line` | integer, measured by `line_measures` |
        | reads | `mean_line`    | number, measured by `line_measures` |

        | parameter | takes       | default |  |
        |-----------|-------------|---------|--|
        | `longest` | integer > 0 | `1000`  | Characters that the longest line may have. |
        | `mean`    | number > 0  | `100`   | Characters that lines may have on average. |

        Drops for `longest_line`, `mean_line`.

        ```yaml
        - line_length: {longest: 1000, mean: 100}
        ```

        Reference: Li et al. 2023,
        https://arxiv.org/abs/2305.06161
        """)


def test_a_sources_a_global_ops_and_a_jobs_page() -> None:
    source, global_op, job = (docs.page(catalogue.op(name)) for name in ("parquet", "near_dedup", "pack"))
    assert "*source* · `sample_ops/sources.py` · version 1" in source and "Drops for `too_large`." in source
    assert "| `path`    | text              | needed  | Where the files lie. |" in source
    assert "*global* · `sample_ops/steps.py` · version 3" in global_op and "Drops for `near_duplicate`." in global_op
    assert "| writes" not in global_op
    assert "| reads | `content` | text  |" in global_op
    assert "Runs on 1 GPU." in job and "Runs on" not in global_op


def test_parameters_of_each_sort() -> None:
    rows = re.findall(r"^\| `(\w+)` +\| (.*?) +\| (\S.*?) +\| ", docs.page(catalogue.op("everything")), re.MULTILINE)
    assert {name: (takes, default) for name, takes, default in rows} == {
        "flag": ("`true` or `false`", "`false`"),
        "share": ("number ≥ 0 and ≤ 1", "`0.5`"),
        "count": ("integer", "`2`"),
        "against": ("text or list of text", "`[a]`"),
        "weights": ("map from text like `^[a-z]+$` to bytes, or a size such as `1GB`", "`{}`"),
        "rules": ("list of map of `at_most`, `word`", "`[]`"),
        "nothing": ("`null`", "`null`"),
        "limit": ("integer or number or `null`", "`null`"),
        "names": ("list of text", "`[]`"),
        "listed": ("text or `null`", "`null`"),
        "least": ("integer", "`0`"),
        "most": ("integer", "`9`"),
    }
    assert "| `sort`    | `mail` or `key` " in docs.page(catalogue.op("find_spans"))


def test_the_index_lists_every_op_under_its_kind() -> None:
    index = docs.index(sample())
    parts = dict(re.findall(r"^## (.*)\n\n((?:.+\n?|\n(?!##))*)", index, re.MULTILINE))
    assert list(parts) == ["Sources", "Filters", "Maps", "Global ops", "Jobs", "Measures"]
    assert "| [`redact`](redact.md)         | Replace spans. |" in parts["Maps"]
    assert "`longest_line`, `mean_line`" in parts["Measures"]
    assert all(f"[`{op.name()}`]({op.name()}.md)" in index for op in sample())


def test_summary_and_example() -> None:
    op = catalogue.op("line_length")
    assert docs.summary(op) == "Drop files whose lines are too long for code written by hand."
    assert docs.example(op) == "- line_length: {longest: 1000, mean: 100}"
    assert docs.example(catalogue.op("environment")) == "source:\n  environment"


# --- flaws --------------------------------------------------------------------------------------------------------


def test_the_samples_have_no_flaws() -> None:
    assert [flaw for op in sample() for flaw in docs.flaws(op)] == []


def flaws(doc: str | None) -> list[str]:
    line_length = catalogue.op("line_length")
    op = type("LineLength", (Filter,), {"drop": line_length.__dict__["drop"], "__doc__": doc, "__module__": "x"})
    op.model_fields.update(line_length.model_fields)
    return docs.flaws(op)


def test_flaws_are_named() -> None:
    assert docs.flaws(catalogue.all_ops()[-1]) == ["twin has no docstring", "twin has no Example"]
    assert flaws(None) == ["line_length has no docstring", "line_length has no Example"]
    assert flaws("Drop.\n\nExample:\n    - redact\n") == ["line_length has an Example that is not one use of it"]
    told = flaws("Drop.\n\nExample:\n    - line_length: {longst: 5}\n")
    assert len(told) == 1 and told[0].startswith("line_length has a wrong Example\nExample of line_length:1:17: ")
    assert flaws("Drop.\n\nExample:\n    - line_length: {\n")[0].startswith("line_length Example of line_length:1:")


# --- the schema ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema(sample_ops: None) -> jsonschema.Draft7Validator:
    schema = docs.schema(sample())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


GOOD = [
    STREAMS,
    ALONE,
    BROAD,
    "name: r\nsource: {parquet: {path: x, rows: null}}\nsteps: []\n",
    "name: r\nsource: environment\nsteps: [everything: {against: a, limit: 3, names: [a, b], nothing: null}]\n",
    "name: r\nsource: environment\nsteps: [find_spans: {largest: 5 mib}, everything: {weights: {a: 1e3, b: 1 TB}}]\n",
]


@pytest.mark.parametrize("text", GOOD)
def test_the_schema_takes_good_recipes(schema: jsonschema.Draft7Validator, text: str) -> None:
    assert read(text)
    node = parse(Text("r", text), [])
    assert isinstance(node, Node)
    schema.validate(node.plain())


UNSEEN = re.compile(
    "a job: it runs once, after|which no earlier step|is odd|least is above|no/such|the key `.*` stands here again"
)
"""What is no matter of form, and duplicate keys, which are gone where a schema looks."""


def mistakes(shown: str) -> list[str]:
    return [block.splitlines()[0] for block in shown.split("\n\n")]


def yaml_is_right(text: str) -> bool:
    found: list[Any] = []
    return parse(Text("r", text), found) is not None and not found


SEEN = [
    pytest.param(text, id=title)
    for title, text, settings, shown in wrong()
    # An editor shows mistakes of YAML by itself.
    if not settings and yaml_is_right(text) and not all(UNSEEN.search(m) for m in mistakes(shown))
]


@pytest.mark.parametrize("text", SEEN)
def test_the_schema_refuses_what_the_engine_refuses(schema: jsonschema.Draft7Validator, text: str) -> None:
    node = parse(Text("r", text), [])
    assert node is not None and list(schema.iter_errors(node.plain()))


def test_enough_wrong_recipes_reach_the_schema() -> None:
    assert len(SEEN) > 35


def test_the_schema_tells_what_ops_and_parameters_are(schema: jsonschema.Draft7Validator) -> None:
    definitions: dict[str, Any] = schema.schema["definitions"]  # pyright: ignore
    own = definitions["op.line_length"]
    assert own["description"] == "Drop files whose lines are too long for code written by hand."
    assert own["properties"]["mean"]["description"] == "Characters that lines\nmay have on average."
    bare, full = definitions["step"]["anyOf"]
    assert "few_spans" in bare["enum"] and "pack" not in bare["enum"]
    assert len(bare["enum"]) == len(bare["enumDescriptions"])
    assert set(full["properties"]) == {
        op.name() for op in sample() if docs.catalogue.kind(op) in ("filter", "map", "global")
    }
    assert "line_measures" not in json.dumps(schema.schema)


# --- files --------------------------------------------------------------------------------------------------------


def test_files_are_written_checked_and_removed(tmp_path: Path) -> None:
    ops = sample()
    wrote = docs.write(tmp_path, ops)
    assert len(wrote) == len(ops) + 2
    assert docs.stale(tmp_path, ops) == docs.write(tmp_path, ops) == []
    assert json.loads((tmp_path / "recipe.schema.json").read_text("utf-8")) == docs.schema(ops)
    (tmp_path / "ops/pack.md").write_text("old")
    (tmp_path / "ops/gone.md").write_text("old")
    (tmp_path / "ops/redact.md").unlink()
    gone = [str(tmp_path / "ops" / name) for name in ("pack.md", "redact.md", "gone.md")]
    assert docs.stale(tmp_path, ops) == gone == docs.write(tmp_path, ops)
    assert not (tmp_path / "ops/gone.md").exists() and docs.stale(tmp_path, ops) == []


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"`wrong_ops.wilted` does not import"):
        docs.main(["--check", "--to", str(tmp_path)])
    monkeypatch.setattr(catalogue, "broken", dict)
    monkeypatch.setattr(docs, "own_ops", sample)
    with pytest.raises(SystemExit) as told:
        docs.main(["--check", "--to", str(tmp_path)])
    assert f"{tmp_path}/ops/pack.md is stale: run `python -m engine.docs`" in str(told.value).splitlines()
    docs.main(["--to", str(tmp_path)])
    docs.main(["--check", "--to", str(tmp_path)])


def test_own_ops_are_those_of_the_projects_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert docs.own_ops() == []
    monkeypatch.setattr(catalogue, "PACKAGES", ("sample_ops.sources", "sample"))
    assert [op.name() for op in docs.own_ops()] == ["environment", "parquet"]


# --- the pages written by hand ------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


def test_write_an_op_is_followed_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "write-an-op.md").read_text("utf-8")
    blocks = re.findall(r"```(\w+) ?(\S*)\n(.*?)```", text, re.DOTALL)
    named = {name: body for _, name, body in blocks if name}
    assert {"my_ops/comments.py", "pyproject.toml", "r.yaml", "test_comments.py"} <= set(named)
    for name, body in named.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    import tomllib

    project = tomllib.loads(named["pyproject.toml"])
    info = tmp_path / "my_ops-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-ops\nVersion: 0.1\n")
    points = project["project"]["entry-points"]["engine.ops"]
    (info / "entry_points.txt").write_text("[engine.ops]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    monkeypatch.syspath_prepend(tmp_path)
    catalogue.refresh()
    found = load(str(tmp_path / "r.yaml"))
    op = found.streams[0].steps[0].op
    assert op.name() in text and docs.flaws(type(op)) == []
    told_apart = re.sub('""".*?"""', "", named["my_ops/comments.py"], flags=re.DOTALL)
    assert len([line for line in told_apart.splitlines() if line.strip()]) <= 10
    scope: dict[str, Any] = {}
    exec(compile(named["test_comments.py"], "test_comments.py", "exec"), scope)
    for name in [name for name in scope if name.startswith("test_")]:
        scope[name]()
    with pytest.raises(RecipeError) as told:
        load(str(tmp_path / "r.yaml"), ["steps.todo_comments.at_moost=3"])
    shown = next(body for kind, _, body in blocks if kind == "text")
    assert shown == f"$ engine plan r.yaml --set steps.todo_comments.at_moost=3\n{told.value}\n"
