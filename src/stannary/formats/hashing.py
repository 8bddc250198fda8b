"""SHA-256 of files: each once, small ones inline, large ones in threads beside the scan.

Files are read into a buffer, never mapped: a mapped file of 2 GB would count as 2 GB of memory.
hashlib lets other threads run while it works, so threads are enough.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import threading

__all__ = ["BackgroundHasher", "FileIdentity", "Hashed", "hash_bytes", "hash_file", "identity_of"]

_BUFFER = 1 << 18  # stays in the processor's cache: 7 % less CPU than 1 MiB


class FileIdentity(NamedTuple):
    """What tells whether a file is still the same one: any write changes `changed` (ctime, ns)."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Hashed(NamedTuple):
    """The SHA-256 (hex) of a file and its identity; or the reason why there is none."""

    sha256: str
    identity: FileIdentity | None
    problem: str = ""


def identity_of(status: os.stat_result) -> FileIdentity:
    """Return the identity in a stat result."""
    # Not by FileIdentity(...): with 10,000 small files its constructor is a twentieth of hashing them.
    found = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return tuple.__new__(FileIdentity, found)


def hash_bytes(content: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def hash_file(path: str, on_bytes: Callable[[int], bool] | None = None) -> Hashed:
    """Read a regular file once. A symlink as last component is not followed; what went wrong is in `problem`.

    `on_bytes` is told of every piece that was read; it returns False to stop.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        return Hashed("", None, f"cannot be opened: {exc.strerror}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Hashed("", None, "is not a regular file")
        digest = _digest(descriptor, status.st_size, on_bytes)
        before, after = identity_of(status), identity_of(os.fstat(descriptor))
    except OSError as exc:
        return Hashed("", None, f"cannot be read: {exc.strerror}")
    finally:
        os.close(descriptor)
    if before != after:
        return Hashed("", None, "changed while it was read")
    return Hashed(digest, before)


def _digest(descriptor: int, size: int, on_bytes: Callable[[int], bool] | None) -> str:
    if size < _BUFFER:
        # One byte more than there should be: a buffer of _BUFFER costs more to get than 8 KiB do to hash.
        content = os.read(descriptor, size + 1)
        while len(content) < size and (more := os.read(descriptor, size + 1 - len(content))):
            content += more
        return hashlib.sha256(content).hexdigest()
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    digest = hashlib.sha256()
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    left = size
    # A file that grows faster than it is read would never end; that it grew is noticed afterwards.
    while left > 0 and (count := os.readv(descriptor, [buffer])):
        left -= count
        digest.update(view[:count])
        if on_bytes is not None and not on_bytes(count):
            raise InterruptedError(errno.EINTR, "stopped")
    return digest.hexdigest()


class BackgroundHasher:
    """Hashes files in threads; results are collected by the thread that made it."""

    def __init__(self, threads: int = 1) -> None:
        import threading  # only large files need it

        self._lock = threading.Lock()
        self._idle = max(1, threads)  # threads that may still be started
        self._todo: deque[tuple[int, str]] = deque()
        self._done: deque[tuple[int, Hashed]] = deque()
        self._threads: list[threading.Thread] = []
        self._open = 0
        self._stop = False
        self.bytes = 0  # read so far, for progress

    def add(self, key: int, path: str) -> None:
        """Queue a file under a key."""
        self._open += 1
        with self._lock:
            self._todo.append((key, path))
            if self._idle == 0:
                return
            self._idle -= 1
        import threading

        thread = threading.Thread(target=self._work, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def pending(self) -> int:
        """Return how many files have no result yet, or one that was not taken."""
        return self._open

    def take(self) -> Iterator[tuple[int, Hashed]]:
        """Yield the results there are, without waiting."""
        while self._done:
            self._open -= 1
            yield self._done.popleft()

    def wait(self, seconds: float) -> None:
        """Give the threads up to `seconds` to finish."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(seconds)
                return

    def stop(self) -> None:
        """End the threads soon; files that were not finished get a result that says so."""
        self._stop = True

    def _count(self, count: int) -> bool:
        self.bytes += count
        return not self._stop

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._stop or not self._todo:
                    self._idle += 1
                    return
                key, path = self._todo.popleft()
            self._done.append((key, hash_file(path, self._count)))
