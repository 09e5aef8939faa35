"""Files as GH Archive has them, from a seed; the conversations in them, told by plain Python."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

WORDS = re.findall(r"\w+", "the parser fails when a file is empty and nobody knows why it does so on this machine")
USERS = ["ann", "bob", "cid", "Dora-42", "codecov-io", "x-bot"]
REPOSITORIES = ["ann/tool", "org/big-tool", "org/other.js"]


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def event(
    kind: str,
    action: str,
    repo: str,
    number: int,
    author: str,
    time: int,
    name: int,
    said: str | None = None,
    title: str | None = "Crash",
    pull: bool = False,
    new_form: bool = False,
) -> dict[str, Any]:
    """One event; `new_form` leaves out what the archive has left out of pull requests since October 2025."""
    payload: dict[str, Any] = {"action": action}
    opening = kind in ("IssuesEvent", "PullRequestEvent")
    if kind.startswith("PullRequest"):
        payload["number"] = number
        payload["pull_request"] = {"id": number * 7, "number": number, "url": f"https://example.org/{number}"}
        if not new_form:
            payload["pull_request"] |= {"title": title, "body": said if opening else "earlier"}
    else:
        payload["issue"] = {"number": number, "title": title, "body": said if opening else "earlier", "id": number * 9}
        if pull:
            payload["issue"]["pull_request"] = {"url": "https://example.org"}
    if not opening:
        payload["review" if kind == "PullRequestReviewEvent" else "comment"] = {"body": said, "user": {"login": author}}
    minutes, seconds = divmod(time, 60)
    return {
        "id": str(name),
        "type": kind,
        "actor": {"id": 1, "login": author},
        "repo": {"id": 5, "name": repo},
        "payload": payload,
        "public": True,
        "created_at": f"2024-01-{1 + minutes // 1440:02d}T{minutes // 60 % 24:02d}:{minutes % 60:02d}:{seconds:02d}Z",
    }


def push(draw: random.Random, name: int) -> dict[str, Any]:
    """An event that is none of a conversation: most of the archive."""
    commits = [{"sha": f"{draw.getrandbits(160):040x}", "message": text(draw, 8)} for _ in range(draw.randint(1, 4))]
    return {
        "id": str(name),
        "type": "PushEvent",
        "actor": {"login": draw.choice(USERS)},
        "repo": {"name": draw.choice(REPOSITORIES)},
        "payload": {"commits": commits},
        "created_at": "2024-01-01T00:00:00Z",
    }


def events(seed: int, issues: int, pushes: int = 0, words: int = 30) -> list[dict[str, Any]]:
    """Events of so many issues and pull requests, and pushes, in no order."""
    draw, made, name = random.Random(seed), list[dict[str, Any]](), 1000
    for n in range(issues):
        repo, number, pull, new = draw.choice(REPOSITORIES), n + 1, draw.random() < 0.4, draw.random() < 0.3
        title, time = f"Crash {n}", draw.randrange(20_000)
        kinds = ("PullRequestEvent", "PullRequestReviewCommentEvent") if pull else ("IssuesEvent", "IssueCommentEvent")
        rows = [(kinds[0], "opened", draw.choice([None, text(draw, words)]))]
        rows += [
            (draw.choice(("IssueCommentEvent", kinds[1])), "created", text(draw, words))
            for _ in range(draw.randrange(5))
        ]
        rows += [(kinds[0], "closed", "the text again")] * draw.randint(0, 1)
        for kind, action, said in rows[draw.random() < 0.2 :]:
            time, name = time + draw.randrange(3), name + 1
            made.append(event(kind, action, repo, number, draw.choice(USERS), time, name, said, title, pull, new))
    made += [push(draw, name + n + 1) for n in range(pushes)]
    draw.shuffle(made)
    return made


def write(folder: Path, made: list[dict[str, Any]], files: int) -> Path:
    """The events in so many files, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(files):
        lines = "".join(json.dumps(e) + "\n" for e in made[n::files])
        (folder / f"2024-01-01-{n}.json.gz").write_bytes(gzip.compress(lines.encode(), 6, mtime=0))
    return folder


def conversations(made: list[dict[str, Any]]) -> dict[tuple[str, int], list[tuple[str, str, str]]]:
    """For each issue its events in order: author, action and what was said."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for e in made:
        payload = e["payload"]
        if e["type"] == "PushEvent":
            continue
        about = payload.get("issue") or payload["pull_request"]
        opening = e["type"] in ("IssuesEvent", "PullRequestEvent")
        said = about.get("body") if opening and payload["action"] == "opened" else None
        said = said if opening else (payload.get("comment") or payload["review"])["body"]
        row = (e["created_at"], e["id"], e["actor"]["login"], payload["action"], said or "")
        found.setdefault((e["repo"]["name"], about["number"]), {})[e["id"]] = row
    return {key: [row[2:] for row in sorted(rows.values())] for key, rows in found.items()}
