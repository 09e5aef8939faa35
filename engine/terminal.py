"""What commands show: outcomes as tables and coloured text for rich to print.

Texts of documents are made visible first (`engine.shown`), and nothing of them is read as rich's own markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from engine.difference import KINDS, Difference, Group
from engine.doctor import Finding
from engine.preview import Event, Previewed
from engine.report import size
from engine.shown import excerpt, one_line
from engine.text_diff import Fold, Line, Row, rows
from engine.whatif import KINDS as KINDS_OF_CHANGE
from engine.whatif import Example, Outcome

LINES = 6
"""Lines of a document's text that are shown before its story."""
CHANGES = 24
"""Rows of a change that are shown."""
COLOURS = {
    "dropped": "red",
    "broke": "yellow",
    "kept": "green",
    "changed": "cyan",
    "wrote": "cyan",
    "waits": "dim",
    "read": "dim",
    "passed": "dim",
}


def table(columns: Iterable[tuple[str, bool]], lines: Iterable[Sequence[str | Text]]) -> Table:
    """A table without lines; `columns` are titles, and whether their cells are figures."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title, right in columns:
        made.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for line in lines:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in line))
    return made


# --- preview ------------------------------------------------------------------------------------------------------


def preview(documents: Sequence[Previewed]) -> Iterator[RenderableType]:
    """Each document with a few lines of its text, and what every step did."""
    for document in documents:
        yield Text(f"{one_line(document.repo_name)}:{one_line(document.path)}", "bold")
        if document.id:
            yield Text(f"  id {document.id}, stream {document.stream}", "dim")
            yield _text(document.text)
        width = max((len(event.step) for event in document.events), default=0)
        for event in document.events:
            yield _event(event, width)
            if event.before is not None and event.after is not None:
                yield difference_of(event.before, event.after)
        yield Text()


def _text(text: str) -> Text:
    part, shown = excerpt(text, LINES, 110), Text(no_wrap=True, overflow="ellipsis")
    if part.before:
        shown.append(f"  · {part.before:,} lines before\n", "dim")
    for line in part.lines:
        shown.append(f"  │ {line}\n")
    if part.after:
        shown.append(f"  · {part.after:,} lines more\n", "dim")
    shown.rstrip()
    return shown


def _event(event: Event, width: int) -> Text:
    told = Text("  ")
    told.append(f"{event.fate:<8}", COLOURS[event.fate])
    told.append(f" {event.step:<{width}}  ")
    reason = event.reason if event.reason and not event.detail.startswith(event.reason) else ""
    told.append(one_line(" ".join(filter(None, (reason, event.detail)))), "" if event.fate != "waits" else "dim")
    told.rstrip()
    return told


def difference_of(before: str, after: str) -> Text:
    """The changed lines of a text, those that went in red and those that came in green."""
    found, shown = rows(before, after, around=1), Text()
    for row in found[:CHANGES]:
        if isinstance(row, Fold):
            shown.append(f"      · {row.lines:,} equal lines\n", "dim")
        elif row.same:
            shown.append(f"        {_plain(row.after)}\n", "dim")
        else:
            for line, sign, colour in ((row.before, "-", "red"), (row.after, "+", "green")):
                if line is not None:
                    shown.append(f"      {sign} ", colour)
                    for piece in line.pieces:
                        shown.append(piece.text, f"{colour} bold underline" if _within(row, piece.marked) else colour)
                    shown.append("\n")
    if len(found) > CHANGES:
        shown.append(f"      · {len(found) - CHANGES:,} rows more\n", "dim")
    shown.rstrip()
    return shown


def _within(row: Row, marked: bool) -> bool:
    """Whether a marked piece is one among others: of a line that is new altogether none is set apart."""
    return marked and all(line is not None and len(line.pieces) > 1 for line in (row.before, row.after))


def _plain(line: Line | None) -> str:
    return "".join(piece.text for piece in line.pieces) if line else ""


# --- whatif and diff ----------------------------------------------------------------------------------------------


def whatif(outcome: Outcome) -> Iterator[RenderableType]:
    """What each step drops and would drop, what that makes of the corpus, and examples."""
    several = len({step.stream for step in outcome.steps}) > 1
    lines = []
    for step in outcome.steps:
        more = "" if step.now == step.then else f"{step.now - step.then:+,}"
        note = "not decided again" if not step.decided else ""
        note += f", {step.undecided:,} more would come" if step.undecided else ""
        name = f"{step.stream} {step.step}" if several else step.step
        style = "bold" if step.changed else "dim" if not step.decided else ""
        lines.append([Text(cell, style) for cell in (name, f"{step.then:,}", f"{step.now:,}", more, note)])
    yield table((("step", False), ("drops", True), ("would drop", True), ("", True), ("", False)), lines)
    total = outcome.total
    yield Text.assemble(
        "\n", (f"{outcome.kept:,}", "bold"), f" documents would be kept, of {total.kept:,} that are: ",
        (f"{total.leave:,} leave", "red"), f" ({size(total.leave_bytes)}), ",
        (f"{total.enter:,} enter", "green"), f" ({size(total.enter_bytes)})",
        f", and {total.undecided:,} would come to a step that is not decided again" if total.undecided else "",
    )  # fmt: skip
    languages = [
        [name or "(none)", f"{v.kept:,}", f"{v.leave:,}", f"{v.enter:,}", f"{v.undecided:,}"]
        for name, v in outcome.languages.items()
        if v.leave or v.enter or v.undecided
    ]
    if languages:
        yield Text()
        yield table([("language", False), *((title, True) for title in ("kept", *KINDS_OF_CHANGE))], languages)
    for kind, colour in zip(KINDS_OF_CHANGE, ("red", "green", "yellow"), strict=True):
        if outcome.examples[kind]:
            yield Text(f"\n{kind}, for example", colour)
            yield from _examples(outcome.examples[kind])


def _examples(examples: Sequence[Example]) -> Iterator[Text]:
    names = [f"{one_line(e.repo_name)}:{one_line(e.path or e.id)}" for e in examples]
    width = min(60, max(map(len, names)))
    for name, example in zip(names, examples, strict=True):
        yield Text(f"  {name:<{width}}  {example.step}  {example.detail}".rstrip())


def difference(found: Difference) -> Iterator[RenderableType]:
    """What entered, left and changed, by the op that made it and by language, and how the recipes differ."""
    colours = {"entered": "green", "left": "red", "changed": "cyan"}
    for line in found.settings:
        yield Text(line, "red" if line.startswith("-") else "green")
    before, after = found.kept
    counts = ", ".join(f"{found.count(kind):,} {kind}" for kind in KINDS)
    yield Text(f"{before:,} documents in {found.first}, {after:,} in {found.second}: {counts}", "bold")
    if not found.groups:
        return
    yield Text()
    lines = []
    for group in found.groups:
        lines.append(
            [Text(group.kind, colours[group.kind]), f"{group.documents:,}", size(group.bytes), group.step, group.reason]
        )
    yield table((("", False), ("documents", True), ("text", True), ("by", False), ("why", False)), lines)
    yield Text()
    columns = [("language", False), ("first", True), ("second", True), *((kind, True) for kind in KINDS)]
    yield table(
        columns, [[name or "(none)", *(f"{n:,}" for n in row.values())] for name, row in found.languages.items()]
    )
    for group in found.groups:
        yield Text(f"\n{group.kind} by {group.step} {group.reason}".rstrip() + ", for example", colours[group.kind])
        yield from _members(group)


def _members(group: Group) -> Iterator[Text]:
    for row in group.examples:
        yield Text(f"  {one_line(row['repo_name'])}:{one_line(row['path'] or row['id'])}")


# --- doctor -------------------------------------------------------------------------------------------------------


def doctor(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Each finding on a line, and below it what to do."""
    signs = {"ok": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "red")}
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        sign, colour = signs[finding.level]
        yield Text.assemble((sign, colour), f" {finding.subject:<{width}}  {finding.found}")
        if finding.advice:
            yield Text(f"  {'':<{width}}  {finding.advice}", "" if finding.level != "ok" else "dim")
