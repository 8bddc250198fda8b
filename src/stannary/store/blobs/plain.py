"""Contents kept as they are: whoever may read the place may read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from stannary.core.errors import IntegrityError
from stannary.core.model import Digest
from stannary.store.blobs.interface import absent, blob_name, digest_of, span
from stannary.store.blobs.objects import Objects, Stat

__all__ = ["PlainBlobs", "arriving", "leaving"]


class PlainBlobs:
    """A blob store over objects. A range of a content is not verified: there is nothing to verify it with."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def has(self, digest: Digest) -> bool:
        """Say whether the content is there."""
        return self.objects.head(blob_name(digest)) is not None

    def size(self, digest: Digest) -> int:
        """Return the size of the content in bytes. Raises InputError when it is not there."""
        return self._stat(digest).size

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> bool:
        """Keep a content, see `Blobs.put`. Raises IntegrityError also when another size is kept under the digest."""
        name = blob_name(digest)
        there = self.objects.head(name)
        if there is not None and there.size != size:
            raise _altered(digest, f"{there.size} bytes are kept, {size} are announced", self.objects.where)
        return self.objects.create(name, arriving(digest, size, chunks), size)

    def read(self, digest: Digest, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a content or a range of it, see `Blobs.read`."""
        size = self._stat(digest).size
        start, end = span(offset, length, size)
        found = self.objects.read(blob_name(digest), start, end)
        return leaving(digest, found, self.objects.where) if end - start == size else found

    def digests(self) -> Iterator[tuple[Digest, int, datetime]]:
        """Yield digest, size in bytes and time of what is there."""
        for name, stat in self.objects.names("sha256/"):
            if digest := digest_of(name):
                yield digest, stat.size, stat.modified

    def delete(self, digest: Digest) -> bool:
        """Take a content away; False when it was not there."""
        return self.objects.delete(blob_name(digest))

    def close(self) -> None:
        """Let go of files and connections."""
        self.objects.close()

    def _stat(self, digest: Digest) -> Stat:
        found = self.objects.head(blob_name(digest))
        if found is None:
            raise absent(digest, self.objects.where)
        return found


def arriving(digest: Digest, size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass chunks on, and raise IntegrityError when they turn out not to be the content of a digest and size."""
    seen, total = hashlib.sha256(), 0
    for chunk in chunks:
        total += len(chunk)
        if total > size:
            msg = f"{size} bytes were announced for {digest}, and more come"
            raise IntegrityError(msg, code="BLB004", help="the source changes, or announces what it does not hold")
        seen.update(chunk)
        yield chunk
    if total != size or seen.hexdigest() != digest.hex:
        msg = f"{total} bytes of sha256:{seen.hexdigest()} came, {size} bytes of {digest} were announced"
        raise IntegrityError(msg, code="BLB004", help="send the content again; if it stays so, the source is not what it says")


def leaving(digest: Digest, chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    """Pass a whole content on, its last chunk when the digest holds. Raises IntegrityError before it otherwise."""
    seen, held = hashlib.sha256(), b""
    for chunk in chunks:
        seen.update(chunk)
        if held:
            yield held
        held = chunk
    if seen.hexdigest() != digest.hex:
        raise _altered(digest, f"what is kept is sha256:{seen.hexdigest()}", where)
    if held:
        yield held


def _altered(digest: Digest, why: str, where: str) -> IntegrityError:
    msg = f"the blob {digest} was altered: {why}"
    return IntegrityError(msg, where=where, code="BLB005", help="restore it from a backup, and find out who can write there")
