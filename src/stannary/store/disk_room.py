"""What to say of a file that could not be written: which it is, and whether the disk has room.

SQLite calls it an input/output error when it is its shared memory file that does not fit; a write that does not fit knows its
descriptor and no name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["advice", "naming", "no_room"]

_LEAST = 64 << 10  # twice what SQLite takes to begin with


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of the system that names no file name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def no_room(error: OSError) -> bool:
    """Tell whether the disk was full, or the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def advice(path: Path, otherwise: str) -> str:
    """Return what helps when a file could not be written: room where its disk is full, and otherwise something else."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return otherwise
    if found.f_bavail * found.f_frsize >= _LEAST and (found.f_favail or not found.f_files):
        return otherwise
    return "the disk is full; make room and do it again"
