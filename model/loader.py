"""Token shards as training reads them: batches that are a function of seed and step, on any number of ranks.

Nothing here keeps a state: the sequence at every place of training is arithmetic (`model.order`), and
fill-in-the-middle draws from keys made of seed, epoch and document. So a run resumes exactly, at any step, on another
number of ranks, and which documents a model has seen is computed rather than logged. There is no torch here: batches
are numpy arrays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import count, islice
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from engine import storage, token_shards
from engine.columns import text_column
from engine.errors import Refused
from engine.schema import TEXT
from engine.token_shards import TRAIN, Samples, TokenShard
from engine.tokenizer import Tokenizer
from engine.tokenizer import read as read_tokenizer
from model.batches import NO_LOSS, Batch, laid
from model.fim import EOD, Fim, Fragments, Permuter, fragment_keys
from model.fim_reproduce import PAD, permuted_sample
from model.order import Numbers, Order

__all__ = ["EOD", "NO_LOSS", "PAD", "Batch", "Loader", "Look", "reader"]


@dataclass(frozen=True)
class Look:
    """A sample as it was packed and as training would see it: its fragments' documents and tokens."""

    documents: pa.RecordBatch
    before: list[Any]
    after: list[Any]


class Loader:
    """Batches of packed samples from the folder that `pack` left.

    `batch` is the number of sequences of a step over all ranks; rank `r` of `ranks` gets the `r`-th part of them. The
    sequence at place `n` of training is the same whatever `batch` and `ranks` are. `weights` gives streams a share of
    the sequences (streams not named have none); unless given, each sample comes once an epoch.

    Raises Refused where the folder holds no such shards, they have no room for `fim`, a weight names no stream, or the
    ranks do not divide the batch.
    """

    def __init__(
        self,
        folder: str,
        *,
        batch: int,
        seed: int = 0,
        split: str = TRAIN,
        fim: Fim | None = None,
        weights: Mapping[str, float] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks or not 0 <= rank < ranks:
            raise Refused(f"{ranks} ranks do not divide a batch of {batch} sequences; choose a multiple of {ranks}")
        self.folder, self.seed, self.split, self.fim = folder, seed, split, fim
        self.size, self.rank, self.ranks = batch, rank, ranks
        self.manifest = token_shards.read_manifest(folder)
        self.weights = dict(sorted(weights.items())) if weights else None
        self.shards = self.manifest.of(split)
        if not self.shards:
            raise Refused(f"{folder} has no split `{split}`; `pack` makes one with `validation`")
        self.length = self.manifest.length
        """Tokens of a sequence."""
        self._ends = np.cumsum([shard.samples for shard in self.shards])
        self.samples = int(self._ends[-1])
        """Samples of the split: sequences of an epoch."""
        self.documents_at_most = max(shard.most_fragments for shard in self.shards)
        """Fragments that one sample has at most."""
        if fim and not fim.reproduce and not self.manifest.fim_room:
            raise Refused(f"samples in {folder} have no room for fill-in-the-middle; Fim(reproduce=True) needs none")
        self._order = self._ordered()
        self._opened: dict[int, Samples] = {}

    def _ordered(self) -> Order:
        sizes: dict[str, int] = {}
        for shard in self.shards:
            sizes[shard.stream] = sizes.get(shard.stream, 0) + shard.samples
        if self.weights is None:
            return Order(self.seed, tuple(sizes.values()))
        if unknown := sorted(name for name, w in self.weights.items() if name not in sizes or w < 0):
            raise Refused(f"no weight can be given to {', '.join(unknown)}; the streams are {', '.join(sorted(sizes))}")
        if not any(self.weights.values()):
            raise Refused("the weights of all streams are 0")
        return Order(self.seed, tuple(sizes.values()), tuple(self.weights.get(name, 0.0) for name in sizes))

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every sample was seen, unless streams have weights."""
        return -(-self.samples // self.size)

    def batch(self, step: int) -> Batch:
        """The sequences of this rank in a step, counted from 0; steps never end, epochs follow each other."""
        mine = self.size // self.ranks
        first = step * self.size + self.rank * mine
        return self._made(np.arange(first, first + mine), *self._order.places(first, mine))

    def batches(self, first: int = 0, stop: int | None = None, ahead: int = 2) -> Iterator[Batch]:
        """The batches of this rank from a step on, up to `stop` if given; a thread makes `ahead` of them in advance."""
        steps = iter(range(first, stop) if stop is not None else count(first))
        with ThreadPoolExecutor(1) as thread:
            waiting = deque(thread.submit(self.batch, step) for step in islice(steps, max(1, ahead)))
            try:
                while waiting:
                    made = waiting.popleft().result()
                    if (step := next(steps, None)) is not None:
                        waiting.append(thread.submit(self.batch, step))
                    yield made
            finally:
                for future in waiting:
                    future.cancel()

    def once(self, rows: int) -> Iterator[Batch]:
        """Every sample of the split once, as it was packed, in batches of `rows` of which the last may be smaller: for
        evaluation. Ranks take turns with batches."""
        for n, first in enumerate(range(0, self.samples, rows)):
            if n % self.ranks == self.rank:
                numbers = np.arange(first, min(first + rows, self.samples))
                yield self._made(numbers, np.zeros(len(numbers), np.int64), numbers, permuted=False)

    def state(self, step: int) -> dict[str, Any]:
        """What to keep with a checkpoint made before `step`, so that `resume` goes on there; JSON can hold it."""
        return {**self._identity(), "sequence": step * self.size}

    def resume(self, state: Mapping[str, Any], force: bool = False) -> int:
        """The step at which a run goes on whose state this is, on any number of ranks.

        Raises Refused where data, seed, weights or fill-in-the-middle are not those of the state, unless `force`.
        """
        told = {"fingerprint": "the token shards changed", "split": "the split is another one"}
        changed = [
            told.get(name, f"`{name}` is {value!r} and was {state.get(name)!r}")
            for name, value in self._identity().items()
            if state.get(name) != value
        ]
        if changed and not force:
            raise Refused(f"the run cannot go on as it was: {'; '.join(changed)}. Force it to go on all the same")
        step, rest = divmod(int(state["sequence"]), self.size)
        if rest:
            raise Refused(f"{state['sequence']} sequences were seen, no whole number of batches of {self.size}")
        return step

    def _identity(self) -> dict[str, Any]:
        fim = asdict(self.fim) if self.fim else None
        known = {"fingerprint": self.manifest.fingerprint, "split": self.split, "seed": self.seed}
        return known | {"weights": self.weights, "fim": fim}

    def which_documents(self, first: int, stop: int | None = None) -> pa.Table:
        """What all ranks read in the steps from `first` to before `stop` (in one step unless given): for each fragment
        the step, sequence, epoch, sample, stream, document id, which copy, its first token there and how many."""
        begin, end = first * self.size, (first + 1 if stop is None else stop) * self.size
        epochs, samples = self._order.places(begin, end - begin)
        parts = [self._fragments(int(sample)) for sample in samples]
        times = [len(part) for part in parts]
        sequences = np.arange(begin, end)
        facts: dict[str, Any] = {
            "step": sequences // self.size,
            "sequence": sequences,
            "epoch": epochs,
            "sample": samples,
        }
        table = pa.table({name: pa.array(np.repeat(values, times)) for name, values in facts.items()})
        found = pa.Table.from_batches(parts, _FRAGMENT)
        for name in _FRAGMENT.names:
            table = table.append_column(name, found.column(name))
        return table

    def look(self, sample: int, epoch: int = 0) -> Look:
        """One sample of the split with its documents, before and after fill-in-the-middle in an epoch."""
        rows = _rows([self._at(sample)[1:]])
        seen, _ = self._seen(rows, np.array([epoch]), np.array([sample]))
        before, after = (np.split(part.tokens, part.ends[:-1]) for part in (rows, seen))
        return Look(self._fragments(sample), before, after)

    def _fragments(self, sample: int) -> pa.RecordBatch:
        shard, data, n = self._at(sample)
        lo, hi = int(data.fragment_edges[n]), int(data.fragment_edges[n + 1])
        ids = text_column(data.ids, data.id_edges[lo : hi + 1])
        tokens = np.diff(data.ends[lo:hi].astype(np.int64), prepend=0)
        stream = pa.repeat(pa.scalar(shard.stream, TEXT), hi - lo)
        columns: list[Any] = [stream, ids, data.copies[lo:hi], data.starts[lo:hi], tokens]
        return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], schema=_FRAGMENT)

    def _at(self, sample: int) -> tuple[TokenShard, Samples, int]:
        """The shard of a sample, what it holds, and the sample's place in it."""
        k = int(np.searchsorted(self._ends, sample, side="right"))
        data = self._opened.get(k)
        if data is None:
            data = self._opened[k] = token_shards.open_shard(self.folder, self.shards[k])
        return self.shards[k], data, sample - int(self._ends[k]) + self.shards[k].samples

    def _made(self, sequences: Numbers, epochs: Numbers, samples: Numbers, permuted: bool = True) -> Batch:
        rows = _rows([self._at(sample)[1:] for sample in samples.tolist()])
        counts = {"tokens": len(rows.tokens), "fragments": len(rows.ends)}
        if permuted:
            rows, done = self._seen(rows, epochs, samples)
            counts |= done
        counts["padding"] = len(samples) * (self.length + 1) - len(rows.tokens)
        arrays = laid(rows, self.length, self.documents_at_most, self.manifest.reproduce)
        return Batch(*arrays, sequences, samples, epochs, counts)

    def _seen(self, rows: Samples, epochs: Numbers, samples: Numbers) -> tuple[Samples, Mapping[str, int]]:
        """The samples as training sees them."""
        if self.fim is None:
            return rows, {}
        if self.fim.reproduce:
            return self._reproduced(rows, epochs, samples, self.fim), {}
        return self._permuted(rows, epochs)

    def _permuted(self, rows: Samples, epochs: Numbers) -> tuple[Samples, Mapping[str, int]]:
        seed = np.uint64(self.seed & (2**64 - 1))
        sample_epochs = np.repeat(epochs, np.diff(rows.fragment_edges))
        keys = fragment_keys(rows.ids, rows.id_edges, rows.starts, rows.copies, seed, sample_epochs)
        before = np.repeat(rows.token_edges[:-1], np.diff(rows.fragment_edges))
        edges = np.append(0, before + rows.ends)
        given = Fragments(rows.tokens, edges, rows.fragment_edges, rows.starts)
        made, done = self._permuter.permute(given, keys, self.length + 1)
        token_edges = made.edges[rows.fragment_edges]
        ends = (made.edges[1:] - np.repeat(token_edges[:-1], np.diff(rows.fragment_edges))).astype(np.int32)
        return replace(rows, tokens=made.tokens, token_edges=token_edges, ends=ends), done

    def _reproduced(self, rows: Samples, epochs: Numbers, samples: Numbers, fim: Fim) -> Samples:
        tokens, ends = [], []
        for n, (epoch, sample) in enumerate(zip(epochs.tolist(), samples.tolist(), strict=True)):
            row = rows.tokens[rows.token_edges[n] : rows.token_edges[n + 1]]
            key = xxhash.xxh64_intdigest(f"{self.seed} {epoch} {sample}".encode())
            tokens.append(permuted_sample(row, key, fim, self.tokenizer))
            ends.append(np.unique(np.append(np.flatnonzero(tokens[-1] == EOD) + 1, len(row))).astype(np.int32))
        edges = np.append(0, np.cumsum([len(part) for part in ends]))
        return replace(rows, tokens=np.concatenate(tokens), ends=np.concatenate(ends), fragment_edges=edges)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer beside the shards."""
        found = read_tokenizer(storage.join(self.folder, token_shards.TOKENIZER))
        if found.digest != self.manifest.tokenizer:
            raise Refused(f"the tokenizer in {self.folder} is not the one that made the shards; run `pack` again")
        return found

    @cached_property
    def _permuter(self) -> Permuter:
        assert self.fim
        return Permuter(self.tokenizer, self.fim)


def _rows(parts: Sequence[tuple[Samples, int]]) -> Samples:
    """Samples from several shards, in their order, as one."""
    tokens, ids, ends, starts, copies, id_sizes = ([] for _ in range(6))
    token_edges, fragment_edges = (np.zeros(len(parts) + 1, np.int64) for _ in range(2))
    for n, (data, at) in enumerate(parts):
        lo, hi = data.token_edges[at], data.token_edges[at + 1]
        a, b = data.fragment_edges[at], data.fragment_edges[at + 1]
        tokens.append(data.tokens[lo:hi])
        ids.append(data.ids[data.id_edges[a] : data.id_edges[b]])
        id_sizes.append(np.diff(data.id_edges[a : b + 1]))
        ends.append(data.ends[a:b])
        starts.append(data.starts[a:b])
        copies.append(data.copies[a:b])
        token_edges[n + 1], fragment_edges[n + 1] = token_edges[n] + hi - lo, fragment_edges[n] + b - a
    return Samples(
        tokens=np.concatenate(tokens),
        token_edges=token_edges,
        fragment_edges=fragment_edges,
        ends=np.concatenate(ends),
        ids=np.concatenate(ids),
        id_edges=np.append(0, np.cumsum(np.concatenate(id_sizes))),
        starts=np.concatenate(starts),
        copies=np.concatenate(copies),
    )


def reader(folder: str, split: str = TRAIN, fim_rate: float = 0.5, seed: int = 0) -> Loader:
    """A loader to look at samples with, permuting them as training would: Megatron's way if packed so."""
    if not 0 <= fim_rate <= 1:
        raise Refused(f"the rate of fill-in-the-middle is from 0 to 1, not {fim_rate:g}")
    manifest = token_shards.read_manifest(folder)
    possible = manifest.reproduce or manifest.fim_room
    fim = Fim(fim_rate, reproduce=manifest.reproduce) if fim_rate and possible else None
    return Loader(folder, batch=1, seed=seed, split=split, fim=fim)


_FRAGMENT = pa.schema(
    [("stream", TEXT), ("id", TEXT), ("copy", pa.int32()), ("start", pa.int64()), ("tokens", pa.int64())]
)
