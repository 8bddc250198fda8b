"""The executor over a Ray cluster (the extra `ray`): jobs on any number of machines, GPUs too.

A process or a node that is lost costs its jobs a try. Ray's own retries are off: what is tried again, and how often, is
counted here, as for the other executors. The nodes have to have stannary of this version installed.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from stannary.core.errors import BackendError, UsageError
from stannary.run.interface import Handler
from stannary.run.jobs.driven import DrivenJobs
from stannary.run.jobs.handling import encode_job, encode_setup, open_handler
from stannary.run.jobs.model import Job, JobLimits, JobSetup

__all__ = ["RayJobs"]

_HANDLERS: dict[bytes, Handler] = {}  # in a worker: what was opened there


class RayJobs(DrivenJobs[Any]):
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
        super().__init__(limits)
        self._ray = _ray()
        try:
            self._ray.init(address=address or "auto", log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            msg = f"no Ray cluster answers: {' '.join(str(error).split())[:300]}"
            raise BackendError(msg, where=address or "ray", code="JOB003", help="ray start --head") from error
        # The handler is opened where the job runs, from this text: nothing of this process is pickled but names and bytes.
        self._setup = self._ray.put(encode_setup(JobSetup(setup.factory, setup.data)))
        self._work = self._ray.remote(max_retries=0, **(resources or {"num_cpus": 1}))(_work)

    def close(self) -> None:
        """End what runs, and leave the cluster; it goes on."""
        for key in list(self._by_key):
            self.cancel(key)
        self._attempts.clear()
        self._ray.shutdown()

    def _start(self, job: Job) -> Any:  # noqa: ANN401 - Ray's ObjectRef, as are the next
        return self._work.remote(self._setup, encode_job(job), self._limits.seconds)

    def _stop(self, handle: Any) -> None:  # noqa: ANN401
        self._ray.cancel(handle, force=True)

    def _take(self, seconds: float | None) -> bool:
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if ready and len(self._running) > 1:
            ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        errors = self._ray.exceptions
        for reference in ready:
            key = self._ended(reference)
            if key is None:
                continue
            try:
                self._answered(key, self._ray.get(reference))
            except errors.RayTaskError as error:  # the handler could not be opened
                self._attempts.failed(key, " ".join(str(error).split())[-500:], passing=False)
            except errors.RayError as error:
                self._attempts.crashed(key, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return bool(ready)


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
