"""The language of each document by its file's name, and which languages are kept."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Literal, TypedDict

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import field_validator

from engine.columns import Bytes, Offsets, text_buffers
from engine.digest import xxh64
from engine.errors import did_you_mean
from engine.op import Filter, Reasons, absent, reasons
from engine.schema import TEXT, Strings
from ops.inspection import LANGUAGES, Inspection, kept

Codes = np.ndarray[Any, np.dtype[np.int64]]
SETS = ("stack86", "all")
_SUFFIX, _NAME = np.uint64(0), np.uint64(1)  # the seeds that keep `c` the extension apart from `c` the file


@cache
def _data() -> dict[str, Any]:
    return json.loads(LANGUAGES.read_bytes())


@cache
def folders(stack86: bool = False) -> frozenset[str]:
    """The names of all languages, or of the 88 that StarCoder kept, as The Stack's folders have them."""
    return frozenset(each["folder"] for each in _data()["languages"] if each["kept"] or not stack86)


class Entries:
    """All that a name may end in: first the extensions, then the whole file names; a code is a place in the list."""

    def __init__(self, languages: list[dict[str, Any]]) -> None:
        suffixes = [(suffix, each["folder"]) for each in languages for suffix in each["extensions"]]
        names = [(name, each["folder"]) for each in languages for name in each["filenames"]]
        self.extension = pa.array([suffix for suffix, _ in suffixes] + [""] * len(names), TEXT)
        self.language = pa.array([folder for _, folder in suffixes + names], TEXT)
        spelled = [(text.encode(), _SUFFIX) for text, _ in suffixes] + [(text.encode(), _NAME) for text, _ in names]
        self.longest = max(len(text) for text, _ in suffixes), max(len(text) for text, _ in names)
        size = 1 << (4 * len(spelled)).bit_length()
        self.keys, self.places = np.zeros(size, np.uint64), np.full(size, -1, np.int64)
        for code, (text, kind) in enumerate(spelled):
            key = xxhash.xxh64_intdigest(text, seed=int(kind))
            slot = key % size
            while self.places[slot] >= 0:
                slot = (slot + 1) % size
            self.keys[slot], self.places[slot] = key, code

    def codes(self, path: pa.Array, two_parts: bool) -> Codes:
        """The code of each path's entry, -1 where there is none."""
        data, offsets = text_buffers(path)
        out = np.empty(len(path), np.int64)
        _search(data, offsets, self.keys, self.places, self.longest, two_parts, out)
        return out


@cache
def entries() -> Entries:
    """The entries of the shipped map, of which each belongs to one language."""
    return Entries(_data()["languages"])


