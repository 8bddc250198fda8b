"""What a blob store is, and what every one of them refuses alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from stannary.core.errors import InputError, UsageError
from stannary.core.model import Digest

__all__ = ["CHUNK", "Blobs", "absent", "blob_name", "digest_of", "span"]

# The most that a read yields at once, and that a store holds of a content beyond what its protocol needs.
CHUNK = 1 << 20

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"sha256/([0-9a-f]{2})/([0-9a-f]{62})")


@runtime_checkable
class Blobs(Protocol):
    """Contents by the SHA-256 of what they are, whatever form they are kept in.

    Every method raises BackendError when the place cannot be used and UsageError for a digest that is none.
    """

    def has(self, digest: Digest) -> bool:
        """Say whether the content is there."""
        ...

    def size(self, digest: Digest) -> int:
        """Return the size of the content in bytes. Raises InputError when it is not there."""
        ...

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> bool:
        """Keep a content; once this has returned, it survives the machine.

        Args:
            digest: what the content has to be.
            size: how long it has to be, in bytes.
            chunks: the content in pieces of any length. Not read when it is there already.

        Returns:
            False when it was there already.

        Raises:
            IntegrityError: the chunks are not the content of that digest and size; nothing was kept.
        """
        ...

    def read(self, digest: Digest, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a content, or `length` bytes from `offset`, in chunks of `CHUNK` at most.

        When the whole content is read, its last chunk comes after the digest was found to hold: who comes to the
        end has had what was asked for. A range that reaches over the end is cut.

        Raises:
            InputError: the content is not there. Raised by the call, not by the first chunk.
            IntegrityError: what is kept is not the content.
            UsageError: the range begins behind the end, or before the beginning.
        """
        ...

    def digests(self) -> Iterator[tuple[Digest, int, datetime]]:
        """Yield what is there: digest, size of the content in bytes, and when it was put (UTC). In no order."""
        ...

    def delete(self, digest: Digest) -> bool:
        """Take a content away; False when it was not there."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def blob_name(digest: Digest) -> str:
    """Return the name of the object of a digest: `sha256/ab/cdef…`. Raises UsageError for what is no digest.

    A Digest checks itself when it is made, but neither its algorithm nor after that: a name that becomes a path
    is checked where it does.
    """
    if str(digest.algo) != "sha256" or not _HEX.fullmatch(digest.hex):
        msg = f"not a SHA-256 digest: {digest.algo!r:.40} {digest.hex!r:.80}"
        raise UsageError(msg, code="BLB001")
    return f"sha256/{digest.hex[:2]}/{digest.hex[2:]}"


def digest_of(name: str) -> Digest | None:
    """Return the digest whose object has that name, or None when it is no such object."""
    found = _NAME.fullmatch(name)
    return Digest(found.group(1) + found.group(2)) if found else None


def absent(digest: Digest, where: str) -> InputError:
    """Return the error for a content that is not there."""
    msg = f"the store has no blob {digest}"
    return InputError(msg, where=where, code="BLB002", help="`stannary registry restore` brings back what a backup has")


def span(offset: int, length: int | None, size: int) -> tuple[int, int]:
    """Return the first byte of a range and the one after its last, cut to a content's size. Raises UsageError."""
    if not 0 <= offset <= size or (length is not None and length < 0):
        msg = f"there is no range of {length} bytes from {offset} in {size} bytes"
        raise UsageError(msg, code="BLB003")
    return offset, size if length is None else min(size, offset + length)
