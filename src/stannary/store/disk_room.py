"""Whether a disk has room: SQLite calls it an input/output error when it is its shared memory file that does not fit."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["advice"]

_LEAST = 64 << 10  # twice what SQLite takes to begin with


def advice(path: Path, otherwise: str) -> str:
    """Return what helps when a file could not be written: room where its disk is full, and otherwise something else."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return otherwise
    if found.f_bavail * found.f_frsize >= _LEAST and (found.f_favail or not found.f_files):
        return otherwise
    return "the disk is full; make room and do it again"
