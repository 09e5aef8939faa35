"""The filter pass with datatrove: one filter of our own in Python, the same checks and bounds; Parquet in and out.

python filter_datatrove.py CORPUS OUT PROCESSES TABLES
"""

import json
import re
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter


class CodeFilter(BaseFilter):
    """Language, licence, XML header, lines, letters and digits, letters, size."""

    name = "code"

    def __init__(self, tables: dict) -> None:
        super().__init__()
        self.tables = tables
        self.wanted, self.refused = set(tables["wanted"]), set(tables["refused"])
        self.permissive = set(tables["permissive"])
        self.not_shown = re.compile(r"[\W_]+")
        self.digits = re.compile(r"[0-9]+")

    def bound(self, measure: str, pair: str, default: float | None) -> float | None:
        return self.tables["bounds"][measure].get(pair, default)

    def filter(self, doc: Document) -> bool:
        text, about = doc.text, doc.metadata
        name = about["max_stars_repo_path"].rpartition("/")[2]
        extension, language = "", self.tables["names"].get(name)
        if language is None:
            parts = name.split(".")
            for extension in (".".join(parts[-2:]) if len(parts) > 2 else "", parts[-1] if len(parts) > 1 else ""):
                language = self.tables["suffixes"].get(extension) or self.tables["suffixes"].get(extension.lower())
                if language is not None:
                    break
        pair = f"{language}/{extension}"
        if language not in self.wanted or pair in self.refused:
            return False
        licences = about["max_stars_repo_licenses"]
        if not licences or not self.permissive.issuperset(licences):
            return False
        if language != "xslt" and "<?xml version=" in text[:100]:
            return False
        lines = text.splitlines()
        most, mean = self.bound("longest_line", pair, 1000), self.bound("mean_line", pair, 100)
        if most is not None and max(map(len, lines), default=0) > most:
            return False
        if mean is not None and sum(map(len, lines)) > mean * max(1, len(lines)):
            return False
        # Taking out what is no letter or digit is six times as fast as asking each character.
        shown = self.not_shown.sub("", text)
        least = self.bound("alphanumeric", pair, 0.25)
        if least is not None and len(shown) < least * len(text):
            return False
        least = self.bound("alphabetic", pair, None)
        if least is not None and len(self.digits.sub("", shown)) < least * len(text):
            return False
        return language not in ("json", "yaml") or 50 <= len(text) <= 5000


def main() -> None:
    corpus, out, processes, tables = sys.argv[1:]
    reader = ParquetReader(corpus, glob_pattern="*.parquet", text_key="content", id_key="hexsha")
    writer = ParquetWriter(out, compression="zstd", expand_metadata=True)
    tasks = len(list(Path(corpus).glob("*.parquet")))
    steps = [reader, CodeFilter(json.loads(Path(tables).read_text())), writer]
    LocalPipelineExecutor(steps, tasks=tasks, workers=min(tasks, int(processes))).run()


if __name__ == "__main__":
    main()
