"""A recipe that is right: what is read, how settings change it, and that it is written back as it was read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_texts import ALONE, STREAMS

from engine import marked_yaml, recipe
from engine.errors import Mistake, RecipeError
from engine.recipe import Recipe, dump, from_dict, load, read

pytestmark = pytest.mark.usefixtures("sample_ops")


def parameters(recipe: Recipe) -> dict[str, Any]:
    """Every step's parameters by `stream.step`, and every source's."""
    own = {f"{s.name}.{step.name}": step.op.parameters() for s in recipe.streams for step in s.steps}
    joint = {step.name: step.op.parameters() for step in recipe.steps}
    return own | joint | {f"{s.name}.source": {s.source.name(): s.source.parameters()} for s in recipe.streams}


def test_streams_and_joint_steps() -> None:
    found = read(STREAMS, "stack.yaml")
    assert (found.name, found.seed, found.path, found.text) == ("stack", 7, "stack.yaml", STREAMS)
    assert [stream.name for stream in found.streams] == ["code", "commits"]
    assert parameters(found)["code.line_length"] == {"longest": 500, "mean": 100.0}
    assert parameters(found)["commits.find_spans"] == {"sort": "key", "largest": 10**9, "folder": None}
    assert found.streams[1].source.name() == "environment"


def test_step_names_are_unique_in_a_streams_whole_list() -> None:
    found = read(STREAMS)
    assert [s.name for s in found.streams[0].steps] == ["line_length", "find_spans", "line_length#2", "redact"]
    assert [s.name for s in found.streams[1].steps] == ["find_spans"]
    assert [s.name for s in found.steps] == ["redact#2", "line_length#3", "near_dedup", "pack"]


def test_steps_know_their_lines() -> None:
    found = read(STREAMS)
    lines = STREAMS.splitlines()
    for step in (*found.streams[0].steps, *found.streams[1].steps, *found.steps):
        assert f"- {step.op.name()}" in lines[step.line - 1]


def test_a_recipe_with_one_source() -> None:
    found = read(ALONE)
    assert found.seed == 0 and found.steps == ()
    assert [s.name for s in found.streams] == ["documents"]
    assert [s.name for s in found.streams[0].steps] == ["line_length", "pack"]


def test_steps_may_be_left_out() -> None:
    assert read("name: r\nsource: environment\n").streams[0].steps == ()
    assert read("name: r\nsource: environment\nsteps: []\n").streams[0].steps == ()


def test_a_file(tmp_path: Path) -> None:
    (file := tmp_path / "r.yaml").write_text(ALONE)
    assert load(str(file)) == read(ALONE)
    assert load(file.as_uri(), ["seed=5"]).seed == 5


def test_plain_values() -> None:
    steps = ["line_length", {"pack": {"length": 64}}]
    assert from_dict({"name": "small", "source": "environment", "steps": steps}) == read(ALONE)
    assert from_dict({"name": "small", "source": {"environment": {}}, "steps": steps}, ["seed=2"]).seed == 2
    with pytest.raises(RecipeError) as told:
        from_dict({"name": "small", "source": "environment", "steps": [{"pack": {"lenth": 64}}]})
    assert str(told.value).startswith("<dict>:3:17: pack has no parameter `lenth`; did you mean `length`?")


# --- columns ------------------------------------------------------------------------------------------------------


def test_joint_steps_find_their_columns_in_every_stream() -> None:
    two = (
        "name: r\nstreams:\n  a: {source: environment, steps: [%s]}\n  b: {source: environment, steps: [find_spans]}\n"
    )
    assert len(read(two % "find_spans" + "steps: [redact, few_spans]\n").steps) == 2
    with pytest.raises(RecipeError, match="redact reads `spans`, which no earlier step in stream `a` writes"):
        read(two % "line_length" + "steps: [redact]\n")
    assert read(two % "" + "steps: [find_spans, redact]\n")


def test_measures_make_the_columns_that_steps_read() -> None:
    assert read("name: r\nsource: environment\nsteps: [line_length]\n")
    assert read("name: r\nsource: environment\nsteps: [find_spans, few_spans]\n")


# --- settings -----------------------------------------------------------------------------------------------------

SETTINGS: list[tuple[str, str, Any]] = [
    ("streams.code.source.parquet.path=s3://x/y#z", "code.source", {"parquet": {"path": "s3://x/y#z", "rows": None}}),
    ("streams.code.source.environment={}", "code.source", {"environment": {}}),
    ("streams.code.source=environment", "code.source", {"environment": {}}),
    ("streams.commits.source.parquet.path=x", "commits.source", {"parquet": {"path": "x", "rows": None}}),
    ("streams.code.steps.line_length.longest=5", "code.line_length", {"longest": 5, "mean": 100.0}),
    ("streams.code.steps.line_length#2.longest=5", "code.line_length#2", {"longest": 5, "mean": 100.0}),
    ("streams.code.steps.3.longest=5", "code.line_length#2", {"longest": 5, "mean": 100.0}),
    ("streams.code.steps.line_length={mean: 2}", "code.line_length", {"longest": 1000, "mean": 2.0}),
    ("streams.commits.steps.1.sort=mail", "commits.find_spans", {"sort": "mail", "largest": 10**9, "folder": None}),
    ("streams.commits.steps.1.folder=null", "commits.find_spans", {"sort": "key", "largest": 10**9, "folder": None}),
    ("steps.near_dedup.threshold=1", "near_dedup", {"threshold": 1.0, "by": None}),
    ("steps.near_dedup.by=language", "near_dedup", {"threshold": 0.8, "by": "language"}),
    ("steps.redact#2.by=no", "redact#2", {"by": "no"}),
    ("steps.1.by='a: b'", "redact#2", {"by": "a: b"}),
    (' steps . line_length#3 ."longest" = 1e6', "line_length#3", {"longest": 1000000, "mean": 100.0}),
    ("steps.pack.length=0x10", "pack", {"length": 16}),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "where", "value"), SETTINGS, ids=[s for s, _, _ in SETTINGS])
def test_a_setting_replaces_one_value(setting: str, where: str, value: Any) -> None:
    before, after = parameters(read(STREAMS)), parameters(read(STREAMS, settings=[setting]))
    assert after[where] == value
    assert {k: v for k, v in after.items() if k != where} == {k: v for k, v in before.items() if k != where}


def test_settings_of_a_recipe_with_one_source() -> None:
    found = read(ALONE, settings=["source.parquet.path=x", "source.parquet.rows=5", "steps.line_length.longest=7"])
    assert parameters(found)["documents.source"] == {"parquet": {"path": "x", "rows": 5}}
    assert parameters(found)["documents.line_length"] == {"longest": 7, "mean": 100.0}


def test_another_kind_of_source_replaces_the_parameters_of_the_old_one() -> None:
    text = "name: r\nsource: {parquet: {path: a, rows: 5}}\n"
    assert parameters(read(text, settings=["source.parquet.path=b"]))["documents.source"]["parquet"]["rows"] == 5
    both = ["source.environment={}", "source.parquet.path=b"]
    assert parameters(read(text, settings=both))["documents.source"] == {"parquet": {"path": "b", "rows": None}}


def test_settings_go_into_parameters_within_parameters() -> None:
    text = "name: r\nsource: environment\nsteps: [everything]\n"
    found = read(text, settings=["steps.everything.weights.json=1KB", "steps.everything.weights={css: 3}"])
    assert parameters(found)["documents.everything"]["weights"] == {"css": 3}
    found = read(text, settings=["steps.everything.weights={css: 3}", 'steps.everything.weights."json"=1KB'])
    assert parameters(found)["documents.everything"]["weights"] == {"css": 3, "json": 1000}


def test_the_last_setting_counts_and_can_mend_the_file() -> None:
    assert read(ALONE, settings=["seed=1", "name=other", "seed=2"]).seed == 2
    assert read("seed: 3\nsteps: [nothing]\n", settings=["name=r", "source=environment", "steps=[]"]).name == "r"


# --- written back -------------------------------------------------------------------------------------------------


def test_dump_writes_everything_out() -> None:
    assert dump(read(ALONE, settings=["seed=3", "steps.line_length.mean=50"])) == (
        "name: small\nseed: 3\nsource: {environment: {}}\nsteps:\n"
        "  - line_length: {longest: 1000, mean: 50.0}\n  - pack: {length: 64}\n"
    )
    found = read(STREAMS, settings=["streams.code.source.environment={}"])
    assert dump(found).splitlines()[:6] == [
        "name: stack",
        "seed: 7",
        "streams:",
        "  code:",
        "    source: {environment: {}}",
        "    steps:",
    ]


@pytest.mark.parametrize("text", [STREAMS, ALONE, "name: r\nstreams: {documents: {source: environment}}\n"])
def test_dump_loads_to_an_equal_recipe(text: str) -> None:
    found = read(text)
    again = read(dump(found))
    assert again == found and dump(again) == dump(found)


WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "no",
        "true",
        "null",
        "~",
        "1e6",
        "0x1F",
        "1_000",
        "12:30",
        "2020-01-01",
        "=",
        "<<",
        "- a",
        "a: b",
        "#x",
        "'",
        '"',
        ".inf",
    ]
)


@given(
    by=WORD, against=st.lists(WORD, max_size=3), share=st.floats(0, 1), limit=st.integers() | st.floats(allow_nan=False)
)
@settings(max_examples=200)
def test_whatever_the_parameters_are(by: str, against: list[str], share: float, limit: float) -> None:
    parts = {"against": against, "share": share, "limit": limit}
    found = from_dict(
        {"name": "r", "source": "environment", "steps": ["find_spans", {"redact": {"by": by}}, {"everything": parts}]}
    )
    assert found.streams[0].steps[1].op.parameters() == {"by": by}
    assert {k: found.streams[0].steps[2].op.parameters()[k] for k in parts} == parts
    assert read(dump(found)) == found


# --- the YAML -----------------------------------------------------------------------------------------------------


def plain(text: str) -> Any:
    wrong: list[Mistake] = []
    node = marked_yaml.parse(marked_yaml.Text("t", text), wrong)
    assert not wrong and node is not None
    return node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("null", None), ("~", None), ("Null", None), ("nil", "nil"), ('""', ""), ("'null'", "null"), ('"3"', "3"),
        ("12", 12), ("-12", -12), ("+12", 12), ("007", 7), ("0o17", 15), ("0x1f", 31), ("1e6", 1000000),
        ("1.5e3", 1500), ("1e-3", 0.001), ("1.0", 1.0), (".5", 0.5), ("5.", 5.0), ("1e300", 1e300),
        (".inf", float("inf")), ("-.inf", float("-inf")), (".nan", ".nan"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1GB", "1GB"), ("256 MB", "256 MB"), ("0b1", "0b1"), ("=", "="), ("C++", "C++"), ("a#b", "a#b"), ("a #b", "a"),
        ("1e", "1e"), ("e1", "e1"), ("-", [None]), ("- 1\n- [a, {b: c}]", [1, ["a", {"b": "c"}]]),
        ("{no: 1, 2: x}", {"no": 1, "2": "x"}), ("|\n a\n b\n", "a\nb\n"), (">\n a\n b\n", "a b\n"),
        ('"\\u00e9"', "é"),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    found = plain(text)
    assert found == value and type(found) is type(value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_flow_is_one_line_that_is_read_as_the_same_value(value: Any) -> None:
    line = marked_yaml.flow(value)
    assert len(line.splitlines()) == 1
    if not _has_odd_keys(value):
        assert plain(line) == value


def _has_odd_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key == "<<" for key in value) or any(map(_has_odd_keys, value.values()))
    return isinstance(value, list) and any(map(_has_odd_keys, value))


@given(JSON)
def test_json_is_yaml(value: Any) -> None:
    if not _has_odd_keys(value):
        assert plain(json.dumps(value)) == value


@given(
    st.lists(
        st.sampled_from(["a: 1", "b:\n  - x\n  - y", "# é", "", 'c: "漢字"', "d: {e: f, g: [h]}"]),
        min_size=1,
        unique=True,
    )
)
def test_every_value_knows_its_place(lines: list[str]) -> None:
    text = marked_yaml.Text("t", "\r\n".join(lines))
    root = marked_yaml.parse(text, [])

    def check(node: marked_yaml.Node) -> None:
        found = text.text[node.spot.begin : node.spot.end]
        if isinstance(node.value, dict):
            for name, entry in node.value.items():
                assert text.text[entry.key.begin : entry.key.end] == name
                check(entry.node)
        elif isinstance(node.value, list):
            for item in node.value:
                check(item)
        else:
            assert found.strip('"') == str(node.value)
            assert node.spot.line == text.text.count("\n", 0, node.spot.begin) + 1
            mistake = node.spot.mistake("m")
            assert mistake.source[mistake.column - 1 :].startswith(found)

    if root is not None:
        check(root)


def test_the_module_says_what_it_reads() -> None:
    assert recipe.STREAM == "documents" and list(recipe.KEYS) == ["name", "seed", "source", "streams", "steps"]
