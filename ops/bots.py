"""Events by bots, and the comments that called them."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa

from engine.op import Filter, Reasons, absent, reasons
from engine.schema import TEXT
from ops.issue_events import Events, closed, field, kept, opened, pc, rows

KEYWORDS = ("[bot]", "botmanager", "bors-", "jenkins", "k8s-", "-test-", "travis")
SUFFIXES = (
    *("-automaton", "-automation", "-benchmark", "-build", "-deployer", "-cloud", "bot", "-ci", "-linter"),
    *("-teamcity", "-test", "-testing", "-Service-Account"),
)
NAMES = (
    *("Apache-HBase", "AutorestCI", "CLAassistant", "cmsbuild", "codecov-io", "codecov-commenter", "coveralls"),
    *("danger-public", "dnfclas", "msftclas", "PyDocTeur", "SparkQA", "karma-pr-reporter", "claassistantio"),
    "probot-stale",
)


class WithoutBots(TypedDict):
    """Conversations without the events of bots."""

    events: Events


class Bots(Filter):
    """Takes events by bots out of conversations, and drops those in which nobody else spoke.

    A bot is known by its name. The comment right before a bot's goes too where it called the bot: where it names the
    bot's account or begins with `/`. The suffix `bot` also finds people such as `abbot`: `people` names those.

    Example:
        - bots

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5: 17 % of all events, 14.7 % of issues
    """

    keywords: tuple[str, ...] = KEYWORDS
    """What stands somewhere in the names of bots, in small letters."""
    suffixes: tuple[str, ...] = SUFFIXES
    """What names of bots end in, letters small or large."""
    names: tuple[str, ...] = NAMES
    """Whole names of bots."""
    people: tuple[str, ...] = ()
    """Names that are no bots', whatever else they look like."""
    calls: bool = True
    """Whether comments that called a bot are taken out."""
    reproduce: bool = False
    """Do as StarCoder's code did: calls before a first bot stay, and so do names in `-Service-Account`."""

    def drop(self, events: Events) -> tuple[WithoutBots, Reasons[Literal["only_bots"]]]:
        all_events, edges = opened(events)
        authors = field(all_events, "author")
        gone = bots = self._bots(authors)
        if self.calls:
            gone = bots | self._calls(authors, field(all_events, "text"), bots, rows(edges))
        left, new_edges = kept(all_events, edges, ~gone)
        lost = (np.diff(new_edges) == 0) & (np.diff(edges) > 0)
        return {"events": closed(left, new_edges)}, reasons(only_bots=absent(pa.array(lost)))

    def _bots(self, authors: Any) -> Any:
        """For each event whether a bot did it; names are looked at once each."""
        found = authors.dictionary_encode()
        bots = np.array([self.is_bot(name) for name in found.dictionary.to_pylist()], bool)
        return bots[np.asarray(found.indices)] if len(authors) else np.zeros(0, bool)

    def is_bot(self, author: str) -> bool:
        """Whether an account of this name is a bot's."""
        if author in self.people:
            return False
        small = author.lower()
        suffixes = self.suffixes if self.reproduce else tuple(s.lower() for s in self.suffixes)
        return author in self.names or small.endswith(suffixes) or any(k in small for k in self.keywords)

    def _calls(self, authors: Any, texts: Any, bots: Any, row: Any) -> Any:
        """For each event whether it called the bot that acted next in its conversation."""
        called = np.zeros(len(bots), bool)
        before = np.flatnonzero(bots[1:] & ~bots[:-1] & (row[1:] == row[:-1]))
        if self.reproduce:
            place = np.arange(len(row)) - np.searchsorted(row, row)
            earlier = np.append(0, np.cumsum(bots & (place > 0)))
            first = np.searchsorted(row, row[before])
            before = before[earlier[before] > earlier[first]]
        said, names = texts.take(pa.array(before)), authors.take(pa.array(before + 1))
        told = np.array([n in s for s, n in zip(said.to_pylist(), names.to_pylist(), strict=True)], bool)
        called[before] = told | np.asarray(pc.starts_with(said.cast(TEXT), "/"))
        return called
