"""Keys, tokens and passwords: rules as data (`data/secret_rules.toml`), run only where a scan saw a rule's word.

A value that only its name gives away (`api_key = "..."`) must read as if drawn at random and be no hash, version, path
or placeholder.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Any

from engine.columns import Bytes, Offsets
from ops.gibberish import is_gibberish
from ops.secret_scan import LONGEST_NAME, NAME, SHAPE, TOKEN, Place, Words
from ops.spans import Found


@dataclass(frozen=True)
class Rule:
    """A rule of the table: `pattern` is looked for from `before` bytes before its word, up to `limit` bytes behind."""

    id: str
    kind: str
    pattern: re.Pattern[bytes]
    before: int = 0
    limit: int = 2048
    entropy: float = 0.0
    holds: re.Pattern[bytes] | None = None
    drawn: bool = False
    """Whether the value must read as if drawn at random."""
    names: re.Pattern[bytes] | None = None
    """For a value that a provider's name tells: what the name must hold."""


@dataclass(frozen=True)
class Rules:
    """The table: its words, the rules that each leads to, and the rules of values that a name tells."""

    words: Words
    led_to: tuple[tuple[Rule, ...], ...]
    named: tuple[Rule, ...]


_SECRET_NAMES = ("pass", "pwd", "pswd", "pw", "secret", "token", "key", "credential", "auth")


@functools.cache
def rules() -> Rules:
    """The rules that are shipped."""
    table = tomllib.loads(resources.files("ops").joinpath("data", "secret_rules.toml").read_text("utf-8"))
    words: dict[tuple[str, int], list[Rule]] = {(name, NAME): [] for name in _SECRET_NAMES}
    for entry in table["token"]:
        starts = "|".join(re.escape(s) for s in entry["starts"])
        rule = _rule(entry, rf"(?:{starts}){entry['then']}(?![0-9A-Za-z_-])")
        for start in entry["starts"]:
            words.setdefault((start, TOKEN), []).append(rule)
    for entry in table["shape"]:
        for word in entry["keywords"]:
            words.setdefault((word, SHAPE), []).append(_rule(entry, entry["pattern"]))
    for entry in table["named"]:
        for name in entry["names"]:
            words.setdefault((name, NAME), [])
    named = tuple(_rule(entry, entry["value"]) for entry in table["named"])
    return Rules(Words(list(words)), tuple(tuple(led) for led in words.values()), named)


def _rule(entry: dict[str, Any], pattern: str) -> Rule:
    names = "|".join(re.escape(n) for n in entry.get("names", ()))
    return Rule(
        id=entry["id"],
        kind=entry.get("kind", "KEY"),
        pattern=re.compile(pattern.encode()),
        before=entry.get("before", 0),
        limit=entry.get("limit", 2048),
        entropy=entry.get("entropy", 0.0),
        holds=re.compile(entry["holds"].encode()) if "holds" in entry else None,
        drawn=entry.get("drawn", False),
        names=re.compile(rf"(?i)(?<![a-z])(?:{names})".encode()) if names else None,
    )


def find_secrets(data: Bytes, offsets: Offsets, entropy: float = 3.0, hash_share: float = 0.02) -> Iterator[Found]:
    """The keys and passwords in the rows of a column, as spans of kind `KEY` or `PASSWORD`.

    `entropy` is the least that a key must have, in bits a character, that only its name gives away. If such a key could
    be a hash, it is left out of files that speak of hashes more often than on a `hash_share` of their lines (or twice).
    """
    table = rules()
    for text, shift, places in table.words.places(data, offsets):
        for place in places:
            if place.begin == place.end:
                found = [_match(rule, text, place) for rule in table.led_to[place.word]]
            else:
                found = [_assigned(table.named, text, place, entropy, hash_share)]
            for begin, end, kind, rule in filter(None, found):
                yield Found(place.row, begin + shift, end + shift, kind, rule)


Judged = tuple[int, int, str, str]


def _match(rule: Rule, text: memoryview, place: Place) -> Judged | None:
    last = min(place.hi, place.at + rule.limit)
    if rule.before:
        # A byte more than the rule asks for, so that it can look behind itself; never one of another row.
        first = max(place.lo, place.at - rule.before - 1)
        found = rule.pattern.search(bytes(text[first:last]), max(0, place.at - rule.before - first))
    else:
        first, found = 0, rule.pattern.match(text, place.at, last)
    if not found or not first + found.start() <= place.at < first + found.end():
        return None
    begin, end = found.span("secret") if "secret" in rule.pattern.groupindex else found.span()
    value = bytes(text[first + begin : first + end])
    if rule.holds and not rule.holds.search(value):
        return None
    if not rule.holds and (is_placeholder(value) or entropy_of(value) < rule.entropy):
        return None
    if rule.drawn and not is_gibberish(value):
        return None
    return first + begin, first + end, rule.kind, rule.id


