"""A tokenizer trained on the corpus: StarCoder's byte-level BPE, with its faults mended."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from pydantic import Field, NonNegativeInt, PositiveFloat

from engine import storage, tokenizer
from engine.columns import one_array
from engine.digest import chances
from engine.op import Job, Workers, fail
from engine.schema import FIRST_MARKUP, LAST_MARKUP, SPECIAL_TOKENS, TEXT
from ops.mix import Amount, amount
from ops.tokenizer_card import Fertility, tokenizer_card

pc: Any = pyarrow.compute

BATCH = 1000
"""Texts that are handed to the trainer at a time."""
SMALLEST = len(SPECIAL_TOKENS) + 256
"""Entries of a vocabulary without a merge."""
HELD_OUT_BYTES = 2_000_000
"""Text of a language, none of which was trained on, from which its characters a token are taken."""
_COLUMNS = ("id", "stream", "content", "language", "license", "length_bytes", "repeats")
_SPECIAL = "|".join(f"({''.join(f'[{c}]' if c == '|' else c for c in t)})" for t in SPECIAL_TOKENS)
_STRIPPED = f"{_SPECIAL}|[{chr(FIRST_MARKUP)}-{chr(LAST_MARKUP)}]"


class TrainTokenizer(Job):
    """Train a byte-level BPE tokenizer on the documents kept.

    As StarCoder's: digits stand alone, GPT-2's expression cuts the rest, the first ids are the special tokens, no text
    is normalised. Unlike it, all 256 bytes are in the vocabulary, so that no byte can vanish. What it trains on is
    drawn by chance made of ids and strewn over the corpus, each document as often as `mix` repeats it; what spells a
    special token is taken out. Memory grows with the number of different words only, and the report says by how much.

    The folder has `tokenizer.json`, what `transformers.AutoTokenizer` needs, and a card with the characters a token
    that each language gets, on documents held out. `tokenize: {tokenizer: FOLDER}` uses it. Needs `tokenizers`: the
    extra `tokenizer`.

    Example:
        - train_tokenizer: {sample: 200MB, weights: {json: 0.5}}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 4.2
    """

    entries: int = Field(default=49_152, ge=SMALLEST, le=1 << 16)
    """Entries of the vocabulary, with the special tokens and the 256 bytes."""
    sample: Amount = "200MB"
    """Text to train on: bytes, or a share of the corpus, as in `40%`."""
    weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    """How much more often than others the documents of a stream or language are drawn; 1 for those not named."""
    about: str = ""
    """What the documents are, for the card."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def run(self, run: str, out: str, pool: Workers) -> dict[str, Any]:
        trainer = _Trainer(self)
        began, before = time.perf_counter(), _peak_bytes()
        manifest = storage.read_json(storage.join(run, "manifest.json"))
        sample = _Sample(self, [storage.join(run, file["place"]) for file in manifest["documents"]])
        made = trainer.train(sample.texts())
        if not sample.documents:
            raise fail(self, "no document was drawn: the run kept none, or the sample is too small")
        storage.remove(out)
        storage.write_bytes(storage.join(out, tokenizer.FILE), made)
        storage.write_json(storage.join(out, tokenizer.CONFIG), tokenizer.config())
        seconds, grown = time.perf_counter() - began, _peak_bytes() - before
        encoder = tokenizer.read(out)
        told = {
            "entries": encoder.size,
            "documents": sample.documents,
            "bytes": sample.bytes,
            "different_words": tokenizer.different_words(sample.columns()),
            "memory_bytes": grown,
            "seconds": round(seconds, 1),
        }
        held_out = _held_out(sample, encoder)
        versions = storage.read_json(storage.join(run, "report.json"))["versions"] | {"tokenizers": trainer.version}
        text = tokenizer_card(self.about, told, sample.languages, sample.licenses, held_out, versions)
        storage.write_bytes(storage.join(out, "README.md"), text.encode())
        return told | {"characters_per_token": {n: f.characters_per_token for n, f in held_out.items()}}


class _Trainer:
    """The library `tokenizers`, told what StarCoder's tokenizer is."""

    def __init__(self, op: TrainTokenizer) -> None:
        try:
            # An extra: only who trains a tokenizer needs it.
            import tokenizers
            from tokenizers import decoders, models, pre_tokenizers, trainers
        except ImportError:
            raise fail(op, "needs the package tokenizers: pip install 'starcoder-engine[tokenizer]'") from None
        self.version: str = tokenizers.__version__
        self.made: Any = tokenizers.Tokenizer(models.BPE())
        self.made.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        self.made.decoder = decoders.ByteLevel()
        self.trainer = trainers.BpeTrainer(
            vocab_size=op.entries,
            special_tokens=list(SPECIAL_TOKENS),
            # Without it a byte that the sample lacks would be dropped in silence.
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )

    def train(self, texts: Iterator[list[str]]) -> bytes:
        """The `tokenizer.json` of a tokenizer trained on these texts."""
        self.made.train_from_iterator(texts, self.trainer)
        return (json.dumps(json.loads(self.made.to_str()), ensure_ascii=False) + "\n").encode()


