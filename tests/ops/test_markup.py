import warnings

import pyarrow as pa
import pytest
from bs4 import BeautifulSoup
from pydantic import ValidationError

from engine.op import Ledger
from ops.markup import HtmlVisibleText, XmlHeader
from ops.measures import TextMeasures
from ops.visible_text import VisibleText


def test_xml_headers_are_dropped_but_in_xslt() -> None:
    columns = pa.array([True, True, True, False, None]), pa.array(["python", "xslt", None, "python", "python"])
    assert XmlHeader().drop(*columns).reason().to_pylist() == ["xml_header", None, "xml_header", None, None]
    strict = XmlHeader(exempt=()).drop(*columns).reason().to_pylist()
    assert strict == ["xml_header", "xml_header", "xml_header", None, None]


def reasons(op: HtmlVisibleText, pages: list[str], language: str = "html") -> list[str | None]:
    batch = pa.RecordBatch.from_pydict({"content": pages, "language": [language] * len(pages)})
    _, verdict = op.judge(VisibleText().run(TextMeasures().run(batch)))
    return verdict.reason().to_pylist()


def oracle(op: HtmlVisibleText, page: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soup = BeautifulSoup(page, "html.parser")
    for element in soup(["script", "style"]):
        element.extract()
    text = soup.get_text()
    if op.white_space == "collapse":
        text, page = (" ".join(each.split()) for each in (text, page))
    if not len(text) > op.characters:
        return "too_little_visible_text"
    return None if len(text) / len(page) > op.share else "too_small_visible_share"


PAGES = [
    f"<html>\n{' ' * indent}<p class='{'x' * markup}'>{'word ' * words}{'y' * letters}</p>"
    f"<script>{'z' * 40}</script>\n</html>"
    for indent in (0, 1, 40, 400)
    for markup in (0, 200, 330, 331, 332, 500)
    for words in (0, 15, 19, 20, 21)
    for letters in (0, 1, 2, 4, 5)
]


@pytest.mark.parametrize(
    "op",
    [
        HtmlVisibleText(),
        HtmlVisibleText(white_space="keep"),
        HtmlVisibleText(share=0.5, characters=80),
        HtmlVisibleText(share=0.05, characters=0, white_space="keep"),
    ],
    ids=repr,
)
def test_verdicts_are_those_on_beautiful_soups_text(op: HtmlVisibleText) -> None:
    wanted = [oracle(op, page) for page in PAGES]
    assert reasons(op, PAGES) == wanted
    assert len(set(wanted)) > 1


def test_both_bounds_must_be_exceeded() -> None:
    markup = f"<i {'x' * 388}>"
    pages = ["a" * 100, "a" * 101, "a" * 98 + markup, "a" * 101 + markup, "a" * 101 + "<i " + "x" * 400 + ">"]
    little, small = "too_little_visible_text", "too_small_visible_share"
    assert reasons(HtmlVisibleText(), pages) == [little, None, little, None, small]
    assert reasons(HtmlVisibleText(share=0.25, characters=99), ["a" * 100 + "<" + "i" * 298 + ">"]) == [small]


def test_indentation_counts_only_where_white_space_is_kept() -> None:
    skeleton = "<ul>" + "\n".join(f"{' ' * 20}a<b>  b</b>" for _ in range(20)) + "</ul>"
    assert reasons(HtmlVisibleText(), [skeleton]) == ["too_little_visible_text"]
    assert reasons(HtmlVisibleText(white_space="keep"), [skeleton]) == [None]


def test_other_languages_and_empty_pages() -> None:
    assert reasons(HtmlVisibleText(), ["<p>a</p>"], "vue") == [None]
    assert reasons(HtmlVisibleText(characters=0), [""]) == ["too_little_visible_text"]


def test_the_ledger_has_the_share() -> None:
    page = "a" * 101 + f"<{'i' * 907}>"
    batch = pa.RecordBatch.from_pydict({"id": ["a"], "stream": ["code"], "content": [page], "language": ["html"]})
    ledger = Ledger()
    assert HtmlVisibleText().run(VisibleText().run(TextMeasures().run(batch)), ledger).num_rows == 0
    assert ledger.table()["score"].to_pylist() == [101 / 1010]


def test_a_share_is_between_0_and_1() -> None:
    with pytest.raises(ValidationError):
        HtmlVisibleText(share=20)
