"""Plots as elements of a page: they parse, reach beyond nothing, and are drawn to scale."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from engine import figures
from engine.figures import Bar, Change, Reach, Spread

REACHES = [
    Reach("source", 1000, 800),
    Reach("passes_all", 800, 800),
    Reach("a_filter", 800, 200),
    Reach("grows", 200, 250),
]
SPREAD = Spread([5, 0, 9], [1, 10, 100, 1000], True, 100, "100", True, ("1", "1,000"))
PLOTS = {
    "flow": figures.flow(REACHES, 'a "title" of <things>'),
    "changes": figures.changes([Change("a & b", 1e6, 1e3, "1 → 2"), Change("<c>", 5, 0, "none")], "changes"),
    "bars": figures.bars([Bar("$x$", 3, "3 s"), Bar("b", 0, "0 s")], "bars"),
    "columns": figures.columns([Bar("2", 46, "46"), Bar("5–8", 1, "1")], "columns", "below"),
    "spread": figures.spread(SPREAD, "spread"),
    "empty": figures.flow([], "nothing") + figures.bars([], "none"),
}


def elements(name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<all>{PLOTS[name]}</all>").iter())


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_takes_everything_from_the_page_and_gives_it_nothing(name):
    found = elements(name)
    assert not [e for e in found if e.tag.rpartition("}")[2] in ("style", "script", "defs", "image", "use", "metadata")]
    assert not [e for e in found if "id" in e.attrib or any(k.endswith("href") for k in e.attrib)]
    assert "font-family" not in PLOTS[name]
    colours = {c for e in found for c in re.findall(r"(?:fill|stroke): ([^;]+)", e.attrib.get("style", ""))}
    assert all(c == "none" or c.startswith("var(--") for c in colours), colours


def test_labels_are_text_and_not_formulas_or_elements():
    assert "$x$" in [e.text for e in elements("bars")]
    assert {"a & b", "<c>"} <= {e.text for e in elements("changes")}
    assert elements("flow")[1].attrib["aria-label"] == 'a "title" of <things>'


def points(path: str) -> list[tuple[float, float]]:
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_the_river_is_as_wide_as_there_are_documents():
    paths = [points(e.attrib["d"]) for e in elements("flow") if "d" in e.attrib and "--keep" in e.attrib["style"]]
    river = max(paths, key=lambda p: max(y for _, y in p) - min(y for _, y in p))
    left = min(x for x, _ in river)
    widths = [x - left for x, _ in river if x > left + 1]
    largest = max(widths)
    shares = [round(800 * w / largest) for w in widths]
    assert {800, 200, 250} <= set(shares)


def test_what_is_beyond_the_bound_is_drawn_as_dropped():
    bars = [
        e.attrib["style"] for e in elements("spread") if e.tag.endswith("path") and "fill: var" in e.attrib["style"]
    ]
    assert len([s for s in bars if "--keep" in s]) == 1
    assert len([s for s in bars if "--drop" in s]) == 1


@pytest.mark.parametrize(
    ("part", "whole", "told"), [(1, 3, "33.3 %"), (1, 10**6, "< 0.1 %"), (0, 5, "0.0 %"), (0, 0, "0.0 %")]
)
def test_shares_are_told_for_people(part, whole, told):
    assert figures.share(part, whole) == told
