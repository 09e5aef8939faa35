"""The oracle is BeautifulSoup on `html.parser`; pages that Pythons parse differently have Python 3.11.7's answers."""

import html.entities
import warnings

import pyarrow as pa
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from ops.html_grammar import key_of
from ops.visible_text import VisibleText


def measured(pages: list[str], language: str = "html") -> list[tuple[int, int, int]]:
    answer = VisibleText().map(pa.array(pages, pa.large_string()), pa.array([language] * len(pages)))
    names = ("visible_text", "visible_text_kept", "collapsed_length")
    return list(zip(*(answer[name].to_pylist() for name in names), strict=True))


def oracle(page: str) -> tuple[int, int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soup = BeautifulSoup(page, "html.parser")
    for element in soup(["script", "style"]):
        element.extract()
    text = soup.get_text()
    return len(" ".join(text.split())), len(text), len(" ".join(page.split()))


# --- pages that all Pythons parse alike --------------------------------------------------------------------------

space = st.sampled_from([*" \n\t\f\v\x1c\x85\xa0\u1680\u2003\u2028\u3000", "  \r\n "])
plain = st.text(st.characters(exclude_characters="<>&;#", exclude_categories=["Cs"]), max_size=12)
reference = st.one_of(
    st.sampled_from(sorted(name for name in html.entities.html5 if name.endswith(";"))).map("&{}".format),
    st.integers(1, 0x11FFFF).map("&#{};".format),
    st.integers(1, 0x11FFFF).map("&#x{:X};".format),
    st.sampled_from([32, 9, 10, 12, 13, 11, 28, 133, 160, 0x2003, 0]).map("&#{};".format),
    st.sampled_from(["&unknown;", "&a.b;", "&amp ", "&nbsp\n", "& ", "&1"]),
)
value = st.sampled_from(["", '=""', "='a > b'", '="a <p> b"', "=unquoted", ' = "x"', "=a/b", '="&amp;"', "=é"])
attribute = st.tuples(st.sampled_from(["class", "DATA-x", "hidden", "@click", "v:if"]), value).map("".join)
attributes = st.lists(attribute, max_size=3).map(lambda given: "".join(" " + each for each in given))
void_name = st.sampled_from(["br", "IMG", "input", "link"])
void = st.builds("<{}{}{}>".format, void_name, attributes, st.sampled_from(["", " /"]))
hidden = st.sampled_from(
    [
        "<script>if (a < b && c) { '<p>' }</script>",
        '<SCRIPT type="x">text</Script >',
        "<style>p > a { content: '&amp;' }</style>",
        "<!-- comment <p> -->",
        "<?php echo 1 ?>",
        "<!DOCTYPE html>",
        "</br>",
        "</unopened>",
    ]
)
leaf = st.one_of(plain, space, reference, void, hidden)
element_name = st.sampled_from(["p", "DIV", "td", "pre", "template", "rt", "rp", "x-own", "section"])


def elements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    content = st.lists(inner, max_size=4).map("".join)
    whole = st.builds("<{0}{1}>{2}</{0}>".format, element_name, attributes, content)
    unclosed = st.builds("<{}{}>{}".format, element_name, attributes, content)
    closed_by_another = st.builds("<{}>{}</{}>".format, element_name, content, element_name)
    return st.one_of(whole, unclosed, closed_by_another)


page = st.lists(st.recursive(leaf, elements, max_leaves=12), max_size=5).map("".join)


@given(st.lists(page, min_size=1, max_size=3))
def test_the_text_is_as_long_as_beautiful_soups(pages: list[str]) -> None:
    assert measured(pages) == [oracle(each) for each in pages]


def test_every_named_reference_is_as_long_as_beautiful_soups() -> None:
    pages = [f"<p>a &{name.removesuffix(';')}; b" for name in html.entities.html5]
    assert measured(pages) == [oracle(each) for each in pages]


def test_keys_of_names_differ() -> None:
    names = {name.removesuffix(";") for name in html.entities.html5}
    assert len({key_of(name) for name in names}) == len(names)


ARTICLE = """<!DOCTYPE html>
<html lang="en">
  <head>
    <title>A page</title>
    <style>body { margin: 0 }</style>
    <script src="a.js"></script>
  </head>
  <body class="main">
    <!-- not shown -->
    <h1>Heading &mdash; one</h1>
    <p>Caf&eacute; <b>bold</b><i>italic</i> &#169; 2023
    <pre>
      kept
    </pre>
    <img src="x.png" alt="not text"><br/>
    <template><p>not shown either</p></template>
  </body>
</html>
"""


def test_an_ordinary_page() -> None:
    shown = "A page Heading — one Café bolditalic © 2023 kept"
    assert measured([ARTICLE]) == [oracle(ARTICLE)]
    assert measured([ARTICLE])[0][0] == len(shown)


# --- what Pythons parse differently, and broken pages --------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # Raw text ends at its own end tag only, and takes all that follows when there is none.
        ("a<script>b</style>c</script>d", "ad"),
        ("a<script>b", "a"),
        ("a<script/>b", "ab"),
        ("a<style>b</style", "a"),
        ("a<script>b</ script\n>c", "ac"),
        # Comments end at `-->`, white space before the `>` allowed.
        ("a<!-- b -- >c", "ac"),
        ("a<!--> b -->c", "ac"),
        ("a<!-- b --!> c", "a<!-- b --!> c"),
        ("a<! b>c", "ac"),
        ("a</ b>c", "ac"),
        ("a</>c", "ac"),
        ("a<!-- b > c", "a<!-- b > c"),
        # Sections of an unknown name make the parser refuse the file.
        ("a<![CDATA[b < c]]>d", "ab < cd"),
        ("<template>a<![CDATA[b]]></template>", "b"),
        ("a<![if IE]>b<![endif]>c", "abc"),
        ("a<![other[b]]>c", ""),
        ("a<![ [b]]>c", ""),
        # Tags without end are text, up to the next `>` if there is one.
        ("a<b", "a<b"),
        ("a<b c", "a<b c"),
        ('a<b c="d>e<i>f', 'a<b c="d>ef'),
        ("a<b =c", "a<b =c"),
        ('a<b c="d" e>f', "af"),
        ("a<b c='d'e>f", "af"),
        ("a< b", "a< b"),
        ("a<3", "a<3"),
        ("a<", "a<"),
        ("a<b\0>c", "a<b\0>c"),
        # References: unknown ones lose their semicolon, broken ones end all markup the second time.
        ("&unknown;a", "&unknowna"),
        ("&lt", "&lt"),
        ("&lt ", "<"),
        ("a&b", "ab"),
        ("a&", "a&"),
        ("&#65a;<b>c</b>", "&#65a;c"),
        ("&#x;<b>&#y;<i>", "&#x;&#y;<i>"),
        ("&#1114112;", "\N{REPLACEMENT CHARACTER}"),
        ("a&#133;b", "a…b"),
        ("&notin;&fjlig;", "∉fj"),
        # End tags close all within their element, and hiding ends with it.
        ("<div><template>a</div>b", "b"),
        ("<div><template>a</b>c", ""),
        ("<ruby>a<rp>(</rp><rt>b</rt><rp>)</rp></ruby>", "a"),
        ("<template/>a", "a"),
        ("<template / >a", ""),
        ("", ""),
        ("  ", ""),
        ("a\xa0\u2003b", "a b"),
    ],
)
def test_broken_pages(page: str, text: str) -> None:
    assert measured([page])[0][0] == len(text)


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("a <b> \n </b> c", 5),
        ("<pre> \n </pre>", 3),
        ("<textarea>  </textarea>", 2),
        ("a<br>  </br>  b", 6),
        ("a<br/>  </br>  b", 5),
        ("a<b>\xa0\xa0</b>", 3),
        ("a<b>&#32;&#32;</b>", 2),
        ("<![CDATA[]]>", 1),
        ("<pre><![CDATA[]]></pre>", 0),
    ],
)
def test_blanks_between_elements_are_one(page: str, kept: int) -> None:
    assert measured([page])[0][1] == kept


def test_one_page_says_nothing_of_the_next() -> None:
    pages = ["<pre><template>a<br>", "<b>  </b></br>  b", "&#x;", "&#x;<b>c</b>"]
    assert measured(pages) == [each for page in pages for each in measured([page])]


def test_a_page_that_takes_too_many_passes_is_given_up() -> None:
    assert measured(["<a " * 100])[0][0] == 299
    assert measured(["<a " * 2500])[0][:2] == (0, 0)


def test_other_languages_are_not_measured() -> None:
    content = pa.array(["<p>a</p>", "<p>b</p>", None, "<p>c</p>", "d"]).slice(1)
    answer = VisibleText().map(content, pa.array(["html", "html", "php", None]))
    assert answer["visible_text"].to_pylist() == [1, 0, None, None]
    assert answer["collapsed_length"].to_pylist() == [8, 0, None, None]
    assert [column.null_count for column in answer.values()] == [2, 2, 2]
