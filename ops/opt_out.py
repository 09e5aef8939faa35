"""What authors have asked to be left out: accounts, repositories, and files by their hash."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import storage
from engine.columns import text_buffers
from engine.errors import Refused
from engine.op import Filter, Reasons, absent, reasons
from engine.schema import Strings

SHIPPED = Path(__file__).parent / "data" / "opt_out.txt"
_NAME = re.compile(r"[^\s/]+(?:/[^\s/]+)*")
_DIGEST = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(frozen=True)
class OptOutList:
    """A list that was read: names in small letters, digests of such names, and hashes of files."""

    names: frozenset[str] = frozenset()
    name_digests: frozenset[str] = frozenset()
    sha1: frozenset[str] = frozenset()
    """SHA-1 of a file, or its git blob hash: they look alike."""
    sha256: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether a name in small letters is on the list."""
        return name in self.names or (bool(self.name_digests) and name_digest(name) in self.name_digests)


def name_digest(name: str) -> str:
    """What stands for an account or repository in a list that does not say whom it protects: a SHA-256."""
    return hashlib.sha256(name.lower().encode()).hexdigest()


def read_list(text: str, where: str = "the list") -> OptOutList:
    """The entries of a list; raises Refused where a line is none, and says which.

    An entry a line: `account`, `owner/repository` or its address, 40 or 64 hexadecimal digits, or `name:` and the
    SHA-256 of a name in small letters. `#` begins a comment.
    """
    found: dict[str, set[str]] = {"names": set(), "name_digests": set(), "sha1": set(), "sha256": set()}
    for number, line in enumerate(text.splitlines(), 1):
        entry = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip().lower()
        if not entry:
            continue
        if match := re.fullmatch(r"name:([0-9a-f]{64})", entry):
            found["name_digests"].add(match[1])
        elif _DIGEST.fullmatch(entry):
            found["sha1" if len(entry) == 40 else "sha256"].add(entry)
        else:
            name = re.sub(r"^(?:https?://)(?:www\.)?[^/]+/", "", entry).rstrip("/").removesuffix(".git").lstrip("@")
            if not _NAME.fullmatch(name):
                raise Refused(
                    f"{where}:{number}: {line.strip()!r} is no account, no repository and no hash; "
                    "write `octocat`, `octocat/hello-world`, or 40 or 64 hexadecimal digits"
                )
            found["names"].add(name)
    return OptOutList(**{kind: frozenset(entries) for kind, entries in found.items()})


class OptOut(Filter):
    """Drops what its authors have asked to be left out, by account, by repository, or by the hash of a file.

    The list is a text file, a line an entry: an account (`octocat`, all its repositories), a repository
    (`octocat/hello-world`, or its address), or a file's SHA-1, git blob hash (The Stack's `hexsha`) or SHA-256.
    Capitals do not matter. `name:` and the SHA-256 of a name in small letters stand for the name, so that a list need
    not say whom it protects. Hashes are those of the text as UTF-8, as it came from the source.

    Of a document dropped the run keeps its id and the reason, and nothing else: no path, no measure, no sample. As the
    first step of a stream it also sees to it that no copy elsewhere is dropped because of what is not there.

    Example:
        - opt_out

    Reference:
        Kocetkov et al. 2022, The Stack, https://arxiv.org/abs/2211.15533, section 4.5
    """

    list: str = ""
    """Path or URL of the list; the list that comes with the engine, which is empty, unless given."""

    forgets: ClassVar[bool] = True

    def besides(self) -> Any:
        """The digest of the list: a list that changed is another step."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def drop(
        self, repo_name: Strings, content: Strings
    ) -> Reasons[Literal["opted_out_account", "opted_out_repository", "opted_out_content"]]:
        account, repository = self._names(repo_name)
        return reasons(
            opted_out_account=absent(account),
            opted_out_repository=absent(repository),
            opted_out_content=absent(self._contents(content)),
        )

    def _names(self, repo_name: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Which rows belong to an account on the list, and which to a repository on it."""
        coded: Any = pc.dictionary_encode(repo_name)
        known = [name.lower() if name else "" for name in coded.dictionary.to_pylist()]
        flags = []
        for named in (known, [name.partition("/")[0] if "/" in name else "" for name in known])[::-1]:
            listed = pa.array([bool(name) and self.entries.has(name) for name in named], pa.bool_())
            flags.append(listed.take(coded.indices) if known else pa.nulls(len(repo_name), pa.bool_()))
        return flags[0], flags[1]

    def _contents(self, content: pa.Array) -> pa.Array:
        """Which rows have a hash that is on the list; no text is hashed for a list without hashes."""
        wanted, found = self.entries, np.zeros(len(content), bool)
        tests: list[tuple[frozenset[str], Callable[[Any], str]]] = []
        if wanted.sha1:
            tests += [(wanted.sha1, lambda text: hashlib.sha1(text).hexdigest()), (wanted.sha1, git_blob_hash)]
        if wanted.sha256:
            tests.append((wanted.sha256, lambda text: hashlib.sha256(text).hexdigest()))
        if tests and len(content):
            data, offsets = text_buffers(content)
            whole = data.data
            for n, (lo, hi) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
                found[n] = any(digest(whole[lo:hi]) in hashes for hashes, digest in tests)
            found &= np.asarray(content.is_valid())
        return pa.array(found)

    def sealed(self) -> Iterable[str]:
        """The entries as lines of a list that names nobody: names by their digests."""
        known = self.entries
        names = {f"name:{digest}" for digest in {*known.name_digests, *(name_digest(n) for n in known.names)}}
        return names | known.sha1 | known.sha256

    @functools.cached_property
    def entries(self) -> OptOutList:
        """The list, read."""
        return read_list(self._text, self.list or SHIPPED.name)

    @functools.cached_property
    def _text(self) -> str:
        if not self.list:
            return SHIPPED.read_text(encoding="utf-8")
        try:
            return storage.read_bytes(self.list).decode()
        except (OSError, ValueError, ImportError) as error:
            told = getattr(error, "strerror", None) or error
            raise Refused(f"opt_out: the list {self.list} cannot be read: {told}") from None


def git_blob_hash(text: Any) -> str:
    """The name that git gives a file of these bytes."""
    digest = hashlib.sha1(b"blob %d\0" % len(text))
    digest.update(text)
    return digest.hexdigest()
