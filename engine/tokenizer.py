"""Tokenizers: their one door, from columns of text to columns of ids and back.

A tokenizer is a folder with `tokenizer.json`, as the library `tokenizers` writes it. Of these, the engine reads the
one scheme that StarCoder has, byte-level BPE with single digits, and encodes it by its own kernels, to the same ids:
`content` is text throughout, special tokens stand in it as markup (`engine.schema.MARKUP`) and nothing spelled is one.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from engine import storage
from engine.bpe import encode, new_memory, word_hashes
from engine.columns import OVERREAD, padded_parts, text_buffers, text_column
from engine.errors import OpError
from engine.merges import Vocabulary, merge_table
from engine.pretokens import classes
from engine.schema import MARKUP, SPECIAL_TOKENS, spell_out

FILE = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SHIPPED = Path(__file__).parent / "data" / "tokenizer"
"""The folder of the tokenizer that comes with the engine."""
END = 0
"""The id of the token that stands behind each document."""
LARGEST = 1 << 20
"""Entries of the largest vocabulary that the kernels take."""

Ids = np.ndarray[Any, Any]


def config() -> dict[str, Any]:
    """What `tokenizer_config.json` says, so that `transformers.AutoTokenizer` loads the folder."""
    end = SPECIAL_TOKENS[END]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "additional_special_tokens": list(SPECIAL_TOKENS),
        # Its clean-up takes the space out of `x != y`.
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
    }


def read(folder: str | None = None) -> Tokenizer:
    """The tokenizer in a folder, local or any that fsspec knows; the shipped one unless given.

    Raises OpError where there is none or it is of another scheme.
    """
    return _shipped() if folder is None else Tokenizer(_data(folder), storage.join(folder, FILE))


def digest(folder: str | None = None) -> str:
    """The digest that the tokenizer in a folder has, without the work of making one."""
    return xxhash.xxh3_128_hexdigest(_data(folder))


def _data(folder: str | None) -> bytes:
    try:
        return storage.read_bytes(storage.join(folder or str(SHIPPED), FILE))
    except (FileNotFoundError, NotADirectoryError):
        raise OpError(f"{folder}: holds no {FILE}; name the folder of a tokenizer") from None


@functools.cache
def _shipped() -> Tokenizer:
    return Tokenizer(_data(None), str(SHIPPED / FILE))


class Tokenizer:
    """Encodes columns of text and decodes ids; may be used from several threads at a time."""

    def __init__(self, data: bytes, where: str = FILE) -> None:
        self._data = data
        self.digest: str = xxhash.xxh3_128_hexdigest(data)
        """Of `tokenizer.json`, in hexadecimal digits."""
        try:
            made = json.loads(data)
        except ValueError as error:
            raise OpError(f"{where}: is not JSON: {error}") from None
        told = _unlike(made)
        if told:
            raise OpError(f"{where}: {told}; tokenizers like StarCoder's are read, as `train_tokenizer` makes them")
        entries: dict[str, int] = made["model"]["vocab"]
        self.size: int = 1 + max(*entries.values(), *(token["id"] for token in made["added_tokens"]))
        """Ids that there are, special tokens among them."""
        if self.size > LARGEST:
            raise OpError(f"{where}: has {self.size:,} entries; {LARGEST:,} are the most")
        self.type: Any = np.uint16 if self.size <= 1 << 16 else np.uint32
        """The type of ids."""
        self._offsets, self._bytes = _token_bytes(made, self.size)
        self._tokens: Any = text_column(self._bytes, self._offsets).view(pa.large_binary())
        self._words = Vocabulary(classes(), _byte_ids(entries, where), _merges(made["model"]["merges"], entries, where))
        self._own = threading.local()

    # --- encoding ---

    def encode(self, texts: pa.Array, end: bool = False) -> pa.Array:
        """The ids of each text as `large_list` of uint16, or uint32 where the vocabulary is larger than that.

        With `end` the token `<|endoftext|>` stands behind each. A null has the ids of an empty text.
        """
        data, offsets = text_buffers(texts)
        rows = len(offsets) - 1
        out = np.empty(int(offsets[-1] - offsets[0]) + rows * end + 4, self.type)
        edges = np.zeros(rows + 1, np.int64)
        at = 0
        for part, own, bounds in padded_parts(data, offsets):
            at = self._encode(own, bounds, end, out, edges[1:][part], at)
        ids: Any = pa.array(out[:at])
        places: Any = pa.array(edges)
        return pa.LargeListArray.from_arrays(places, ids)

    def encode_one(self, text: str | bytes) -> Ids:
        """The ids of one text."""
        own = text.encode("utf-8") if isinstance(text, str) else text
        data = np.frombuffer(own + bytes(OVERREAD), np.uint8)
        out = np.empty(len(own) + 4, self.type)
        at = self._encode(data, np.array([0, len(own)], np.int64), False, out, np.empty(1, np.int64), 0)
        return out[:at].copy()

    def _encode(self, data: Any, offsets: Any, end: bool, out: Ids, ends: Any, at: int) -> int:
        memory = getattr(self._own, "memory", None)
        if memory is None:
            memory = self._own.memory = new_memory()
        return encode(_frozen(data), _frozen(offsets), self._words, memory, END if end else -1, out, ends, at)

    # --- decoding ---

    def bytes_of_tokens(self) -> tuple[Any, Any]:
        """Offsets (int64) and bytes of all tokens: the bytes of id `n` are `bytes[offsets[n]:offsets[n + 1]]`.

        Special tokens are markup: three bytes each.
        """
        return self._offsets, self._bytes

    def decode_bytes(self, ids: Ids) -> bytes:
        """The bytes of these ids, special tokens as markup."""
        data = self._tokens.take(pa.array(np.asarray(ids, np.int64))).buffers()[2]
        return data.to_pybytes() if data is not None else b""

    def decode(self, ids: Ids) -> str:
        """The text of these ids, special tokens as markup, bytes that are no text as U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def spell(self, ids: Ids) -> str:
        """The text of these ids, special tokens spelled out."""
        return spell_out(self.decode(ids))

    # --- files ---

    def write(self, folder: str) -> None:
        """Puts the tokenizer into a folder, with all that `transformers.AutoTokenizer` needs to load it."""
        storage.write_bytes(storage.join(folder, FILE), self._data)
        storage.write_json(storage.join(folder, CONFIG), config())


