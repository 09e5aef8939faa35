"""Near-deduplication with datatrove: its four MinHash stages, Parquet in and out.

    python near_datatrove.py CORPUS OUT PROCESSES

Words by the pattern `[A-Za-z0-9_]+` instead of its default, spaCy's English with text normalised, which is four times
slower; 5 to a shingle, 25 buckets of 10 hashes. A bucket is a cluster, of which the largest cluster's head stays;
nothing is verified.
"""

import re
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer


class Words(WordTokenizer):
    """Words by a pattern."""

    def word_tokenize(self, text: str) -> list[str]:
        return re.findall(r"[A-Za-z0-9_]+", text)

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


def reader(corpus: str, metadata: bool) -> ParquetReader:
    return ParquetReader(corpus, glob_pattern="*.parquet", text_key="content", id_key="hexsha", read_metadata=metadata)


def main() -> None:
    corpus, out, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    plain = TextNormConfig(False, False, False, False, False)
    config = MinhashConfig(n_grams=5, num_buckets=25, hashes_per_bucket=10, norm_config=plain)
    tasks = len(list(Path(corpus).glob("*.parquet")))
    work = f"{out}/work"

    def run(tasks: int, *steps: object) -> None:
        executor = LocalPipelineExecutor(list(steps), tasks=tasks, workers=min(tasks, processes))
        executor.run()

    run(tasks, reader(corpus, False), MinhashDedupSignature(f"{work}/signatures", config, language=Words()))
    run(25, MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config))
    run(1, MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config))
    kept = ParquetWriter(f"{out}/kept", compression="zstd", expand_metadata=True)
    run(tasks, reader(corpus, True), MinhashDedupFilter(f"{work}/remove"), kept)


if __name__ == "__main__":
    main()
