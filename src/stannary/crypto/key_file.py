"""Files with a key in them: new ones, which only their owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from stannary.core.errors import UsageError

__all__ = ["write_key"]


def write_key(path: Path, content: bytes) -> None:
    """Write a new file, whole or not at all. Raises UsageError when there is one already, OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        msg = "is there already; a key is never overwritten"
        raise UsageError(msg, where=str(path), code="KEY005", help="name another file, or move this one away") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a key is none, and would be in the way of a whole one
        raise
