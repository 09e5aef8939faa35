"""Near-deduplication with text-dedup's own command; what it leaves is a folder of Arrow files.

    python near_text_dedup.py CORPUS OUT PROCESSES

xxh3, 256 permutations, threshold 0.7, 5 to a shingle, bands as it chooses them; its words are what `\\W` parts, lower
case, empty ones too.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    corpus, out, processes = sys.argv[1:]
    place = Path(out).resolve()
    place.mkdir(parents=True)
    sys.argv = ["minhash", "--path", "parquet", "--data_files", f"{Path(corpus).resolve()}/*.parquet"]
    sys.argv += ["--split", "train", "--cache_dir", f"{place}/cache", "--output", f"{place}/kept"]
    sys.argv += ["--column", "content", "--num_proc", processes, "--hash_func", "xxh3"]
    sys.argv += ["--ngram", "5", "--num_perm", "256", "--threshold", "0.7", "--batch_size", "10000"]
    from text_dedup.minhash import main

    main()
