"""What a run did, by step: in, kept, dropped by reason, changed, bytes, seconds; as JSON, Markdown and a table."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from typing import Any

from engine import storage
from engine.errors import RunError
from engine.publish import Stages

MOST = 0.5
"""A step that drops a larger share of what it sees is called out."""


@dataclass
class StepReport:
    """What one step did over the whole corpus."""

    stream: str
    step: str
    op: str
    rows: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    born: int = 0
    changed: int = 0
    seconds: float = 0.0
    noted: dict[str, int] = field(default_factory=dict)
    """What was counted besides, by name: in the input but no document, or found in documents that were kept."""

    def as_json(self) -> dict[str, Any]:
        """The step as `report.json` has it."""
        answer = asdict(self)
        answer["in"] = answer.pop("rows")
        answer["seconds"] = round(self.seconds, 3)
        first = ("stream", "step", "op", "in")
        return {k: answer[k] for k in first} | {k: v for k, v in answer.items() if k not in first}


@dataclass
class Report:
    """What a run did: `read + born == kept + dropped + quarantined`, always."""

    name: str
    out: str
    read: int = 0
    born: int = 0
    kept: int = 0
    dropped: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    worker_seconds: float = 0.0
    bytes_read: int = 0
    text_bytes_read: int = 0
    bytes_written: int = 0
    text_bytes_kept: int = 0
    peak_worker_bytes: int = 0
    markup_replaced: int = 0
    shards: int = 0
    shards_run: int = 0
    steps: list[StepReport] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU spent on each measure."""
    languages: dict[str, dict[str, int]] = field(default_factory=dict)
    """By language: documents and bytes read, documents and bytes kept."""
    streams: dict[str, dict[str, int]] = field(default_factory=dict)
    gathered: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of streams that gather: the last `step` that does, its `rows` and the `documents` that it made of them."""
    skipped: list[dict[str, str]] = field(default_factory=list)
    """Streams that were not run for want of input: `stream`, `why`, and the `setting` that gives it."""
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What global ops decided as a rule, by step: the mixture, for one."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What jobs tell of what they made, by step."""
    estimate: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report as `report.json` has it."""
        answer = {k: v for k, v in vars(self).items() if k not in ("steps", "out")}
        answer["seconds"], answer["worker_seconds"] = round(self.seconds, 3), round(self.worker_seconds, 3)
        answer["measures"] = {k: round(v, 3) for k, v in self.measures.items()}
        return answer | {"steps": [s.as_json() for s in self.steps]}

    @classmethod
    def load(cls, out: str) -> Report:
        """The report of a finished run."""
        told = storage.read_json(storage.join(out, "report.json"))
        names = {f.name for f in fields(StepReport)}
        steps = [{"rows" if k == "in" else k: v for k, v in step.items()} for step in told.pop("steps")]
        known = {k: v for k, v in told.items() if k in {f.name for f in fields(cls)}}
        made = [StepReport(**{k: v for k, v in step.items() if k in names}) for step in steps]
        return cls(out=out, steps=made, **known)

    def alarms(self) -> list[str]:
        """Steps that dropped most of what they saw."""
        told = []
        for step in self.steps:
            lost = sum(step.dropped.values())
            if step.rows and lost > MOST * step.rows:
                told.append(f"{step.stream}: {step.step} dropped {lost / step.rows:.0%} of what it saw")
        return told

    def left_out(self) -> list[str]:
        """Streams that were skipped, why, and how to give them input."""
        return [f"{s['stream']} was skipped: {s['why']}; give it with --set {s['setting']}=PATH" for s in self.skipped]

    def origins(self) -> list[str]:
        """Where the documents of streams that gather begin, and what of their measures that explains."""
        return [
            f"{stream}: {made['step']} made {made['documents']:,} documents of {made['rows']:,} rows, so there were "
            f"{made['rows'] - made['documents']:,} fewer from there on; measures are of the documents, and rows that "
            "were dropped before stand in the ledger alone"
            for stream, made in self.gathered.items()
        ]

    def against_plan(self) -> str:
        """What `engine plan` had estimated beside what the run took, or an empty text where it was not asked.

        A run that found shards done has taken less, and is not compared.
        """
        if not self.estimate or self.shards_run < self.shards:
            return ""
        plan = self.estimate
        return (
            f"planned {plan['seconds']:.0f} s and {size(plan['bytes_written'])}, took {self.seconds:.0f} s and "
            f"{size(self.bytes_written)}"
        )

    def write(self, out: str, manifest: dict[str, list[dict[str, Any]]]) -> None:
        """Writes `report.json` and `report.md` into the run."""
        self.bytes_written = sum(f["bytes"] for f in manifest["documents"])
        storage.write_json(storage.join(out, "report.json"), self.as_json())
        storage.write_bytes(storage.join(out, "report.md"), self.markdown().encode())

    def markdown(self) -> str:
        """The report for people, as Markdown."""
        lines = [f"# {self.name}", ""]
        lines += [
            f"Read {self.read:,} documents ({size(self.text_bytes_read)} of text), kept {self.kept:,} "
            f"({size(self.text_bytes_kept)}), dropped {self.dropped:,}, quarantined {self.quarantined:,}"
            + (f"; {self.born:,} more came of documents that became several" if self.born > 0 else "")
            + (f"; {-self.born:,} fewer came of rows that were gathered" if self.born < 0 else "")
            + f". {self.seconds:.1f} s.",
            "",
            "| stream | step | in | kept | dropped | changed | CPU s |",
            "|---|---|---:|---:|---|---:|---:|",
        ]
        for step in self.steps:
            why = ", ".join(f"{n:,} {r}" for r, n in sorted(step.dropped.items(), key=lambda i: (-i[1], i[0])))
            lines.append(
                f"| {step.stream} | {step.step} | {step.rows:,} | {step.kept:,} | {why} | {step.changed or ''} "
                f"| {step.seconds:.2f} |"
            )
        for step in self.steps:
            found = ", ".join(f"{count:,} {what}" for what, count in step.noted.items() if count)
            lines += ["", f"{step.stream}: {step.step} counted {found}."] if found else []
        lines += ["", self.against_plan()] if self.against_plan() else []
        for told in (*self.origins(), *self.left_out()):
            lines += ["", f"{told}."]
        lines += [""] + [f"**{alarm}**" for alarm in self.alarms()]
        lines += ["", "| language | read | MB | kept | MB |", "|---|---:|---:|---:|---:|"]
        for name, volume in sorted(self.languages.items(), key=lambda item: -item[1]["bytes_kept"]):
            lines.append(
                f"| {name or '(none)'} | {volume['read']:,} | {volume['bytes_read'] / 1e6:,.2f} | {volume['kept']:,} "
                f"| {volume['bytes_kept'] / 1e6:,.2f} |"
            )
        for step, decided in self.decisions.items():
            lines += _decision(step, decided)
        lines += ["", "Made with " + ", ".join(f"{k} {v}" for k, v in self.versions.items()) + "."]
        return "\n".join(lines) + "\n"


def _decision(step: str, decided: dict[str, Any]) -> list[str]:
    """Of what was decided, the groups of documents as a table."""
    lines = []
    for rows in (v for v in decided.values() if isinstance(v, dict) and all(isinstance(r, dict) for r in v.values())):
        columns = list(next(iter(rows.values()), {}))
        lines += ["", f"| {step} | " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
        lines.append("|---|" + "---:|" * len(columns))
        for name, row in rows.items():
            cells = ["" if v is None else f"{v:,}" for v in row.values()]
            lines.append(f"| {name or '(others)'} | " + " | ".join(cells) + " |")
    return lines


def size(count: float) -> str:
    """Bytes for people: `12.3 MB`."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


