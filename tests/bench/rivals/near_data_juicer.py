"""Near-deduplication with data-juicer: `document_minhash_deduplicator` in its default executor, Parquet in and out.

    python near_data_juicer.py CORPUS OUT PROCESSES

Tokenization `space`, 5 to a shingle, 256 permutations, threshold 0.7, bands as it chooses them.
"""

import sys

import juice

if __name__ == "__main__":
    corpus, out, processes = sys.argv[1:]
    juice.process(
        corpus,
        out,
        int(processes),
        [
            {
                "document_minhash_deduplicator": {
                    "tokenization": "space",
                    "window_size": 5,
                    "lowercase": False,
                    "num_permutations": 256,
                    "jaccard_threshold": 0.7,
                }
            }
        ],
    )
