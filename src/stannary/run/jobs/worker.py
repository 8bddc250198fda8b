"""A worker: takes jobs from the table, gives them to an executor, writes down what they came to, and keeps it as evidence.

1. It renews its leases from a thread of its own, so that a long job does not look like a dead worker.
2. What it holds when it stops in good order goes back to the queue. What it holds when it is killed goes back when
   the lease runs out.
3. A job that is no longer its own (cancelled, or taken up by another after a lapse) is ended, and what it comes to is dropped.
4. Values are written down, then kept: see `stannary.store.job_table`.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice

import msgspec

from stannary.core.errors import StannaryError
from stannary.run.jobs.handling import read_progress
from stannary.run.jobs.interface import JobExecutor
from stannary.run.jobs.model import Done, Failed, Job, Lost, Outcome
from stannary.store.job_table import Claimed, JobTable

__all__ = ["Keeper", "Worker", "WorkerOptions", "keep_nothing"]

_GATHER = 0.2  # seconds: what comes within them is written down together

# Values in, the ids of the evidence of each out; for a value that was kept before, the same ids, and nothing else happens.
Keeper = Callable[[Sequence[bytes]], Sequence[Sequence[str]]]


def keep_nothing(values: Sequence[bytes]) -> Sequence[Sequence[str]]:
    """Keep no evidence: the value in the table is all there is."""
    return [()] * len(values)


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works.

    Attributes:
        batch: jobs that are claimed at once, at most.
        lease: seconds after which a worker that says nothing is taken for dead.
        poll: seconds between looks at an empty queue.
        tries: runs of a job that fails for a reason that may pass.
        drain: end when nothing is queued any more, and nothing runs anywhere.
        progress: the folder where handlers say how far they are.
        kept_for: how long jobs that ended are remembered.
    """

    batch: int = 32
    lease: float = 60.0
    poll: float = 1.0
    tries: int = 3
    drain: bool = False
    progress: str = ""
    kept_for: timedelta = timedelta(days=30)


class Worker:
    """A worker over a table and an executor; `on_event` is told what happened: `done`, `failed`, `poisoned`."""

    def __init__(
        self, table: JobTable, executor: JobExecutor, keeper: Keeper = keep_nothing, options: WorkerOptions | None = None,
        on_event: Callable[[str, str], None] | None = None,
    ) -> None:  # fmt: skip
        self.name = f"{socket.gethostname()[:32]}-{secrets.token_hex(8)}"
        self._table = table
        self._executor = executor
        self._keeper = keeper
        self._options = options or WorkerOptions()
        self._tell = on_event or (lambda _what, _key: None)
        self._held: dict[str, Claimed] = {}
        self._lock = threading.Lock()  # over `_held`: the thread that renews leases reads it
        self._gone: set[str] = set()
        self._ended = threading.Event()

    def run(self, stop: threading.Event) -> int:
        """Work until `stop` is set (or, draining, nothing is left), and return how many jobs were brought to an end."""
        renewing = threading.Thread(target=self._renew, name="stannary-leases", daemon=True)
        renewing.start()
        count = 0
        try:
            self._table.prune(self._options.kept_for)
            reaped = 0.0
            while not stop.is_set():
                if time.monotonic() - reaped > self._options.lease / 4:
                    self._table.reap()
                    reaped = time.monotonic()
                claimed = self._claim()
                count += self._work()
                if not claimed and not self._held:
                    if self._options.drain and self._is_empty():
                        break
                    stop.wait(self._options.poll)
        finally:
            self._ended.set()
            renewing.join()
            for key in list(self._held):
                self._executor.cancel(key)
            self._table.release(self.name)
        return count

    def _claim(self) -> int:
        most = min(self._executor.room(), self._options.batch - len(self._held))
        claimed = self._table.claim(self.name, most, self._options.lease) if most > 0 else []
        with self._lock:
            self._held.update({item.key: item for item in claimed})
        for item in claimed:
            if item.value is None:
                self._executor.submit(Job(item.kind, item.inputs, item.params))
        if any(item.value is not None for item in claimed):
            self._settle()  # a worker before us died between writing the value down and keeping it
        return len(claimed)

    def _work(self) -> int:
        """Take what has come, waiting a moment for the first of it."""
        self._drop_gone()
        if not self._held:
            return 0
        first = next(self._executor.results(min(self._options.poll, 0.5)), None)
        if first is None:
            return 0
        outcomes = [first]
        patience = time.monotonic() + _GATHER
        for outcome in islice(self._executor.results(_GATHER / 10), self._options.batch):
            outcomes.append(outcome)
            if time.monotonic() > patience:
                break
        done = [item for item in outcomes if isinstance(item, Done)]
        if done:
            self._table.deliver(self.name, ((item.key, item.value) for item in done))
            self._settle()
        for item in outcomes:
            self._note(item)
        return len(outcomes)

    def _note(self, outcome: Outcome) -> None:
        with self._lock:
            claimed = self._held.pop(outcome.key, None)
        if claimed is None:
            return
        if isinstance(outcome, Failed):
            again = outcome.passing and claimed.tries < self._options.tries
            self._table.failed(
                self.name, outcome.key, outcome.error, retry_after=self._table.pause(claimed.tries) if again else None
            )
            self._tell("retried" if again else "failed", outcome.key)
        elif isinstance(outcome, Lost):
            self._table.crashed(self.name, outcome.key, outcome.reason, outcome.crashes)
            self._tell("crashed", outcome.key)
        else:
            self._tell("done", outcome.key)

    def _settle(self) -> None:
        """Keep all that can be kept. When a batch cannot, its jobs are kept one by one, and those at fault tried again later."""
        try:
            self._table.settle(self.name, self._keeper)
        except (StannaryError, ExceptionGroup):
            for key, claimed in list(self._held.items()):
                self._settle_one(key, claimed)
        with self._lock:
            self._held = {key: item for key, item in self._held.items() if item.value is None}

    def _settle_one(self, key: str, claimed: Claimed) -> None:
        try:
            self._table.settle(self.name, self._keeper, key=key)
        except (StannaryError, ExceptionGroup) as error:
            again = claimed.tries < self._options.tries
            text = f"what it came to could not be kept: {error}"
            self._table.failed(self.name, key, text, retry_after=self._table.pause(claimed.tries) if again else None)

    def _is_empty(self) -> bool:
        counts = self._table.counts()
        return not counts["queued"] and not counts["running"]

    # Leases

    def _renew(self) -> None:
        while not self._ended.wait(self._options.lease / 3):
            with self._lock:
                held = list(self._held)
            progress = {}
            if self._options.progress:
                found = {key: read_progress(self._options.progress, key) for key in held}
                progress = {key: row for key, row in found.items() if row}
            try:
                kept = self._table.beat(self.name, self._options.lease, progress)
            except StannaryError:
                continue  # tried again before the lease is over; if that fails too, others take the jobs up
            with self._lock:
                self._gone |= {key for key in held if key not in kept and key in self._held}

    def _drop_gone(self) -> None:
        with self._lock:
            gone = self._gone & set(self._held)
            self._gone.clear()
            for key in gone:
                del self._held[key]
        for key in gone:
            self._executor.cancel(key)
