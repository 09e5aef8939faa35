"""Makes the events, the code and the repository in `recipes/sample/`: `python tests/make_samples.py`.

All of it was written for this project. The events have the fields that GH Archive publishes: pull requests of 2024 come
with title and text, those since October 2025 with neither.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pygit2

SAMPLE = Path(__file__).parents[1] / "recipes" / "sample"
PEOPLE = {"mira-k": 501, "jonas42": 502, "tove": 503, "dependabot[bot]": 504, "ci-bot": 505, "Anselm": 506}
REPOSITORIES = {"orchard/pear": 9001, "orchard/quince": 9002, "mira-k/sundial": 9003}

LONG_LOG = "\n".join(f"step {n:03}: compiled module {n * 7 % 90} in {n % 13} ms" for n in range(1, 121))
MAIL = """\
I think the second option is the better one, since readers already know that name from the documentation.

From: Mira K <notifications@example.org>
Sent: Tuesday, January 2, 2024 9:12 AM
Subject: Re: [orchard/pear] Rename the option

Reply to this email directly or view it on GitHub."""


def issue(number: int, title: str, said: str, repo: str) -> dict[str, Any]:
    """The object under `payload.issue`."""
    url = f"https://api.github.com/repos/{repo}/issues/{number}"
    return {"url": url, "id": 70_000 + number, "number": number, "title": title, "state": "open", "body": said}


def pull(number: int, title: str, said: str, repo: str, whole: bool) -> dict[str, Any]:
    """The object under `payload.pull_request`: since October 2025 without title and text."""
    url = f"https://api.github.com/repos/{repo}/pulls/{number}"
    branch = {"ref": "work", "sha": f"{number:040x}", "repo": {"id": REPOSITORIES[repo], "name": repo.split("/")[1]}}
    lean = {"url": url, "id": 80_000 + number, "number": number, "head": branch, "base": branch | {"ref": "main"}}
    return lean | {"title": title, "body": said, "state": "open", "locked": False} if whole else lean


class Archive:
    """Events by the hour in which they happened."""

    def __init__(self) -> None:
        self.hours: dict[str, list[dict[str, Any]]] = {}
        self.count = 0

    def add(self, when: str, kind: str, repo: str, author: str, payload: dict[str, Any]) -> None:
        """Enters an event; `when` is `2024-01-02T09:12`."""
        self.count += 1
        actor = {"id": PEOPLE[author], "login": author, "display_login": author, "gravatar_id": ""}
        actor |= {"url": f"https://api.github.com/users/{author}", "avatar_url": ""}
        where = {"id": REPOSITORIES[repo], "name": repo, "url": f"https://api.github.com/repos/{repo}"}
        day, hour = when[:10], int(when[11:13])
        event = {"id": str(34_000_000_000 + self.count), "type": kind, "actor": actor, "repo": where}
        event |= {"payload": payload, "public": True, "created_at": f"{when}:{self.count % 60:02}Z"}
        self.hours.setdefault(f"{day}-{hour}", []).append(event)

    def conversation(self, repo: str, number: int, title: str, turns: list[tuple[str, str, str, str]]) -> None:
        """An issue: (when, author, action, what was said)."""
        about = issue(number, title, turns[0][3], repo)
        for when, author, action, said in turns:
            if action == "created":
                comment = {"id": 600_000 + self.count, "body": said, "user": {"login": author, "type": "User"}}
                payload = {"action": action, "issue": about, "comment": comment}
                self.add(when, "IssueCommentEvent", repo, author, payload)
            else:
                self.add(when, "IssuesEvent", repo, author, {"action": action, "issue": about})

    def pull_request(
        self, repo: str, number: int, title: str, turns: list[tuple[str, str, str, str]], whole: bool
    ) -> None:
        """A pull request, of the form of 2024 or of that since October 2025."""
        about = pull(number, title, turns[0][3], repo, whole)
        for when, author, action, said in turns:
            base = {"action": action, "number": number, "pull_request": about}
            comment = {"id": 700_000 + self.count, "body": said, "user": {"login": author}}
            if action == "created":
                kind = "PullRequestReviewCommentEvent"
                self.add(when, kind, repo, author, base | {"comment": comment})
            else:
                self.add(when, "PullRequestEvent", repo, author, base)


def archive() -> Archive:
    """A few conversations, and events that are none."""
    made = Archive()
    made.conversation(
        "orchard/pear",
        17,
        "Empty files make the parser fail",
        [
            (
                "2024-01-02T09:12",
                "mira-k",
                "opened",
                "When a file is empty the parser raises an IndexError instead of answering an empty tree. "
                "It happens with version 2.3 on every system that I have tried so far.\n\n"
                "```python\nfrom pear import parse\nparse('')\n```",
            ),
            ("2024-01-02T09:40", "jonas42", "created", "I can see it too, @mira-k. The scanner looks one token ahead."),
            ("2024-01-02T09:41", "ci-bot", "created", "Thank you! This issue was labelled automatically."),
            (
                "2024-01-02T10:05",
                "mira-k",
                "created",
                "Then the end of the file should be a token of its own. Write to mira.k@sundial-gardens.org if you "
                "would like to see the whole trace; our server at 84.17.52.119 has the log.",
            ),
            ("2024-01-02T10:20", "jonas42", "closed", ""),
        ],
    )
    made.conversation(
        "orchard/pear",
        18,
        "Rename the option `strict`",
        [
            (
                "2024-01-02T09:05",
                "tove",
                "opened",
                "Nobody knows what strict means here. I suggest `complete` or `whole`.",
            ),
            ("2024-01-02T09:50", "jonas42", "created", MAIL),
            ("2024-01-02T10:31", "tove", "created", f"Here is what the build says about both:\n{LONG_LOG}"),
        ],
    )
    made.conversation(
        "orchard/quince",
        4,
        "Fehler beim Lesen leerer Dateien",
        [
            (
                "2024-01-02T09:25",
                "Anselm",
                "opened",
                "Wenn die Datei leer ist, schlägt das Lesen fehl, und niemand weiß warum. Das geschieht auf allen "
                "Rechnern, die ich bisher ausprobiert habe, und auch mit der neuesten Fassung des Programms.",
            ),
            (
                "2024-01-02T10:11",
                "tove",
                "created",
                "Das kann ich bestätigen, bei mir geschieht es ebenfalls jedes Mal.",
            ),
        ],
    )
    made.conversation("orchard/quince", 5, "typo", [("2024-01-02T10:44", "tove", "opened", "see title")])
    made.conversation(
        "orchard/quince",
        6,
        "Bump pear from 2.2 to 2.3",
        [
            ("2024-01-02T10:50", "dependabot[bot]", "opened", "Bumps pear from 2.2 to 2.3. " * 12),
            ("2024-01-02T10:51", "ci-bot", "created", "All checks have passed. " * 4),
        ],
    )
    made.pull_request(
        "orchard/pear",
        19,
        "Make the end of the file a token",
        [
            (
                "2024-01-02T09:58",
                "jonas42",
                "opened",
                "This closes the issue about empty files. The scanner now ends with a token of its own, so that the "
                "parser need not look past the end. The tests cover files that are empty and files with one line.",
            ),
            (
                "2024-01-02T10:15",
                "mira-k",
                "created",
                "Could the token have a name that says what it is? END would do.",
            ),
            ("2024-01-02T10:22", "jonas42", "closed", ""),
        ],
        whole=True,
    )
    made.pull_request(
        "mira-k/sundial",
        3,
        "Compute the hour from the angle",
        [
            ("2025-11-04T14:03", "Anselm", "opened", "not published since October 2025"),
            (
                "2025-11-04T14:10",
                "mira-k",
                "created",
                "The angle has to be taken modulo a full turn before it is divided, or else the hour is wrong on the "
                "western side of the dial. A test with an angle of 350 degrees would have found that at once.",
            ),
            (
                "2025-11-04T14:19",
                "Anselm",
                "created",
                "Good point, mended, and there is a test now that fails without it.",
            ),
        ],
        whole=False,
    )
    for number, when in enumerate(("2024-01-02T09:30", "2024-01-02T10:30", "2025-11-04T14:30")):
        push = {"push_id": 1 + number, "size": 1, "ref": "refs/heads/main", "commits": []}
        made.add(when, "PushEvent", "orchard/pear", "mira-k", push)
        made.add(when, "WatchEvent", "orchard/pear", "tove", {"action": "started"})
    return made


def write_events(folder: Path) -> None:
    """The events, a file for each hour."""
    folder.mkdir(parents=True, exist_ok=True)
    for hour, events in archive().hours.items():
        lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
        (folder / f"{hour}.json.gz").write_bytes(gzip.compress(lines.encode(), 9, mtime=0))


# --- code and its history -----------------------------------------------------------------------------------------

MIT = """\
MIT License