def make_report(
    name: str, stages: Stages, seconds: float, out: str, estimate: dict[str, Any] | None, shards_run: int
) -> Report:
    """The report of a run whose stages are done; raises RunError where documents are unaccounted for."""
    report = Report(name, out, seconds=seconds, shards_run=shards_run, estimate=estimate, versions=_versions())
    for stream, passes in stages.items():
        first, last = list(passes[0][1].values()), list(passes[-1][1].values())
        everything = [r for _, receipts in passes for r in receipts.values()]
        steps = _steps(stream, passes)
        totals = {
            "read": sum(r["read"] for r in first),
            "born": sum(r["born"] for r in everything),
            "kept": sum(r["kept"] for r in last),
            "dropped": sum(r["dropped"] for r in everything),
            "quarantined": sum(r["quarantined"] for r in everything),
        }
        if totals["read"] + totals["born"] != totals["kept"] + totals["dropped"] + totals["quarantined"]:
            raise RunError(
                f"{stream}: documents are unaccounted for: {totals}; this is a fault of the engine, report it"
            )
        report.streams[stream] = totals
        for stage, _ in passes:
            if stage.gathers:
                step = next(s for s in steps if s.step == stage.gathers.step)
                made = {"rows": step.rows, "documents": step.kept}
                report.gathered[stream] = {"step": step.step, **made}
        for key, value in totals.items():
            setattr(report, key, getattr(report, key) + value)
        report.bytes_read += sum(r["input_bytes"] for r in first)
        report.text_bytes_read += sum(r["text_bytes"] for r in first)
        report.markup_replaced += sum(r["markup_replaced"] for r in first)
        report.shards += sum(len(receipts) for _, receipts in passes)
        report.worker_seconds += sum(r["cpu_seconds"] for r in everything)
        report.peak_worker_bytes = max([report.peak_worker_bytes, *(r["peak_bytes"] for r in everything)])
        report.steps += [s for s in steps if not s.step.startswith("measure ")]
        for step in steps:
            if step.step.startswith("measure "):
                report.measures[step.step[8:]] = report.measures.get(step.step[8:], 0.0) + step.seconds
        for receipts, docs, volume, key in (
            (first, "read", "bytes_read", "languages"),
            (last, "kept", "bytes_kept", "languages_kept"),
        ):
            for receipt in receipts:
                for language, (count, total) in receipt[key].items():
                    row = report.languages.setdefault(
                        language, {"read": 0, "bytes_read": 0, "kept": 0, "bytes_kept": 0}
                    )
                    row[docs] += count
                    row[volume] += total
    report.text_bytes_kept = sum(v["bytes_kept"] for v in report.languages.values())
    report.languages = dict(sorted(report.languages.items()))
    return report


