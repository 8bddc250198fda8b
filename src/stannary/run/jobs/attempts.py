"""The tries of jobs, as a state machine without I/O; executors say what happened, and ask what to start next.

1. A job is ready, waiting for its next try, running, or has an outcome; it counts as in flight until the outcome is taken.
2. It fails for good when the reason does not pass, or after `tries`; between tries it waits, twice as long each time.
3. A run that took its process with it is a crash; after `crashes` of them the job is lost. One that has crashed is
   given out behind the others.
4. A job that was cancelled has no outcome, whatever its run still says.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from stannary.core.errors import BackendError
from stannary.run.jobs.model import Done, Failed, Job, JobLimits, Lost, Outcome

__all__ = ["Attempts"]

_LONGEST_PAUSE = 60.0


class _State:
    __slots__ = ("crashes", "job", "tries")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tries = 0
        self.crashes = 0


class Attempts:
    """What is in flight. `clock` gives seconds that never go back."""

    def __init__(self, limits: JobLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._ready: deque[str] = deque()
        self._waiting: list[tuple[float, str]] = []
        self._outcomes: deque[Outcome] = deque()

    @property
    def open(self) -> int:
        """Return how many jobs have no outcome yet."""
        return len(self._states)

    def room(self) -> int:
        """Return how many jobs may be added."""
        return self._limits.in_flight - len(self._states) - len(self._outcomes)

    def add(self, job: Job) -> str:
        """Take a job. Raises BackendError when there is no room."""
        key = job.key
        if key in self._states:
            return key
        if self.room() <= 0:
            self._refuse()
        self._states[key] = _State(job)
        self._ready.append(key)
        return key

    def add_all(self, jobs: Sequence[Job]) -> list[str]:
        """Take several jobs, all or none. Raises BackendError when there is no room for all of them."""
        if self.room() < len(jobs):
            self._refuse()
        return [self.add(job) for job in jobs]

    def start(self) -> Job | None:
        """Return a job to start now."""
        while self._waiting and self._waiting[0][0] <= self._clock():
            self._ready.append(heapq.heappop(self._waiting)[1])
        while self._ready:
            state = self._states.get(self._ready.popleft())
            if state is not None:
                state.tries += 1
                return state.job
        return None

    def pause(self) -> float | None:
        """Return for how many seconds nothing becomes ready; None when nothing waits."""
        return max(0.0, self._waiting[0][0] - self._clock()) if self._waiting else None

    def take(self) -> Outcome | None:
        """Return an outcome that nobody has taken."""
        return self._outcomes.popleft() if self._outcomes else None

    def done(self, key: str, value: bytes) -> None:
        """Note what a job came to."""
        if self._states.pop(key, None) is not None:
            self._outcomes.append(Done(key, value))

    def failed(self, key: str, error: str, *, passing: bool) -> None:
        """Note that a run failed; `passing`: for a reason that may pass."""
        state = self._states.get(key)
        if state is None:
            return
        if passing and state.tries < self._limits.tries:
            self._again(key, state.tries)
            return
        del self._states[key]
        self._outcomes.append(Failed(key, error, passing))

    def crashed(self, key: str, reason: str, count: int = 1) -> None:
        """Note that a run took its process with it, `count` times."""
        state = self._states.get(key)
        if state is None:
            return
        state.crashes += count
        if state.crashes < self._limits.crashes:
            state.tries -= 1  # a crash is counted as one, and not as a failure too
            self._again(key, state.crashes)
            return
        del self._states[key]
        self._outcomes.append(Lost(key, reason, state.crashes))

    def cancel(self, key: str) -> bool:
        """Forget a job, and tell whether it was there."""
        return self._states.pop(key, None) is not None

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._outcomes.clear()

    def _refuse(self) -> NoReturn:
        msg = f"{self._limits.in_flight} jobs may be in flight, and no more are taken"
        raise BackendError(msg, code="JOB001", help="take results, then submit again")

    def _again(self, key: str, times: int) -> None:
        wait = min(self._limits.backoff * 2 ** max(0, times - 1), _LONGEST_PAUSE)
        heapq.heappush(self._waiting, (self._clock() + wait, key))