Copyright (c) 2026 The starcoder-engine authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
DIAL = '''\
"""A sundial: the hour of the day from the angle of a shadow."""

import math

DEGREES_AN_HOUR = 15


def hour(angle: float, noon: float = 0.0) -> float:
    """The hour at which the shadow has this angle; at noon it has the angle `noon`."""
    return 12 + (angle - noon) / DEGREES_AN_HOUR


def shadow(height: float, altitude: float) -> float:
    """The length of the shadow of a rod of this height, the sun standing at this altitude in degrees."""
    if not 0 < altitude < 90:
        raise ValueError("the sun is not in the sky")
    return height / math.tan(math.radians(altitude))
'''
CALENDAR = """\
// Days of the year, and back.
const LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isLeap(year) {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function dayOfYear(year, month, day) {
  const before = LENGTHS.slice(0, month - 1).reduce((sum, n) => sum + n, 0);
  return before + day + (month > 2 && isLeap(year) ? 1 : 0);
}

module.exports = { isLeap, dayOfYear };
"""
SETTINGS = '''\
"""Where the garden's clock reports to."""

CONTACT = "gardener@sundial-gardens.org"
SERVER = "84.17.52.119"
API_KEY = "q8Zx2LrT0vNc7HbW5mKd1PfY"


def address(path: str) -> str:
    """The address of a page on the server."""
    return f"https://{SERVER}/clock/{path.lstrip('/')}"
'''
STYLE = """\
/* The page that shows the time. */
.dial { width: 20rem; border: 1px solid black; border-radius: 50%; }
.dial .hand { transform-origin: bottom center; transition: transform 1s linear; }
.dial .hour { font-family: serif; font-size: 1.5rem; text-align: center; }
"""
PAGE = """\
<!doctype html>
<html lang="en">
<head><title>The garden's clock</title><link rel="stylesheet" href="dial.css"></head>
<body>
<h1>The garden's clock</h1>
<p>The dial shows the true local time of the garden, which is some minutes before or behind that of the zone.</p>
<p>It is right whenever the sun is in the sky, and says nothing at all when it is not.</p>
</body>
</html>
"""
# A solution of HumanEval: it has no place in a corpus.
LEAK = (
    'def flip(string: str) -> str:\n    """The text with small letters for capitals."""\n    return string.swapcase()\n'
)

