"""The report's plots: matplotlib draws them as SVG that takes its colours and letters from the page.

A plot is drawn once, at a phone's width, and serves light and dark: what matplotlib writes as a stand-in colour becomes
a variable of the page's style sheet. Everything is placed by hand, in the units of a phone's pixels: matplotlib's own
axes and ticks would take ten times as long, and there is a plot for every filter.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

WIDTH = 360
"""Units of a plot's width."""
INK, SOFT, LINE, KEEP, PALE, DROP = (f"#00000{n}" for n in range(1, 7))
_COLOURS = {INK: "ink", SOFT: "soft", LINE: "line", KEEP: "keep", PALE: "pale", DROP: "drop"}
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "report", "path.simplify": False}


@dataclass(frozen=True)
class Reach:
    """A step of a stream: the documents that came to it, and those that went on."""

    label: str
    came: int
    went: int


@dataclass(frozen=True)
class Change:
    """A figure before and after, and how the two are told."""

    label: str
    before: float
    after: float
    said: str


@dataclass(frozen=True)
class Bar:
    """A figure, and how it is told."""

    label: str
    value: float
    said: str


@dataclass(frozen=True)
class Spread:
    """How many documents have a figure between edges, and the bound that it is held against."""

    counts: Sequence[int]
    edges: Sequence[float]
    logarithmic: bool
    bound: float
    said: str
    """The bound for people."""
    fails_above: bool
    """Whether documents fail above the bound, or below it."""
    ends: tuple[str, str]
    """The first and the last edge for people."""


def flow(reaches: Sequence[Reach], title: str) -> str:
    """Documents as a river, as wide as there are of them; what a step drops flows off to the side."""
    left, widest, out = 132.0, 120.0, 286.0
    banks = [(left, 2.0)]
    most = max([1, *(n for r in reaches for n in (r.came, r.went))])
    heights = [46 if r.went != r.came else 27 for r in reaches]
    plot, y = _Plot(WIDTH, sum(heights) + 40), 2.0
    for reach, height in zip(reaches, heights, strict=True):
        came, went = (max(widest * n / most, 1.0) for n in (reach.came, reach.went))
        bank, lost, middle = left + went, reach.came - reach.went, y + 16
        banks += [(bank, y), (bank, y + height)]
        if lost > 0:
            thick = min(max(came - went, 1.4), 16)
            brim = max(left + came, bank + 1)
            plot.stream((bank, y), (brim, y), out - 8, middle, thick)
            plot.text(out, middle - 2, f"−{lost:,}", DROP, size=11.5, weight="bold")
            plot.text(out, middle + 12, share(lost, reach.came), SOFT, size=10)
        elif lost < 0:
            plot.text(out, middle - 2, f"+{-lost:,}", KEEP, size=11.5, weight="bold")
        plot.text(left - 10, middle - 2, _short(reach.label, 19), INK, "right", size=11.5)
        if height > 30:
            plot.text(left - 10, middle + 12, f"{reach.came:,}", SOFT, "right", size=10)
        y += height
    kept = reaches[-1].went if reaches else 0
    bank = left + max(widest * kept / most, 1.0)
    plot.area([*banks, (bank, y), (bank, y + 8), ((left + bank) / 2, y + 20), (left, y + 8)], KEEP)
    plot.text(left - 10, y + 12, "kept", INK, "right", size=12, weight="bold")
    plot.text(bank + 12, y + 12, f"{kept:,}", KEEP, size=13, weight="bold")
    return plot.svg(title)


def changes(rows: Sequence[Change], title: str) -> str:
    """Figures before and after as two dots on one logarithmic scale, joined by what was lost."""
    left, right, high = 104.0, 236.0, 24.0
    positive = [n for row in rows for n in (row.before, row.after) if n > 0] or [1.0]
    low, top = math.log10(min(positive)), math.log10(max(positive))
    scale = (right - left - 16) / max(top - low, 0.5)
    plot = _Plot(WIDTH, int(high * len(rows)) + 6)
    for power in range(math.ceil(low), math.floor(top) + 1):
        x = left + 8 + (power - low) * scale
        plot.line((x, 0), (x, plot.height), LINE)
    for n, row in enumerate(rows):
        y = high * n + high / 2 + 3
        before = left + 8 + (math.log10(row.before) - low) * scale if row.before > 0 else None
        after = left + 8 + (math.log10(row.after) - low) * scale if row.after > 0 else None
        plot.text(left - 8, y, _short(row.label, 15), INK, "right", size=11.5)
        if before is not None:
            plot.line((left if after is None else after, y), (before, y), PALE, 2.5)
            plot.dot(before, y, PALE, 4.6)
        if after is not None:
            plot.dot(after, y, KEEP, 4.0)
        else:
            plot.text(left, y, "×", DROP, "center", size=13)
        plot.text(right + 8, y, row.said, SOFT, size=10.5)
    return plot.svg(title)


def bars(rows: Sequence[Bar], title: str) -> str:
    """Figures as bars that lie under one another."""
    left, right, high = 132.0, 300.0, 22.0
    plot, most = _Plot(WIDTH, int(high * len(rows)) + 4), max([1e-12, *(row.value for row in rows)])
    for n, row in enumerate(rows):
        y, wide = high * n + high / 2 + 2, max((right - left) * row.value / most, 0.8)
        plot.bar(left, y - 5.5, wide, 11, KEEP)
        plot.text(left - 10, y, _short(row.label, 19), INK, "right", size=11.5)
        plot.text(left + wide + 6, y, row.said, SOFT, size=10.5)
    return plot.svg(title)


