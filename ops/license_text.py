"""Which licence a text is: the SPDX expression of a LICENSE file's bytes."""

from __future__ import annotations

import re

import xxhash
from licenseclassifier import LicenseIdentificationResult, identify_license

from ops.spdx import canonical, joined, normalise, spelled

_LONGEST = 1 << 20
"""Bytes; longer files list other people's licences."""
_SHORT = 300
"""Characters of a text that may be a licence's name alone, such as `MIT OR Apache-2.0`."""
_STATEMENT = 2_000
"""Characters of a text whose SPDX tags are its own; longer ones quote those of others."""
_KEPT = 50_000
"""Texts whose licences are remembered."""

TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(?P<tag>[^\r\n]*)")
_TAG_END = re.compile(r"[\s*/#;%!>\"'-]*$|\s*(?:\*/|-->|\*\)|-\}|#>|\|#|\]\]|\"\"\"|''').*$")

TAKES_BACK = re.compile(
    r"non-?\s?commercial|commons clause|\b(?:may|must|shall|can)\s?not\b|\bnot (?:be )?(?:permitted|allowed|sell)\b"
    r"|\bprohibit|\bforbid|\brestrict|\buse only\b|\bconsent\b|\badditional (?:term|condition|requirement)"
    r"|\b(?:academic|educational|research|evaluation|personal)\s+(?:use|purpose)",
    re.IGNORECASE,
)
"""Words that take leave back. Around a licence's own words, they mean that it does not hold as it stands."""

_seen: dict[int, str | None] = {}


def identify(text: bytes) -> str | None:
    """The SPDX expression of a licence text; None where it is none that SPDX lists, or has further conditions.

    Of several licences in one text all apply. A file that is only a licence's name or an SPDX tag counts too. The
    words are matched against SPDX's templates (`licenseclassifier`, a port of Google's licensecheck), which must
    cover three quarters of the text; equal texts are matched once.
    """
    digest = xxhash.xxh3_128_intdigest(text)
    if digest not in _seen:
        if len(_seen) >= _KEPT:
            _seen.clear()
        _seen[digest] = _identify(text) if len(text) <= _LONGEST else None
    return _seen[digest]


def _identify(data: bytes) -> str | None:
    text = decoded(data)
    found = identify_license(text)
    if not found:
        return (normalise(text) if len(text) <= _SHORT else None) or (tagged(text) if len(text) <= _STATEMENT else None)
    if TAKES_BACK.search(_beside(text, found)):
        return None
    each = [canonical(match.id) for match in found]
    return joined("AND", _without_samples([e for e in each if e])) if all(each) else None


def decoded(data: bytes) -> str:
    """A licence file's text: UTF-8, UTF-16 with a mark, else Latin-1, in which no byte is wrong."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _beside(text: str, found: list[LicenseIdentificationResult]) -> str:
    """What of the text stands in no licence found in it."""
    rest, at = [], 0
    for match in found:
        rest.append(text[at : match.start])
        at = max(at, match.end)
    return "\n".join([*rest, text[at:]])


def _without_samples(ids: list[str]) -> list[str]:
    """The ids without `…-only` where `…-or-later` is among them: the sample notice at the end of the GNU licences."""
    return [i for i in ids if i.removesuffix("-only") + "-or-later" not in ids or i.endswith("-or-later")]


def tagged(text: str) -> str | None:
    """The expression of a text's `SPDX-License-Identifier:` tags, all of which apply; None if one does not parse."""
    said = [of_tag(tag) for tag in TAG.findall(text)]
    return joined("AND", [s for s in said if s]) if said and all(said) else None


def of_tag(line: str) -> str | None:
    """The expression of what stands behind `SPDX-License-Identifier:` on a line; None where it is none."""
    return spelled(_TAG_END.sub("", line))
