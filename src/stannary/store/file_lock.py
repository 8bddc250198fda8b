"""One holder at a time, over threads and processes: an advisory lock on a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from stannary.core.errors import BackendError

__all__ = ["held"]


@contextlib.contextmanager
def held(path: str | Path) -> Iterator[None]:
    """Wait for the lock on a file (made when it is not there) and hold it; the system lets go of it when the process ends.

    Raises BackendError when the file cannot be made: on a full disk, or where this user may not write.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        msg = f"the lock file cannot be opened for writing: {error.strerror or error}"
        raise BackendError(msg, where=str(path), code="DBS001", help="it has to be writable for that") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
