"""A supervised pool of jailed processes: one hostile job fails alone.

1. Workers are forked before anything else; each has its own pair of pipes and enters the jail.
2. Jobs are sent ahead in batches, so that thousands of tiny ones cost little.
3. A worker that dies or exceeds the time limit is blamed on the job it was on. That job gets a
   second try in a fresh worker, alone and flagged `degraded`; then it is Lost, with the reasons.
   The other jobs it held go back to the queue.
4. What a worker sends is data from an untrusted process: an answer to a job it was not given
   ends it.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

import msgspec

from stannary.core.errors import BackendError, JailUnavailable
from stannary.run import interrupt
from stannary.run.interface import Done, Failed, Job, Lost, Outcome, Setup, Ticket
from stannary.run.jail import Held, Jail, prepare
from stannary.run.process import Child, interrupts_held
from stannary.run.worker import DONE, FAILED, READY, REFUSED

__all__ = ["Pool"]

_BATCH = 64
_EARLY = 4 * _BATCH
_BATCH_BYTES = 16 << 20  # a batch ends when its jobs are to read this much
_DEATHS_AT_START = 3


class Pool:
    """An Executor over forked, jailed workers. Use it from one thread."""

    def __init__(self, setup: Setup, jail: Jail | None, *, workers: int = 1, seconds: float = 150.0) -> None:
        self._setup = setup
        if jail is not None:
            prepare(jail)
        self._jail = jail
        self._workers = max(1, workers)
        self._seconds = seconds
        self._queue: deque[tuple[Ticket, Job]] = deque()
        self._retries: deque[tuple[Ticket, Job]] = deque()
        self._reasons: dict[Ticket, str] = {}
        self._open: set[Ticket] = set()
        self._outcomes: deque[Outcome] = deque()
        self._children: dict[int, Child] = {}  # by the descriptor we read
        self._poll = select.poll()
        self._last: Ticket = 0
        self._barren = 0  # deaths in a row that no job can be blamed for
        self.held: Held | None = None
        try:
            for _ in range(self._workers):
                self._spawn()
        except BaseException:  # Ctrl-C, or no process left: nobody else knows of those that began
            self.close()
            raise

    def submit(self, job: Job) -> Ticket:
        """Queue a job and return its ticket."""
        self._last += 1
        self._open.add(self._last)
        self._queue.append((self._last, job))
        if len(self._queue) == _EARLY:  # let the workers begin while the rest is queued
            for child in list(self._children.values()):
                self._feed(child)
        return self._last

    def cancel(self, ticket: Ticket, *, stop: bool = False) -> None:
        """Forget a job; if it has started, its outcome is dropped. With `stop`, the process that is on it is ended."""
        self._open.discard(ticket)
        for child in self._children.values() if stop else ():
            if ticket in child.sent and child.current() == ticket:
                # Should it be on the next job by now, that one is tried again.
                child.kill("cancelled")

    def pids(self) -> list[int]:
        """Return the processes that there are now."""
        return [child.pid for child in self._children.values()]

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds.

        Raises JailUnavailable or BackendError when workers cannot start.
        """
        quiet_since = time.monotonic()
        while True:
            while self._outcomes:
                yield self._outcomes.popleft()
                quiet_since = time.monotonic()
            if not self._open:
                return
            while len(self._children) < min(self._workers, len(self._open)):  # some died when nothing was left to do
                self._spawn()
            for child in list(self._children.values()):
                self._feed(child)
            left = None if timeout is None else timeout - (time.monotonic() - quiet_since)
            if left is not None and left <= 0:
                return
            self._step(left)

    def started(self) -> Held | None:
        """Wait until a worker is ready and return the jail it is in."""
        while self.held is None and self._jail is not None:
            self._step(None)
        return self.held

    def close(self) -> None:
        """End all workers at once."""
        for child in self._children.values():
            child.kill("closed")
        for child in self._children.values():
            child.reap()
        self._children.clear()
        self._open.clear()
        self._queue.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # One turn of the loop

    def _step(self, timeout: float | None) -> None:
        interrupt.check()
        now = time.monotonic()
        wait = self._seconds if timeout is None else timeout
        for child in self._children.values():
            left = self._seconds - child.busy_for(now)
            if left <= 0:
                child.kill(f"ran longer than {self._seconds:g} s")
            wait = min(wait, max(left, 0.0) + 0.001)
        for descriptor, event in self._poll.poll(wait * 1000):
            found = self._children.get(descriptor)
            if found is not None:
                self._listen(found)
            elif event & select.POLLOUT:
                self._write_on(descriptor)
            else:
                self._poll.unregister(descriptor)

    def _write_on(self, descriptor: int) -> None:
        for child in self._children.values():
            if child.inbox == descriptor:
                child.write()
                if not child.wants_to_write:
                    self._poll.unregister(descriptor)

    def _listen(self, child: Child) -> None:
        frames, closed = child.read()
        for ticket, kind, data in frames:
            self._take(child, ticket, kind, data)
        if closed or child.killed_for:
            self._bury(child)
        else:
            self._feed(child)

    def _take(self, child: Child, ticket: Ticket, kind: int, data: bytes) -> None:
        if kind == READY and not child.ready:
            child.ready = True
            if data and self.held is None:
                self.held = msgspec.msgpack.decode(data, type=Held)
            return
        if kind == REFUSED and not child.ready:
            message = data.decode("utf-8", "replace")
            self.close()
            raise JailUnavailable(message) if "jail" in message else BackendError(message)
        given = child.sent.pop(ticket, None)
        if given is None or kind not in (DONE, FAILED):
            child.kill("answered what it was not asked")
            return
        self._barren = 0
        child.solo = False
        if ticket not in self._open:
            return
        self._open.discard(ticket)
        degraded = given[1]
        if kind == DONE:
            self._outcomes.append(Done(ticket, data, degraded))
        else:
            self._outcomes.append(Failed(ticket, data.decode("utf-8", "replace"), degraded))

    # Giving out work

    def _feed(self, child: Child) -> None:
        if child.solo or child.killed_for:
            return
        if self._retries and not child.used:
            child.started_work(time.monotonic())
            child.give([self._retries.popleft()], degraded=True)
        elif self._queue and len(child.sent) <= _BATCH // 2:
            weight = sum(job.weight for job, _ in child.sent.values())
            batch: list[tuple[Ticket, Job]] = []
            count = max(1, min(_BATCH - len(child.sent), len(self._queue) // (2 * self._workers)))
            while self._queue and len(batch) < count and weight < _BATCH_BYTES:
                ticket, job = self._queue.popleft()
                if ticket in self._open:
                    batch.append((ticket, job))
                    weight += job.weight
            if batch:
                if not child.sent:
                    child.started_work(time.monotonic())
                child.give(batch)
        if child.wants_to_write:
            self._poll.register(child.inbox, select.POLLOUT)

    def _spawn(self) -> None:
        with interrupts_held():  # a Ctrl-C of the terminal goes to the child as well, which must not act on it as if it were us
            child = Child(self._setup, self._jail)
            self._children[child.outbox] = child
        self._poll.register(child.outbox, select.POLLIN)
        if child.wants_to_write:
            self._poll.register(child.inbox, select.POLLOUT)

    # When one dies

    def _bury(self, child: Child) -> None:
        del self._children[child.outbox]
        for descriptor in (child.outbox, child.inbox):
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                continue  # we were not waiting to write
        reason = child.reap()
        blamed = child.current() if child.current() in child.sent else 0
        if not blamed:
            self._barren += 1
            if self._barren >= _DEATHS_AT_START:
                blamed = next(iter(child.sent), 0)
                if not blamed:
                    self.close()
                    msg = f"workers cannot start: the process {reason}"
                    raise BackendError(msg)
        for ticket, (job, degraded) in reversed(child.sent.items()):
            if ticket not in self._open:
                continue
            if ticket != blamed:
                # A second try that was not even begun keeps its turn.
                (self._retries if degraded else self._queue).appendleft((ticket, job))
            elif degraded:
                first = self._reasons.pop(ticket)
                self._open.discard(ticket)
                self._outcomes.append(Lost(ticket, first if first == reason else f"{first}; at the second try it {reason}"))
            else:
                self._reasons[ticket] = reason
                self._retries.append((ticket, job))
        if self._open or not child.ready:
            self._spawn()