def _steps(stream: str, passes: list[Any]) -> list[StepReport]:
    """The stream's steps in the order in which documents met them."""
    steps: dict[str, StepReport] = {}
    for stage, receipts in passes:
        order = [stage.source.name()] if stage.number == 1 else []
        order += [stage.gathers.step] if stage.gathers else []
        order += [w.step for w in (*stage.steps, *stage.sketches)]
        for name in order:
            steps.setdefault(name, StepReport(stream, name, ""))
        for receipt in receipts.values():
            for count in receipt["steps"]:
                if count["step"] == "text":
                    continue
                step = steps.setdefault(count["step"], StepReport(stream, count["step"], count["op"]))
                step.op = step.op or count["op"]
                step.rows += count["rows"]
                step.quarantined += count["quarantined"]
                step.born += count["born"]
                step.changed += count["changed"]
                step.seconds += count["seconds"]
                for what, number in count.get("noted", {}).items():
                    step.noted[what] = step.noted.get(what, 0) + number
                for reason, number in count["dropped"].items():
                    step.dropped[reason] = step.dropped.get(reason, 0) + number
    decided = {w.step for stage, _ in passes for w in stage.sketches}
    seen = 0
    for step in steps.values():
        if step.step in decided:
            # Sketches are taken of what an earlier op at the same boundary drops.
            step.rows = seen
        step.kept = step.rows + step.born - sum(step.dropped.values()) - step.quarantined
        seen = step.kept
    return list(steps.values())


def _versions() -> dict[str, str]:
    known = {"python": platform.python_version()}
    for name in ("starcoder-engine", "pyarrow", "numpy", "numba", "polars", "ray"):
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known
