"""The executor over a Ray cluster (the extra `ray`): jobs on any number of machines, GPUs too.

A process or a node that is lost costs its jobs a try. Ray's own retries are off: what is tried again, and how often, is
counted here, as for the other executors. The nodes have to have stannary of this version installed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from stannary.core.errors import BackendError, UsageError
from stannary.run.interface import Handler
from stannary.run.jobs.attempts import Attempts
from stannary.run.jobs.handling import decode_answer, encode_job, encode_setup, open_handler
from stannary.run.jobs.model import JobLimits, JobSetup, Outcome

__all__ = ["RayJobs"]

_HANDLERS: dict[bytes, Handler] = {}  # in a worker: what was opened there


class RayJobs:
    """A JobExecutor over a cluster.

    Args:
        setup: how a worker becomes ready; its progress is not told, as nodes share no folder.
        limits: what is allowed.
        address: `HOST:PORT` of the cluster when this machine is one of it, `ray://HOST:PORT` for a cluster that it is not of,
            nothing for the one that RAY_ADDRESS names or that runs here.
        resources: what one job takes, such as `{"num_gpus": 1}`; a processor by default.

    Raises UsageError without the extra, BackendError when there is no cluster.
    """

    def __init__(
        self, setup: JobSetup, limits: JobLimits | None = None, *, address: str = "", resources: dict[str, float] | None = None
    ) -> None:
        self._limits = limits or JobLimits()
        self._attempts = Attempts(self._limits)
        self._ray = _ray()
        try:
            self._ray.init(address=address or "auto", log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            msg = f"no Ray cluster answers: {' '.join(str(error).split())[:300]}"
            raise BackendError(msg, where=address or "ray", code="JOB003", help="ray start --head") from error
        # The handler is opened where the job runs, from this text: nothing of this process is pickled but names and bytes.
        self._setup = self._ray.put(encode_setup(JobSetup(setup.factory, setup.data)))
        self._work = self._ray.remote(max_retries=0, **(resources or {"num_cpus": 1}))(_work)
        self._running: dict[Any, str] = {}
        self._by_key: dict[str, Any] = {}
        self.room = self._attempts.room
        self.submit = self._attempts.add
        self.submit_all = self._attempts.add_all

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        quiet_since = time.monotonic()
        while True:
            self._start()
            while (outcome := self._attempts.take()) is not None:
                yield outcome
                quiet_since = time.monotonic()
            if not self._attempts.open:
                return
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - quiet_since))
            took = self._wait(left)
            if left == 0.0 and not took:
                return

    def cancel(self, key: str) -> None:
        """End a job, by force."""
        if self._attempts.cancel(key):
            reference = self._by_key.pop(key, None)
            if reference is not None:
                del self._running[reference]
                self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """End what runs, and leave the cluster; it goes on."""
        for key in list(self._by_key):
            self.cancel(key)
        self._attempts.clear()
        self._ray.shutdown()

    def _start(self) -> None:
        while (job := self._attempts.start()) is not None:
            reference = self._work.remote(self._setup, encode_job(job), self._limits.seconds)
            self._running[reference] = job.key
            self._by_key[job.key] = reference

    def _wait(self, left: float | None) -> bool:
        pause = self._attempts.pause()
        wait = left if pause is None else pause if left is None else min(left, pause)
        if not self._running:
            time.sleep(wait or 0.0)
            return False
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=wait)
        if ready and len(self._running) > 1:
            ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for reference in ready:
            self._take(reference)
        return bool(ready)

    def _take(self, reference: Any) -> None:  # noqa: ANN401 - Ray's ObjectRef
        key = self._running.pop(reference)
        del self._by_key[key]
        errors = self._ray.exceptions
        try:
            answer = decode_answer(self._ray.get(reference))
        except errors.RayTaskError as error:  # the handler could not be opened
            self._attempts.failed(key, " ".join(str(error).split())[-500:], passing=False)
        except errors.RayError as error:
            self._attempts.crashed(key, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        else:
            if answer.value is not None:
                self._attempts.done(key, answer.value)
            else:
                self._attempts.failed(key, answer.error, passing=answer.passing)


def _work(setup: bytes, payload: bytes, seconds: float) -> bytes:
    """Run a job, in a worker of the cluster. The system ends the process when it takes too long, whatever it is doing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if setup not in _HANDLERS:
            _HANDLERS[setup] = open_handler(setup)
        return _HANDLERS[setup](payload, False)  # noqa: FBT003 - positional in the Handler type
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _ray() -> Any:  # noqa: ANN401 - the module
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        msg = "the extra ray is not installed"
        raise UsageError(msg, where="--executor", code="DEP001", help="pip install 'stannary[ray]'") from error
    return ray
