"""Makes `ops/data/trigrams.bin` anew from the standard library of the Python that runs this (3.11 for the one shipped).

python tests/bench/trigrams.py OUT
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from ops.gibberish import train

_LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "encodings"}


def main() -> None:
    """Writes the table to the path given."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [f for f in sorted(root.rglob("*.py")) if not _LEFT_OUT.intersection(f.relative_to(root).parts)]
    Path(sys.argv[1]).write_bytes(train(f.read_bytes() for f in files).tobytes())


if __name__ == "__main__":
    main()
