"""Texts of Parquet files to ids with one library, on one core: cold and warm, as JSON.

python tokenize_one_core.py kitoken|gigatoken|tokenizers CORPUS TOKENIZER_JSON BYTES

The texts are those from the beginning of every file, BYTES in all. `ids` is a digest of all ids, in their order.
"""

import hashlib
import json
import os
import sys
import time
from array import array
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
BATCH = 256


def texts(corpus: str, size: int) -> list[str]:
    """Texts from the beginning of every file."""
    import pyarrow.parquet as pq

    files, found = sorted(Path(corpus).glob("*.parquet")), []
    for path in files:
        left = size // len(files)
        for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["content"]):
            for text in batch.column(0).to_pylist():
                if left > 0:
                    found.append(text)
                    left -= len(text.encode())
            if left <= 0:
                break
    return found


def encoder(library: str, place: str):
    """A function from a list of texts to a list of lists of ids."""
    made = Path(place).read_text(encoding="utf-8")
    if library == "kitoken":
        from kitoken import Kitoken

        tokenizer = Kitoken.from_file(place)
        return lambda batch: tokenizer.encode_all(batch, False)
    if library == "gigatoken":
        import gigatoken

        # It knows no single digits: GPT-2's plain scheme, with the same vocabulary.
        changed = json.loads(made)
        changed["pre_tokenizer"] = changed["pre_tokenizer"]["pretokenizers"][1]
        tokenizer = gigatoken.Tokenizer.from_json(json.dumps(changed))
        return lambda batch: tokenizer.encode_batch(batch, parallel=False)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(made)
    tokenizer.encode_special_tokens = True
    return lambda batch: [e.ids for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]


def main() -> None:
    library, corpus, place, size = sys.argv[1:]
    given = texts(corpus, int(size))
    encode = encoder(library, place)
    encode(["warm up"])
    seconds, ids = [], []
    for _ in range(1 if library == "tokenizers" else 2):
        begin = time.process_time()
        made = [encode(given[n : n + BATCH]) for n in range(0, len(given), BATCH)]
        seconds.append(time.process_time() - begin)
        ids = ids or made
    digest = hashlib.sha256()
    for batch in ids:
        for one in batch:
            digest.update(array("I", [*one, 0xFFFFFFFF]).tobytes())
    told = {"bytes": sum(len(t.encode()) for t in given), "seconds": seconds, "ids": digest.hexdigest()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
