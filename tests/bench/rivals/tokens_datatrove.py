"""Documents to shuffled tokens with datatrove: its tokenizer, then its merger, which shuffles over all files.

python tokens_datatrove.py CORPUS OUT PROCESSES TOKENIZER
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger


def main() -> None:
    corpus, out, processes, tokenizer = sys.argv[1:]
    tasks = len(list(Path(corpus).glob("*.parquet")))
    apart = f"{out}/tokenized"
    read = ParquetReader(corpus, glob_pattern="*.parquet", text_key="content", id_key="hexsha")
    write = DocumentTokenizer(apart, tokenizer_name_or_path=tokenizer, eos_token="<|endoftext|>", seed=1)
    LocalPipelineExecutor([read, write], tasks=tasks, workers=min(tasks, int(processes))).run()
    merge = DocumentTokenizerMerger(apart, f"{out}/merged", "all", shuffle=True, seed=1, progress=False)
    LocalPipelineExecutor([merge], tasks=1).run()


if __name__ == "__main__":
    main()