@numba.njit(nogil=True, cache=True)
def _find(text: Bytes, lo: int, hi: int, kind: Any, keys: Any, places: Codes) -> int:
    # A table with open addressing; 64 bits of hash stand for the text itself.
    key = xxh64(text, lo, hi, kind)
    slot = np.int64(key & np.uint64(len(keys) - 1))
    while places[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & (len(keys) - 1)
    return places[slot]


@numba.njit(nogil=True, cache=True)
def _find_suffix(data: Bytes, lo: int, hi: int, keys: Any, places: Codes, room: Bytes) -> int:
    # As it is written, then in lower case.
    if lo == hi or hi - lo > len(room):
        return -1
    code = _find(data, lo, hi, _SUFFIX, keys, places)
    if code < 0:
        for n in range(hi - lo):
            byte = data[lo + n]
            room[n] = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
        code = _find(room, 0, hi - lo, _SUFFIX, keys, places)
    return code


@numba.njit(nogil=True, cache=True)
def _search(
    data: Bytes, offsets: Offsets, keys: Any, places: Codes, longest: tuple[int, int], two_parts: bool, out: Codes
) -> None:
    room = np.empty(longest[0], np.uint8)
    for n in range(len(out)):
        lo, hi = offsets[n], offsets[n + 1]
        at, one, two = hi, hi, hi  # the name's begin, and that of what follows its last dot and its last dot but one
        while at > lo and data[at - 1] != 0x2F:
            at -= 1
            if data[at] == 0x2E:
                if one == hi:
                    one = at + 1
                elif two == hi:
                    two = at + 1
        code = _find(data, at, hi, _NAME, keys, places) if hi - at <= longest[1] else -1
        if code < 0 and two_parts:
            code = _find_suffix(data, two, hi, keys, places, room)
        if code < 0:
            code = _find_suffix(data, one, hi, keys, places, room)
        out[n] = code


def folder_of(names: pa.Array) -> pa.Array:
    """The folder of each language, whichever way it is called: `C#`, `c-sharp` and `C-Sharp` are `c-sharp`.

    Takes linguist's names and The Stack's; one that neither knows becomes lower case with hyphens. Null stays null.
    """
    encoded = names.cast(TEXT).dictionary_encode()
    plain = pc.replace_substring_regex(pc.utf8_lower(encoded.dictionary), r"[ _]", "-")
    aliases = _data()["aliases"]
    place = pc.index_in(plain, value_set=pa.array(list(aliases), TEXT))
    return pc.coalesce(pa.array(list(aliases.values()), TEXT).take(place), plain).take(encoded.indices)


class Named(TypedDict):
    language: Strings
    extension: Strings


class Language(Filter):
    """Writes the language that a file's name tells, and drops files of languages that are not wanted.

    A whole name such as `Makefile` is looked up first, and its extension is empty; then what follows the last dot, as
    it is written (`.C` is C++, `.c` is C), then in lower case (`.PY`). Each extension belongs to one language; those
    that several contest, such as `.m` and `.v`, belong to none, as in The Stack. `language` is the name of The Stack's
    folder, `extension` the one in the map, without its dot. The text is not looked at.

    Example:
        - language: {keep: [python, cpp, swift], inspection: none}

    Reference:
        Kocetkov et al. 2022, The Stack, https://arxiv.org/abs/2211.15533;
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.1
    """

    keep: Literal["stack86", "all"] | list[str] = "stack86"
    """`stack86`: StarCoder's 86 languages with JSON and YAML; `all`: every known one; or names of folders, of which
    `stack86` may be one."""
    inspection: Inspection = "recommended"
    """Whether extensions that StarCoder's inspectors refused are dropped: as they decided (`starcoder`), with Racket's
    `.rkt` let in (`recommended`), or none. Languages that were not inspected keep all of theirs."""
    suffix: Literal["longest", "last"] = "longest"
    """Whether entries of two parts (`.cmake.in`, `.eam.fs`) go before what follows the last dot; with `last`, as in
    StarCoder, they match nothing."""

    @field_validator("keep", mode="before")
    @classmethod
    def _known(cls, keep: Any) -> Any:
        if isinstance(keep, str) and keep not in SETS:
            if keep in folders():
                raise ValueError(f"one language is a list too: write [{keep}]")
            raise ValueError(f"`{keep}` is not `stack86`, `all` or a list{did_you_mean(keep, SETS)}")
        for name in keep if isinstance(keep, list) else []:
            if isinstance(name, str) and name not in folders() and name != "stack86":
                folder = folder_of(pa.array([name], TEXT))[0].as_py()
                hint = f"; write `{folder}`" if folder in folders() else did_you_mean(name, sorted(folders()))
                raise ValueError(f"no language has the name `{name}`{hint}")
        return keep

    def drop(
        self, path: Strings
    ) -> tuple[Named, Reasons[Literal["unknown_extension", "language_not_kept", "extension_not_kept"]]]:
        known = entries()
        codes = known.codes(path, self.suffix == "longest")
        place: Any = pa.array(codes, mask=codes < 0)
        wanted = np.asarray(pc.is_in(known.language, value_set=pa.array(sorted(self._wanted()), TEXT)))
        inspected = np.asarray(kept(self.inspection, known.language, known.extension))
        return {"language": known.language.take(place), "extension": known.extension.take(place)}, reasons(
            unknown_extension=absent(place.is_null()),
            language_not_kept=absent(pa.array(~wanted[codes])),
            extension_not_kept=absent(pa.array(~inspected[codes])),
        )

    def _wanted(self) -> frozenset[str]:
        if self.keep == "all":
            return folders()
        wanted = frozenset([self.keep] if isinstance(self.keep, str) else self.keep)
        return wanted | folders(stack86=True) if "stack86" in wanted else wanted
