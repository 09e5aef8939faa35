"""Runs the benchmarks one after the other, the most important first, and writes docs/benchmarks.md.

    python tests/bench/run_all.py --full FOLDER --small FOLDER [--only filters near_dedup ...] [--runs 3]

The first five take about ten minutes on two cores; a benchmark that fails is told and the others go on. The tools that
are compared with are installed on demand, some 4 GB in all; `--only` leaves out those that are not wanted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environments

HERE = Path(__file__).parent
SLOW_FILTERS = ("--contenders", "engine", "datatrove", "data-juicer")
SLOW_NEAR = ("--contenders", "engine", "datatrove", "data-juicer", "text-dedup")

BENCHES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "filters": ("filters", "full", ()),
    "near_dedup": ("near_dedup", "full", ()),
    "exact_dedup": ("exact_dedup", "full", ()),
    "kernels": ("kernels", "full", ()),
    "html_text": ("html_text", "full", ()),
    "near_dedup_quality": ("near_dedup_quality", "small", ()),
    "near_dedup_slow": ("near_dedup", "small", SLOW_NEAR),
    "filters_slow": ("filters", "small", SLOW_FILTERS),
    "pii": ("pii", "small", ()),
    "decontaminate": ("decontaminate", "small", ()),
    "issues": ("issues", "scratch", ()),
    "tokens": ("tokens", "small", ()),
    "pack": ("pack", "small", ()),
    "tokenizer_fertility": ("tokenizer_fertility", "full", ()),
    "start": ("start", "full", ()),
    "plan": ("plan", "full", ()),
    "memory": ("memory", "full", ()),
    "near_dedup_scale": ("near_dedup_scale", "small", ("--distinct",)),
}
"""The benchmarks in the order of their importance: the script, its corpus, and what else it is told."""
ONCE = ("near_dedup_quality", "near_dedup_scale", "memory", "tokenizer_fertility")
"""Those that are not repeated: their figures hardly vary."""


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", type=Path, required=True, help="folder of the full corpus")
    parser.add_argument("--small", type=Path, required=True, help="folder of the small corpus")
    parser.add_argument("--only", nargs="+", choices=list(BENCHES), default=list(BENCHES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--environments", type=Path, default=environments.default_folder())
    parser.add_argument("--scratch", type=Path)
    given = parser.parse_args()
    scratch = given.scratch or Path(tempfile.gettempdir()) / "engine-bench"
    corpora = {"full": given.full, "small": given.small, "scratch": scratch / "events"}
    failed = []
    for name in (n for n in BENCHES if n in given.only):
        script, corpus, more = BENCHES[name]
        command = [sys.executable, HERE / f"{script}.py", corpora[corpus], "--name", name]
        command += ["--runs", 1 if name in ONCE else given.runs, "--cores", given.cores]
        command += ["--environments", given.environments, *more]
        if more == ("--distinct",):
            command.append(given.full)
        if given.scratch:
            command += ["--scratch", given.scratch]
        began = time.monotonic()
        print(f"\n=== {name}", flush=True)
        done = subprocess.run([str(part) for part in command])
        print(f"=== {name}: {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
    subprocess.run([sys.executable, str(HERE / "write_docs.py")], check=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
