"""What users of a run read, under names that do not change: links to the very files of the stages.

On a local disk each file is a hard link, so nothing is copied and every file appears whole. On an object store, which
has no links, the manifest says where the files lie.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine import storage
from engine.columns import one_array
from engine.digest import chances
from engine.samples import SAMPLES
from engine.schema import SAMPLE
from engine.stage import Stage

Stages = dict[str, list[tuple[Stage, dict[str, dict[str, Any]]]]]
"""For each stream its stages in order, with their receipts by shard."""

PUBLISHED = ("documents", "ledger", "measures", "quarantine", "samples", "duplicates")
"""The folders of a run that users read."""


def publish(out: str, stages: Stages) -> dict[str, list[dict[str, Any]]]:
    """The manifest: for each published folder its files, with the name shown and the place below the run.

    Files of an earlier run that are not in it are removed, and so are stages that no longer belong to the recipe.
    """
    manifest: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PUBLISHED}
    for stream, passes in stages.items():
        last = len(passes) - 1
        origin = max((n for n, (stage, _) in enumerate(passes) if stage.gathers), default=0)
        for n, (stage, receipts) in enumerate(passes):
            for shard, receipt in receipts.items():
                for kind, folder, name in (
                    ("documents", "documents", f"{stream}-{shard}") if n == last else ("", "", ""),
                    ("measures", "roll", f"{stream}-{shard}") if n == origin else ("", "", ""),
                    ("ledger", "ledger", f"{stream}-{shard}-{stage.number}"),
                    ("quarantine", "quarantine", f"{stream}-{shard}-{stage.number}"),
                ):
                    key = "text" if folder == "documents" else folder
                    if kind and key in receipt["files"]:
                        place = "/".join(["stages", stage.folder, folder, receipt["files"][key]])
                        size = receipt["file_bytes"][key]
                        manifest[kind].append({"name": f"{name}.parquet", "place": place, "bytes": size})
        for stage, _ in passes:
            for step in storage.names(storage.join(out, "stages", stage.folder, "duplicates")):
                folder = storage.join(out, "stages", stage.folder, "duplicates", step)
                for name in storage.names(folder):
                    size = storage.file_info(storage.join(folder, name)).bytes
                    place = "/".join(["stages", stage.folder, "duplicates", step, name])
                    shown = f"{stream}-{name.removesuffix('.parquet')}-{step.replace('#', '-')}.parquet"
                    manifest["duplicates"].append({"name": shown, "place": place, "bytes": size})
        url = storage.join(out, "stages", passes[0][0].folder, "chosen_samples.parquet")
        storage.write_parquet(url, _samples(out, passes))
        place = "/".join(["stages", passes[0][0].folder, "chosen_samples.parquet"])
        size = storage.file_info(url).bytes
        manifest["samples"].append({"name": f"{stream}.parquet", "place": place, "bytes": size})
    link(out, manifest)
    if storage.is_local(out):
        _clean(storage.local_path(out), stages)
    return manifest


def link(out: str, manifest: dict[str, list[dict[str, Any]]]) -> None:
    """Shows the files of a manifest in the folders that users read, and writes it."""
    if storage.is_local(out):
        for kind, files in manifest.items():
            _link(storage.local_path(out), kind, files)
    storage.write_json(storage.join(out, "manifest.json"), manifest)


def _samples(out: str, passes: list[tuple[Stage, dict[str, dict[str, Any]]]]) -> pa.Table:
    tables = [
        storage.read_parquet(storage.join(out, "stages", stage.folder, "samples", f"{shard}.parquet"))
        for stage, receipts in passes
        for shard, receipt in receipts.items()
        if "samples" in receipt["files"]
    ]
    table = pa.concat_tables([SAMPLE.empty_table(), *tables]).combine_chunks()
    draws = chances(one_array(table.column("id")), passes[0][0].seed, "samples")
    steps, why = table.column("step").to_pylist(), table.column("reason").to_pylist()
    seen: dict[tuple[str, str], int] = {}
    chosen = []
    for n in np.argsort(draws, kind="stable"):
        key = (steps[n], why[n])
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= SAMPLES:
            chosen.append(n)
    return table.take(pa.array(chosen, pa.int64()))


def _link(out: Path, kind: str, files: list[dict[str, Any]]) -> None:
    folder = out / kind
    if not files:
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.mkdir(exist_ok=True)
    names = {f["name"] for f in files}
    for stale in folder.iterdir():
        if stale.name not in names:
            stale.unlink()
    for file in files:
        target, shown = out / file["place"], folder / file["name"]
        if shown.exists() and shown.samefile(target):
            continue
        aside = folder / f".{file['name']}{storage.ASIDE}"
        aside.unlink(missing_ok=True)
        try:
            os.link(target, aside)
        except OSError:
            # Some file systems have no hard links.
            shutil.copyfile(target, aside)
        aside.replace(shown)


def _clean(out: Path, stages: Stages) -> None:
    """Removes stages of other recipes, and in those of this one the files of shards that are no more."""
    wanted = {stage.folder: set(receipts) for passes in stages.values() for stage, receipts in passes}
    for folder in (out / "stages").iterdir():
        if folder.name not in wanted:
            shutil.rmtree(folder)
            continue
        for file in folder.rglob("*"):
            single = file.parent == folder or (file.parent.name == "verdicts" and file.suffix == ".json")
            if file.is_file() and not single and file.stem not in wanted[folder.name]:
                file.unlink()
