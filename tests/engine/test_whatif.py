"""What other thresholds would do, asked of a run's measures: what a run would do, and never more than is known."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import engine
from gharchive_maker import events, write
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import recipe as recipes
from engine import whatif as module
from engine.errors import RecipeError, Refused, RunError
from engine.executor import RunDone, execute
from engine.plan import make_plan
from engine.pool import InlinePool
from engine.run import Run
from engine.whatif import whatif

FILTERS = """\
name: filters
seed: 5
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 60, mean: 40}}
  - alphanumeric: {{at_least: 0.5, exceptions: none}}
  - size: {{languages: [json], at_least: 20, at_most: 400}}
  - line_length: {{longest: 200, exceptions: none}}
"""


def rows(count: int) -> list[dict]:
    """Texts whose measures spread on both sides of every bound, in two languages."""
    made = []
    for n in range(count):
        lines = [("word " * (n % 13 + k % 5) + "+-*/ " * (n % 7)).strip() for k in range(n % 11 + 1)]
        language = "json" if n % 3 else "python"
        made.append({"content": "\n".join(lines), "path": f"d{n}/f{n}", "repo_name": f"r{n % 5}", "lang": language})
    return made


def run_of(text: str, out) -> Run:
    for event in execute(make_plan(recipes.read(text)), str(out), InlinePool()):
        assert event is not None
    assert isinstance(event, RunDone)
    return Run(str(out))


def ids(run: Run, kind: str = "documents") -> set[str]:
    return set(run.frame(kind).collect()["id"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whatif") / "corpus"
    folder.mkdir()
    for n in range(3):
        table = pa.Table.from_pylist(rows(120)[n * 40 : n * 40 + 40])
        pq.write_table(table, folder / f"{n}.parquet")
    return folder


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    return run_of(FILTERS.format(path=corpus), tmp_path_factory.mktemp("run") / "run")


BOUNDS = st.fixed_dictionaries(
    {},
    optional={
        "line_length.longest": st.integers(1, 120),
        "line_length.mean": st.integers(1, 90),
        "alphanumeric.at_least": st.sampled_from([0.0, 0.3, 0.45, 0.6, 0.9]),
        "size.at_most": st.integers(20, 700),
        "line_length#2.longest": st.integers(1, 120),
    },
)


@settings(max_examples=12)
@given(bounds=BOUNDS)
def test_it_is_what_a_run_with_these_bounds_keeps(finished, tmp_path_factory, bounds):
    told = [f"{name}={value}" for name, value in bounds.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXAMPLES", 10**6)
        outcome = whatif(finished, told)
    recipe = recipes.load(f"{finished.path}/recipe.yaml", [f"steps.{setting}" for setting in told])
    again = run_of(recipes.dump(recipe), tmp_path_factory.mktemp("again") / "run")
    leave, enter = ({e.id for e in outcome.examples[kind]} for kind in ("leave", "enter"))
    assert (ids(finished) - leave) | enter == ids(again)
    assert leave <= ids(finished) and not enter & ids(finished)
    assert outcome.kept == again.report["kept"]
    assert outcome.total.undecided == 0
    assert {s.step: s.now for s in outcome.steps} == {
        s["step"]: sum(s["dropped"].values()) for s in again.report["steps"][1:]
    }
    assert {s.step: s.then for s in outcome.steps} == {
        s["step"]: sum(s["dropped"].values()) for s in finished.report["steps"][1:]
    }
    kept = {k: v["kept"] for k, v in again.report["languages"].items()}
    assert {k: v.kept - v.leave + v.enter for k, v in outcome.languages.items() if v.kept - v.leave + v.enter} == {
        k: n for k, n in kept.items() if n
    }
    volume = {k: v["bytes_kept"] for k, v in again.report["languages"].items()}
    for name, v in outcome.languages.items():
        assert v.kept_bytes - v.leave_bytes + v.enter_bytes == volume[name]


def test_nothing_asked_is_nothing_changed(finished):
    outcome = whatif(finished, ["line_length.longest=60"])
    assert (outcome.total.leave, outcome.total.enter, outcome.kept) == (0, 0, finished.report["kept"])


def test_examples_tell_the_figure_that_decides(finished):
    outcome = whatif(finished, ["line_length.longest=30"])
    example = outcome.examples["leave"][0]
    assert example.step == "line_length"
    assert example.detail.startswith("longest_line: ") and example.detail.endswith("> 30")
    assert len(outcome.examples["leave"]) == module.EXAMPLES
    entered = whatif(finished, ["line_length.longest=9999", "line_length.mean=9999"]).examples["enter"]
    assert entered and all("<= 9,999" in e.detail and e.path for e in entered)


GLOBAL = """\
name: duplicates
seed: 5
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 60}}
  - exact_dedup
  - alphanumeric: {{at_least: 0.1, exceptions: none}}
