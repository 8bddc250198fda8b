"""Objects in memory: a place for blobs that tests look into, damage, and have fail.

objects = MemoryObjects()
blobs = PlainBlobs(objects)
objects.contents["sha256/ab/…"] = b"something else"     # an attack
objects.failing = BackendError("the disk is gone")      # whatever is called next raises this
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from stannary.core.errors import IntegrityError, StannaryError
from stannary.store.blobs.interface import CHUNK
from stannary.store.blobs.objects import Stat
from stannary.store.blobs.plain import PlainBlobs

__all__ = ["MemoryBlobs", "MemoryObjects"]


class MemoryObjects:
    """Objects by name. Threads may share it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.modified: dict[str, datetime] = {}
        self.failing: StannaryError | None = None
        self._turn = threading.Lock()

    @property
    def where(self) -> str:
        """Return what stands for an address."""
        return "memory:"

    def head(self, name: str) -> Stat | None:
        """Return size and time of an object."""
        self._fail()
        with self._turn:
            content = self.contents.get(name)
            return None if content is None else Stat(len(content), self.modified.get(name, datetime.now(UTC)))

    def create(self, name: str, chunks: Iterable[bytes | memoryview], size: int) -> bool:  # noqa: ARG002 - nothing is sent
        """Make an object unless it is there, see `Objects.create`."""
        if self.head(name) is not None:
            return False
        content = b"".join(map(bytes, chunks))
        self._fail()
        with self._turn:
            if name in self.contents:
                return False
            self.contents[name], self.modified[name] = content, datetime.now(UTC)
            return True

    def replace(self, name: str, content: bytes) -> None:
        """Put a content in the place of another."""
        self._fail()
        with self._turn:
            self.contents[name], self.modified[name] = bytes(content), datetime.now(UTC)

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of an object, see `Objects.read`."""
        self._fail()
        content = self.contents.get(name, b"")
        for begin in range(start, end, CHUNK):
            chunk = content[begin : min(begin + CHUNK, end)]
            if len(chunk) != min(CHUNK, end - begin):
                msg = f"the object ends {end - len(content)} bytes before it should"
                raise IntegrityError(msg, where=self.where, code="BLB005")
            yield chunk

    def names(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the objects below a prefix."""
        self._fail()
        for name in list(self.contents):
            if name.startswith(prefix) and (found := self.head(name)):
                yield name, found

    def delete(self, name: str) -> bool:
        """Take an object away."""
        self._fail()
        with self._turn:
            return self.contents.pop(name, None) is not None

    def close(self) -> None:
        """Nothing is held."""

    def _fail(self) -> None:
        if self.failing is not None:
            raise self.failing


class MemoryBlobs(PlainBlobs):
    """A blob store in memory."""

    def __init__(self) -> None:
        super().__init__(MemoryObjects())
