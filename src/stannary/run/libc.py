"""The C library of this process, loaded once: what the jail's modules call through ctypes."""

from __future__ import annotations

import ctypes
import os

__all__ = ["check", "libc"]

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Return `result`. Raises OSError from errno when it is negative; `what` opens the message."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