"""


def test_what_looks_at_all_documents_is_not_decided_again(corpus, tmp_path):
    twice = pa.concat_tables([pq.read_table(corpus / "0.parquet")] * 2).to_pylist()
    folder = tmp_path / "twice"
    folder.mkdir()
    table = pa.Table.from_pylist([row | {"path": f"{n}/{row['path']}"} for n, row in enumerate(twice)])
    pq.write_table(table, folder / "0.parquet")
    run = run_of(GLOBAL.format(path=folder), tmp_path / "run")
    outcome = whatif(run, ["line_length.longest=100"])
    dedup, after = outcome.steps[1:]
    assert not dedup.decided and dedup.undecided > 0
    assert outcome.total.undecided == dedup.undecided == outcome.steps[0].then - outcome.steps[0].now
    assert outcome.total.enter == 0
    # Behind it, a filter is judged again for what came to it.
    assert after.decided and after.undecided == 0
    stricter = whatif(run, ["alphanumeric.at_least=0.7"])
    again = run_of(GLOBAL.format(path=folder).replace("0.1", "0.7"), tmp_path / "again")
    assert stricter.kept == again.report["kept"] and stricter.total.undecided == 0
    assert all(step.decided for step in stricter.steps)


CHANGED = """\
name: changed
seed: 5
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 60}}
  - detect_pii_rules
  - redact
  - line_length: {{longest: 50}}
  - size: {{languages: [json], at_least: 1, at_most: 400}}
"""


def test_filters_behind_a_change_of_text_are_refused_and_those_before_it_are_exact(tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir()
    made = [row | {"content": row["content"] + "\nsomebody@mail.example.org"} for row in rows(60)]
    pq.write_table(pa.Table.from_pylist(made), folder / "0.parquet")
    run = run_of(CHANGED.format(path=folder), tmp_path / "run")
    with pytest.raises(Refused, match=r"line_length#2 cannot be judged again .*`longest_line`"):
        whatif(run, ["line_length#2.longest=20"])
    stricter = whatif(run, ["line_length.longest=30"])
    again = run_of(CHANGED.format(path=folder).replace("longest: 60", "longest: 30"), tmp_path / "again")
    assert stricter.kept == again.report["kept"] < run.report["kept"]
    looser = whatif(run, ["line_length.longest=90"])
    assert looser.total.undecided == looser.steps[0].then - looser.steps[0].now > 0
    assert [s.undecided for s in looser.steps if s.step == "line_length#2"] == [looser.total.undecided]


GATHERED = """\
name: gathered
source: {{gharchive: {{path: "{path}"}}}}
steps:
  - alphabetic: {{at_least: 0.01}}
  - gather_conversations
  - line_length: {{longest: 200, mean: 200}}
