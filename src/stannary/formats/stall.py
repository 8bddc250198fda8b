"""An end for C code that does not come back: a timer that kills the process, for a worker that is supervised.

CPython's unpickler hashes what it is given. Half a million integers that share one hash, a number of a megabyte
that is a key a million times, or tuples within tuples keep it busy for hours, and no signal handler of Python's
runs before it returns. So while it reads, SIGVTALRM ends the process (its default action); the supervisor gives
the file to another worker, which goes without this reading and says so.

Nothing happens in a process that did not `allow` it: only a worker may be killed.
"""

from __future__ import annotations

import signal

__all__ = ["allow", "avoid", "avoided", "start", "stop"]

_SECONDS = 0.6  # of CPU in user mode; 8 MB of opcodes take a third
_allowed: list[bool] = []
_avoided: list[bool] = []


def allow() -> None:
    """Let this process be killed. Call it in a worker."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        _allowed[:] = (True,)


def avoid(given_up: bool) -> None:  # noqa: FBT001 - what it says
    """Say whether what may stall is to be left out: for a file on which a worker died."""
    _avoided[:] = (True,) if given_up else ()


def avoided() -> bool:
    """Tell whether what may stall is to be left out."""
    return bool(_avoided)


def start() -> None:
    """Begin to count."""
    if _allowed:
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)


def stop() -> None:
    """Count no more."""
    if _allowed:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
