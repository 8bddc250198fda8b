"""An engine in a process of its own: bounded in time, memory and what it answers.

A policy in Rego is a program. `opa.runtime()` in one shows the environment, where a server has its passwords: there is none of it
for a module that somebody else wrote.

1. The child (`child.py`) sets its limits, and `regopy` enters the jail, before it reads a byte of the module.
2. What it answers goes to files without a name, which cannot grow beyond their limit: nothing here reads more than that.
3. As many engines work at once as there are processors; others wait, and are told when that takes longer than they have.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from stannary.core.errors import BackendError, StannaryError, UsageError
from stannary.evidence.engines.bounds import MOST_ANSWERED, Bounds

__all__ = ["Confined", "Ran"]

_ROOM = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
_LEAST = 0.05  # seconds: below that there is no use in starting a process
_SHORT = "make it look at less: filter by kind before anything is joined, and leave out what counts up"


class Ran(NamedTuple):
    """How a child ended: its exit status as `subprocess` has it, and what it wrote."""

    status: int
    answer: bytes
    said: bytes


class Confined:
    """Children of one decision, which share its time."""

    def __init__(self, engine: str, bounds: Bounds) -> None:
        self._engine = engine
        self._bounds = bounds
        self._left = bounds.seconds

    def run(self, arguments: Sequence[str], given: bytes = b"", *, folder: str | None = None) -> Ran:
        """Run `child.py` with arguments, `given` on its stdin, in a folder; return how it ended.

        Raises:
            UsageError: the policy took longer, or more memory, than it may, or answered too much.
            BackendError: it could not be started, or the machine was busy with other engines for as long.
        """
        began = time.monotonic()
        if self._left < _LEAST:
            raise self.over()
        if not _ROOM.acquire(timeout=self._left):
            msg = f"this machine was busy with other policies in Rego for {self._left:g} s"
            raise BackendError(msg, where=self._engine, code="POL013", help="ask again")
        try:
            return self._run(arguments, given, folder)
        finally:
            _ROOM.release()
            self._left -= time.monotonic() - began

    def _run(self, arguments: Sequence[str], given: bytes, folder: str | None) -> Ran:
        # The search path as it is here, so that an installation anywhere is found; never the current folder.
        paths = [path for path in sys.path if Path(path).is_absolute()]
        code = f"import sys; sys.path[:] = {paths!r}; from stannary.evidence.engines.child import main; main()"
        limits = (str(self._bounds.memory), str(math.ceil(self._left)), str(MOST_ANSWERED))
        command = [sys.executable, "-I", "-B", "-c", code, *limits, *arguments]
        environment = dict(os.environ) if self._bounds.reach else {"LC_ALL": "C.UTF-8", **({"HOME": folder} if folder else {})}
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(  # noqa: S603 - this interpreter, a program of ours
                    command, input=given, stdout=answer, stderr=said, timeout=self._left, check=False, cwd=folder, env=environment
                )
            except subprocess.TimeoutExpired as error:
                raise self.over() from error
            except OSError as error:
                msg = f"could not be run: {error}"
                raise BackendError(msg, where=self._engine, code="POL006") from error
            self._refuse(done.returncode)
            return Ran(done.returncode, _read(answer), _read(said))

    def over(self, limit: str = "time") -> StannaryError:
        """Return the error for a policy that went over a limit: `time`, `memory`, or what it `answer`s."""
        words = {
            "time": f"took longer than {self._bounds.seconds:g} s, which is what a decision may",
            "memory": f"took more than {self._bounds.memory >> 20:,} MiB of memory",
            "answer": f"answered more than {MOST_ANSWERED >> 20} MiB",
        }
        msg = f"the policy {words.get(limit, limit[:80])}"
        return UsageError(msg, where=self._engine, code="POL012", help=_SHORT)

    def _refuse(self, status: int) -> None:
        """Raise for an end that a limit brought about."""
        if status == -signal.SIGXCPU:
            raise self.over()
        if status == -signal.SIGXFSZ:
            raise self.over(limit="answer")
        if status in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV):
            msg = (
                f"the engine was ended by {signal.Signals(-status).name} over the policy, as it is when that takes more than"
                f" {self._bounds.memory >> 20:,} MiB of memory, or nests too deeply"
            )
            raise UsageError(msg, where=self._engine, code="POL012", help=_SHORT)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MOST_ANSWERED + 1)
