"""Documents to token shards, what packing leaves free and cuts, and how fast training reads, with and without FIM.

python tests/bench/pack.py CORPUS
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import environments
import measure
import numpy as np
from results import RIVALS, START_ROWS, Goal, Results, Table, arguments, engine_run, facts, rival_versions, start_input
from tokenizers import Tokenizer as Trained

from engine import tokenizer
from engine.pool import InlinePool
from model.fim import Fim
from model.fim_reproduce import permuted_sample
from model.loader import Loader
from ops.pack import Pack

ABOUT = """
**Documents to token shards**: whole processes on {cores} core, in turns, medians of {runs} rounds, net of the same
command on {start} files. The engine reads Parquet, tokenizes with the shipped tokenizer, writes its documents and their
tokens, shuffles and packs; datatrove tokenizes with the same `tokenizer.json` and merges what it wrote in a shuffled
order; `tokenizers` alone encodes and writes ids, nothing else.

**Reading**: tokens of training sequences a second of processor time on one core, from shards that lie in memory. FIM
is at a rate of 0.5. *Megatron's way* is its algorithm with the library `tokenizers`: turn each segment drawn into text,
and its three parts into tokens again.
"""
CONTENDERS = {"engine": "engine", "datatrove": "datatrove", "tokenizers": "tokenizers alone"}
FILE = str(tokenizer.SHIPPED / tokenizer.FILE)
RESUMED = """
import sys, time
from model.loader import Loader
from model.fim import Fim
began = time.perf_counter()
Loader(sys.argv[1], batch=8, seed=1, fim=Fim(), weights=None).batch(int(sys.argv[2]))
print(time.perf_counter() - began)
"""


class Library:
    """The library `tokenizers` in the place of our tokenizer."""

    def __init__(self) -> None:
        self.made = Trained.from_file(FILE)
        self.made.encode_special_tokens = True

    def decode(self, ids: Any) -> str:
        """The text of ids."""
        return self.made.decode(ids.tolist(), skip_special_tokens=False)

    def encode_one(self, text: str) -> Any:
        """The ids of a text."""
        return np.array(self.made.encode(text, add_special_tokens=False).ids, np.uint16)


def contender(name: str, cores: int, folder: Path) -> measure.Contender:
    """How a contender is started."""
    if name == "engine":
        return measure.Contender(name, engine_run("pack", cores))
    command = [environments.python("here" if name == "tokenizers" else name, folder), RIVALS / f"tokens_{name}.py"]
    return measure.Contender(name, lambda corpus, out: [*command, corpus, out, str(cores), FILE], environments.OFFLINE)


def main() -> None:
    """Runs everything and writes the results."""
    parser = arguments(__doc__)
    parser.set_defaults(cores=1)
    parser.add_argument("--contenders", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS))
    given = parser.parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    results = Results(given.name or "pack", "Token shards", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(cores=given.cores, runs=given.runs, start=START_ROWS)
    start = start_input(given.corpus, given.scratch)
    contenders = [contender(name, given.cores, given.environments) for name in given.contenders]
    speeds: dict[str, float] = {}
    packed = None
    records = []
    for who, record, out in measure.in_turns(contenders, given.corpus, start, given.runs, given.scratch):
        records.append(record)
        if not record.error:
            speeds[who.name] = known["text_bytes"] / 1e6 / max(record.net, 1e-3)
            if who.name == "engine":
                packed = _packing(out, given.scratch / "packed")
    results.timed(records)
    results.tables = [_documents(records, speeds)]
    if "datatrove" in given.contenders:
        results.versions |= rival_versions("datatrove", given.environments)
    if packed is None:
        raise SystemExit("the engine's run is what the rest is measured on")
    packing, padding = packed
    results.tables.append(packing)
    reading, ratio, resumed, rates = _reading(given.scratch / "packed", given.runs)
    results.tables.append(reading)
    results.goals = [
        Goal("`pack`: padding at 8,192", 0.5, padding[8192] * 100, "%", "at most"),
        Goal("`pack`: padding at 1,024", 2, padding[1024] * 100, "%", "at most"),
        Goal("reading without FIM", 5, rates["none"], "million tokens/s a core"),
        Goal("reading with FIM, beside Megatron's way", 10, ratio),
        Goal("first batch after a resume, wherever", 1, resumed, "s", "at most"),
    ]
    for rival in ("datatrove", "tokenizers"):
        if rival in speeds:
            results.goals.append(
                Goal(f"documents to token shards, beside {rival}", 5, speeds["engine"] / speeds[rival])
            )
    results.save()


def _documents(records: list[measure.Taken], speeds: dict[str, float]) -> Table:
    rows = [
        [CONTENDERS[r.name], "failed", None, None, None, None]
        if r.error
        else [
            CONTENDERS[r.name],
            r.median("seconds"),
            r.median("seconds", "starts"),
            r.net_cpu,
            speeds[r.name],
            max(x.pss for x in r.runs) / 1e6,
        ]
        for r in records
    ]
    columns = ["contender", "s", "start s", "net CPU s", "net MB/s", "peak MB"]
    return Table("From documents to token shards, net of start-up", columns, rows)


def _packing(run: Path, out: Path) -> tuple[Table, dict[int, float]]:
    """What packing in several ways leaves free and cuts; the shards of each stay in a folder of their own."""
    rows, padding = [], {}
    for length in (8192, 1024):
        for reproduce in (False, True):
            op = Pack(length=length, reproduce=reproduce, seed=1)
            began = time.process_time()
            told = op.run(str(run), str(out / f"{length}-{'plain' if reproduce else 'best'}"), InlinePool())
            seconds = time.process_time() - began
            train = told["splits"]["train"]
            if not reproduce:
                padding[length] = train["padding"]
            facts_of = (train["samples"], train["padding"] * 100, train["documents_cut"] / train["documents"] * 100)
            title = "plain concatenation" if reproduce else "best fit"
            rows.append([f"{length:,}, {title}", *facts_of, train["tokens"] / 1e6 / seconds])
    columns = ["length", "samples", "padding %", "documents cut %", "million tokens/s"]
    return Table("Packing the tokens of the same run, on one core", columns, rows), padding


def _reading(folder: Path, runs: int) -> tuple[Table, float, float, dict[str, float]]:
    rows, rates = [], {}
    fims = {"none": None, "FIM": Fim(), "Megatron's order of work, our tokenizer": Fim(reproduce=True)}
    for length in (8192, 1024):
        shards = {name: str(folder / f"{length}-{'plain' if name[0] == 'M' else 'best'}") for name in fims}
        for name, fim in fims.items():
            loader = Loader(shards[name], batch=65536 // length, seed=1, fim=fim)
            rates[name] = statistics.median(_rate(loader, 30 if name[0] == "M" else 200) for _ in range(runs + 1))
            rows.append([f"{length:,}, {name}", rates[name] / 1e6])
        loader = Loader(shards["none"], batch=65536 // length, seed=1)
        rates["library"] = statistics.median(_library(loader, 4) for _ in range(runs))
        rows.append([f"{length:,}, Megatron's way", rates["library"] / 1e6])
        if length == 8192:
            ratio, at_length = rates["FIM"] / rates["library"], dict(rates)
    command = [sys.executable, "-c", RESUMED, str(folder / "8192-best"), str(10**9)]
    took = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)]
    table = Table("Reading, on one core", ["length, FIM", "million tokens/s"], rows)
    table.note = f"The first batch of a process that goes on at step 10⁹ comes after {statistics.median(took):.2f} s."
    return table, ratio, statistics.median(took), {name: rate / 1e6 for name, rate in at_length.items()}


def _rate(loader: Loader, steps: int) -> float:
    loader.batch(0)
    began = time.process_time()
    for step in range(steps):
        loader.batch(step)
    return steps * loader.size * loader.length / (time.process_time() - began)


def _library(loader: Loader, steps: int) -> float:
    library: Any = Library()
    batches = [loader.batch(step) for step in range(steps)]
    began = time.process_time()
    for batch in batches:
        for row in batch.x:
            permuted_sample(row.astype(np.uint16), 1, Fim(), library)
    return steps * loader.size * loader.length / (time.process_time() - began)


if __name__ == "__main__":
    main()
