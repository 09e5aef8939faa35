"""PII replaced by placeholders, whoever found it."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from engine.op import Map
from engine.schema import SPAN, TEXT, Integers, Spans, Strings
from ops.gibberish import is_gibberish
from ops.ip_addresses import public_address
from ops.spans import merged

_PLACEHOLDERS = {"EMAIL": "<EMAIL>", "KEY": "<KEY>", "NAME": "<NAME>", "PASSWORD": "<PASSWORD>"}
_SAME = {"EMAIL_EXAMPLE": "EMAIL"}
"""Kinds that some detectors have beside the kinds that are replaced."""
_V4 = ("172.16.31.10", "172.16.58.3", "172.16.17.32", "192.168.127.12", "192.168.3.11")
_V6 = (
    "fd00:c2b6:b24b:be67:2827:688d:e6a1:6a3b",
    "fd00:a516:7c1b:17cd:6d81:2137:bd2a:2c5b",
    "fc00:e968:6179::de52:7100",
    "fc00:db20:35b:7399::5",
    "fdf8:f53e:61e4::18",
)

Span = dict[str, Any]

_NAMES = pa.large_list(TEXT)
Names = Annotated[pa.Array, _NAMES]


class Redacted(TypedDict):
    content: Strings
    pii: Spans
    n_redacted: Integers
    redacted_kinds: Names


class Redact(Map):
    """Replace spans of PII by placeholders: `<EMAIL>`, `<KEY>`, `<NAME>`, `<PASSWORD>`, and private IP addresses.

    E-mail addresses and passwords are replaced always, names of more than one word, keys that a rule found or that are
    longer than eight characters and read as drawn at random, and IP addresses unless they are private, reserved or a
    public name server's; nothing of three characters or fewer, and no other kinds. Equal values of a file get equal
    replacements. Of spans that overlap all is replaced, by the longest one's placeholder. A file without spans is not
    touched.

    `pii` is written anew: the spans at which the replacements stand in the new text.

    Example:
        - redact

    Reference:
        Li et al. 2023, https://arxiv.org/abs/2305.06161, section 4
    """

    reproduce: bool = False
    """StarCoder's own text: a space before a replacement that follows another one, or the file's beginning, at once;
    spans that overlap are not resolved, and the text between them is repeated or lost."""

    def map(self, id: Strings, content: Strings, pii: Spans) -> Redacted:
        touched = np.asarray(pc.list_value_length(pii).fill_null(0)) > 0
        at = np.flatnonzero(touched)
        rows = zip(*(c.take(at).to_pylist() for c in (id, content, pii)), strict=True)
        answers = [self._redacted(*row) for row in rows]
        texts = pa.array([text for text, _ in answers], TEXT)
        spans = [spans for _, spans in answers]
        kinds = [sorted({s["kind"] for s in found}) for found in spans]
        written = _lists(len(content), at, spans, SPAN)
        return {
            "content": pc.replace_with_mask(content, pa.array(touched), texts) if answers else content,
            "pii": written,
            "n_redacted": pc.list_value_length(written),
            "redacted_kinds": _lists(len(content), at, kinds, TEXT),
        }

    def _redacted(self, id: str, content: str, pii: list[Span]) -> tuple[str, list[Span]]:
        raw = content.encode()
        chosen: list[tuple[int, int, tuple[str, str, str | None]]] = []
        for span in pii:
            begin, end = span["start_byte"], span["end_byte"]
            kind = _SAME.get(span["kind"], str(span["kind"]))
            put = self._replacement(id, kind, raw[begin:end].decode(errors="replace"), span["rule"])
            if put is not None:
                chosen.append((begin, end, (kind, put, span["rule"])))
        chosen = sorted(chosen, key=lambda s: s[0]) if self.reproduce else merged(chosen)
        text, spans, last = "", [], 0
        written = 0
        for begin, end, (kind, put, rule) in chosen:
            between = raw[last:begin].decode(errors="replace")
            if self.reproduce and not between:
                between = " "
            written += len(between.encode())
            spans.append(_span(kind, rule, put, len(text) + len(between), written))
            text += between + put
            written += len(put)
            last = end
        return text + raw[last:].decode(errors="replace"), spans

    def _replacement(self, id: str, kind: str, value: str, rule: str | None) -> str | None:
        # What is put in a value's place; None where it stays.
        if len(value) <= 3 or (kind != "IP_ADDRESS" and kind not in _PLACEHOLDERS):
            return None
        if kind == "IP_ADDRESS":
            address = public_address(value)
            if address is None:
                return None
            draw = xxhash.xxh64_intdigest(f"{id}\0{address}".encode())
            return (_V4 if address.version == 4 else _V6)[draw % 5]
        # A rule has judged the value already; of what a model found it is asked here how it reads.
        proven = rule is not None and not self.reproduce
        if kind == "KEY" and not proven and not (len(value) > 8 and is_gibberish(value.encode())):
            return None
        if kind == "NAME" and len(value.split()) < 2:
            return None
        return _PLACEHOLDERS[kind]


def _span(kind: str, rule: str | None, put: str, start: int, start_byte: int) -> Span:
    # Replacements are ASCII: as many bytes as characters.
    end, end_byte = start + len(put), start_byte + len(put)
    return {"kind": kind, "start": start, "end": end, "start_byte": start_byte, "end_byte": end_byte, "rule": rule}


def _lists(rows: int, at: Any, values: list[list[Any]], kind: pa.DataType) -> Any:
    # A column of lists that are empty but for those rows.
    lengths = np.zeros(rows + 1, np.int64)
    lengths[at + 1] = [len(v) for v in values]
    flat = pa.array([item for v in values for item in v], kind)
    return pa.LargeListArray.from_arrays(pa.array(np.cumsum(lengths), pa.int64()), flat)
