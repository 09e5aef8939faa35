"""PII by rule: e-mail addresses, IP addresses, keys and passwords, as spans that `redact` replaces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Literal, TypedDict

from pydantic import Field

from engine.columns import Bytes, Offsets, text_buffers
from engine.op import Map
from engine.schema import Spans, Strings
from ops.emails import find_emails
from ops.ip_addresses import find_ip_addresses
from ops.secret_rules import find_secrets
from ops.spans import Found, merged, span_column

Kind = Literal["EMAIL", "IP_ADDRESS", "KEY", "PASSWORD"]


class Detected(TypedDict):
    pii: Spans


class DetectPiiRules(Map):
    """Find e-mail addresses, IP addresses, keys and passwords by rule.

    Spans are in the order of their places, do not overlap, and say where they stand in characters and in bytes. Of
    secrets those are found that a provider's form tells (`ghp_...`, a private key's block) and those that a name tells
    (`api_key = "..."`) if they read as drawn at random; hashes, versions, dates and placeholders are left out.

    Example:
        - detect_pii_rules: {kinds: [EMAIL, IP_ADDRESS, KEY]}

    Reference:
        Li et al. 2023, https://arxiv.org/abs/2305.06161, section 4
    """

    kinds: tuple[Kind, ...] = ("EMAIL", "IP_ADDRESS", "KEY", "PASSWORD")
    """Kinds that are looked for."""
    entropy: float = Field(3.0, ge=0, le=8)
    """Bits a character that a key must have at least if only its name gives it away."""

    hash_share: float = Field(0.02, ge=0, le=1)
    """Share of a file's lines that may speak of `sha` or `hash` (once at least) before a key of a hash's form that only
    its name gives away is taken for one."""

    def map(self, content: Strings) -> Detected:
        return {"pii": span_column(content, self._found(*text_buffers(content)))}

    def _found(self, data: Bytes, offsets: Offsets) -> list[Found]:
        found: list[Found] = []
        if "EMAIL" in self.kinds:
            found += find_emails(data, offsets)
        if "IP_ADDRESS" in self.kinds:
            found += find_ip_addresses(data, offsets)
        if "KEY" in self.kinds or "PASSWORD" in self.kinds:
            found += (s for s in find_secrets(data, offsets, self.entropy, self.hash_share) if s.kind in self.kinds)
        return list(_apart(found))


def _apart(found: list[Found]) -> Iterator[Found]:
    for row, spans in groupby(sorted(found, key=lambda s: s[:4]), key=lambda s: s.row):
        for begin, end, (kind, rule) in merged((s.begin, s.end, (s.kind, s.rule)) for s in spans):
            yield Found(row, begin, end, kind, rule)
