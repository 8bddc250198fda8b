"""What an executor of background jobs has to do, as checks that any of them is put through: ours, and a plug-in's.

    @pytest.mark.parametrize("name", CHECKS)
    def test_it_conforms(name, place):
        CHECKS[name](place)

A `Place` opens executors and says what can be expected of them. A check raises AssertionError. The jobs are real: they
compute, raise, die by signal, hang. They leave a line in a file for each run, which is how runs are counted.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from stannary.core.errors import BackendError, InputError
from stannary.core.evidence import Resource
from stannary.evidence.chain import Chain
from stannary.evidence.product import Product, Stated, keeper_of
from stannary.run.jobs.handling import JobHandler
from stannary.run.jobs.interface import JobExecutor, run_all
from stannary.run.jobs.model import Done, Failed, Job, JobLimits, JobSetup, Lost, Outcome
from stannary.run.jobs.worker import Worker, WorkerOptions
from stannary.run.progress import OnProgress
from stannary.store.job_table import JobTable, NewJob
from stannary.testing.statements import EXAMPLES

__all__ = ["CHECKS", "FACTORY", "Place", "open_handler", "runs_of", "setup_at", "work_off"]

FACTORY = "stannary.testing.executor_conformance:open_handler"
_MOST_GROWTH = 48 << 20  # bytes that the memory of this process may grow by while many jobs pass through
_SOON = 120.0
_QUICK = JobLimits(backoff=0.05, seconds=20.0)


class Place(Protocol):
    """Where executors are opened for a check.

    `isolates`: a job that dies does not take the caller with it, and one that hangs is ended. `scratch`: a folder that the
    jobs write to. `chain` and `table`: of a workspace, for checks of evidence. `work` brings every job in the table to an
    end, with the executor at hand or with workers that run already. `many`: how many jobs are many here.
    """

    isolates: bool
    scratch: Path
    chain: Chain
    table: JobTable
    many: int

    def open(self, limits: JobLimits) -> JobExecutor:
        """Return an executor that is ready; a check closes it."""
        ...

    def work(self, limits: JobLimits) -> None:
        """Bring every job in the table to an end, and keep what it came to as evidence in the chain."""
        ...


CHECKS: dict[str, Callable[[Place], None]] = {}


def _check(function: Callable[[Place], None]) -> Callable[[Place], None]:
    CHECKS[function.__name__.removeprefix("_").replace("_", " ")] = function
    return function


def setup_at(scratch: Path) -> JobSetup:
    """Return how workers become ready for these checks."""
    return JobSetup(FACTORY, str(scratch).encode())


def work_off(table: JobTable, executor: JobExecutor, chain: Chain) -> None:
    """Bring every job in a table to an end with an executor, and keep the evidence."""
    Worker(table, executor, keeper_of(chain), WorkerOptions(lease=30.0, poll=0.1, drain=True)).run(threading.Event())


# The jobs


def open_handler(data: bytes) -> JobHandler:
    """Return the handler of the jobs that the checks use."""
    scratch = Path(data.decode())

    def handle(job: Job, report: OnProgress) -> bytes:
        del report
        name = str(job.inputs[0]) if job.inputs else "none"
        if job.kind == "digest":
            return hashlib.sha256(name.encode()).digest()
        before = runs_of(scratch, name)
        with (scratch / f"{name}.runs").open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        return _acts(job, name, len(before))

    return handle


def _acts(job: Job, name: str, before: int) -> bytes:
    if job.kind == "refuse":
        msg = "is not what it should be"
        raise InputError(msg, where=name)
    if job.kind == "flaky" and before < int(job.params["times"]):
        msg = "is not there now"
        raise BackendError(msg, where=name)
    if job.kind == "die" and before < int(job.params["times"]):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.kind in ("hang", "state") and before < int(job.params.get("hangs", 0)):
        time.sleep(3600)
    if job.kind == "state":
        digest = hashlib.sha256(name.encode()).hexdigest()
        stated = Stated(Resource(name=name, digest={"dirHash1": digest}), "model-scan", EXAMPLES["model-scan"])
        return Product((stated,), {"of": name, "run": before + 1}).encoded()
    return f"{job.kind} {name}".encode()


def runs_of(scratch: Path, name: str) -> list[int]:
    """Return the processes that a job was run in, one for each run."""
    path = scratch / f"{name}.runs"
    return [int(line) for line in path.read_text(encoding="ascii").split()] if path.exists() else []


def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _SOON
    while not holds():
        if time.monotonic() > deadline:
            msg = f"not within {_SOON:g} s: {what}"
            raise AssertionError(msg)
        time.sleep(0.01)


def _same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        msg = f"{what}: {found!r}, and not {wanted!r}"
        raise AssertionError(msg)


def _collect(executor: JobExecutor, jobs: list[Job]) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for outcome in run_all(executor, jobs):
        if outcome.key in found:
            msg = f"a second outcome: {outcome}"
            raise AssertionError(msg)
        found[outcome.key] = outcome
    return found


# The checks


@_check
def _every_job_has_its_result(place: Place) -> None:
    executor = place.open(_QUICK)
    jobs = [Job("digest", (f"n{number}",)) for number in range(100)]
    found = _collect(executor, jobs)
    executor.close()
    wanted = {job.key: Done(job.key, hashlib.sha256(job.inputs[0].encode()).digest()) for job in jobs}
    _same(found, wanted, "the outcomes")


@_check
def _the_same_job_is_one_job(place: Place) -> None:
    executor = place.open(_QUICK)
    one = Job("write", ("same",), {"a": 1, "b": 2})
    keys = {executor.submit(one), executor.submit(Job("write", ("same",), {"b": 2, "a": 1}))}
    found = list(executor.results())
    executor.close()
    _same(keys, {one.key}, "the keys")
    _same(found, [Done(one.key, b"write same")], "the outcomes")
    _same(len(runs_of(place.scratch, "same")), 1, "the runs")


@_check
def _a_job_that_fails_says_why_and_is_not_tried_again(place: Place) -> None:
    executor = place.open(_QUICK)
    bad, good = Job("refuse", ("bad",)), Job("digest", ("good",))
    found = _collect(executor, [bad, good])
    executor.close()
    outcome = found[bad.key]
    if not isinstance(outcome, Failed) or "InputError" not in outcome.error or "is not what it should be" not in outcome.error:
        msg = f"not a failure with its reason: {outcome}"
        raise AssertionError(msg)
    _same(type(found[good.key]), Done, "the other job")
    _same(len(runs_of(place.scratch, "bad")), 1, "the runs of the job that fails")


@_check
def _what_may_pass_is_tried_again(place: Place) -> None:
    executor = place.open(_QUICK)
    passing, lasting = Job("flaky", ("passing",), {"times": 1}), Job("flaky", ("lasting",), {"times": 99})
    found = _collect(executor, [passing, lasting])
    executor.close()
    _same(type(found[passing.key]), Done, "the job whose reason passed")
    _same(len(runs_of(place.scratch, "passing")), 2, "its runs")
    _same(type(found[lasting.key]), Failed, "the job whose reason did not pass")
    _same(len(runs_of(place.scratch, "lasting")), _QUICK.tries, "its runs")


@_check
def _a_poison_job_fails_alone(place: Place) -> None:
    if not place.isolates:
        return
    executor = place.open(_QUICK)
    poison = Job("die", ("poison",), {"times": 99})
    others = [Job("write", (f"other{number}",)) for number in range(20)]
    found = _collect(executor, [*others[:10], poison, *others[10:]])
    executor.close()
    _same(type(found[poison.key]), Lost, "the job that takes its process with it")
    _same(Counter(type(found[job.key]) for job in others), Counter({Done: 20}), "the others")


@_check
def _a_worker_that_dies_once_costs_a_try(place: Place) -> None:
    if not place.isolates:
        return
    executor = place.open(_QUICK)
    job = Job("die", ("once",), {"times": 1})
    found = _collect(executor, [job])
    executor.close()
    _same(found, {job.key: Done(job.key, b"die once")}, "the outcome")
    _same(len(runs_of(place.scratch, "once")), 2, "the runs")


@_check
def _a_job_that_takes_too_long_is_ended(place: Place) -> None:
    # A worker elsewhere starts within that time too, on a machine that has much else to do.
    executor = place.open(JobLimits(seconds=10.0 if place.isolates else 1.0, crashes=1, backoff=0.05))
    job, other = Job("hang", ("long",), {"hangs": 99}), Job("write", ("short",))
    began = time.monotonic()
    found = _collect(executor, [job, other])
    executor.close()
    _same(type(found[job.key]), Lost, "the job that hangs")
    _same(type(found[other.key]), Done, "the other job")
    if time.monotonic() - began > _SOON:
        msg = "it took too long to end a job that hangs"
        raise AssertionError(msg)


@_check
def _a_cancelled_job_has_no_outcome(place: Place) -> None:
    executor = place.open(_QUICK)
    hangs = Job("hang", ("cancelled",), {"hangs": 99 if place.isolates else 0})
    other = Job("write", ("kept",))
    executor.submit(hangs)
    if place.isolates:
        for _ in executor.results(0.2):
            msg = "a job that hangs has an outcome"
            raise AssertionError(msg)
        _until(lambda: list(executor.results(0.0)) == [] and runs_of(place.scratch, "cancelled"), "the job began")
    executor.cancel(hangs.key)
    executor.submit(other)
    found = list(executor.results())
    _same(found, [Done(other.key, b"write kept")], "the outcomes")
    if place.isolates:
        pid = runs_of(place.scratch, "cancelled")[-1]
        _until(lambda: not _alive(pid), "the process of a cancelled job ended")
    executor.close()


@_check
def _no_more_are_taken_than_there_is_room_for(place: Place) -> None:
    executor = place.open(JobLimits(in_flight=8))
    for number in range(8):
        executor.submit(Job("digest", (f"r{number}",)))
    _same(executor.room(), 0, "the room left")
    try:
        executor.submit(Job("digest", ("one too many",)))
    except BackendError as error:
        _same(error.code, "JOB001", "the code of the error")
    else:
        msg = "a job was taken though there was no room"
        raise AssertionError(msg)
    _same(len(list(executor.results())), 8, "the outcomes")
    _same(executor.room(), 8, "the room after them")
    executor.close()


@_check
def _many_jobs_pass_in_bounded_memory(place: Place) -> None:
    limits = JobLimits(in_flight=128)
    executor = place.open(limits)
    drawn = 0

    def jobs() -> Iterator[Job]:
        nonlocal drawn
        for number in range(place.many):
            drawn += 1
            yield Job("digest", (f"m{number}",), {"pad": "x" * 2048})  # held all at once, they would be seen

    seen = most = before = 0
    for outcome in run_all(executor, jobs()):
        seen += 1
        _same(type(outcome), Done, "an outcome")
        before = before if seen != place.many // 10 else _memory()
        most = max(most, drawn - seen)
    executor.close()
    _same(seen, place.many, "the outcomes")
    _same(most <= limits.in_flight, True, f"{most} jobs were drawn and had no outcome: in bounds")  # noqa: FBT003 - compared
    if _memory() - before > _MOST_GROWTH:
        msg = f"the memory grew by {(_memory() - before) >> 20} MiB over {place.many:,} jobs"
        raise AssertionError(msg)


@_check
def _a_killed_worker_costs_no_evidence_and_doubles_none(place: Place) -> None:
    if not place.isolates:
        return
    jobs = [Job("state", (f"model{number}",), {"hangs": 1 if number == 3 else 0}) for number in range(12)]  # noqa: PLR2004 - any
    for job in jobs:
        place.table.add(NewJob(key=job.key, kind=job.kind, inputs=job.inputs, params=job.params))
    killed = threading.Thread(target=_kill_the_runner_of, args=(place.scratch, "model3"))
    killed.start()
    place.work(JobLimits(backoff=0.05, seconds=60.0))
    killed.join()
    _same({row.state for row in place.table.rows()}, {"done"}, "the states of the jobs")
    for job in jobs:
        subject = hashlib.sha256(job.inputs[0].encode()).hexdigest()
        entries = [row for row in place.chain.ledger.find(subject=f"sha256:{subject}") if row.type == "evidence"]
        _same(len(entries), 1, f"the evidence about {job.inputs[0]}")
    _same(len(runs_of(place.scratch, "model3")), 2, "the runs of the job whose worker was killed")


def _kill_the_runner_of(scratch: Path, name: str) -> None:
    _until(lambda: runs_of(scratch, name), f"{name} began")
    os.kill(runs_of(scratch, name)[0], signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not sys.platform.startswith("linux")


def _memory() -> int:
    """Return the most memory that this process had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
