"""A server of several processes: one that listens, forks the others and keeps their number, and those that answer.

1. The first process listens, opens nothing else and has no threads: what is forked from it has nothing of an open file, a lock or
   a connection that somebody else goes on to use. Each process opens the workspace for itself, as `stannary` beside a server does.
2. All accept connections on the one socket. When a process is killed, what it had under way is gone as when a server is killed;
   connections that nobody has accepted yet go to the others.
3. A process that has ended is started again: at once, and after a pause when it did not live long. One that does not come round
   for a minute is killed.
4. When the first process ends, however it ends, the others notice, and end as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from stannary.core.errors import UsageError
from stannary.server.sharing import Board
from stannary.server.workers import JobWorker

__all__ = ["Seat", "Supervisor", "listen"]

_LOG = logging.getLogger("stannary.server")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_STEADY = 10.0  # seconds after which a start counts as good
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_HUNG = 60.0  # seconds in which a process does not say that it goes on
_MORE = 5.0  # seconds for closing, after those for what is under way
_BACKLOG = 2048


class Seat(NamedTuple):
    """What a process that answers has from the one that forked it.

    `alive` is at its end when that one is gone; to `ready` it writes when it takes connections.
    """

    number: int
    sockets: tuple[socket.socket, ...]
    alive: int
    ready: int


class _Child:
    """A process that answers: `pid` 0 when there is none."""

    def __init__(self) -> None:
        self.pid = 0
        self.ready = -1
        self.is_up = False
        self.began = self.due = 0.0
        self.pause = _FIRST_PAUSE
        self.beat = self.still = 0.0


def listen(host: str, port: int) -> tuple[socket.socket, ...]:
    """Return sockets that listen at every address of a host. Raises UsageError."""
    found: list[socket.socket] = []
    try:
        for family, *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            made = socket.socket(family, socket.SOCK_STREAM)
            found.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(place)
            made.listen(_BACKLOG)
            made.settimeout(0.0)  # another process may have taken the connection that one was woken for
    except OSError as error:
        for made in found:
            made.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise UsageError(msg, code="SRV001", help="is something else there? --port 0 takes any") from error
    return tuple(found)


class Supervisor:
    """The process that listens.

    Args:
        board: what the others share; it says how many there are.
        sockets: where they accept connections.
        jobs: the worker of background jobs, of which there is one.
        grace: seconds that the others have for what is under way at the end.
    """

    def __init__(self, board: Board, sockets: tuple[socket.socket, ...], jobs: JobWorker, grace: float) -> None:
        self._board, self._sockets, self._jobs, self._grace = board, sockets, jobs, grace
        self._children = [_Child() for _ in range(board.processes)]
        self._stopping = False
        self._looked = time.monotonic()
        self._wake: tuple[int, int] = (-1, -1)
        self._alive: tuple[int, int] = (-1, -1)

    def run(self, where: str) -> Seat | int:
        """Keep the others running until SIGTERM or SIGINT. Returns the exit code; in a process that answers, its seat.

        `where` is what is told when the first of them takes connections. When that one ends before, so does this, with its code.
        """
        with self._signals():
            seat = self._fork(0)
            if seat is not None:
                return seat
            code = self._first()
            if code is not None:
                return code
            _LOG.info("running on %s in %d processes", where, self._board.processes)
            while not self._stopping:
                seat = self._revive()
                if seat is not None:
                    return seat
                self._jobs.tend()
                self._wait(1.0)
                self._look()
            self._end()
        return 0

    # One process

    def _fork(self, index: int) -> Seat | None:
        """Start a process; returns its seat within it, and None here."""
        child = self._children[index]
        ours, ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that came to the new process before it has its own handlers would be lost in a copy of ours.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                self._leave(ours)
                return Seat(index, self._sockets, self._alive[0], ready)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(ready)
        child.pid, child.ready, child.is_up = pid, ours, False
        child.began, child.still = time.monotonic(), 0.0
        self._board.own.put("workers", float(sum(1 for other in self._children if other.pid)))
        return None

    def _leave(self, ours: int) -> None:
        """Be another process than the one that forked: let go of what is only its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: SIGTERM follows
        self._jobs.let_go()
        for descriptor in (*self._wake, self._alive[1], ours, *(child.ready for child in self._children if child.ready >= 0)):
            os.close(descriptor)

    def _first(self) -> int | None:
        """Wait for the first process to take connections. Returns the exit code when it, or this one, is to end instead."""
        child = self._children[0]
        while child.pid and not self._stopping:
            self._wait(1.0)
            if child.is_up:
                return None
            ended = self._ended(child)
            if ended is not None and not self._stopping:
                return ended if ended > 0 else 1
        self._end()
        return 0

    def _ended(self, child: _Child) -> int | None:
        """Return the exit code of a process that has ended."""
        if not child.pid:
            return None
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return None
        child.pid = 0
        self._close(child)
        return os.waitstatus_to_exitcode(status)

    def _close(self, child: _Child) -> None:
        if child.ready >= 0:
            os.close(child.ready)
            child.ready = -1

    # All of them

    def _revive(self) -> Seat | None:
        """Start every process that is not there, when its pause is over. Returns the seat, in one that was started."""
        now = time.monotonic()
        for index, child in enumerate(self._children):
            ended = self._ended(child)
            if ended is not None:
                _LOG.error("process %d ended with %d, and is started again", index, ended)
                self._board.forget(index)
                self._board.own.add("restarts", 1.0)
                self._board.own.put("workers", float(sum(1 for other in self._children if other.pid)))
                steady = now - child.began > _STEADY
                child.pause = _FIRST_PAUSE if steady else min(2 * child.pause, _LONGEST_PAUSE)
                child.due = now if steady else now + child.pause
            if not child.pid and now >= child.due:
                try:
                    seat = self._fork(index)
                except OSError as error:
                    _LOG.error("process %d cannot be started: %s", index, error.strerror)
                    child.due = now + _LONGEST_PAUSE
                    continue
                if seat is not None:
                    return seat
        return None

    def _wait(self, seconds: float) -> None:
        """Wait for a signal, or for a process to be ready."""
        waiting = [child.ready for child in self._children if child.ready >= 0]
        found = select.select([self._wake[0], *waiting], [], [], seconds)[0]
        for child in self._children:
            if child.ready in found:
                child.is_up = os.read(child.ready, 1) != b""  # or it has ended before
                self._close(child)
        if self._wake[0] in found:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], 4096)

    def _look(self) -> None:
        """Kill a process that has not said for long that it goes on: its event loop stands still."""
        now = time.monotonic()
        # Not more than we waited: when all of us stood still, as after Ctrl-Z, it is nobody's fault.
        step, self._looked = min(now - self._looked, 2.0), now
        for index, child in enumerate(self._children):
            beat = self._board.beat(index)
            still = child.pid and child.is_up and beat == child.beat
            child.beat, child.still = beat, child.still + step if still else 0.0
            if child.still > _HUNG:
                _LOG.error("process %d stands still, and is killed", index)
                os.kill(child.pid, signal.SIGKILL)
                child.still = 0.0

    def _end(self) -> None:
        """Have all processes end, and wait for them."""
        for made in self._sockets:
            made.close()
        self._jobs.stop()
        until = time.monotonic() + self._grace + _MORE
        self._tell(signal.SIGTERM)
        while any(child.pid for child in self._children):
            for child in self._children:
                self._ended(child)
            if time.monotonic() > until:
                self._tell(signal.SIGKILL)
            self._wait(0.1)
        self._jobs.end(max(0.0, until - time.monotonic()))

    def _tell(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid:
                os.kill(child.pid, number)  # not waited for yet, so that nobody else has its number

    # Signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Be woken by signals as long as the block lasts."""
        self._wake, self._alive = os.pipe(), os.pipe()
        for descriptor in self._wake:
            os.set_blocking(descriptor, False)
        before = {number: signal.signal(number, self._noted) for number in _SIGNALS}
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        here = os.getpid()
        try:
            yield
        finally:
            if os.getpid() == here:  # a process that was forked has let go of them already
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)
                for descriptor in (*self._wake, *self._alive):
                    os.close(descriptor)

    def _noted(self, number: int, frame: Any) -> None:  # noqa: ANN401 - signal's
        del frame
        if number != signal.SIGCHLD:
            self._stopping = True
