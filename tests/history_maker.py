"""Git repositories made by `git fast-import`: thousands of commits in a moment, the same bytes every time."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@b.c",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@b.c",
}
Files = dict[str, bytes | None]
"""What a commit sets at each path; None removes it."""


def git(repository: Path | str, *arguments: str, given: bytes = b"") -> bytes:
    """What Git prints."""
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True, env=ENVIRONMENT).stdout


class History:
    """A stream of commits for `git fast-import`."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.count = 0

    def commit(
        self,
        files: Files | None = None,
        message: bytes | str = "Change",
        merge: int | None = None,
        after: int | None = None,
        modes: dict[str, str] | None = None,
        encoding: str = "",
    ) -> int:
        """Adds a commit and answers its mark; `after` is its parent where that is not the one before."""
        self.count += 1
        said = message.encode() if isinstance(message, str) else message
        head = [f"commit refs/heads/{'main' if after is None else f'side{self.count}'}", f"mark :{self.count}"]
        head += [f"author A <a@b.c> {self.count * 60} +0000", f"committer A <a@b.c> {self.count * 60} +0000"]
        head += [f"encoding {encoding}"] * bool(encoding)
        self.parts += ["\n".join(head).encode(), b"\ndata %d\n" % len(said), said, b"\n"]
        if after is not None:
            self.parts.append(b"from :%d\n" % after)
        if merge is not None:
            self.parts.append(b"merge :%d\n" % merge)
        for path, data in (files or {}).items():
            if data is None:
                self.parts.append(f"D {path}\n".encode())
                continue
            mode = (modes or {}).get(path, "100644")
            if mode == "160000":
                self.parts.append(b"M 160000 %s %s\n" % (data, path.encode()))
                continue
            self.parts += [f"M {mode} inline {path}\n".encode(), b"data %d\n" % len(data), data, b"\n"]
        return self.count

    def write(self, folder: Path, bare: bool = True) -> Path:
        """A repository with these commits; `main` is its branch."""
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q", "--initial-branch=main", *(["--bare"] if bare else []))
        git(folder, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", given=b"".join(self.parts))
        return folder


def long_history(commits: int, seed: int = 1) -> History:
    """Commits as projects have them: edits of a file or several, new files, removals, renames, side branches."""
    chance, history = random.Random(seed), History()
    files: dict[str, list[str]] = {}

    def edited(path: str) -> bytes:
        lines = files[path]
        at = chance.randrange(len(lines) + 1)
        lines[at : at + chance.randrange(3)] = [f"line {chance.randrange(1000)}" for _ in range(chance.randrange(1, 4))]
        return "\n".join([*lines, ""]).encode()

    for n in range(commits):
        done: Files = {}
        for _ in range(chance.choice((1, 1, 1, 1, 2, 5))):
            path = f"{chance.choice(('', 'src/', 'src/deep/er/', 'tests/'))}file{chance.randrange(60)}.py"
            kind = chance.random()
            if path in files and kind < 0.06:
                done[path] = None
                del files[path]
            elif path in files and kind < 0.12:
                moved = f"moved/{n}.py"
                files[moved] = files.pop(path)
                done |= {path: None, moved: edited(moved)}
            elif path not in done or done[path] is not None:
                files.setdefault(path, [f"first {k}" for k in range(chance.randrange(80))])
                done[path] = edited(path)
        merge = None
        if n % 17 == 16:
            merge = history.commit({f"side/{n}.txt": b"aside\n"}, f"Aside {n}", after=history.count)
        history.commit(done, f"Commit number {n}\n\nWith a body.\n", merge=merge)
    return history


def log(repository: Path | str, revision: str = "HEAD") -> dict[str, list[tuple[str, str, str, str, str, str]]]:
    """What `git log --raw` says of each commit but merges: (old mode, new mode, old blob, new blob, status, path)."""
    out = git(repository, "log", "--raw", "--no-renames", "--no-abbrev", "-z", "--root", "--format=%x01%H", revision)
    found: dict[str, list[Any]] = {}
    for part in out.split(b"\1")[1:]:
        name, _, rest = part.partition(b"\0")
        fields = [field for field in rest.strip(b"\n").split(b"\0") if field]
        changes = []
        for head, path in zip(fields[::2], fields[1::2], strict=True):
            changes.append((*head.decode().lstrip(":").split(" "), path.decode("utf-8", "surrogateescape")))
        found[name.decode()] = changes
    return found


def contents(repository: Path | str, names: list[str]) -> list[bytes]:
    """The blobs of these names, as `git cat-file` prints them."""
    out, found, at = git(repository, "cat-file", "--batch", given="\n".join([*names, ""]).encode()), [], 0
    for _ in names:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        at = end + 1
        found.append(out[at : at + size])
        at += size + 1
    return found
