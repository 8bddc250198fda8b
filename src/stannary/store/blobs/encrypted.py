"""Contents kept encrypted: whoever may read the place learns how long they are, and their digests.

`sha256/ab/cdef…` is the message (encrypted content), `keys/sha256/ab/cdef…` the header with its data key, wrapped.
The digest is the content's, before it was encrypted. The message is bound to digest and size, so one that was cut,
or put in the place of another, is refused before anything is read of it, also when a range is asked for.

Header and message are two objects, so that other keys never mean rewriting the content. The header comes first,
and is not replaced by a second writer: he uses the data key that is there, with a salt of his own. Whoever made the
message that stays, the header opens it. A header without a message is what a writer left who did not finish, or
what a deletion leaves; `tidy` takes it away when it is old.

What a cipher is, this module does not know: `Sealing` is what it needs of one (`crypto/envelope.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.store.blobs.interface import absent, blob_name, digest_of, span
from stannary.store.blobs.objects import Objects, Stat
from stannary.store.blobs.plain import arriving, leaving

__all__ = ["EncryptedBlobs", "Message", "Sealing"]

_HEADER = 56
_LARGEST = 1 << 16  # of a header of wrapped keys
_YOUNG = timedelta(hours=1)


class Message(Protocol):
    """One encrypted content."""

    def seal(self, chunks: Iterable[bytes], *, lent: bool = False) -> Iterator[bytes | memoryview]:
        """Yield the message of a content; `lent`: of memory that is used again for the next piece."""
        ...

    def unseal(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the content of a message whose first 56 bytes were read. Raises IntegrityError."""
        ...

    def unseal_range(self, start: int, end: int, size: int, fetch: Callable[[int, int], Iterator[bytes]]) -> Iterator[bytes]:
        """Yield a range of a content of `size` bytes, by fetching ranges of the message. Raises IntegrityError."""
        ...


class Sealing(Protocol):
    """A cipher, and the keys that wrap the data keys. Contexts say what something is bound to."""

    def begin(self, context: bytes) -> bytes:
        """Return a header with a new data key."""
        ...

    def key(self, header: bytes, context: bytes) -> bytes:
        """Return the data key of a header."""
        ...

    def rewrap(self, header: bytes, context: bytes) -> bytes:
        """Return a header for the keys of now around the same data key."""
        ...

    def current(self, header: bytes) -> bool:
        """Say whether a header is for the keys of now."""
        ...

    def message(self, key: bytes, context: bytes, start: bytes | None = None) -> Message:
        """Return a new message, or the one that starts so. Raises IntegrityError for another key's or context's."""
        ...

    def sealed_size(self, size: int) -> int:
        """Return how long the message of a content is."""
        ...

    def plain_size(self, sealed: int) -> int:
        """Return how long the content of a message is. Raises IntegrityError for a length that no message has."""
        ...


