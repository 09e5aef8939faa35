"""Ops are found by name, from outside packages too, and only those that are wanted are imported."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import catalogue
from engine.errors import CatalogueError, EngineError

OP = """
from typing import Literal
from engine.op import Filter

class {name}(Filter):
    def drop(self, content: str) -> Literal["dropped"] | None:
        return None
"""
MEASURE = """
from typing import TypedDict
from engine import op

class Written(TypedDict):
    {column}: int

class {name}(op.Measure):
    def map(self, content: str) -> Written:
        return {{"{column}": 1}}
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes files and the entry points of a distribution; nothing else is in the catalogue."""
    made: set[str] = set()

    def write(points: dict[str, str], **files: str) -> None:
        info = tmp_path / f"dist_{len(made)}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {info.name.split('-')[0]}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[engine.ops]", *lines, ""]))
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/', 1)}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            made.add(name.split("__")[0])
        catalogue.refresh()

    monkeypatch.setattr(catalogue, "PACKAGES", ())
    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in [n for n in sys.modules if n.split(".")[0] in made]:
        del sys.modules[name]
    monkeypatch.undo()
    catalogue.refresh()


def test_an_op_of_a_module(install: Install) -> None:
    install({"mine": "mine_a"}, mine_a=OP.format(name="NoTodo"))
    assert catalogue.names() == catalogue.names("filter") == ["no_todo"]
    assert catalogue.op("no_todo").contract.reasons == ("dropped",)


def test_one_class_of_a_module(install: Install) -> None:
    install({"x": "mine_b:One"}, mine_b=OP.format(name="One") + OP.format(name="Two"))
    assert catalogue.names() == ["one"]


def test_a_package_of_modules(install: Install) -> None:
    first, second = OP.format(name="First"), OP.format(name="Second")
    install({"x": "mine_c"}, mine_c____init__="", mine_c__first=first, mine_c__second=second)
    assert catalogue.names() == ["first", "second"]


def test_only_what_is_wanted_is_imported(install: Install) -> None:
    heavy = "raise SystemError('imported')\n"
    install(
        {"x": "mine_d.light", "y": "mine_d.heavy"},
        mine_d____init__="",
        mine_d__light=OP.format(name="Light"),
        mine_d__heavy=heavy + OP.format(name="Heavy"),
    )
    assert catalogue.op("light").name() == "light"
    assert "mine_d.heavy" not in sys.modules
    assert catalogue.measures() == {}
    with pytest.raises(CatalogueError, match=r"no op `light2`; did you mean `light`\?"):
        catalogue.op("light2")
    assert catalogue.names() == ["light"]
    assert catalogue.broken() == {"mine_d.heavy": "`mine_d.heavy` does not import: SystemError: imported"}


def test_listing_imports_no_parent(install: Install) -> None:
    parent = "raise RuntimeError('the parent is imported')\n"
    install({"x": "mine_e.part"}, mine_e____init__=parent, mine_e__part=OP.format(name="Part"))
    with pytest.raises(CatalogueError, match=r"no op `quite_else`$"):
        catalogue.op("quite_else")
    assert catalogue.broken() == {"mine_e.part": "`mine_e.part` does not import: RuntimeError: the parent is imported"}
    with pytest.raises(CatalogueError, match=r"`part` cannot be used: `mine_e.part` does not import"):
        catalogue.op("part")


def test_a_module_that_is_not_there_or_holds_no_python(install: Install) -> None:
    install({"x": "mine_f", "y": "no_such.module"}, mine_f="no python at all")
    assert catalogue.names() == []
    told = "`no_such.module` is listed as holding ops, but there is no such module"
    assert catalogue.broken() == {"no_such.module": told}


def test_an_entry_point_of_no_proper_form_harms_no_other(install: Install) -> None:
    install({"bad": "not a module!", "good": "mine_q"}, mine_q=OP.format(name="Good"))
    assert catalogue.names() == ["good"]
    assert next(iter(catalogue.broken().values())).startswith("the entry point `bad = not a module!` leads nowhere: ")


def test_namespace_packages(install: Install, tmp_path: Path) -> None:
    for folder, name in (("mine_r", "One"), ("mine_r/inner", "Two"), ("mine_r/inner/most", "Three")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts.py").write_text(OP.format(name=name))
    install({"x": "mine_r.parts", "y": "mine_r.inner.parts", "z": "mine_r.inner.most"}, mine_r="")
    (tmp_path / "mine_r.py").unlink()
    catalogue.refresh()
    assert catalogue.names() == ["one", "three", "two"]
    assert catalogue.broken() == {}


def test_a_syntax_error_is_told_where_the_op_is_used(install: Install) -> None:
    install({"x": "mine_g"}, mine_g=OP.format(name="Bad") + "\n)\n")
    with pytest.raises(CatalogueError, match=r"`bad` cannot be used: `mine_g` does not import: SyntaxError: unmatched"):
        catalogue.op("bad")


def test_two_ops_of_one_name(install: Install) -> None:
    install({"x": "mine_h", "y": "mine_i"}, mine_h=OP.format(name="Same"), mine_i=OP.format(name="Same"))
    with pytest.raises(CatalogueError, match="two ops are called `same`, in `mine_h` and `mine_i`; rename one"):
        catalogue.op("same")
    assert [op.__module__ for op in catalogue.all_ops()] == ["mine_h", "mine_i"]


def test_an_op_that_is_listed_twice_is_one_op(install: Install) -> None:
    install({"x": "mine_j", "y": "mine_j:Once", "z": "mine_j"}, mine_j=OP.format(name="Once"))
    assert len(catalogue.all_ops()) == 1 and catalogue.op("once")


def test_what_is_no_op_has_no_name(install: Install) -> None:
    text = OP.format(name="Real") + OP.format(name="_Hidden") + "class Plain(dict): ...\nclass Kind(Filter): ...\n"
    text += "from typing import TypedDict\nclass Row(TypedDict):\n    a: int\n"
    install({"x": "mine_k", "y": "mine_k:Plain", "z": "mine_k:Missing"}, mine_k=text)
    assert catalogue.names() == ["real"]
    for name in ("hidden", "plain", "kind", "row", "missing", "filter"):
        with pytest.raises(CatalogueError):
            catalogue.op(name)


def test_measures_by_column(install: Install) -> None:
    install(
        {"x": "mine_l", "y": "mine_m"}, mine_l=MEASURE.format(name="Sizes", column="size"), mine_m=OP.format(name="Op")
    )
    assert {column: measure.name() for column, measure in catalogue.measures().items()} == {"size": "sizes"}
    assert "mine_m" not in sys.modules
    assert catalogue.names() == ["op"] and catalogue.names("measure") == ["sizes"]
    assert catalogue.kind(catalogue.measures()["size"]) == "measure"


def test_two_measures_of_one_column(install: Install) -> None:
    texts = {n: MEASURE.format(name=n.title().replace("_", ""), column="size") for n in ("mine_n", "mine_o")}
    install(dict(zip("xy", texts, strict=True)), **texts)
    with pytest.raises(CatalogueError, match=r"two measures write `size`: mine_n.MineN and mine_o.MineO"):
        catalogue.measures()


def test_a_compiled_module_is_imported_to_be_listed(install: Install, tmp_path: Path) -> None:
    import py_compile

    source = tmp_path / "source.py"
    source.write_text(OP.format(name="Compiled"))
    py_compile.compile(str(source), cfile=str(tmp_path / "mine_p.pyc"))
    install({"x": "mine_p"})
    assert catalogue.names() == ["compiled"]
    del sys.modules["mine_p"]


@pytest.mark.usefixtures("sample_ops")
class TestSamples:
    def test_names_by_kind(self) -> None:
        assert catalogue.names("source") == ["environment", "parquet"]
        assert catalogue.names("map") == ["find_spans", "redact"]
        assert catalogue.names("global") == ["near_dedup"]
        assert catalogue.names("job") == ["pack"]
        assert catalogue.names("measure") == ["line_measures", "span_measures"]
        assert "line_length" in catalogue.names() and "line_measures" not in catalogue.names()

    def test_who_writes_a_column(self) -> None:
        assert catalogue.writers("spans") == ["find_spans"]
        assert catalogue.writers("content") == ["redact"]
        assert catalogue.writers("longest_line") == []  # a measure's, which no recipe names
        assert catalogue.writers("key") == []  # a sketch's, which no document has

    def test_an_unknown_op_is_a_lookup_error_and_the_users(self) -> None:
        with pytest.raises(LookupError) as error:
            catalogue.op("line_lenght")
        assert isinstance(error.value, EngineError) and error.value.exit_code == 2
        assert str(error.value) == "no op `line_lenght`; did you mean `line_length`?"
        assert isinstance(error.value, CatalogueError) and error.value.near == "line_length"

    def test_neither_measures_nor_clashing_ops_are_proposed(self) -> None:
        for name in ("line_measure", "twinn"):
            with pytest.raises(CatalogueError) as error:
                catalogue.op(name)
            assert error.value.near not in ("line_measures", "twin")

    def test_the_broken_module_is_told(self) -> None:
        assert list(catalogue.broken()) == ["wrong_ops.wilted"]
        assert "TypeError: Wilted.drop: annotate content, return" in catalogue.broken()["wrong_ops.wilted"]


def test_the_engine_names_the_projects_packages_and_imports_none() -> None:
    code = "import sys; from engine import catalogue, recipe, docs; catalogue._listed(); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "engine.catalogue" in imported
    assert not [m for m in imported if m.split(".")[0] in ("ops", "model", "ray", "torch", "numba")]
