"""Bits a byte on files that a model never saw, beside those of `xz -9`: how well it predicts, in a compressor's unit.

A model that gives a text the probability p can store it in -log2 p bits, so the two are on one scale. Each file stands
alone, as a document does in training: its first token follows an `<|endoftext|>`, its last is one, and both count. A
file longer than the context is read through a window that moves on by half, so that a token is scored once, with half
a context before it at least. Nothing is permuted for fill-in-the-middle.
"""

from __future__ import annotations

import bisect
import itertools
import lzma
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import torch

from engine import storage, token_shards
from engine.columns import one_array, text_column
from engine.digest import chances
from engine.tokenizer import Tokenizer
from model.attention import documents
from model.fim import EOD
from model.loader import NO_LOSS
from model.transformer import Decoder

pc: Any = pyarrow.compute

SMALLEST_FILE = 200
"""Bytes below which a file is not evaluated on: of these, xz stores little but its own header."""
_COLUMNS = ["id", "language", "content", "length_bytes"]


def held_out(run: str, count: int, seed: int) -> pa.Table:
    """Up to `count` files that `pack` kept out of training, in an order by chance: `id`, `language`, `content`.

    The first few of them are the same files whatever the count.
    """
    tokens = storage.join(run, "tokens")
    found = [pa.nulls(0, pa.large_string())]
    for shard in token_shards.read_manifest(tokens).of(token_shards.VALIDATION):
        samples = token_shards.open_shard(tokens, shard)
        found.append(pc.unique(text_column(samples.ids, samples.id_edges)))
    wanted = pa.concat_arrays(found)
    tables = [pa.table({name: pa.nulls(0, pa.large_string()) for name in _COLUMNS[:3]})]
    files = storage.read_json(storage.join(run, "manifest.json"))["documents"] if count and len(wanted) else []
    for file in files:
        with storage.open_read(storage.join(run, file["place"])) as opened:
            parquet = pq.ParquetFile(opened, pre_buffer=False)
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=_COLUMNS, use_threads=False)
                large = pc.greater_equal(table.column("length_bytes"), SMALLEST_FILE)
                mine = table.filter(pc.and_(pc.is_in(table.column("id"), value_set=wanted), large))
                columns = [one_array(mine.column(name)).cast(pa.large_string()) for name in _COLUMNS[:3]]
                tables.append(pa.table(columns, _COLUMNS[:3]))
    whole = pa.concat_tables(tables)
    draw = chances(one_array(whole.column("id")), seed, "evaluation")
    first: Any = np.argsort(draw, kind="stable")[:count]
    return whole.take(first)


# --- what a model needs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Tokens that are read together: inputs, targets (`NO_LOSS`: scored elsewhere), and the file that they are of."""

    file: int
    inputs: Any
    targets: Any


