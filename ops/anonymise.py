"""Accounts called `username_0`, `username_1`, … within each conversation, in what they did and in what was said."""

from __future__ import annotations

from typing import Any, TypedDict

import pyarrow as pa

from engine.op import Map
from engine.schema import TEXT, Strings
from ops.issue_events import Events, closed, field, opened, pc, with_fields

_Names = dict[str, str]


class Anonymous(TypedDict):
    """Conversations without names."""

    title: Strings
    events: Events


class AnonymiseAuthors(Map):
    """Calls the authors of a conversation `username_0`, `username_1`, … in the order in which they first appear.

    Their names are replaced in titles and texts too, where they stand as words: not within a longer word or account.
    `@name` is found whatever its letters' case, a bare name only as it is written, since many a name is a word. All
    names are replaced at once, so that no replacement is replaced again.

    Example:
        - anonymise_authors

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    reproduce: bool = False
    """Replace as StarCoder's code did: within words too, one name after the other."""

    def map(self, title: Strings, events: Events) -> Anonymous:
        all_events, edges = opened(events)
        authors = field(all_events, "author").to_pylist()
        texts, titles = field(all_events, "text").to_pylist(), field(all_events, "title").to_pylist()
        heads: list[Any] = title.to_pylist()
        mask = masked_as_starcoder if self.reproduce else masked
        for row, (lo, hi) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            names = {name: f"username_{n}" for n, name in enumerate(dict.fromkeys(authors[lo:hi]))}
            said = "\n".join([heads[row] or "", *titles[lo:hi], *texts[lo:hi]])
            there = names if self.reproduce else _mentioned(names, said)
            if there:
                texts[lo:hi] = [mask(text, there) for text in texts[lo:hi]]
                titles[lo:hi] = [mask(text, there) for text in titles[lo:hi]]
                heads[row] = None if heads[row] is None else mask(heads[row], there)
            authors[lo:hi] = [names[author] for author in authors[lo:hi]]
        columns = {"author": authors, "text": texts, "title": titles}
        arrays = {name: pa.array(values, TEXT) for name, values in columns.items()}
        arrays["title"] = pc.if_else(pc.equal(arrays["title"], ""), pa.scalar(None, TEXT), arrays["title"])
        return {"title": pa.array(heads, TEXT), "events": closed(with_fields(all_events, **arrays), edges)}


def _mentioned(names: _Names, said: str) -> _Names:
    """Those of the names that occur in what was said; few do."""
    small = said.lower() if "@" in said else ""
    return {n: mask for n, mask in names.items() if n and (n in said or (small and f"@{n.lower()}" in small))}


def masked(text: str, names: _Names) -> str:
    """The text with these names replaced where they are words; of names that overlap the first, then the longest."""
    found: list[tuple[int, int, str]] = []
    small = text.lower() if "@" in text else ""
    for name, mask in names.items():
        found += [(at, at + len(name), mask) for at in _places(text, name)]
        # A text that changes its length with its case is left to names as they are written.
        if len(small) == len(text):
            found += [(at + 1, at + 1 + len(name), mask) for at in _places(small, f"@{name.lower()}")]
    parts, done = list[str](), 0
    for at, end, mask in sorted(set(found), key=lambda f: (f[0], -f[1])):
        if at >= done:
            parts += [text[done:at], mask]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def masked_as_starcoder(text: str, names: _Names) -> str:
    """The text with these names replaced one after the other, wherever their letters stand."""
    for name, mask in names.items():
        text = text.replace(name, mask)
    return text


def _places(text: str, name: str) -> list[int]:
    """Where a name stands as a word."""
    places, at = [], text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (at and _in_word(text[at - 1]) and _in_word(name[0])) and not (end < len(text) and _in_word(text[end])):
            places.append(at)
        at = text.find(name, at + 1)
    return places


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "_-"