# --- values that a name gives away ------------------------------------------------------------------------------------

_NAME_BEFORE = re.compile(rb"(?:(?<![0-9A-Za-z])[A-Za-z]+ )?[0-9A-Za-z_.-]*$")
_NAME_BEHIND = re.compile(rb"[0-9A-Za-z_.-]*")
_PARTS = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_PASSWORD = re.compile(
    rb"password|passwd|passphrase|passwort|passcode|pwd|pswd|(?:^|[_.-])pw$|^pass[_.-]|"
    rb"(?<!by)(?<!com)(?<!over)(?<!under)(?<!tres)(?<!sur)pass$"
)
_KEY = re.compile(rb"(?:^|[_.-])auth(?:$|[_.-]?(?:key|code|header|data))|(?:secret|token|credential)s?$|key$")
_ABOUT = b"""
    name names path paths file filename dir url uri endpoint host type types field label hint placeholder message msg
    error errors title text desc description length len size count limit id ids arn ref refs class column param params
    header headers env var prefix suffix format ttl policy validator validation regex pattern hash algorithm alg
    expiry expires expiration expire version status state mode role scope index idx list map input page link route
    selector icon help reset strength provider manager service factory store storage handler callback test tests
    code codes event events press down up binding bindings usage encoding encoder position pos address
"""
_NO_SECRET = frozenset(_ABOUT.split())
"""Last words of names that hold something about a secret, not a secret."""
_OTHER_KEYS = b"""
    public pub foreign primary unique sort partition hot cache object row item i18n translation arrow keyboard
    idempotency routing group search lookup dedup parent child csrf xsrf antiforgery site sitekey
"""
_NO_KEY = frozenset(_OTHER_KEYS.split())
"""Words that make a `key` one that is no secret."""
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASHED = re.compile(
    rb"(?i)sha-?[0-9]{1,3}|(?<![a-z])sha(?![a-z])|md5|hash|checksum|digest|integrity|fingerprint|commit|etag"
)
_HASH_WORDS = re.compile(rb"(?<![A-Za-z])(?i:sha|hash)(?=es\b|[^a-z])|Hash(?![a-z])")
_HASH = re.compile(rb"(?i)[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}")
_VALUE = re.compile(rb"[0-9A-Za-z+/=_.~:|!@#$%^&*-]+")
_MIXED = re.compile(rb"(?=.{8})(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])")
_OPERATOR = re.compile(rb"[=:>(,]")
_CONSTANT = re.compile(rb"[A-Z][0-9A-Z]*(?:_[0-9A-Z]+)+")
_ALGORITHM = re.compile(rb"(?i)(?:sha|md|aes|rsa|ed|ecdsa|hmac|bcrypt|argon|pbkdf|utf|iso|base)-?[0-9]")
_PATH = re.compile(rb"://|::|^[A-Za-z]:\\|\.[a-z]{2,4}$|->")
_ROOTED = re.compile(rb"\.{0,2}/")


def _assigned(
    named: tuple[Rule, ...], text: memoryview, place: Place, entropy: float, hash_share: float
) -> Judged | None:
    first = max(place.lo, place.at - LONGEST_NAME)
    before = _NAME_BEFORE.search(bytes(text[first : place.at]))
    behind = _NAME_BEHIND.match(bytes(text[place.at : place.begin]))
    name = (before.group() if before else b"") + (behind.group() if behind else b"")
    value = bytes(text[place.begin : place.end])
    if is_placeholder(value) or _PATH.search(value) or (_ROOTED.match(value) and not is_gibberish(value)):
        return None
    for rule in named:
        if rule.names and rule.names.search(name) and rule.pattern.fullmatch(value):
            return place.begin, place.end, rule.kind, rule.id
    parts = [p.lower() for p in _PARTS.findall(name)]
    if not parts or parts[-1] in _NO_SECRET:
        return None
    small = name.lower()
    said = place.quoted and _OPERATOR.search(bytes(text[place.at : place.begin]))
    if small.split(b" ")[-1] == b"pass" and not said:
        # Prose and reports: pass `None`, PASS: test_2.
        return None
    called = bytes(text[place.begin - 2 : place.begin]).strip(b"'\"")[-1:] in (b"(", b",")
    if called and not (_KEY.search(parts[-1]) or _PASSWORD.search(parts[-1])):
        # Of a call the name must be the secret's own, not that of something made of one: `PasswordHasher("sha256")`.
        return None
    if _PASSWORD.search(small):
        return (place.begin, place.end, "PASSWORD", "password") if _is_password(value, small, place.quoted) else None
    if (
        any(_KEY.search(part) for part in [small, *parts])
        and not _NO_KEY.intersection(parts)
        and _is_key(value, small, entropy)
    ):
        hashed = _HASH.fullmatch(value) and _is_hash(text, place, hash_share)
        return None if hashed else (place.begin, place.end, "KEY", "key")
    return None