def pieces(files: list[Any], length: int) -> Iterator[Piece]:
    """The windows of each file's tokens; among them every token is a target once."""
    stride = max(1, length // 2)
    for file, tokens in enumerate(files):
        yield Piece(file, np.array([EOD]), tokens[:1])
        inputs, targets = tokens[:-1], tokens[1:]
        scored = 0
        for start in range(0, len(inputs), stride):
            end = min(start + length, len(inputs))
            window = targets[start:end].copy()
            window[: scored - start] = NO_LOSS
            yield Piece(file, inputs[start:end], window)
            scored = end
            if end == len(inputs):
                break


def packed(parts: list[Piece], length: int) -> list[list[Piece]]:
    """The pieces in rows of `length` tokens, the longest first, each into the row that it fills best."""
    rows: list[list[Piece]] = []
    room: list[tuple[int, int]] = []
    for part in sorted(parts, key=lambda p: -len(p.inputs)):
        at = bisect.bisect_left(room, (len(part.inputs), -1))
        if at < len(room):
            free, row = room.pop(at)
        else:
            free, row = length, len(rows)
            rows.append([])
        rows[row].append(part)
        if free > len(part.inputs):
            bisect.insort(room, (free - len(part.inputs), row))
    return rows


def nats(
    model: Decoder, files: list[Any], length: int, rows: int, device: Any, rank: int = 0, ranks: int = 1
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What this rank adds to the nats of each file, whose tokens (with `<|endoftext|>` behind them) are given.

    Ranks take turns with batches of `rows` rows, and all do equally many, so that a sharded model may gather.
    """
    laid = packed(list(pieces(files, length)), length)
    batches = [laid[at : at + rows] for at in range(0, len(laid), rows)]
    batches += [[] for _ in range(-len(batches) % ranks)]
    out = np.zeros(len(files))
    for batch in batches[rank::ranks]:
        x, y = np.zeros((rows, length), np.int64), np.full((rows, length), NO_LOSS, np.int64)
        owner, bounds = np.full((rows, length), -1), []
        for row, parts in enumerate(batch):
            at = 0
            for part in parts:
                end = at + len(part.inputs)
                x[row, at:end], y[row, at:end], owner[row, at:end] = part.inputs, part.targets, part.file
                bounds.append(row * length + at)
                at = end
            bounds.append(row * length + at)
        bounds = sorted({0, *bounds, *range(0, rows * length + 1, length)})
        docs = documents(bounds, rows, length, model.h[0].attn.backend, device)  # type: ignore[union-attr]
        losses = model.token_losses(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device), docs)
        counted = y != NO_LOSS
        np.add.at(out, owner[counted], losses.double().cpu().numpy()[counted])
    return out


def tokens_of(files: pa.Table, tokenizer: Tokenizer) -> list[Any]:
    """The tokens of each file, `<|endoftext|>` behind them."""
    ids: Any = tokenizer.encode(one_array(files.column("content")), end=True)
    values, edges = np.asarray(ids.values).astype(np.int64), np.asarray(ids.offsets)
    return [values[lo:hi] for lo, hi in itertools.pairwise(edges)]


# --- figures ------------------------------------------------------------------------------------------------------


def xz_bits(files: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Bits of each file compressed by itself with `xz -9`, container and all."""
    texts: list[Any] = files.column("content").to_pylist()
    return np.array([8.0 * len(lzma.compress(text.encode(), preset=9)) for text in texts])


def sizes(files: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Bytes of each file."""
    return np.asarray(pc.binary_length(one_array(files.column("content")).cast(pa.large_binary())), float)


def compared(files: pa.Table, nats_of: Any, xz: Any) -> dict[str, Any]:
    """Bits a byte of the model and of `xz -9`: their means over files, totals over bytes, and both by language."""
    size, bits = sizes(files), np.asarray(nats_of) / math.log(2)
    names = np.array([name or "" for name in files.column("language").to_pylist()])
    told = _figures(size, bits, xz)
    languages = {str(name): _figures(size[m], bits[m], xz[m]) for name in sorted(set(names)) for m in [names == name]}
    ranked = sorted(languages.items(), key=lambda item: -item[1]["bytes"])
    return told | {"files_below_xz": int((bits < xz).sum()), "languages": dict(ranked)}


def _figures(size: Any, bits: Any, xz: Any) -> dict[str, Any]:
    if not len(size):
        return {"files": 0, "bytes": 0}
    return {
        "files": len(size),
        "bytes": int(size.sum()),
        "mean": round(float((bits / size).mean()), 4),
        "xz_mean": round(float((xz / size).mean()), 4),
        "total": round(float(bits.sum() / size.sum()), 4),
        "xz_total": round(float(xz.sum() / size.sum()), 4),
    }


def curve(points: list[tuple[int, float]], xz: float) -> str:
    """A drawing (SVG) of bits a byte by tokens seen, with the compressor's as a line; the mean over files of both."""
    width, height, left, low = 720, 360, 60, 320
    most = max([tokens for tokens, _ in points], default=1) or 1
    top = max([xz, *(bits for _, bits in points)], default=1) * 1.1

    def at(tokens: float, bits: float) -> tuple[float, float]:
        return left + tokens / most * (width - left - 20), low - bits / top * (low - 20)

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
    level = at(0, xz)[1]
    ticks = "".join(
        f'<line x1="{left}" y1="{at(0, n)[1]:.1f}" x2="{width - 20}" y2="{at(0, n)[1]:.1f}" stroke="#8884"/>'
        f'<text x="{left - 8}" y="{at(0, n)[1] + 4:.1f}" text-anchor="end">{n}</text>'
        for n in range(math.ceil(top))
    )
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in (at(*point) for point in points))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#666"><title>Bits a byte on held-out files</title>'
        f"{ticks}"
        f'<line x1="{left}" y1="{level:.1f}" x2="{width - 20}" y2="{level:.1f}" stroke="#c60" stroke-dasharray="6 4"/>'
        f'<text x="{width - 20}" y="{level - 6:.1f}" text-anchor="end" fill="#c60">xz -9: {xz:.3f}</text>'
        f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/><g fill="#06c">{dots}</g>'
        f'<text x="{left}" y="{height - 12}">0</text>'
        f'<text x="{width - 20}" y="{height - 12}" text-anchor="end">{most:,} tokens</text>'
        '<text x="8" y="14">bits a byte, mean over held-out files</text></svg>\n'
    )
