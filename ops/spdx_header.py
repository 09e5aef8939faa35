"""Takes a file's licence from its own `SPDX-License-Identifier` line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.op import Map
from engine.schema import TEXT, Strings
from ops.license_text import TAG, of_tag, tagged
from ops.spdx import joined

_BYTES = pa.large_binary()
_TAG = "SPDX-License-Identifier:"
_HEAD = 2_000
"""Bytes of a file in which a header is looked for."""


class Header(TypedDict):
    license: Strings
    license_source: Strings


class SpdxHeader(Map):
    """Writes the licence that a file states of itself, in an `SPDX-License-Identifier:` line of its first 2,000 bytes.

    The line may stand in a comment of any language. Of several such lines all apply. Where there is none, or one that
    does not parse as an SPDX expression, `license` and `license_source` stay as they are; else the source becomes
    `header`.

    Example:
        - spdx_header: {existing: replace}

    Reference:
        SPDX specification 2.3, annex E; REUSE specification 3.3
    """

    existing: Literal["replace", "narrow"] = "replace"
    """What becomes of a licence known already: the header's replaces it, or both apply (`AND`)."""

    def map(self, content: Strings, license: Strings, license_source: Strings) -> Header:
        said = _said(content.cast(_BYTES))
        source = pc.if_else(pc.is_valid(said), pa.scalar("header", TEXT), license_source)
        if self.existing == "narrow":
            said = _narrowed(license, said)
        return {"license": pc.coalesce(said, license), "license_source": source}


def _said(content: Any) -> pa.Array:
    """The expression in each file's head; null where it has none. A line that the head's end cuts off says nothing."""
    heads = pc.binary_slice(content, 0, _HEAD)
    tag, end = pc.extract_regex(heads, f"{TAG.pattern}(?P<end>[\\r\\n]?)").flatten()
    whole = np.asarray(pc.binary_length(content).fill_null(0)) <= _HEAD
    ended = np.asarray(pc.binary_length(end).fill_null(0)) > 0
    said = _by_value(pc.if_else(whole | ended, tag, None), lambda line: of_tag(line.decode("utf-8", "replace")))
    several = np.asarray(pc.count_substring(heads, _TAG).fill_null(0)) > 1
    if not several.any():
        return said
    # Few files state more than one; these are read one by one.
    rows = zip(heads.filter(several).to_pylist(), whole[several], strict=True)
    all_said = [tagged((h if w else h.rpartition(b"\n")[0]).decode("utf-8", "replace")) for h, w in rows]
    return pc.replace_with_mask(said, pa.array(several), pa.array(all_said, TEXT))


def _by_value(column: Any, change: Callable[[Any], str | None]) -> pa.Array:
    """The column with each distinct value changed once; null stays null."""
    encoded = column.dictionary_encode()
    return pa.array([change(value) for value in encoded.dictionary.to_pylist()], TEXT).take(encoded.indices)


def _narrowed(license: Any, said: Any) -> pa.Array:
    """Both expressions under `AND`; null where the header says nothing."""
    pairs = pc.binary_join_element_wise(pc.fill_null(license, ""), said, pa.scalar("\n", TEXT))
    return _by_value(pairs, lambda pair: joined("AND", filter(None, pair.split("\n"))))
