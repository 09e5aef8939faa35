"""How fast the visible text of HTML is measured, and whether its verdicts are BeautifulSoup's, file by file.

python tests/bench/html_text.py CORPUS
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import measure
import pyarrow as pa
import pyarrow.compute as pc
from results import Goal, Results, Table, arguments, documents, facts

from engine.schema import TEXT
from ops.markup import HtmlVisibleText
from ops.visible_text import VisibleText

ABOUT = """
Every HTML file of the corpus (by its language or extension), in one process on one core, by processor time: the measure
that the planner puts in front of `html_visible_text`, on whole columns, and what StarCoder did, BeautifulSoup's
`get_text` without `script` and `style`. Verdicts are compared for both ways to count white space.
"""


def beautiful_soup(text: str) -> str:
    """The visible text as StarCoder took it."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text, "html.parser")
    for script in soup(["script", "style"]):
        script.extract()
    return soup.get_text()


def collapsed(text: str) -> int:
    """The length of a text with each run of white space counted as one character, and none at the ends."""
    return len(" ".join(text.split()))


def main() -> None:
    """Measures, compares and writes the results."""
    given = arguments(__doc__, runs=5).parse_args()
    measure.pin(1)
    known = facts(given.corpus)
    table = documents(given.corpus, ["content", "lang", "ext"])
    html = pc.or_(
        pc.equal(table.column("lang"), "html"), pc.is_in(table.column("ext"), pa.array(["html", "htm", "xhtml"]))
    )
    column = table.filter(html).column("content").cast(TEXT).combine_chunks()
    texts = column.to_pylist()
    size = sum(len(t.encode()) for t in texts)
    op = VisibleText()
    html_column = pa.repeat(pa.scalar("html", TEXT), len(column))
    op.map(column, html_column)
    ours = statistics.median([_seconds(lambda: op.map(column, html_column)) for _ in range(given.runs)])
    measured = op.map(column, html_column)
    warnings.filterwarnings("ignore")
    begin = time.process_time()
    shown = [beautiful_soup(t) for t in texts]
    theirs = time.process_time() - begin
    lengths = pa.array([len(t) for t in texts])
    agree: dict[str, int] = {}
    kept: dict[str, int] = {}
    for space in ("collapse", "keep"):
        verdict = HtmlVisibleText(white_space=space).drop(
            measured["visible_text"], measured["visible_text_kept"], measured["collapsed_length"], lengths
        )
        dropped = verdict.reason().is_valid().to_pylist()
        truth = []
        for text, seen in zip(texts, shown, strict=True):
            part, whole = (collapsed(seen), collapsed(text)) if space == "collapse" else (len(seen), len(text))
            truth.append(not (part > 100 and part / max(1, whole) > 0.2))
        agree[space] = sum(a == b for a, b in zip(dropped, truth, strict=True))
        kept[space] = len(texts) - sum(dropped)
    same = sum(a == len(b) for a, b in zip(measured["visible_text_kept"].to_pylist(), shown, strict=True))
    results = Results(given.name or "html_text", "Visible text of HTML", ABOUT, given.runs, {"corpus": known})
    columns = ["", "MB/s a core", "same length of text", "same verdict, white space collapsed", "and kept"]
    rows = [
        ["`html_visible_text`", size / 1e6 / ours, same, agree["collapse"], agree["keep"]],
        ["BeautifulSoup, html.parser", size / 1e6 / theirs, len(texts), len(texts), len(texts)],
    ]
    note = f"{kept['collapse']:,} of the files pass with white space collapsed, {kept['keep']:,} with it kept."
    results.tables = [Table(f"{len(texts):,} HTML files, {size / 1e6:.1f} MB", columns, rows, note)]
    results.goals = [
        Goal("HTML visible text", 20, size / 1e6 / ours, "MB/s a core"),
        Goal("HTML verdicts like BeautifulSoup's, collapsed", 1, agree["collapse"] / len(texts), "of the files"),
        Goal("HTML verdicts like BeautifulSoup's, kept", 1, agree["keep"] / len(texts), "of the files"),
    ]
    results.save()


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
