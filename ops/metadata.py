"""Where a file comes from, said before its text, so that a model can be told to write for such a place."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import Field, NonNegativeInt

from engine.digest import chances
from engine.op import Map
from engine.schema import MARKUP, TEXT, Integers, Strings
from ops.pii import DetectPiiRules
from ops.redact import Redact

pc: Any = pyarrow.compute

Share = Annotated[float, Field(ge=0, le=1)]
BUCKETS = ("0", "1-10", "10-100", "100-1000", "1000+")
"""How many stars a repository has: none or unknown, up to 10, up to 100, up to 1,000, more."""
_EDGES = np.array([0, 10, 100, 1000])
_HOME = r"(^|/)((?i:home|users))/[^/]+/"


class Prefixed(TypedDict):
    """The text with what stands before it."""

    content: Strings


class Metadata(Map):
    """Put repository, path and stars before the text, each by chance, as special tokens and what they introduce.

    `<reponame>octocat/hello<filename>src/main.py<gh_stars>10-100`, a line feed, the text. Each of the three is there
    with the same probability, independent of the others; with none the text stays as it is. What is not known is left
    out, but for stars, of which an unknown number counts as none.

    The names come to the text after `redact`, so they are searched too: what `detect_pii_rules` finds in them is
    replaced as `redact` would, and the name of a home folder by `<NAME>`. `owner: false` leaves out the account.

    Example:
        - metadata: {probability: 0.2}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 5.1
    """

    probability: Share = 0.2
    """How likely each of the three is."""
    owner: bool = True
    """Whether the account stands in the repository's name."""
    scan: bool = True
    """Whether names are searched for personal data; StarCoder's were not."""
    streams: tuple[str, ...] = ()
    """Streams whose documents are prefixed; all unless given."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def map(
        self,
        id: Strings,
        stream: Strings,
        content: Strings,
        repo_name: Strings,
        path: Strings,
        star_events_count: Integers,
    ) -> Prefixed:
        mine = pc.is_in(stream, value_set=pa.array(self.streams, TEXT)) if self.streams else stream.is_valid()
        name = repo_name if self.owner else pc.replace_substring_regex(repo_name, r"^[^/]*/", "")
        fields = {
            "reponame": self._scanned(name),
            "filename": self._scanned(path),
            "gh_stars": star_bucket(star_events_count),
        }
        prefix: Any = pa.repeat(pa.scalar("", TEXT), len(id))
        for field, value in fields.items():
            there = pa.array(chances(id, self.seed or 0, f"metadata {field}") < self.probability)
            told = pc.binary_join_element_wise(pa.scalar(MARKUP[f"<{field}>"], TEXT), value, pa.scalar("", TEXT))
            there = pc.and_(pc.and_(there, mine), value.is_valid())
            nothing = pa.scalar("", TEXT)
            prefix = pc.binary_join_element_wise(prefix, pc.if_else(there, told, nothing), nothing)
        ended = pc.binary_join_element_wise(prefix, content, pa.scalar("\n", TEXT))
        return {"content": pc.if_else(pc.equal(pc.binary_length(prefix), 0), content, ended)}

    def _scanned(self, names: pa.Array) -> pa.Array:
        return scanned(names) if self.scan else names


def star_bucket(stars: pa.Array) -> pa.Array:
    """The bucket of each count of stars: one of `BUCKETS`."""
    places: Any = pa.array(np.searchsorted(_EDGES, stars.fill_null(0).to_numpy(), side="left"))
    return pa.array(BUCKETS, TEXT).take(places)


def scanned(names: pa.Array) -> pa.Array:
    """Names and paths with what `redact` puts for addresses and keys, and without the names of home folders."""
    coded = pc.dictionary_encode(names)
    known = coded.dictionary
    if not len(known):
        return names
    # Each folder's name is judged by itself: in code, what stands before or behind a slash is mostly a URL's.
    lines = pc.replace_substring(known, "/", "\n")
    lines = Redact().map(known, lines, DetectPiiRules.model_validate({}).map(lines)["pii"])["content"]
    known = pc.replace_substring(lines, "\n", "/")
    return pc.replace_substring_regex(known, _HOME, r"\1\2/<NAME>/").take(coded.indices)
