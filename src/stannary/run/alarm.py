"""An alarm after so much processor time of this process, for work that cannot be trusted to look at the clock.

    with hold(1.2, budget.expire) as alarm:
        ...                       # `budget.expire(last=False)` is called here, and may raise
    alarm.expired                 # whether it was

It is a timer of the kernel (`ITIMER_PROF`) that beats every `_AGAIN` seconds of processor time. Its
handler runs between two bytecodes and, since `re` looks for signals while it matches, inside a
regular expression as well; not inside other calls of C code, whose input must be bounded. What the
handler raises may be swallowed by the code it strikes, so it strikes again at every beat, and
`grace` seconds later with `last=True`.

Only processes that `allow` it have alarms: a worker's. In a program that scans, signals are its own.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from typing import Protocol, Self

from stannary.run.limits import private_memory

__all__ = ["Alarm", "Bound", "allow", "bound_memory", "free_memory", "hold"]

_AGAIN = 0.04
_MARGIN = 24 << 20  # what putting together an answer takes, beyond the bound


class _OnExpiry(Protocol):
    def __call__(self, *, last: bool) -> None: ...


class Alarm:
    """What `hold` gives: whether the time is counted (`active`), and whether it was up (`expired`)."""

    __slots__ = ("active", "again", "deadline", "expired", "grace", "more", "on_expiry", "seconds", "started")

    def __init__(self, seconds: float, on_expiry: _OnExpiry, *, grace: float, again: bool) -> None:
        self.seconds = seconds
        self.on_expiry = on_expiry
        self.grace = grace
        self.again = again
        self.more: Callable[[], float] | None = None  # asked once the time is up: seconds to go on for
        self.deadline = 0.0
        self.started = 0.0
        self.active = False
        self.expired = False

    def __enter__(self) -> Self:
        if _state:
            if not _held:
                # Started once and never stopped: two system calls a file for a timer of its own are a tenth of a small file.
                signal.signal(signal.SIGPROF, _beat)
                signal.setitimer(signal.ITIMER_PROF, _AGAIN, _AGAIN)
            self.deadline = time.process_time() + self.seconds
            _held[:] = (self,)
            self.active = True
        return self

    def __exit__(self, *_: object) -> None:
        self.active = False  # at once: a signal may be on its way
        self.more = None  # it may lead back here, and workers collect no cycles

    def ring(self) -> None:
        """Call `on_expiry` when the time is up."""
        now = time.process_time()
        if not self.active or now < self.deadline or (self.expired and not self.again):
            return
        if not self.expired:
            if self.more is not None and (extra := self.more()) > 0:
                self.deadline = now + extra
                return
            self.expired = True
            self.started = now
        self.on_expiry(last=now - self.started >= self.grace)


_state: dict[str, float] = {}
_held: list[Alarm] = []  # the last that was held


def _beat(*_: object) -> None:
    """Handle the signal."""
    for alarm in _held:
        alarm.ring()


def allow() -> None:
    """Let this process have alarms, and remember the memory it has now. Call once, in its main thread."""
    if hasattr(signal, "setitimer"):
        _state["memory"] = private_memory()


def hold(seconds: float, on_expiry: _OnExpiry, *, grace: float = 0.0, again: bool = True) -> Alarm:
    """Call `on_expiry` when the work inside has used so much processor time. Does nothing in a process without alarms."""
    return Alarm(seconds, on_expiry, grace=grace, again=again)


class Bound:
    """What `bound_memory` gives. `kept`: it stays in place until the next one, or until `free_memory`."""

    __slots__ = ("kept", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept = False

    def __enter__(self) -> Callable[[], None]:
        if _state and not _given:
            _given.append(resource.getrlimit(resource.RLIMIT_DATA))  # the jail's, entered by now; nobody else changes it
        self.more(0)
        return self.more

    def __exit__(self, *_: object) -> None:
        if not self.kept:
            free_memory()

    def more(self, extra: int = _MARGIN) -> None:
        """Allow a little more than the bound."""
        if _state:
            hard = _given[0][1]
            wanted = int(_state["memory"]) + self.size + extra
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            if _now != [soft]:
                resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
                _now[:] = (soft,)


_given: list[tuple[int, int]] = []
_now: list[int] = []  # the bound that is in place, none when it is the jail's


def free_memory() -> None:
    """Give the process all that its jail allows again, after a bound that was kept."""
    if _now:
        resource.setrlimit(resource.RLIMIT_DATA, _given[0])
        _now.clear()


def bound_memory(size: int) -> Bound:
    """Let the work inside take `size` bytes beyond what the process began with, then it gets MemoryError.

    Yields what to call to have a little more, for saying what was seen until then.
    """
    return Bound(size)