"""


def test_documents_that_were_gathered_are_judged_again_and_the_rows_they_are_made_of_are_not(tmp_path):
    folder = write(tmp_path / "in", events(3, 40), 2)
    run = run_of(GATHERED.format(path=folder), tmp_path / "run")
    outcome = whatif(run, ["line_length.longest=120"])
    again = run_of(GATHERED.format(path=folder).replace("longest: 200", "longest: 120"), tmp_path / "again")
    assert outcome.kept == again.report["kept"] != run.report["kept"]
    with pytest.raises(Refused, match=r"alphabetic cannot be judged again .* before they are gathered"):
        whatif(run, ["alphabetic.at_least=0.2"])


STREAMS = """\
name: streams
seed: 5
streams:
  one:
    source: {{parquet: {{path: "{path}"}}}}
    steps: [line_length: {{longest: 60}}]
  two:
    source: {{parquet: {{path: "{path}"}}}}
    steps: [line_length: {{longest: 60}}]
steps:
  - alphanumeric: {{at_least: 0.5, exceptions: none}}
"""


def test_a_step_is_meant_in_every_stream_unless_one_is_named(corpus, tmp_path):
    run = run_of(STREAMS.format(path=corpus), tmp_path / "run")
    both = whatif(run, ["line_length.longest=30"])
    one = whatif(run, ["two.line_length.longest=30"])
    whole = whatif(run, ["streams.two.steps.line_length.longest=30"])
    assert both.total.leave == 2 * one.total.leave > 0
    assert {s.stream for s in one.steps if s.changed} == {"two"}
    assert one.total == whole.total
    joint = whatif(run, ["alphanumeric.at_least=0.9"])
    assert {s.stream for s in joint.steps if s.changed} == {"one", "two"}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lin_length.longest=5", "did you mean `line_length`"),
        ("line_length.longst=5", "did you mean `longest`"),
        ("line_length.longest=-5", "longest"),
        ("line_length=5", "it has: longest, mean, exceptions"),
        ("line_length.longest", "there is no `=`"),
        ("exact_dedup.compare=white_space", "it looks at all documents at once"),
        ("seed=9", "only parameters of filters"),
        ("source.parquet.path=elsewhere", "only parameters of filters"),
        ("language.keep=[python]", "did you mean|has no step"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(corpus, tmp_path_factory, setting, told):
    place = corpus.parent / "refusing"
    run = Run(str(place)) if (place / "manifest.json").exists() else run_of(GLOBAL.format(path=corpus), place)
    with pytest.raises((Refused, RecipeError), match=told) as caught:
        whatif(run, [setting])
    assert caught.value.exit_code == 2


FLIGHTY = """
from typing import Literal

from engine.op import Filter, Reasons, at_most, reasons
from engine.schema import Integers

FACTOR = 1


class Flighty(Filter):
    \"\"\"Drops by a factor that may change.\"\"\"

    longest: int = 50

    def drop(self, longest_line: Integers) -> Reasons[Literal["longest_line"]]:
        return reasons(longest_line=at_most(longest_line, self.longest * FACTOR))
"""


def test_an_op_that_judges_otherwise_than_in_the_run_is_found_out(corpus, tmp_path, outside_op):
    outside_op("flighty_op", FLIGHTY)
    run = run_of(f'name: f\nsource: {{parquet: {{path: "{corpus}"}}}}\nsteps: [flighty]\n', tmp_path / "run")
    assert whatif(run, ["flighty.longest=40"]).total.leave > 0
    import flighty_op  # pyright: ignore[reportMissingImports]

    flighty_op.FACTOR = 2
    with pytest.raises(RunError, match="flighty does not judge as it did"):
        whatif(run, ["flighty.longest=40"])


def test_the_command_tells_it_and_speaks_json(finished, capsys):
    told = engine(capsys, "whatif", finished.path, "line_length.longest=30", "--json")
    outcome = json.loads(told.out)
    assert (told.code, outcome["kept"]) == (0, whatif(finished, ["line_length.longest=30"]).kept)
    told = engine(capsys, "whatif", finished.path, "line_length.longest=30")
    assert told.code == 0 and "leave, for example" in told.out
    assert f"{outcome['kept']:,} documents would be kept" in told.out
    told = engine(capsys, "whatif", finished.path)
    assert told.code == 2 and "say what to change" in told.err
    told = engine(capsys, "whatif", finished.path, "lines.longest=3")
    assert told.code == 2 and "this run has no step `lines`" in told.err
