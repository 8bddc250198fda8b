"""Writing a long file past the system's cache: what is kept is seldom read soon, and to copy it there costs more than to seal it.

`O_DIRECT` wants memory, places and lengths that are multiples of a block. So pieces are gathered in one aligned buffer, which is
written when it is full; the end, which has no such length, goes the usual way, and so does everything where a file system does
not do this. Nothing is durable by it: whoever writes flushes the file as ever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os

__all__ = ["LONG", "DirectFile"]

LONG = 1 << 23  # bytes: of what is shorter the buffer costs more than it saves
_BUFFER = 1 << 22
_BLOCK = 4096
_DIRECT = getattr(os, "O_DIRECT", 0)  # not everywhere
_NOT_HERE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


class DirectFile:
    """Writes to the end of an open, empty file. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(-1, _BUFFER)  # pages: aligned
        self._buffer = memoryview(self._memory)
        self._filled = 0
        self._is_direct = bool(_DIRECT)
        if self._is_direct:
            self._switch(on=True)

    def write(self, chunk: bytes | memoryview) -> None:
        """Write a piece; it is copied."""
        rest = memoryview(chunk)
        while rest:
            part = rest[: _BUFFER - self._filled]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == _BUFFER:
                self._put(_BUFFER)
                self._filled = 0

    def flush(self) -> None:
        """Write what is left, the usual way from its last whole block on. Nothing is written after that."""
        whole = self._filled // _BLOCK * _BLOCK
        self._put(whole)
        if self._is_direct:
            self._switch(on=False)
        self._put(self._filled, whole)
        self._filled = 0

    def close(self) -> None:
        """Give the memory back; the descriptor is its owner's."""
        self._buffer.release()
        self._memory.close()

    def _put(self, end: int, start: int = 0) -> None:
        while start < end:
            try:
                # Less than that is written before a disk is full: what says so comes with the rest.
                start += os.write(self._descriptor, self._buffer[start:end])
            except OSError as error:
                if not self._is_direct or error.errno not in _NOT_HERE:
                    raise
                self._switch(on=False)

    def _switch(self, *, on: bool) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        self._is_direct = False
        with contextlib.suppress(OSError):  # it stays as it was: the cache is no fault
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | _DIRECT if on else flags & ~_DIRECT)
            self._is_direct = on