def different_words(columns: Iterable[pa.Array]) -> int:
    """How many different words these columns of text have, as the pre-tokenizer cuts them."""
    known = np.zeros(0, np.uint64)
    for texts in columns:
        data, offsets = text_buffers(texts)
        for _, own, places in padded_parts(data, offsets):
            hashes = np.empty(int(places[-1] - places[0]), np.uint64)
            known = np.union1d(known, hashes[: word_hashes(_frozen(own), _frozen(places), classes(), hashes)])
    return len(known)


def _frozen(array: Any) -> Any:
    """The array, not to be written to: a kernel is compiled for each kind of array that it meets."""
    view = array.view()
    view.flags.writeable = False
    return view


def _unlike(made: Any) -> str:
    """What keeps a `tokenizer.json` from being of the scheme that the kernels have, or an empty text."""
    if not isinstance(made, dict) or not isinstance(made.get("model"), dict):
        return "is no tokenizer"
    model = made["model"]
    if model.get("type") != "BPE" or not isinstance(model.get("merges"), list):
        return f"has the model {model.get('type')}, not BPE"
    off = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
    if odd := [name for name in off if model.get(name)]:
        return f"its model has {odd[0]}"
    if made.get("normalizer"):
        return "normalises its text"
    cut = made.get("pre_tokenizer") or {}
    parts = [(p.get("type"), p) for p in cut.get("pretokenizers", [cut])]
    if [name for name, _ in parts] != ["Digits", "ByteLevel"]:
        return f"cuts words by {' and '.join(str(name) for name, _ in parts)}, not by Digits and ByteLevel"
    digits, level = (p for _, p in parts)
    if not digits.get("individual_digits") or level.get("add_prefix_space") or not level.get("use_regex", True):
        return "cuts words otherwise: digits stand alone, no space is put before a text, GPT-2's expression is used"
    known = {token["content"]: token["id"] for token in made.get("added_tokens") or []}
    for number, token in enumerate(SPECIAL_TOKENS):
        if known.get(token) != number:
            return f"has {token} at {known.get(token, 'no id')}, not at {number}"
    return ""


@functools.cache
def _alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for: GPT-2's table."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(b): b for b in shown} | {chr(0x100 + n): b for n, b in enumerate(hidden)}


def _token_bytes(made: Any, size: int) -> tuple[Any, Any]:
    table = {ord(character): byte for character, byte in _alphabet().items()}
    tokens = [b""] * size
    for token, number in made["model"]["vocab"].items():
        # Of the alphabet, what is below 0x100 stands for itself or is a byte by now.
        tokens[number] = token.translate(table).encode("latin-1", "replace")
    for token in made["added_tokens"]:
        tokens[token["id"]] = str(MARKUP.get(token["content"], token["content"])).encode()
    return np.cumsum([0, *map(len, tokens)], dtype=np.int64), np.frombuffer(b"".join(tokens), np.uint8)


def _byte_ids(entries: dict[str, int], where: str) -> Any:
    ids = np.full(256, -1, np.int32)
    for character, byte in _alphabet().items():
        ids[byte] = entries.get(character, -1)
    # These bytes are in no UTF-8.
    missing = [b for b in np.flatnonzero(ids < 0).tolist() if b not in (0xC0, 0xC1, *range(0xF5, 0x100))]
    if missing:
        raise OpError(f"{where}: has no token for the byte 0x{missing[0]:02X}, which would vanish from texts")
    return np.maximum(ids, 0)


def _merges(merges: list[Any], entries: dict[str, int], where: str) -> Any:
    pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in merges]
    try:
        numbers = [(entries[a], entries[b], entries[a + b]) for a, b in pairs]
    except (KeyError, ValueError) as error:
        raise OpError(f"{where}: a merge is not in its vocabulary: {error}") from None
    table = np.array(numbers, np.int64).reshape(-1, 3)
    return merge_table(np.ascontiguousarray(table[:, :2]), np.ascontiguousarray(table[:, 2]))
