"""How fast the filter pass is beside copying the files, polars, datatrove and data-juicer.

python tests/bench/filters.py CORPUS                                            the engine, pyarrow, polars
python tests/bench/filters.py CORPUS --contenders engine datatrove data-juicer --name filters_slow
"""

from __future__ import annotations

import json
from pathlib import Path

import environments
import measure
from results import (
    RIVALS,
    START_ROWS,
    Goal,
    Results,
    Table,
    arguments,
    engine_run,
    facts,
    kept_paths,
    rival_versions,
    start_input,
)

from ops.inspection import LANGUAGES
from ops.permissive import listed

ABOUT = """
The same Parquet files are read, every file is judged (language by its name, longest and mean line, letters and digits,
letters, XML header, size of data files, licence), and those that pass are written as Parquet with zstd. Each contender
is a whole process on the same {cores} cores; contenders take turns, and the figures are medians of {runs} rounds.
*Start* is the same command on the first {start} documents of each file; *net* is without it. The engine also writes its
ledger, measures and samples of what it drops, syncs its files, and leaves a run that `why` can be asked about; the
others write the rows.
"""

CONTENDERS = {
    "engine": "engine, --on here",
    "copy": "copy, pyarrow's defaults",
    "copy-plain": "copy, text without dictionary",
    "polars": "polars expressions",
    "datatrove": "datatrove, own filter",
    "data-juicer": "data-juicer, its filters",
}
DEFAULT = ["engine", "copy", "copy-plain", "polars"]


def tables() -> dict[str, object]:
    """Languages, licences and bounds by extension, as the rivals' scripts take them."""
    data = json.loads(LANGUAGES.read_bytes())
    measures = ("longest_line", "mean_line", "alphanumeric", "alphabetic")
    bounds: dict[str, dict[str, float | None]] = {measured: {} for measured in measures}
    refused = []
    for language, pairs in data["inspection"].items():
        for extension, pair in pairs.items():
            key = f"{language}/{extension}"
            if pair.get("include", True) is not True and key != "racket/rkt":
                refused.append(key)
            for measured in ("longest_line", "alphanumeric", "alphabetic"):
                if measured in pair:
                    bounds[measured][key] = pair[measured]
            if pair.get("longest_line", 0) is None:
                bounds["mean_line"][key] = None
    return {
        "suffixes": {s: each["folder"] for each in data["languages"] for s in each["extensions"]},
        "names": {n: each["folder"] for each in data["languages"] for n in each["filenames"]},
        "wanted": [each["folder"] for each in data["languages"] if each["kept"]],
        "refused": refused,
        "bounds": bounds,
        "permissive": sorted(listed()),
    }


def contender(name: str, cores: int, folder: Path, given: Path) -> measure.Contender:
    """How a contender is started."""
    if name == "engine":
        return measure.Contender(name, engine_run("filters", cores))
    rival = "here" if name.startswith("copy") or name == "polars" else name
    script = "copy_pyarrow" if name.startswith("copy") else f"filter_{name.replace('-', '_')}"
    more = {"copy": [], "copy-plain": ["plain"]}.get(name, [given])
    command = [environments.python(rival, folder), RIVALS / f"{script}.py"]
    return measure.Contender(name, lambda corpus, out: [*command, corpus, out, str(cores), *more], environments.OFFLINE)


def main() -> None:
    """Runs the contenders and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=DEFAULT)
    given = parser.parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    given.scratch.mkdir(parents=True, exist_ok=True)
    told = given.scratch / "tables.json"
    told.write_text(json.dumps(tables()))
    start = start_input(given.corpus, given.scratch)
    contenders = [contender(name, given.cores, given.environments, told) for name in given.contenders]
    results = Results(given.name or "filters", "The filter pass", "", given.runs, {"corpus": known})
    records, kept = [], {}
    for who, record, out in measure.in_turns(contenders, given.corpus, start, given.runs, given.scratch):
        records.append(record)
        if not record.error:
            kept[who.name] = kept_paths(out / "documents" if who.name == "engine" else out)
    results.about = ABOUT.format(cores=given.cores, runs=given.runs, start=START_ROWS)
    results.timed(records)
    speeds = {r.name: known["text_bytes"] / 1e6 / r.net for r in records if not r.error}
    results.tables = [_speeds(records, speeds, kept)]
    results.goals = _goals(speeds)
    for name in given.contenders:
        if name in environments.RIVALS:
            results.versions |= rival_versions(name, given.environments)
    ours = next((r for r in records if r.name == "engine" and not r.error), None)
    if ours and "copy" in speeds:
        peak = max(r.pss for r in ours.runs) / 1e6
        results.goals.append(Goal("filter pass: memory of the whole process", 1000, peak, "MB", "at most"))
    results.save()


def _speeds(records: list[measure.Taken], speeds: dict[str, float], kept: dict[str, set[tuple[str, str]]]) -> Table:
    columns = ["contender", "s", "start s", "net CPU s", "net MB/s", "peak MB", "kept", "verdicts unlike the engine's"]
    rows = []
    for r in records:
        title = CONTENDERS[r.name]
        if r.error:
            rows.append([title, "failed", *[None] * 6])
            continue
        unlike = len(kept[r.name] ^ kept["engine"]) if "engine" in kept else None
        rows.append(
            [
                title,
                r.median("seconds"),
                r.median("seconds", "starts"),
                r.net_cpu,
                speeds[r.name],
                max(run.pss for run in r.runs) / 1e6,
                len(kept[r.name]),
                None if r.name.startswith("copy") else unlike,
            ]
        )
    note = "Copying writes every file, the others those that pass."
    if "copy-plain" in speeds and "engine" in speeds:
        share = speeds["engine"] / speeds["copy-plain"]
        note += (
            f" Beside the faster way to copy, which makes no dictionary of the text, the engine has {share:.2f} of it."
        )
    if "data-juicer" in speeds:
        note += " data-juicer has no filters for licences, letters, XML headers and bounds by extension."
    return Table("Filter pass, net of start-up", columns, rows, note)


def _goals(speeds: dict[str, float]) -> list[Goal]:
    wanted = {
        "copy": (0.85, "filter pass beside copying the files with pyarrow"),
        "polars": (3, "filter pass beside polars expressions"),
        "datatrove": (15, "filter pass beside datatrove"),
        "data-juicer": (20, "filter pass beside data-juicer"),
    }
    if "engine" not in speeds:
        return []
    return [Goal(what, goal, speeds["engine"] / speeds[n]) for n, (goal, what) in wanted.items() if n in speeds]


if __name__ == "__main__":
    main()
