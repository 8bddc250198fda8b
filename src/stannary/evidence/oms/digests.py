"""The digests of many files: small ones inline, large ones in a pool, the largest first.

A future a file costs more than hashing 8 KiB does; and a pool that starts with the largest file ends with the
others done. Each file is read once, through one descriptor, and has to be the same file after as before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from stannary.core.errors import BackendError
from stannary.formats.hashing import FileIdentity, hash_file, identity_of
from stannary.run.progress import OnProgress, Tracker

__all__ = ["Job", "Outcome", "hash_files", "hasher_of"]

_SMALL = 1 << 18
_BUFFER = 1 << 18
_PART = 64 << 20  # a thread's share of a file that is hashed in shards


class Job(NamedTuple):
    """A file to hash; `size` as listed."""

    path: str
    real: str
    size: int


class Outcome(NamedTuple):
    """The digests of a file (hex; more than one when it is hashed in shards), or the reason why there is none."""

    digests: tuple[str, ...]
    size: int = 0
    identity: FileIdentity | None = None
    problem: str = ""


def hasher_of(algorithm: str) -> Callable[[], Any]:
    """Return what makes a new hash. Raises BackendError when the library for it is not there."""
    if algorithm == "sha256":
        return hashlib.sha256
    if algorithm in {"blake2b", "blake2"}:
        return hashlib.blake2b
    try:
        from blake3 import blake3
    except ImportError:
        msg = "the signature is over BLAKE3 digests, and the package blake3 is not there"
        raise BackendError(msg, code="SIG013", help="pip install 'stannary[blake3]'") from None
    made: Callable[[], Any] = blake3
    return made


def hash_files(
    jobs: Iterable[Job], algorithm: str = "sha256", shard_size: int | None = None, on_progress: OnProgress | None = None
) -> dict[str, Outcome]:
    """Return the digests of files by name. What cannot be read is in its outcome; an interrupt ends all threads."""
    every = list(jobs)
    tracker = Tracker(on_progress, len(every), sum(job.size for job in every)) if on_progress is not None else None
    run = _Run(hasher_of(algorithm), algorithm, shard_size, tracker)
    small: list[Job] = []
    large: list[Job] = []
    for job in every:
        (large if job.size >= _SMALL else small).append(job)
    large.sort(key=lambda job: -job.size)
    if not large:
        return {job.path: run.whole(job) for job in small}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        try:
            waiting = [(job, [pool.submit(run.part, job, first, last) for first, last in run.parts(job)]) for job in large]
            found = {job.path: run.whole(job) for job in small}
            found.update((job.path, _joined([future.result() for future in parts])) for job, parts in waiting)
        except BaseException:
            run.stop.set()
            raise
    return found


class _Run:
    """What the threads share."""

    def __init__(self, new: Callable[[], Any], algorithm: str, shard_size: int | None, tracker: Tracker | None) -> None:
        self.new = new
        self.plain = algorithm == "sha256" and shard_size is None
        self.shard_size = shard_size
        self.stop = threading.Event()
        self._tracker = tracker
        self._lock = threading.Lock()

    def parts(self, job: Job) -> list[tuple[int, int | None]]:
        """Return the ranges of bytes that threads hash apart; a file without shards has one."""
        if self.shard_size is None or job.size <= _PART:
            return [(0, None)]
        step = max(_PART // self.shard_size, 1) * self.shard_size
        edges = [*range(0, job.size, step)]
        return [(start, start + step) for start in edges[:-1]] + [(edges[-1], None)]

    def whole(self, job: Job) -> Outcome:
        """Hash a small file."""
        found = self._plain(job.real) if self.plain else self.part(job, 0, None)
        if self._tracker is not None:
            self._tracker.advance(1, job.size)
        return found

    def part(self, job: Job, first: int, last: int | None) -> Outcome:
        """Hash the bytes of a file from `first` to `last`; to its end when that is None."""
        if self.plain:
            return self._plain(job.real)
        try:
            return self._shards(job.real, first, last)
        except OSError as error:
            return Outcome((), problem=f"cannot be read: {error.strerror}")

    def _plain(self, real: str) -> Outcome:
        sha256, identity, problem = hash_file(real, self._read)
        if identity is None:
            return Outcome((), problem=problem)
        return Outcome((sha256,), identity.size, identity)

    def _shards(self, real: str, first: int, last: int | None) -> Outcome:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Outcome((), problem="is not a regular file")
            before = identity_of(status)
            end = before.size if last is None else min(last, before.size)
            step = self.shard_size or max(end - first, 1)
            digests = tuple(self._range(descriptor, at, min(at + step, end)) for at in range(first, end, step))
            if self.shard_size is None and not digests:
                digests = (self.new().hexdigest(),)  # a file of no bytes has a digest, and no shards
            if identity_of(os.fstat(descriptor)) != before:
                return Outcome((), problem="changed while it was read")
        finally:
            os.close(descriptor)
        return Outcome(digests, before.size, before)

    def _range(self, descriptor: int, start: int, end: int) -> str:
        digest = self.new()
        while start < end:
            content = os.pread(descriptor, min(_BUFFER, end - start), start)
            if not content:
                break  # it became shorter, which its identity tells
            digest.update(content)
            start += len(content)
            if not self._read(len(content)):
                raise InterruptedError(errno.EINTR, "stopped")
        found: str = digest.hexdigest()
        return found

    def _read(self, count: int) -> bool:
        if self._tracker is not None:
            with self._lock:
                self._tracker.advance(0, count)
        return not self.stop.is_set()


def _joined(parts: list[Outcome]) -> Outcome:
    """Return the outcome of a file from those of its parts, which have to be of the same file."""
    for part in parts:
        if part.problem:
            return part
    if any(part.identity != parts[0].identity for part in parts):
        return Outcome((), problem="changed while it was read")
    return parts[0]._replace(digests=tuple(digest for part in parts for digest in part.digests))