def columns(rows: Sequence[Bar], title: str, below: str) -> str:
    """Figures as columns that stand side by side, on the scale of a square root so that small ones are seen."""
    high, base = 120.0, 142.0
    plot, most = _Plot(WIDTH, 176), max([1e-12, *(row.value for row in rows)])
    step = min(WIDTH / max(len(rows), 1), 56.0)
    for n, row in enumerate(rows):
        x, tall = step * n + step / 2, max(high * math.sqrt(row.value / most), 1.0)
        plot.bar(x - step * 0.36, base - tall, step * 0.72, tall, KEEP)
        plot.text(x, base - tall - 8, row.said, INK, "center", size=10)
        plot.text(x, base + 11, row.label, SOFT, "center", size=10)
    plot.text(0, base + 28, below, SOFT, size=10)
    return plot.svg(title)


def spread(found: Spread, title: str) -> str:
    """A histogram with a logarithmic height, and the bound that parts those that pass from those that fail."""
    wide, base, high = 200, 76.0, 56.0
    plot = _Plot(wide, 94)
    edges = np.asarray(found.edges, float)
    at = np.log10(edges) if found.logarithmic else edges
    bound = math.log10(max(found.bound, 1e-9)) if found.logarithmic else found.bound
    low, top = min(at[0], bound), max(at[-1], bound)
    x = 2 + (at - low) / (top - low) * (wide - 4)
    cut = 2 + (bound - low) / (top - low) * (wide - 4)
    tall = np.log1p(np.asarray(found.counts, float)) / max(math.log1p(max(found.counts)), 1e-9) * high
    for begin, end, height in zip(x[:-1], x[1:], tall, strict=True):
        fails = (begin + end) / 2 > cut if found.fails_above else (begin + end) / 2 < cut
        if height > 0:
            plot.bar(begin + 0.06 * (end - begin), base - height, 0.88 * (end - begin), height, DROP if fails else KEEP)
    plot.line((0, base), (wide, base), LINE)
    plot.line((cut, 13), (cut, base), INK, dashes=(2, 2))
    side = "left" if cut < wide / 2 else "right"
    plot.text(cut + (4 if side == "left" else -4), 8, found.said, INK, side, size=11, weight="bold")
    plot.text(0, base + 11, found.ends[0], SOFT, size=10)
    plot.text(wide, base + 11, found.ends[1], SOFT, "right", size=10)
    return plot.svg(title)


def share(part: float, whole: float) -> str:
    """A share for people: `12.7 %`, `< 0.1 %`."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


class _Plot:
    """A bare drawing whose units are those of the SVG, counted from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")
        self.units = Affine2D().scale(1, -1).translate(0, height)

    def add(self, artist: Artist) -> None:
        artist.set_transform(self.units)
        # What is added later lies above.
        artist.set_zorder(len(self.figure.get_children()))
        self.figure.add_artist(artist)

    def text(
        self, x: float, y: float, text: str, colour: str, align: str = "left", size: float = 11, weight: str = "normal"
    ) -> None:
        style: Any = {"color": colour, "ha": align, "va": "center", "fontsize": size, "fontweight": weight}
        # A dollar sign would begin a formula.
        self.add(Text(x, y, text, parse_math=False, **style))

    def line(
        self,
        begin: tuple[float, float],
        end: tuple[float, float],
        colour: str,
        width: float = 1,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        line = Line2D((begin[0], end[0]), (begin[1], end[1]), color=colour, linewidth=width)
        if dashes:
            line.set_dashes(dashes)
        self.add(line)

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.add(Rectangle((x, y), width, height, facecolor=colour, linewidth=0))

    def dot(self, x: float, y: float, colour: str, radius: float) -> None:
        self.add(Circle((x, y), radius, facecolor=colour, linewidth=0))

    def area(self, corners: Sequence[tuple[float, float]], colour: str) -> None:
        self._fill(Path([*corners, corners[0]], closed=True), colour)

    def stream(self, bank: tuple[float, float], brim: tuple[float, float], end: float, y: float, thick: float) -> None:
        """A stretch that leaves the river between bank and brim and ends level, `thick` wide, at (end, y)."""
        above, below, far = y - thick / 2, y + thick / 2, end - 10
        rest = [(brim[0], above), ((brim[0] + far) / 2, above), (far, above), (end, above), (end, below), (far, below)]
        back = [((bank[0] + far) / 2, below), (bank[0], below), bank, bank]
        curve, line = [Path.CURVE4] * 3, Path.LINETO
        self._fill(
            Path([bank, brim, *rest, *back], [Path.MOVETO, line, *curve, line, line, line, *curve, Path.CLOSEPOLY]),
            DROP,
        )

    def _fill(self, path: Path, colour: str) -> None:
        self.add(PathPatch(path, facecolor=colour, linewidth=0))

    def svg(self, title: str) -> str:
        """The drawing as an element to be put into a page; `title` is read out by screen readers."""
        buffer = io.StringIO()
        with matplotlib.rc_context(_SETTINGS):
            FigureCanvasSVG(self.figure).print_svg(
                buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
            )
        return _for_page(buffer.getvalue(), self.width, self.height, title)


_FOR_PAGE = (
    (re.compile(r".*?<svg[^>]*>", re.DOTALL), ""),
    (re.compile(r"<(metadata|defs)>.*?</\1>", re.DOTALL), ""),
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r' id="[^"]*"'), ""),
    (re.compile(r"font-family: [^;\"]*;? ?"), ""),
    (re.compile(r"\n\s*"), "\n"),
)


def _for_page(svg: str, width: int, height: int, title: str) -> str:
    """matplotlib's file as an element: without names and styles that would reach beyond it."""
    for pattern, put in _FOR_PAGE:
        svg = pattern.sub(put, svg, count=1 if pattern.pattern.startswith(".*?<svg") else 0)
    for stand_in, name in _COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{{}}">'
    return head.format(_quoted(title)) + svg.strip()


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
