"""The card of a data set: what it is, made of what the run counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_OPTED_OUT = ("opted_out_account", "opted_out_repository", "opted_out_content", "forgotten")
_MOST_LICENSES = 40


def card(
    report: Mapping[str, Any],
    composition: Mapping[str, tuple[int, int]],
    licenses: Mapping[str, int],
    redacted: int,
    title: str = "",
    contact: str = "",
) -> str:
    """The card as Markdown, with the front matter that `datasets` reads.

    `composition` has documents and bytes by folder, `licenses` documents by licence, and `redacted` is the number of
    documents in which personal data were replaced.
    """
    sections = [
        _front(title or report["name"], composition),
        f"# {title or report['name']}\n\n{_summary(report, composition)}",
        _composition(report, composition),
        _use(composition),
        _making(report),
        _licenses(licenses),
        _personal(report, redacted),
        _opting_out(report, contact),
        "## Made with\n\n" + ", ".join(f"{k} {v}" for k, v in report["versions"].items()) + ".",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front(title: str, composition: Mapping[str, tuple[int, int]]) -> str:
    lines = ["---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}", "license: other", "language:", "- code"]
    lines += ["task_categories:", "- text-generation"]
    if composition:
        lines += [
            "configs:",
            "- config_name: default",
            "  data_files:",
            "  - split: train",
            '    path: "data/*/*.parquet"',
        ]
    return "\n".join([*lines, "---"])


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table whose first column is text and whose others are figures."""
    head = list(head)
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def _summary(report: Mapping[str, Any], composition: Mapping[str, tuple[int, int]]) -> str:
    rows, volume = (sum(c[k] for c in composition.values()) for k in (0, 1))
    return (
        f"{rows:,} documents of source code and what belongs to it, {volume / 1e9:,.3f} GB of text, of "
        f"{report['read']:,} that were read. Every document has an id for life, the repository and path that it comes "
        "from, and its licence where it is known."
    )


def _composition(report: Mapping[str, Any], composition: Mapping[str, tuple[int, int]]) -> str:
    rows = sorted(composition.items(), key=lambda item: (-item[1][1], item[0]))
    whole = max(1, sum(size for _, (_, size) in rows))
    told = "## Composition\n\n" + _table(
        ("folder", "documents", "MB", "%"), ((n, count, size / 1e6, 100 * size / whole) for n, (count, size) in rows)
    )
    for decided in report.get("decisions", {}).values():
        if groups := decided.get("groups"):
            cut = (
                (n or "(others)", g["bytes"] / 1e6, g["bytes_kept"] / 1e6, g["bytes_repeated"] / 1e6)
                for n, g in groups.items()
            )
            told += (
                "\n\nSome were brought to a weight. The column `repeats` says how often a document is to be read; "
                "nothing is in the files twice.\n\n" + _table(("name", "MB before", "MB here", "MB with repeats"), cut)
            )
    return told


def _use(composition: Mapping[str, tuple[int, int]]) -> str:
    first = max(composition, key=lambda n: composition[n][1], default="python")
    return (
        "## Use\n\n```python\nfrom datasets import load_dataset\n\n"
        'everything = load_dataset("PATH_OF_THIS_FOLDER", split="train")\n'
        f'one = load_dataset("PATH_OF_THIS_FOLDER", data_dir="data/{first}", split="train")\n```'
    )


def _making(report: Mapping[str, Any]) -> str:
    rows = []
    for step in report["steps"]:
        why = ", ".join(f"{n:,} {r}" for r, n in sorted(step["dropped"].items(), key=lambda i: (-i[1], i[0])))
        rows.append((step["stream"], step["step"], f"{step['in']:,}", f"{step['kept']:,}", why))
    lines = ["| stream | step | in | kept | removed, and why |", "|---|---|---:|---:|---|"]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
    return "## How it was made\n\nEach document went through these steps, in this order.\n\n" + "\n".join(lines)


def _licenses(licenses: Mapping[str, int]) -> str:
    ranked = sorted(licenses.items(), key=lambda item: (item[0] == "", -item[1], item[0]))
    shown = [(name or "(not known)", count) for name, count in ranked[:_MOST_LICENSES]]
    if rest := sum(count for _, count in ranked[_MOST_LICENSES:]):
        shown.append((f"({len(ranked) - _MOST_LICENSES} others)", rest))
    return (
        "## Licences\n\nEvery file stays under its own licence, which whoever uses it has to keep: the column "
        "`license` has it as an SPDX expression, and `license_source` says where it was found. The name of the "
        "repository gives credit to the authors.\n\n" + _table(("licence", "documents"), shown)
    )


def _personal(report: Mapping[str, Any], redacted: int) -> str:
    ops = {step["op"] for step in report["steps"]}
    if "redact" not in ops:
        told = "Personal data were **not** searched for: texts may hold names, addresses and keys as published."
    else:
        told = (
            "E-mail addresses, keys and passwords were replaced by placeholders such as `<EMAIL>`, and IP addresses "
            f"by private ones, in {redacted:,} documents. The column `pii` says where. No search finds all of it."
        )
    return (
        f"## Personal data\n\n{told} Repository names and paths are as they were published: they give credit, and "
        "they are how people find themselves."
    )


def _opting_out(report: Mapping[str, Any], contact: str) -> str:
    removed = sum(n for step in report["steps"] for r, n in step["dropped"].items() if r in _OPTED_OUT)
    asked = any(step["op"] == "opt_out" for step in report["steps"]) or removed
    told = f"{removed:,} documents were removed because their authors asked for it. " if asked else ""
    where = f"Ask at {contact} to be left out" if contact else "Ask those who publish this data set to be left out"
    return (
        f"## Opting out\n\n{told}{where}: name an account, a repository, or files by their hash. The list is applied "
        "to every later version, and `engine forget LIST RUN` takes what it names out of this one. Whoever holds a "
        "copy is asked to follow.\n\nTo look yourself up:\n\n```python\nimport polars as pl\n\n"
        'documents = pl.scan_parquet("data/**/*.parquet")\n'
        'mine = documents.filter(pl.col("repo_name").str.to_lowercase().str.starts_with("your-account/"))\n'
        'print(mine.select("repo_name", "path", "id").collect())\n```'
    )
