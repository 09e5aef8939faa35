"""Runs a plan: shard by shard, skipping what is done, and publishes what users read.

A shard is done when its receipt lies in the stage's folder and bears the fingerprint of stage and input. The driver
alone decides what is dropped across shards; workers only read, write and answer with receipts, so a retry has no side
effects.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from engine import gathering, storage
from engine import recipe as recipes
from engine.documents_again import ShardText
from engine.errors import RunError
from engine.forgetting import Forgotten
from engine.lock import locked
from engine.op import Global, Job, Resources, Shard
from engine.plan import Chain, Plan, identity
from engine.pool import Pool
from engine.publish import Stages, publish
from engine.receipt import receipt_url
from engine.report import Report, make_report
from engine.schema import DUPLICATE, VERDICT
from engine.shard_run import run_shard
from engine.sketches import SketchFile, StoredExchange, StoredSketches
from engine.stage import Stage, Task, Work

Receipt = dict[str, Any]


# --- what a run tells while it is under way -----------------------------------------------------------------------


@dataclass(frozen=True)
class StageStarted:
    """A pass began: the shards it has, those that are done already, and the bytes of the others."""

    streams: tuple[str, ...]
    title: str
    shards: int
    done: int
    bytes: int


@dataclass(frozen=True)
class ShardDone:
    """A shard is done."""

    stream: str
    shard: str
    bytes: int
    read: int
    kept: int


@dataclass(frozen=True)
class Deciding:
    """A global op looks at all sketches."""

    stream: str
    step: str


@dataclass(frozen=True)
class Working:
    """A job began."""

    step: str


@dataclass(frozen=True)
class RunDone:
    """The run is over: its report."""

    report: Report


Event = StageStarted | ShardDone | Deciding | Working | RunDone


# --- the run --------------------------------------------------------------------------------------------------------


@dataclass
class _Flow:
    """How far a stream has come."""

    chain: Chain
    shards: dict[str, Shard] = field(default_factory=dict)
    at: int = 0
    receipts: list[dict[str, Receipt]] = field(default_factory=list)
    """For each stage so far the receipts by shard."""

    @property
    def stage(self) -> Stage:
        return self.chain.stages[self.at]

    @property
    def over(self) -> bool:
        return self.at >= len(self.chain.stages)


def execute(
    plan: Plan,
    out: str,
    pool: Pool,
    max_errors: int = 0,
    limit: int | None = None,
    estimate: dict[str, Any] | None = None,
) -> Iterator[Event]:
    """Runs the plan into the folder `out`, telling what happens; the last event is `RunDone`.

    Raises RunError when another run holds the folder, when more than `max_errors` documents made an op raise, or when
    the input changed under way. Everything done so far stays, and the same call goes on from there.
    """
    with locked(out):
        yield from _Run(plan, out, pool, max_errors, limit, estimate).events()


class _Run:
    def __init__(
        self, plan: Plan, out: str, pool: Pool, max_errors: int, limit: int | None, estimate: dict[str, Any] | None
    ) -> None:
        self.plan, self.out, self.pool = plan, out, pool
        self.max_errors, self.limit, self.estimate = max_errors, limit, estimate
        self.forgotten = Forgotten.of(out)
        self.began = time.time()
        self.ran = 0

    def events(self) -> Iterator[Event]:
        storage.write_bytes(storage.join(self.out, "recipe.yaml"), recipes.dump(self.plan.recipe).encode())
        flows = []
        for chain in self.plan.chains:
            shards = sorted(chain.stages[0].source.shards(), key=lambda s: s.name)
            flow = _Flow(chain, {s.name: s for s in shards})
            if len(flow.shards) < len(shards):
                raise RunError(f"{chain.stream}: two shards of the source have one name; this is a fault of the source")
            flows.append(flow)
        while any(not flow.over for flow in flows):
            # A stream that waits for the others at a joint op has nothing to do in this round.
            ready = [f for f in flows if not f.over and len(f.receipts) == f.at]
            yield from self._pass(ready)
            for flow in ready:
                if flow.at == 0:
                    yield from self._without_repeats(flow)
            for flow in ready:
                boundary = flow.chain.boundaries[flow.at] if flow.at < len(flow.chain.boundaries) else None
                for work in boundary.own if boundary else ():
                    yield Deciding(flow.chain.stream, work.step)
                    self._decide([flow], work)
            for flow in ready:
                if flow.at >= len(flow.chain.boundaries) or not flow.chain.boundaries[flow.at].joint:
                    self._go_on(flow)
            waiting = [f for f in flows if not f.over]
            if waiting and all(len(f.receipts) > f.at for f in waiting):
                for work in waiting[0].chain.boundaries[waiting[0].at].joint:
                    yield Deciding("all streams", work.step)
                    self._decide(waiting, work)
                for flow in waiting:
                    self._go_on(flow)
        self._check_errors(flows)
        stages = {f.chain.stream: list(zip(f.chain.stages, f.receipts, strict=True)) for f in flows}
        manifest = publish(self.out, stages)
        report = make_report(self.plan.recipe.name, stages, time.time() - self.began, self.out, self.estimate, self.ran)
        for flow in flows:
            for at, boundary in enumerate(flow.chain.boundaries):
                own = {work.step for work in boundary.own}
                for work in self._rules(flow, at):
                    alone = len(flows) == 1 or work.step not in own
                    name = work.step if alone else f"{flow.chain.stream}: {work.step}"
                    report.decisions[name] = work.op.parameters()
        report.skipped = [{"stream": s.name, "why": s.why, "setting": s.parameter} for s in self.plan.recipe.skipped]
        report.write(self.out, manifest)
        yield from self._jobs(report, manifest, stages)
        from engine.html_report import write_html  # matplotlib, which the beginning of a run need not wait for

        write_html(self.out, self.plan)
        yield RunDone(report)

    def _jobs(self, report: Report, manifest: dict[str, Any], stages: Stages) -> Iterator[Event]:
        """Runs the jobs that are not done for this corpus; what they tell becomes part of the report."""
        receipts = [[s, [[r["fingerprint"] for r in rs.values()] for _, rs in ps]] for s, ps in stages.items()]
        names = [step.name for step in self.plan.jobs]
        for stale in storage.names(storage.join(self.out, "jobs")):
            if stale.removesuffix(".json") not in names:
                storage.remove(storage.join(self.out, "jobs", stale))
        for step in self.plan.jobs:
            assert isinstance(step.op, Job)
            mark = repr([identity(step.op), self.plan.recipe.seed, receipts])
            fingerprint = xxhash.xxh3_128_hexdigest(mark.encode())
            url, told = storage.join(self.out, "jobs", f"{step.name}.json"), None
            with contextlib.suppress(FileNotFoundError, ValueError):
                known = storage.read_json(url)
                told = known["told"] if known["fingerprint"] == fingerprint else None
            if told is None:
                yield Working(step.name)
                folder = step.name.replace(step.op.name(), step.op.folder or step.op.name(), 1)
                place = storage.join(self.out, folder.replace("#", "-"))
                told = step.op.run(self.out, place, self.pool)
                known = {"step": step.name, "op": step.op.name(), "fingerprint": fingerprint, "out": place}
                storage.write_json(url, known | {"holds_text": step.op.holds_text, "told": told})
            report.jobs[step.name] = told
            report.write(self.out, manifest)

    def _go_on(self, flow: _Flow) -> None:
        """To the next stage; where it gathers, its shards are the partitions of what this one left."""
        folder, receipts = self._folder(flow.stage), flow.receipts[flow.at]
        flow.at += 1
        if not flow.over and flow.stage.gathers:
            version = xxhash.xxh3_128_hexdigest(repr([(n, r["fingerprint"]) for n, r in receipts.items()]).encode())
            total = sum(r["text_bytes"] for r in receipts.values())
            flow.shards = {shard.name: shard for shard in gathering.partitions(total, version)}
            names, parts = list(receipts), len(flow.shards)
            if gathering.needs_merging(len(names), parts) and not all(map(self._finished, self._tasks(flow))):
                names = gathering.merged(folder, names, parts, self._run_all)
            storage.write_json(storage.join(folder, "gathered.json"), names)

    # --- a pass ---

    def _folder(self, stage: Stage) -> str:
        return storage.join(self.out, "stages", stage.folder)

    def _tasks(self, flow: _Flow, repeated: dict[str, tuple[int, ...]] | None = None) -> list[Task]:
        stage = flow.stage
        rules = self._rules(flow, flow.at - 1) if flow.at else ()
        rule_marks = [(work.step, work.op.parameters()) for work in rules]
        tasks = []
        for name, shard in flow.shards.items():
            before = verdicts = text = gathers = None
            mark = [stage.fingerprint, shard.version, self.limit, *rule_marks]
            if not flow.at:
                # A shard that held what was forgotten since is another one.
                mark += self.forgotten.marks(flow.chain.stream, name)
            if stage.gathers:
                gathers = self._folder(flow.chain.stages[flow.at - 1])
            elif flow.at:
                last = flow.chain.stages[flow.at - 1]
                before = self._folder(last)
                verdicts = storage.join(before, "verdicts", f"{name}.parquet")
                # What came of the pass before is in its fingerprint; what was decided since is in the verdicts.
                mark.append(flow.receipts[flow.at - 1][name]["fingerprint"])
                if storage.exists(verdicts):
                    mark.append(xxhash.xxh3_128_hexdigest(storage.read_bytes(verdicts)))
                else:
                    verdicts = None
                if stage.text_stage is not None:
                    text = self._folder(flow.chain.stages[stage.text_stage - 1])
            rows = (repeated or {}).get(name, ())
            mark.append(list(rows))
            fingerprint = xxhash.xxh3_128_hexdigest(repr(mark).encode())
            out = self._folder(stage)
            again = {"limit": self.limit, "gathers": gathers, "forgotten": self.forgotten.filter, "rules": rules}
            tasks.append(Task(stage, shard, out, fingerprint, before, text, verdicts, rows, **again))
        return tasks

    def _rules(self, flow: _Flow, at: int) -> tuple[Work, ...]:
        """What global ops decided at a boundary as rules."""
        boundary, folder, rules = flow.chain.boundaries[at], self._folder(flow.chain.stages[at]), []
        for work in (*boundary.own, *boundary.joint):
            if isinstance(work.op, Global) and work.op.rule:
                with contextlib.suppress(FileNotFoundError):
                    decided = storage.read_json(storage.join(folder, "verdicts", f"{work.step}.json"))
                    rules.append(Work(work.step, work.op.rule.model_validate(decided["rule"])))
        return tuple(rules)

    def _pass(self, flows: list[_Flow], repeated: dict[str, tuple[int, ...]] | None = None) -> Iterator[Event]:
        todo: list[tuple[_Flow, Task]] = []
        total = done = 0
        for flow in flows:
            tasks = self._tasks(flow, repeated)
            finished = {t.shard.name: self._finished(t) for t in tasks}
            receipts = {name: receipt for name, receipt in finished.items() if receipt is not None}
            if repeated is None:
                flow.receipts.append(receipts)
            else:
                flow.receipts[-1].update(receipts)
            todo += [(flow, t) for t in tasks if t.shard.name not in receipts]
            total, done = total + len(tasks), done + len(receipts)
        # Large shards first, so that none is left over at the end.
        todo.sort(key=lambda item: (-item[1].shard.bytes, item[1].shard.name))
        title = " + ".join(f"{f.chain.stream} {f.stage.number}/{len(f.chain.stages)}" for f in flows)
        yield StageStarted(
            tuple(f.chain.stream for f in flows), title, total, done, sum(t.shard.bytes for _, t in todo)
        )
        needs = Resources()
        for flow, _ in todo:
            for work in flow.stage.steps:
                needs |= work.op.resources
        threads = all(flow.stage.source.threads for flow, _ in todo)
        for n, receipt in self.pool.map(run_shard, [task for _, task in todo], needs, threads):
            flow, task = todo[n]
            flow.receipts[-1][task.shard.name] = receipt
            self.ran += 1
            yield ShardDone(flow.chain.stream, task.shard.name, task.shard.bytes, receipt["read"], receipt["kept"])
        for flow in flows:
            flow.receipts[-1] = dict(sorted(flow.receipts[-1].items()))

    def _finished(self, task: Task) -> Receipt | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            receipt: Receipt = storage.read_json(receipt_url(task.out, task.shard.name))
            if receipt["fingerprint"] == task.fingerprint:
                return receipt
        return None

    # --- documents that come twice ---

    def _without_repeats(self, flow: _Flow) -> Iterator[Event]:
        """Runs those shards again, without them, that hold a row whose id an earlier row has."""
        folder = self._folder(flow.stage)
        names = list(flow.shards)
        repeated = find_repeats(
            [storage.join(folder, "ids", f"{name}.npy") for name in names],
            sum(r["read"] for r in flow.receipts[0].values()),
        )
        if repeated:
            rows = {names[k]: tuple(int(r) for r in v) for k, v in repeated.items()}
            kept = flow.receipts[0]
            again = _Flow(flow.chain, {n: flow.shards[n] for n in rows}, flow.at, [kept])
            yield from self._pass([again], rows)
            flow.receipts[0] = dict(sorted(kept.items()))

    # --- global ops ---

    def _decide(self, flows: list[_Flow], work: Work) -> None:
        op = work.op
        assert isinstance(op, Global)
        mark = repr(
            [
                [f.stage.fingerprint, work.step, [(n, r["fingerprint"]) for n, r in f.receipts[f.at].items()]]
                for f in flows
            ]
        )
        fingerprint = xxhash.xxh3_128_hexdigest(mark.encode())
        folders = [self._folder(f.stage) for f in flows]
        done = [storage.join(folder, "verdicts", f"{work.step}.json") for folder in folders]
        with contextlib.suppress(FileNotFoundError, ValueError):
            if all(storage.read_json(d)["fingerprint"] == fingerprint for d in done):
                return
        earlier = self._earlier(flows[0], work)
        files, owners = [], []
        for folder, flow in zip(folders, flows, strict=True):
            self._forget_verdicts(folder, earlier)
            for name in flow.shards:
                verdicts = storage.join(folder, "verdicts", f"{name}.parquet")
                files.append(
                    SketchFile(
                        storage.join(folder, "sketches", work.step),
                        name,
                        verdicts if storage.exists(verdicts) else None,
                    )
                )
                owners.append((folder, name))
        scratch = storage.join(folders[0], "scratch", work.step)
        texts = tuple(
            ShardText(task) for flow in flows for task in self._tasks(replace(flow, at=flow.at + 1)) if task.before
        )
        exchange = StoredExchange(StoredSketches(tuple(files)), scratch, self._run_all, texts)
        decided: dict[str, Any] = {"fingerprint": fingerprint, "step": work.step}
        if op.rule:
            decided["rule"] = op.settle(exchange).parameters()
        else:
            verdicts = op.verdicts(exchange)
            self._write_verdicts(verdicts, work, owners)
            decided["dropped"] = verdicts.num_rows
        storage.remove(scratch)
        for url in done:
            storage.write_json(url, decided)

    @staticmethod
    def _earlier(flow: _Flow, work: Work) -> list[str]:
        boundary = flow.chain.boundaries[flow.at]
        steps = [w.step for w in (*boundary.own, *boundary.joint)]
        return steps[: steps.index(work.step)]

    @staticmethod
    def _forget_verdicts(folder: str, keep: list[str]) -> None:
        """Takes back what steps other than those to keep said in an earlier run."""
        for step in storage.names(storage.join(folder, "duplicates")):
            if step not in keep:
                storage.remove(storage.join(folder, "duplicates", step))
        place = storage.join(folder, "verdicts")
        for name in storage.names(place):
            url = storage.join(place, name)
            if name.endswith(".json") and name[:-5] not in keep:
                storage.remove(url)
            elif name.endswith(".parquet"):
                table = storage.read_parquet(url)
                kept = table.filter(pc.is_in(table.column("step"), pa.array(keep, pa.large_string())))
                if not kept.num_rows:
                    storage.remove(url)
                elif kept.num_rows < table.num_rows:
                    storage.write_parquet(url, kept)

    def _run_all(self, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        answers: list[Any] = [None] * len(items)
        # Kernels leave Python's lock alone.
        for n, answer in self.pool.map(work, items, Resources(), True):
            answers[n] = answer
        return answers

    @staticmethod
    def _write_verdicts(verdicts: pa.Table, work: Work, owners: list[tuple[str, str]]) -> None:
        if not verdicts.num_rows:
            return
        verdicts = verdicts.sort_by([("shard", "ascending"), ("row", "ascending")]).combine_chunks()
        shard = verdicts.column("shard").to_numpy()

        def write(number: int) -> None:
            lo, hi = np.searchsorted(shard, [number, number + 1])
            part = verdicts.slice(lo, hi - lo)
            folder, name = owners[number]
            if "exact" in part.schema.names:
                details = part.rename_columns({"of": "kept", "score": "similarity"}).select(DUPLICATE.names)
                storage.write_parquet(storage.join(folder, "duplicates", work.step, f"{name}.parquet"), details)
            part = part.select([n for n in VERDICT.names if n != "shard"])
            step = pa.repeat(pa.scalar(work.step, pa.large_string()), hi - lo)
            part = part.append_column("step", step)
            url = storage.join(folder, "verdicts", f"{name}.parquet")
            if storage.exists(url):
                part = pa.concat_tables([storage.read_parquet(url), part], promote_options="default").sort_by("row")
            storage.write_parquet(url, part)

        # Each file is waited for until it is on the disk, so several are on their way at a time.
        with ThreadPoolExecutor(16) as threads:
            for _ in threads.map(write, np.unique(shard).tolist()):
                pass

    # --- the end ---

    def _check_errors(self, flows: list[_Flow]) -> None:
        failed = [
            (f, s, r) for f in flows for s, rs in zip(f.chain.stages, f.receipts, strict=True) for r in rs.values()
        ]
        count = sum(r["op_errors"] for _, _, r in failed)
        if count <= self.max_errors:
            return
        told = []
        for _, stage, receipt in failed:
            if receipt["op_errors"] and len(told) < 5:
                url = storage.join(self._folder(stage), "quarantine", f"{receipt['shard']}.parquet")
                rows = storage.read_parquet(url).to_pylist()
                told += [f"  {r['step']}: {r['path']} ({r['id']}): {r['error']}" for r in rows if ": " in r["error"]][
                    :5
                ]
        raise RunError(
            f"{count} document{'s' if count > 1 else ''} made an op raise, more than --max-errors {self.max_errors}:\n"
            + "\n".join(told[:5])
            + "\nThe other shards are done. Mend the op or the input, or allow it with --max-errors, and run again."
        )


def find_repeats(files: list[str], total: int, at_once: int = 1 << 24) -> dict[int, Any]:
    """For each file of ids (by its place) the rows whose id stands in an earlier row or file.

    Ids are looked at in ranges of about `at_once`, so that memory stays bounded whatever the corpus.
    """
    import io

    ranges = max(1, -(-total // at_once))
    found: dict[int, list[Any]] = defaultdict(list)
    for part in range(ranges):
        low, high = (part << 64) // ranges, ((part + 1) << 64) // ranges - 1
        lanes, owners, rows = [], [], []
        for n, url in enumerate(files):
            ids = np.load(io.BytesIO(storage.read_bytes(url)))
            mine = np.flatnonzero((ids[:, 0] >= np.uint64(low)) & (ids[:, 0] <= np.uint64(high)))
            lanes.append(ids[mine])
            owners.append(np.full(len(mine), n, np.int32))
            rows.append(mine)
        if not lanes:
            continue
        lane, owner, row = np.concatenate(lanes), np.concatenate(owners), np.concatenate(rows)
        order = np.lexsort((row, owner, lane[:, 1], lane[:, 0]))
        same = (np.diff(lane[order], axis=0) == 0).all(axis=1)
        for k in order[1:][same]:
            found[int(owner[k])].append(int(row[k]))
    return {k: np.sort(np.array(v)) for k, v in sorted(found.items())}
