"""What a packed sample holds, as coloured text: tokens in turns of colour, special tokens, bounds and origins.

The reader of samples is the model's and comes in from outside (`Reader`): the engine owns the format, not the reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import polars as pl
from rich.console import RenderableType
from rich.text import Text

from engine import storage
from engine.errors import Refused
from engine.run import Run
from engine.schema import SPECIAL_TOKENS
from engine.shown import one_line, visible
from engine.token_shards import MANIFEST
from engine.tokenizer import Tokenizer

LINES = 12
"""Lines of a fragment that are shown unless all are asked for: as many from its beginning as from its end."""
PLAIN = ("", "cyan")
"""The colours of tokens, in turn."""
SPECIAL = "bold magenta"
_TOKENS = "tokens"


class Looked(Protocol):
    """A sample: a row for each fragment (`stream`, `id`, `copy`, `start`, `tokens`), and their tokens."""

    documents: Any
    before: Sequence[Any]
    after: Sequence[Any]


class Reader(Protocol):
    """Reads samples as training does."""

    samples: int
    split: str
    tokenizer: Tokenizer

    def look(self, sample: int, epoch: int = 0) -> Looked: ...


@dataclass(frozen=True)
class Seen:
    """A fragment of a sample: where it is from, and its text before and after fill-in-the-middle."""

    id: str
    stream: str
    path: str | None
    repo_name: str | None
    language: str | None
    copy: int
    start: int
    """Tokens of the document before it."""
    tokens: int
    before: str
    after: str

    def as_json(self) -> dict[str, Any]:
        """The fragment as plain values."""
        return vars(self)


def token_folder(place: str) -> str:
    """The folder of token shards of a run, or the one that the place is itself; Refused where there is none."""
    for folder in (storage.join(place, _TOKENS), place):
        # A run has a manifest too, of its documents.
        if storage.exists(storage.join(folder, MANIFEST)) and (folder != place or not _is_run(place)):
            return folder
    raise Refused(
        f"{place} holds no token shards; a recipe that ends in `tokenize` and `pack` leaves them in `tokens/`"
    )


def _is_run(place: str) -> bool:
    return storage.exists(storage.join(place, "recipe.yaml"))


def origins(place: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Path, repository and language of documents, by id, where the place is a run that has them."""
    if not _is_run(place):
        return {}
    columns = ("id", "path", "repo_name", "language")
    found = Run(place).documents.filter(pl.col("id").is_in(list(ids))).select(columns).collect()
    return {row["id"]: row for row in found.to_dicts()}


def seen(reader: Reader, sample: int, epoch: int, place: str) -> list[Seen]:
    """The fragments of a sample; Refused where there is no such sample."""
    look = _looked(reader, sample, epoch)
    known = origins(place, look.documents.column("id").to_pylist())
    after: Sequence[Any] = look.after
    if len(after) != len(look.before):
        # Megatron's way does not keep to fragments.
        after = [np.concatenate(list(look.after)), *(look.before[0][:0] for _ in look.before[1:])]
    spell = reader.tokenizer.spell
    facts: list[dict[str, Any]] = [
        {k: row[k] for k in ("id", "stream", "copy", "start", "tokens")}
        | {k: known.get(row["id"], {}).get(k) for k in ("path", "repo_name", "language")}
        for row in look.documents.to_pylist()
    ]
    texts = zip(look.before, after, strict=True)
    return [Seen(**told, before=spell(a), after=spell(b)) for told, (a, b) in zip(facts, texts, strict=True)]


def _looked(reader: Reader, sample: int, epoch: int) -> Looked:
    if not 0 <= sample < reader.samples:
        raise Refused(f"there is no sample {sample}; the split `{reader.split}` has {reader.samples:,}, from 0 on")
    return reader.look(sample, epoch)