class EncryptedBlobs:
    """A blob store over objects, each encrypted with a key of its own.

    Args:
        objects: where the messages are.
        sealing: the cipher and the wrapping keys.
        headers: where the headers are: the same place when it is None. Kept elsewhere, a copy of the messages opens nothing.
    """

    def __init__(self, objects: Objects, sealing: Sealing, headers: Objects | None = None) -> None:
        self.objects = objects
        self.headers = headers or objects
        self._sealing = sealing

    def has(self, digest: Digest) -> bool:
        """Say whether the content is there, with what opens it."""
        name = blob_name(digest)
        return self.objects.head(name) is not None and self.headers.head(f"keys/{name}") is not None

    def size(self, digest: Digest) -> int:
        """Return the size of the content in bytes, verified as far as opening it does. Raises InputError when it is not there."""
        return self._open(digest)[1]

    def put(self, digest: Digest, size: int, chunks: Iterable[bytes]) -> bool:
        """Keep a content, see `Blobs.put`. Raises IntegrityError also when what is there cannot be opened."""
        name = blob_name(digest)
        header, key = self._begin(digest)
        message = self._sealing.message(key, _for_message(digest, size))
        sealed = message.seal(arriving(digest, size, chunks), lent=True)
        made = self.objects.create(name, sealed, self._sealing.sealed_size(size))
        if self._header(digest) is None:  # somebody tidied up meanwhile
            self.headers.create(f"keys/{name}", [header], len(header))
        try:
            kept = self._open(digest)[1]
        except (IntegrityError, UsageError) as error:
            if not made:
                raise
            # Two writers found a header that opens for neither, and each made a new one: ours is not the one that stayed.
            self.objects.delete(name)
            msg = f"another writer of {digest} was at work, and what was written cannot be opened"
            raise BackendError(msg, where=self.objects.where, code="BLB010", help="put it again") from error
        if kept != size:
            raise _unreadable(digest, f"{kept} bytes are kept, {size} were announced", self.objects.where)
        return made

    def read(self, digest: Digest, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a content or a range of it, see `Blobs.read`: every byte is authentic, also of a range."""
        message, size = self._open(digest)
        start, end = span(offset, length, size)
        name = blob_name(digest)
        if end - start < size:
            return self._telling(message.unseal_range(start, end, size, lambda a, b: self.objects.read(name, a, b)), digest)
        sealed = self.objects.read(name, _HEADER, self._sealing.sealed_size(size))
        return leaving(digest, self._telling(message.unseal(sealed), digest), self.objects.where)

    def digests(self) -> Iterator[tuple[Digest, int, datetime]]:
        """Yield digest, size and time of what is there. The size follows from the message's length, and is not verified."""
        for name, stat in self.objects.names("sha256/"):
            if digest := digest_of(name):
                yield digest, self._plain_size(stat), stat.modified

    def delete(self, digest: Digest) -> bool:
        """Take a content away; False when it was not there. Its header stays until `tidy`: a writer may be using it."""
        return self.objects.delete(blob_name(digest))

    def rewrap(self, digest: Digest, *, anew: bool = False) -> bool:
        """Wrap the data key for the keys of now. The content stays as it is. Raises InputError when it is not there.

        Args:
            digest: whose key.
            anew: also when it is wrapped by them: a service may have a new version of a key under its name.

        Returns:
            False when it was.
        """
        header = self._header(digest)
        if header is None:
            raise absent(digest, self.objects.where)
        if self._sealing.current(header) and not anew:
            return False
        self.headers.replace(f"keys/{blob_name(digest)}", self._sealing.rewrap(header, _for_key(digest)))
        return True

    def outdated(self) -> Iterator[Digest]:
        """Yield the digests to `rewrap`: their data keys are not wrapped for the keys of now. Also of contents that are gone."""
        for name, _ in self.headers.names("keys/sha256/"):
            digest = digest_of(name.removeprefix("keys/"))
            header = self._header(digest) if digest else None
            if digest and header is not None and not self._sealing.current(header):
                yield digest

    def tidy(self, before: datetime) -> int:
        """Take away headers without a content that were made before a time, and return how many.

        Choose a time before any writer began that may still be at work: a day is plenty.
        """
        found = 0
        for name, stat in self.headers.names("keys/sha256/"):
            body = name.removeprefix("keys/")
            if stat.modified < before and digest_of(body) and self.objects.head(body) is None:
                found += self.headers.delete(name)
        return found

    def close(self) -> None:
        """Let go of files and connections."""
        self.objects.close()
        if self.headers is not self.objects:
            self.headers.close()

    def _begin(self, digest: Digest) -> tuple[bytes, bytes]:
        """Return the header of a content that will come, and its data key: the one that is there, or a new one."""
        name, context = f"keys/{blob_name(digest)}", _for_key(digest)
        header, body = self._header(digest), self.objects.head(blob_name(digest))
        if body is not None:
            if header is None:  # made anew, it would hide that one was lost which a backup may have
                raise _unreadable(digest, "the header that opens it is gone", self.headers.where)
            return header, self._sealing.key(header, context)
        if header is not None:
            try:
                key = self._sealing.key(header, context)
            except (IntegrityError, UsageError):
                # Planted, or left by a deletion from before a key was destroyed. It opens nothing that is there.
                self.headers.delete(name)
            else:
                stat = self.headers.head(name)
                if stat and stat.modified < datetime.now(UTC) - _YOUNG:
                    self.headers.replace(name, header)  # so that `tidy` takes it for what it is: in use
                return header, key
        made = self._sealing.begin(context)
        self.headers.create(name, [made], len(made))
        header = self._header(digest) or made
        return header, self._sealing.key(header, context)

    def _header(self, digest: Digest) -> bytes | None:
        name = f"keys/{blob_name(digest)}"
        stat = self.headers.head(name)
        if stat is None:
            return None
        if stat.size > _LARGEST:
            raise _unreadable(digest, f"its header has {stat.size} bytes", self.headers.where)
        return b"".join(self.headers.read(name, 0, stat.size))

    def _open(self, digest: Digest) -> tuple[Message, int]:
        """Return the message that is kept, and its size: what commits it to key, digest and size holds."""
        name = blob_name(digest)
        stat, header = self.objects.head(name), self._header(digest)
        if stat is None:
            raise absent(digest, self.objects.where)
        if header is None:
            raise _unreadable(digest, "the header that opens it is gone", self.headers.where)
        with self._where(digest):
            size = self._sealing.plain_size(stat.size)
            key = self._sealing.key(header, _for_key(digest))
            start = b"".join(self.objects.read(name, 0, _HEADER))
            return self._sealing.message(key, _for_message(digest, size), start), size

    def _plain_size(self, stat: Stat) -> int:
        try:
            return self._sealing.plain_size(stat.size)
        except IntegrityError:
            return 0  # it was cut; whoever reads it is told

    def _telling(self, chunks: Iterator[bytes], digest: Digest) -> Iterator[bytes]:
        with self._where(digest):
            yield from chunks

    @contextlib.contextmanager
    def _where(self, digest: Digest) -> Iterator[None]:
        """Say in errors of the cipher, which knows no places, which content they are about."""
        try:
            yield
        except (IntegrityError, BackendError) as error:
            error.where = error.where or f"{self.objects.where} {digest}"
            raise


def _for_key(digest: Digest) -> bytes:
    return b"stannary blob key\0" + str(digest).encode()


def _for_message(digest: Digest, size: int) -> bytes:
    return b"stannary blob\0" + str(digest).encode() + size.to_bytes(8, "big")


def _unreadable(digest: Digest, why: str, where: str) -> IntegrityError:
    msg = f"the blob {digest} cannot be opened: {why}"
    return IntegrityError(msg, where=where, code="BLB009", help="restore it from a backup, and find out who can write there")
