"""Repositories that cannot bring the process down: libgit2 finds names and revisions, and reads no object itself.

Where an index of a pack is damaged, libgit2 1.9 reads beyond its end; where a loose object is cut off, it never comes
back. So it is given the objects by `ops.git_objects.Objects`, which checks what it reads.
"""

from __future__ import annotations

from typing import Any

import pygit2

from ops.git_objects import Objects


class _Backend(pygit2.OdbBackend):
    """Hands objects to libgit2, which takes KeyError for one that is missing and passes OSError on."""

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self._objects = objects

    def read_cb(self, oid: Any) -> tuple[int, bytes]:
        return self._read(bytes.fromhex(str(oid)))

    def read_header_cb(self, oid: Any) -> tuple[int, int]:
        kind, data = self.read_cb(oid)
        return kind, len(data)

    def read_prefix_cb(self, prefix: Any) -> tuple[int, bytes, Any]:
        name = self._named(prefix)
        return *self._read(name), pygit2.Oid(raw=name)

    def exists_cb(self, oid: Any) -> bool:
        return bytes.fromhex(str(oid)) in self._objects

    def exists_prefix_cb(self, prefix: Any) -> Any:
        return pygit2.Oid(raw=self._named(prefix))

    def refresh_cb(self) -> None:
        """Nothing to do: objects that are missing are looked for again at once."""

    def _read(self, name: bytes) -> tuple[int, bytes]:
        try:
            kind, data = self._objects.checked(name)
        except ValueError as error:
            # To libgit2 a ValueError says that a name is ambiguous.
            raise OSError(0, str(error)) from None
        return kind, data.tobytes()

    def _named(self, prefix: Any) -> bytes:
        found = self._objects.named(str(prefix))
        if len(found) > 1:
            raise ValueError(f"{len(found)} objects have names that begin so")
        if not found:
            raise KeyError(str(prefix))
        return found.pop()


def opened(path: str) -> tuple[pygit2.Repository, Objects]:
    """The repository at a path, and its objects. Raises GitError where there is none."""
    repository = pygit2.Repository(path)
    objects, store = Objects(repository), pygit2.Odb()
    store.add_backend(_Backend(objects), 1)
    repository.set_odb(store)
    return repository, objects