class _Sample:
    """The documents that are drawn, read anew each time and never held; counted while the trainer reads them."""

    def __init__(self, op: TrainTokenizer, files: list[str]) -> None:
        self.op, self.files = op, files
        self.documents = self.bytes = 0
        self.languages: dict[str, list[int]] = {}
        self.licenses: dict[str, int] = {}
        wanted, share = amount(op.sample)
        whole = weighted = 0.0
        for table in self._tables(text=False):
            size = table.column("length_bytes").to_numpy()
            whole += int(size.sum())
            weighted += float((size * self._weight(table)).sum())
        wanted = share * whole if wanted is None else wanted
        self.share: float = wanted / weighted if weighted else 0.0
        """How often a document of weight 1 is trained on, on the average."""

    def _tables(self, text: bool) -> Iterator[pa.Table]:
        """The corpus, a row group at a time."""
        for url in self.files:
            with storage.open_read(url) as file:
                parquet = pq.ParquetFile(file, pre_buffer=False)
                names = [n for n in _COLUMNS if n in parquet.schema_arrow.names and (text or n != "content")]
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=names, use_threads=False)

    def _weight(self, table: pa.Table) -> Any:
        """How often each document counts."""
        weight = np.ones(table.num_rows)
        if "repeats" in table.schema.names:
            weight *= np.asarray(pc.fill_null(table.column("repeats"), 1), float)
        if self.op.weights:
            names, factors = list(self.op.weights), np.array([*self.op.weights.values(), 1.0])
            known = pa.array(names, TEXT)
            places = (pc.index_in(table.column(c).cast(TEXT), value_set=known) for c in ("stream", "language"))
            weight *= factors[np.asarray(pc.fill_null(pc.coalesce(*places), len(names)))]
        return weight

    def _drawn(self, text: bool = True) -> Iterator[tuple[pa.Table, Any]]:
        """The corpus a row group at a time, and how often each document is trained on."""
        for table in self._tables(text):
            expected = self._weight(table) * self.share
            draw = chances(one_array(table.column("id")), self.op.seed or 0, "train_tokenizer")
            yield table, (expected + 1 - draw).astype(np.int64)

    def columns(self) -> Iterator[pa.Array]:
        """The texts drawn, without special tokens."""
        for table, times in self._drawn():
            content: Any = table.column("content").filter(pa.array(times > 0))
            yield stripped(one_array(content))

    def texts(self) -> Iterator[list[str]]:
        """The texts drawn, as often as each is trained on, without special tokens."""
        for table, times in self._drawn():
            self._count(table, times)
            order: Any = pa.array(np.repeat(np.arange(len(times)), times))
            table = table.take(order)
            for lo in range(0, table.num_rows, BATCH):
                texts: Any = stripped(one_array(table.column("content").slice(lo, BATCH))).to_pylist()
                yield texts

    def _count(self, table: pa.Table, times: Any) -> None:
        size = table.column("length_bytes").to_numpy() * times
        self.documents += int(times.sum())
        self.bytes += int(size.sum())
        names = {n: pc.fill_null(table.column(n).cast(TEXT), "") for n in ("language", "license")}
        drawn = pa.table(names | {"times": pa.array(times), "bytes": pa.array(size)}).filter(pa.array(times > 0))
        sums = drawn.group_by("language").aggregate([("times", "sum"), ("bytes", "sum")])
        for row in sums.to_pylist():
            known = self.languages.setdefault(row["language"], [0, 0])
            known[0] += row["times_sum"]
            known[1] += row["bytes_sum"]
        for row in pc.value_counts(drawn.column("license")).to_pylist():
            self.licenses[row["values"]] = self.licenses.get(row["values"], 0) + row["counts"]

    def others(self) -> Iterator[pa.Table]:
        """The documents that are not trained on."""
        for table, times in self._drawn():
            yield table.filter(pa.array(times == 0))


def stripped(content: pa.Array) -> pa.Array:
    """Texts without special tokens, spelled or as markup; what joins to one when another goes is taken out as well."""
    found = pc.match_substring_regex(content, _STRIPPED)
    while pc.any(found).as_py():
        content = pc.replace_substring_regex(content, _STRIPPED, "")
        found = pc.match_substring_regex(content, _STRIPPED)
    return content


def _held_out(sample: _Sample, encoder: tokenizer.Tokenizer) -> dict[str, Fertility]:
    """Characters and tokens of each language in some documents that were not trained on, the largest language first."""
    found: dict[str, Fertility] = {}
    for table in sample.others():
        language = pc.fill_null(one_array(table.column("language")), "")
        for name in pc.unique(language).to_pylist():
            own = found.setdefault(name, Fertility())
            if own.bytes < HELD_OUT_BYTES:
                content = stripped(one_array(table.column("content").filter(pc.equal(language, name))))
                own.bytes += int(pc.sum(pc.binary_length(content)).as_py() or 0)
                own.characters += int(pc.sum(pc.utf8_length(content)).as_py() or 0)
                made: Any = encoder.encode(content)
                own.tokens += len(made.values)
    return dict(sorted(((n, f) for n, f in found.items() if f.tokens), key=lambda item: (-item[1].bytes, item[0])))


def _peak_bytes() -> int:
    """The largest memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
