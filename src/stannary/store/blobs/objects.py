"""What blob stores are built on: named objects that appear whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

__all__ = ["Objects", "Stat"]


class Stat(NamedTuple):
    """The size of an object in bytes, and when it was made (UTC)."""

    size: int
    modified: datetime


class Objects(Protocol):
    """A place for objects. Names are relative paths that its callers make (`blob_name`), never what a user wrote.

    Every method raises BackendError when the place cannot be used; `where` names it in messages.
    """

    @property
    def where(self) -> str:
        """Return the address of the place."""
        ...

    def head(self, name: str) -> Stat | None:
        """Return what is known of an object, None when it is not there."""
        ...

    def create(self, name: str, chunks: Iterable[bytes | memoryview], size: int) -> bool:
        """Make an object, durably, unless it is there.

        Whatever `chunks` raises is passed on, and then there is no object. Of several that make one name at once
        each finds a whole object there when it returns.

        Args:
            name: what it will be called.
            chunks: the content. Not read when the object is there. A memoryview is of memory that is used again for the next one.
            size: about how long the content will be, in bytes; decides how it is sent.

        Returns:
            False when it was there, or another was quicker.
        """
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Make a small object, or put other content in its place, durably and in one step."""
        ...

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end` in chunks of `CHUNK` at most. Raises IntegrityError when they are fewer."""
        ...

    def names(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the objects whose names begin with a prefix that ends in `/`."""
        ...

    def delete(self, name: str) -> bool:
        """Take an object away; False when it was not there."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
