"""Folders for what lasts no longer than a run: gone when it ends, whenever Ctrl-C is pressed.

    folder = scratch.make()       # noted before it is made
    try:
        ...
    finally:
        scratch.remove(folder)    # where even this is interrupted, the end of the process removes it

A name that is returned by the call that makes the folder can be lost between the two, and a clean-up can be
broken off: so the name is kept here first, and let go of last.
"""

from __future__ import annotations

import atexit
import os
import signal
import time

from stannary.core.errors import UsageError
from stannary.run import interrupt

__all__ = ["make", "remove"]

_TRIES, _PAUSE = 20, 0.01
_made: dict[str, int] = {}  # by the process that did: one that was forked leaves them alone


def make() -> str:
    """Make a folder that only this user can use. Raises UsageError."""
    base = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - a private folder is made in it
    path = os.path.join(base, f"stannary-{os.urandom(8).hex()}")
    _made[path] = os.getpid()
    try:
        os.mkdir(path, 0o700)
    except OSError as exc:
        del _made[path]  # whoever has this name did not get it from us
        msg = f"no scratch folder can be made: {exc.strerror}"
        raise UsageError(msg, where=base, code="SCAN003", help="set TMPDIR to a folder that can be written") from exc
    return path


def remove(folder: str) -> None:
    """Remove a folder that was made here, with all that is in it."""
    with interrupt.hold():
        _remove(folder)


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)  # readers unlink what they open: as a rule it is empty
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
    if not os.path.lexists(folder):
        _made.pop(folder, None)


@atexit.register
def _sweep() -> None:
    """Remove what is left. A worker that is about to die with us may still put a file there: once more, then."""
    own = os.getpid()
    for _ in range(_TRIES):
        left = [path for path, process in _made.items() if process == own]
        if not left:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is what brought us here: another one ends no sooner
        for folder in left:
            _remove(folder)
        time.sleep(_PAUSE)
