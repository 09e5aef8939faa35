"""The filter pass with data-juicer: its own filters for lines, letters and digits, size and language.

    python filter_data_juicer.py CORPUS OUT PROCESSES TABLES

It has none for licences, letters alone, XML headers or bounds by extension, so it does less than the others.
"""

import json
import sys
from pathlib import Path

import juice

if __name__ == "__main__":
    corpus, out, processes, tables = sys.argv[1:]
    wanted = json.loads(Path(tables).read_text())["wanted"]
    steps = [
        {"specified_field_filter": {"field_key": "lang", "target_value": wanted}},
        {"text_length_filter": {"min_len": 1, "max_len": 1000000}},
        {"maximum_line_length_filter": {"max_len": 1000}},
        {"average_line_length_filter": {"min_len": 0, "max_len": 100}},
        {"alphanumeric_filter": {"tokenization": False, "min_ratio": 0.25}},
    ]
    juice.process(corpus, out, int(processes), steps)