CODE = {
    "LICENSE": MIT,
    "sundial/dial.py": DIAL,
    "sundial/copy_of_dial.py": DIAL,
    "sundial/old_dial.py": DIAL.replace("the sun is not in the sky", "no sun"),
    "sundial/settings.py": SETTINGS,
    "sundial/flip.py": LEAK,
    "web/table.js": f"module.exports = {[n * n % 997 for n in range(400)]};\n",
    "web/calendar.js": CALENDAR,
    "web/dial.css": STYLE,
    "web/index.html": PAGE,
    "web/names.json": json.dumps({"months": ["January", "February", "March", "April"], "first": "Monday"}, indent=2),
}


def write_code(folder: Path) -> None:
    """A small tree of files: some to be kept, some for filters, deduplication, redaction and decontamination."""
    for path, text in CODE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


HISTORY: list[tuple[str, dict[str, str | None]]] = [
    ("Begin with the licence and a dial", {"LICENSE": MIT, "sundial/dial.py": DIAL}),
    ("Add the calendar that counts the days", {"web/calendar.js": CALENDAR}),
    (
        "Take the angle modulo a full turn before dividing",
        {"sundial/dial.py": DIAL.replace("(angle - noon)", "((angle - noon + 180) % 360 - 180)")},
    ),
    (
        "Say which altitude was wrong in the error",
        {"sundial/dial.py": DIAL.replace('"the sun is', 'f"{altitude}: the sun is')},
    ),
    ("update", {"web/calendar.js": CALENDAR.replace("Days of", "The days of")}),
    ("Show the hours in a larger font on the page", {"web/dial.css": STYLE}),
    ("Make the letters of the dial larger still", {"web/dial.css": STYLE.replace("1.5rem", "2.25rem")}),
    ("Move two files at once", {"web/index.html": PAGE, "web/names.json": CODE["web/names.json"]}),
    ("v1.0.2", {"web/index.html": PAGE.replace("right whenever", "right, whenever")}),
    ("Remove the page that nobody has ever looked at", {"web/index.html": None}),
]
"""Commits: subject, and the files that they write or remove."""


def write_repository(folder: Path) -> None:
    """A bare repository with a linear history, all its objects in one pack."""
    shutil.rmtree(folder, ignore_errors=True)
    repository = pygit2.init_repository(str(folder), bare=True, initial_head="main")
    index, parents = pygit2.Index(), list[pygit2.Oid]()
    builder = repository.odb
    for n, (subject, files) in enumerate(HISTORY):
        for path, text in files.items():
            if text is None:
                index.remove(path)
            else:
                blob = repository.create_blob(text.encode())
                index.add(pygit2.IndexEntry(path, blob, pygit2.enums.FileMode.BLOB))
        author = pygit2.Signature("Mira K", "mira@example.org", 1_704_186_000 + 3600 * n, 0)
        tree = index.write_tree(repository)
        parents = [repository.create_commit("refs/heads/main", author, author, subject + "\n", tree, parents)]
    objects = pygit2.PackBuilder(repository)
    for name in builder:
        objects.add(name)
    pack = folder / "objects" / "pack"
    objects.write(str(pack))
    for place in (*(p for p in (folder / "objects").iterdir() if p != pack), folder / "hooks", folder / "info"):
        shutil.rmtree(place, ignore_errors=True)
    (folder / "description").unlink(missing_ok=True)
    # A folder that is empty would not be in a checkout.
    (folder / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        '[remote "origin"]\n\turl = https://github.com/mira-k/sundial.git\n'
    )


def main() -> None:
    """Writes what is shipped anew."""
    for folder in ("gharchive", "code"):
        shutil.rmtree(SAMPLE / folder, ignore_errors=True)
    write_events(SAMPLE / "gharchive")
    write_code(SAMPLE / "code")
    write_repository(SAMPLE / "sundial.git")


if __name__ == "__main__":
    main()