def view(reader: Reader, sample: int, epoch: int, place: str, whole: bool) -> Iterator[RenderableType]:
    """The fragments of a sample with their origins, and below them what fill-in-the-middle makes of it."""
    look = _looked(reader, sample, epoch)
    rows = look.documents.to_pylist()
    known = origins(place, [row["id"] for row in rows])
    held = sum(map(len, look.before))
    yield Text(f"sample {sample:,} of {reader.samples:,}, {reader.split}: {held:,} tokens, {_count(len(rows))}", "bold")
    for n, (row, tokens) in enumerate(zip(rows, look.before, strict=True)):
        yield _bound(n, row, known.get(row["id"], {}), tokens)
        yield coloured(reader.tokenizer, tokens, whole)
    changed = [n for n, part in enumerate(look.after) if n >= len(look.before) or not _same(part, look.before[n])]
    yield Text()
    if not changed:
        yield Text("training sees it as it is: nothing was permuted for fill-in-the-middle", "dim")
        return
    yield Text(f"as training sees it in epoch {epoch}, {len(changed)} of {len(look.after)} permuted:", "bold")
    for n in changed:
        yield Text(f"── {n + 1} · {_form(look.after[n])}, {len(look.after[n]):,} tokens", "dim")
        yield coloured(reader.tokenizer, look.after[n], whole)


def _count(fragments: int) -> str:
    return f"{fragments} document" if fragments == 1 else f"{fragments} documents or parts of them"


def _same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and bool((one == other).all())


def _form(tokens: Any) -> str:
    prefix, suffix = (SPECIAL_TOKENS.index(t) for t in ("<fim_prefix>", "<fim_suffix>"))
    if len(tokens) < 2 or tokens[0] != prefix:
        return "permuted"
    return "suffix first (SPM)" if tokens[1] == suffix else "prefix first (PSM)"


def _bound(n: int, row: dict[str, Any], origin: dict[str, Any], tokens: Any) -> Text:
    name = ":".join(one_line(origin[k]) for k in ("repo_name", "path") if origin.get(k))
    told = Text(f"── {n + 1} · ", "dim")
    told.append(name or row["id"], "bold")
    facts = [row["stream"], origin.get("language"), f"{row['tokens']:,} tokens"]
    if row["start"]:
        facts.append(f"from its {row['start'] + 1:,}th on")
    if not len(tokens) or tokens[-1] != 0:
        facts.append("cut off")
    if row["copy"]:
        facts.append(f"copy {row['copy'] + 1}")
    if name:
        facts.append(f"id {row['id']}")
    told.append(f" · {' · '.join(filter(None, facts))}", "dim")
    return told


def coloured(tokenizer: Tokenizer, tokens: Any, whole: bool = True) -> Text:
    """The text of tokens, each in the colour of its turn; of a long one the beginning and the end unless `whole`."""
    parts = pieces(tokenizer, tokens)
    ends = np.cumsum([part.count("\n") for part in parts]) if parts else np.zeros(0, np.int64)
    left_out = (0, 0)
    if not whole and len(ends) and ends[-1] > 2 * LINES:
        left_out = (int(np.searchsorted(ends, LINES)) + 1, int(np.searchsorted(ends, ends[-1] - LINES)) + 1)
    shown = Text()
    for n, part in enumerate(parts):
        if left_out[0] <= n < left_out[1]:
            if n == left_out[0]:
                lines = int(ends[left_out[1] - 1] - ends[n - 1])
                shown.append("" if shown.plain.endswith("\n") else "\n")
                shown.append(f"· {left_out[1] - n:,} tokens, {lines:,} lines more\n", "dim")
            continue
        shown.append(visible(part), SPECIAL if tokens[n] < len(SPECIAL_TOKENS) else PLAIN[n % len(PLAIN)])
    return shown


def pieces(tokenizer: Tokenizer, tokens: Any) -> list[str]:
    """The characters that begin in each token: together they are the text, though tokens may cut characters."""
    edges, _ = tokenizer.bytes_of_tokens()
    data = np.frombuffer(tokenizer.decode_bytes(tokens), np.uint8)
    ends = np.append(0, np.cumsum(np.diff(edges)[np.asarray(tokens, np.int64)]))
    begins = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))
    cuts = begins[np.searchsorted(begins, ends)]
    cuts[0] = 0
    return [data[a:b].tobytes().decode("utf-8", "replace") for a, b in pairwise(cuts.tolist())]