def _is_password(value: bytes, name: bytes, quoted: int) -> bool:
    if len(value) > 128 or value.lower() in name:
        return False
    if value.decode(errors="ignore").isalpha():
        return bool(quoted) and len(value) >= 8 and is_gibberish(value)
    if re.fullmatch(rb"[A-Za-z]+(?:[ _.:/-]+[A-Za-z]+)*[.:!?]*", value):
        # Words: a message, a name, a path of a configuration.
        return False
    if value.startswith((b"--", b"0x")) or _ALGORITHM.match(value):
        return False
    if not quoted:
        return (
            bool(_VALUE.fullmatch(value))
            and not _CONSTANT.fullmatch(value)
            and not re.search(rb"(?i)pass|pwd|secret|token|key|[a-z_]\.[a-z_]", value)
        )
    return True


def _is_key(value: bytes, name: bytes, entropy: float) -> bool:
    bare = re.search(rb"(?<![a-z])key$", name) and not re.search(rb"api|access|secret|private|auth|crypt|sign", name)
    least = 20 if bare else 10
    if len(value) < least or not _VALUE.fullmatch(value) or not any(c in b"0123456789" for c in value):
        return False
    if _UUID.fullmatch(value):
        return bool(re.search(rb"secret|token|(?:api|access|auth|sign\w*|private)[_.-]?key", name))
    if not any(_MIXED.search(part) for part in re.split(rb"[-_.:/@]", value)) and len(value) < 32:
        return False
    return entropy_of(value) >= min(entropy, math.log2(len(value)) - 0.7) and is_gibberish(value)


def _is_hash(text: memoryview, place: Place, share: float) -> bool:
    # On the value's own line, before it or behind it, a word says what kind of number this is; or many in the file do.
    whole = bytes(text[place.lo : place.hi])
    begin, end = place.begin - place.lo, place.end - place.lo
    last = whole.find(b"\n", end)
    line = whole[whole.rfind(b"\n", 0, begin) + 1 : begin] + b" " + whole[end : last if last >= 0 else len(whole)]
    if _HASHED.search(line[-1000:]):
        return True
    counts = Counter(word.lower()[:3] for word in _HASH_WORDS.findall(whole))
    return max(counts.values(), default=0) > max(1, math.ceil(share * whole.count(b"\n")))


# --- placeholders -----------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    rb"(?i)example|sample|dummy|placeholder|change.?(?:me|it|this)|your|xxxx|\*{3}|\.{3}|^<|>$|\$\{|\{\{|#\{|^\{.*\}$|"
    rb"%\(|^%[sd]|^\$|\$\(|<%|todo|fixme|redacted|removed|secret.?here|undefined|insert|replace.?|"
    rb"my.?(?:pass|secret|token|key)|foo.?bar|lorem|process\.env|environ|getenv|test.?test|"
    rb"^(?:pass|passwd|password|pwd|secret|token|key|api.?key|api.?secret|user|test|root|admin)$"
)


def is_placeholder(value: bytes) -> bool:
    """Whether a value only stands where a secret would: a template, `changeme`, `xxxx`, `abcdefgh`."""
    return bool(_PLACEHOLDER.search(value)) or len(set(value)) < 4 or _is_sequence(value)


def _is_sequence(value: bytes) -> bool:
    # Characters that follow each other for the most part: 0123456789, abcdefgh, aaaabbbb.
    steps = sum(b - a in (0, 1) for a, b in pairwise(value))
    return len(value) > 5 and steps >= 0.7 * (len(value) - 1)


def entropy_of(value: bytes) -> float:
    """Shannon's entropy of a value's bytes, in bits a byte."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())
