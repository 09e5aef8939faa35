"""Notebooks as scripts and chains beside jupytext and nbconvert alone, in MB of notebooks a second and core.

python tests/bench/notebooks.py FOLDER

FOLDER holds `.ipynb` files, at any depth; without it, papermill's and our own are read many times over.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
from results import ROOT, Goal, Results, Table

from engine.op import Losses
from engine.schema import TEXT
from ops.light_script import script
from ops.notebook_files import NotebookFiles
from ops.notebook_language import NotebookLanguage, told_language
from ops.notebook_script import NotebookScript
from ops.notebooks import NoNotebook, read
from ops.script_languages import ScriptLanguage
from ops.structured_notebook import StructuredNotebook

ABOUT = """
The ops of the two notebook streams over the same texts, one process, processor seconds, the best of {runs} rounds. The
rivals do what their users would: nbformat reads the file and jupytext writes the light format without metadata, or
nbconvert's script exporter writes it. Found equal are scripts that are byte for byte what jupytext writes.
"""


def texts_of(folder: Path | None) -> list[str]:
    """The notebooks that can be scripts in a language they name, each once."""
    if folder is None:
        package = find_spec("papermill")
        folders = [ROOT / "recipes" / "sample", *([Path(package.origin).parent] if package and package.origin else [])]
    else:
        folders = [folder]
    texts = {}
    for each in folders:
        source = NotebookFiles(path=str(each))
        for shard in source.shards():
            for batch in source.read(shard, Losses()):
                texts.update(dict.fromkeys(batch.column("content").to_pylist()))
    found = [text for text in texts if language_of(text)]
    if not found:
        raise SystemExit("there are no notebooks to be read")
    return found * max(1, 20_000_000 // sum(map(len, found))) if folder is None else found


def language_of(text: str) -> ScriptLanguage | None:
    """The language that the notebook names, if it is one that jupytext knows."""
    try:
        return told_language(read(text))
    except NoNotebook:
        return None


def seconds(work: Callable[[], Any], runs: int) -> float:
    """Processor seconds of the best of some rounds."""
    taken = []
    for _ in range(runs):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def by_jupytext(text: str) -> str:
    """What jupytext writes."""
    import jupytext

    language = language_of(text)
    assert language is not None
    notebook: Any = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.NotebookNode()
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
    options = {"format_name": "light", "notebook_metadata_filter": "-all", "cell_metadata_filter": "-all"}
    written = jupytext.writes(notebook, fmt={"extension": f".{language.extension}", **options})
    first, _, rest = written.partition("\n")
    return rest if "-*- coding: utf-8 -*-" in first else written


def main() -> None:
    """Measures the ops and the rivals and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    texts = texts_of(given.folder)
    readable = [text for text in texts if _readable(text)]
    size = sum(len(text.encode()) for text in readable) / 1e6
    ids = pa.array([str(n) for n in range(len(readable))], TEXT)
    batch = pa.RecordBatch.from_pydict({"id": ids, "content": pa.array(readable, TEXT)})
    named = NotebookLanguage().judge(batch)[0]
    rates = {
        "`notebook_language`": size / seconds(lambda: NotebookLanguage().judge(batch), given.runs),
        "`notebook_script`": size / seconds(lambda: NotebookScript().run(named), given.runs),
        "`structured_notebook`": size / seconds(lambda: StructuredNotebook().run(named), given.runs),
    }
    scripts = 1 / (1 / rates["`notebook_language`"] + 1 / rates["`notebook_script`"])
    rates["stream of scripts"] = scripts
    rates["jupytext"] = size / seconds(lambda: [by_jupytext(text) for text in readable], 1)
    versions = {name: version(name) for name in ("jupytext", "nbformat")}
    if find_spec("nbconvert"):
        rates["nbconvert"] = size / seconds(lambda: _by_nbconvert(readable), 1)
        versions["nbconvert"] = version("nbconvert")
    once = list(dict.fromkeys(readable))
    same = sum(_ours(text) == by_jupytext(text) for text in once)
    results = Results("notebooks", "Notebooks", ABOUT.format(runs=given.runs), given.runs, versions=versions)
    results.tables = [
        Table("Notebooks", ["what", "MB/s a core"], [[name, rate] for name, rate in rates.items()]),
        Table("Scripts", ["notebooks", "MB", "equal to jupytext's"], [[len(once), size, same]]),
    ]
    results.goals = [
        Goal("notebooks as scripts: faster than jupytext alone", 10, scripts / rates["jupytext"]),
        Goal("notebooks as scripts: equal to jupytext's", 99, 100 * same / len(once), "%"),
    ]
    if "nbconvert" in rates:
        results.goals.append(Goal("notebooks as scripts: faster than nbconvert", 10, scripts / rates["nbconvert"]))
    results.save()


def _ours(text: str) -> str:
    language = language_of(text)
    assert language is not None
    return script(read(text).cells, language)


def _readable(text: str) -> bool:
    """Whether jupytext can read and write it, too."""
    try:
        by_jupytext(text)
    except Exception as error:  # whatever it has against a notebook
        print(f"left out, since jupytext raises {type(error).__name__}", file=sys.stderr)
        return False
    return True


def _by_nbconvert(texts: list[str]) -> None:
    from nbconvert.exporters import ScriptExporter  # pyright: ignore[reportMissingImports]  # a rival, not required

    exporter = ScriptExporter()
    for text in texts:
        exporter.from_notebook_node(nbformat.reads(text, as_version=4))


if __name__ == "__main__":
    main()
