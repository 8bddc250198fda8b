"""An alarm after so much processor time of this process, for work that cannot be trusted to look at the clock.

    with hold(1.2, budget.expire) as alarm:
        ...                       # `budget.expire(last=False)` is called here, and may raise
    alarm.expired                 # whether it was

It is a timer of the kernel (`ITIMER_PROF`), whose handler runs between two bytecodes and, since
`re` looks for signals while it matches, inside a regular expression as well; not inside other
calls of C code, whose input must be bounded. What the handler raises may be swallowed by the code
it strikes, so it strikes again every `_AGAIN` seconds, and `grace` seconds later with `last=True`.

Only processes that `allow` it have alarms: a worker's. In a program that scans, signals are its own.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from stannary.run.limits import private_memory

__all__ = ["Alarm", "allow", "bound_memory", "hold"]

_AGAIN = 0.04
_MARGIN = 24 << 20  # what putting together an answer takes, beyond the bound


class _OnExpiry(Protocol):
    def __call__(self, *, last: bool) -> None: ...


class Alarm:
    """Whether the time was up."""

    __slots__ = ("active", "expired", "grace", "on_expiry", "started")

    def __init__(self, on_expiry: _OnExpiry | None = None, grace: float = 0.0) -> None:
        self.on_expiry = on_expiry
        self.grace = grace
        self.started = 0.0
        self.active = False
        self.expired = False

    def ring(self, *_: object) -> None:
        """Handle the signal."""
        if not self.active or self.on_expiry is None:
            return
        now = time.process_time()
        if not self.expired:
            self.expired = True
            self.started = now
        self.on_expiry(last=now - self.started >= self.grace)


_state: dict[str, float] = {}


def allow() -> None:
    """Let this process have alarms, and remember the memory it has now. Call once, in its main thread."""
    if hasattr(signal, "setitimer"):
        _state["memory"] = private_memory()


@contextlib.contextmanager
def hold(seconds: float, on_expiry: _OnExpiry, *, grace: float = 0.0, again: bool = True) -> Iterator[Alarm]:
    """Call `on_expiry` when the work inside has used so much processor time. Does nothing in a process without alarms."""
    alarm = Alarm(on_expiry, grace)
    if not _state:
        yield alarm
        return
    before = signal.signal(signal.SIGPROF, alarm.ring)
    alarm.active = True
    signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN if again else 0)
    try:
        yield alarm
    finally:
        alarm.active = False  # first: a signal may be on its way
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def bound_memory(size: int) -> Iterator[Callable[[], None]]:
    """Let the work inside take `size` bytes beyond what the process began with, then it gets MemoryError.

    Yields what to call to have a little more, for saying what was seen until then.
    """
    if not _state:
        yield lambda: None
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)

    def more(extra: int = _MARGIN) -> None:
        wanted = int(_state["memory"]) + size + extra
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))

    more(0)
    try:
        yield more
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
