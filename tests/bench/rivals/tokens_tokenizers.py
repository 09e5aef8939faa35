"""Documents to tokens with the library `tokenizers` alone: no shuffle, no packing, one file of ids.

python tokens_tokenizers.py CORPUS OUT THREADS TOKENIZER
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def main() -> None:
    corpus, out, threads, name = sys.argv[1:]
    os.environ["RAYON_NUM_THREADS"] = threads
    from tokenizers import Tokenizer  # it reads the number of threads as it is loaded

    tokenizer = Tokenizer.from_file(name)
    tokenizer.encode_special_tokens = True
    Path(out).mkdir(parents=True, exist_ok=True)
    with open(Path(out) / "tokens.bin", "wb") as file:
        for path in sorted(Path(corpus).glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(1000, columns=["content"]):
                for encoded in tokenizer.encode_batch_fast(batch.column(0).to_pylist(), add_special_tokens=False):
                    file.write(np.array([*encoded.ids, 0], np.uint16).tobytes())


if __name__ == "__main__":
    main()
