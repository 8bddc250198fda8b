"""The executors of background jobs, each put through the same checks."""

import os
import random
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from stannary.evidence.chain import Chain
from stannary.evidence.workspace import Workspace
from stannary.run.jobs.inline import InlineJobs
from stannary.run.jobs.model import Job, JobLimits
from stannary.run.jobs.pool import PoolJobs
from stannary.run.jobs.queue import QueueJobs
from stannary.store.database import Database
from stannary.store.job_table import JobTable, NewJob
from stannary.testing.executor_conformance import CHECKS, runs_of, setup_at, work_off
from stannary.testing.job_workers import JobWorkers


class Here:
    """An executor of this machine, over a workspace of its own."""

    many = 10_000

    def __init__(self, kind, root, stack, url=None):
        self.kind, self._stack = kind, stack
        self.isolates = kind != "inline"
        self.scratch = root / "scratch"
        self.scratch.mkdir()
        workspace = Workspace.create(root, passphrase=None)
        self._workspace = workspace.root
        self.chain = Chain(workspace, write=True)
        stack.callback(self.chain.ledger.close)
        self.url = url or str(root / "jobs.db")
        database = Database(self.url)
        stack.callback(database.close)
        self.table = JobTable(database, backoff=0.05)

    def open(self, limits):
        if self.kind == "inline":
            return InlineJobs(setup_at(self.scratch), limits)
        if self.kind == "pool":
            return PoolJobs(setup_at(self.scratch), limits, workers=2)
        self._stack.enter_context(JobWorkers(2, None, self.url, self.scratch, limits.seconds))
        return QueueJobs(self.table, limits)

    def work(self, limits):
        if self.kind in ("inline", "pool"):
            executor = self.open(limits)
            work_off(self.table, executor, self.chain)
            executor.close()
            return
        with JobWorkers(2, self._workspace, self.url, self.scratch, limits.seconds):
            finish(self.table)


def finish(table, seconds=200.0):
    deadline = time.monotonic() + seconds
    while (counts := table.counts())["queued"] or counts["running"]:
        assert time.monotonic() < deadline, counts
        time.sleep(0.05)


@pytest.fixture
def stack():
    with ExitStack() as found:
        yield found


@pytest.fixture(params=["inline", "pool", "sqlite", "postgres"])
def place(request, tmp_path, stack):
    url = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return Here(request.param, tmp_path, stack, url)


@pytest.mark.parametrize("name", CHECKS)
def test_it_conforms(name, place):
    CHECKS[name](place)


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_workers_killed_at_random_lose_no_evidence_and_double_none(place):
    jobs = [Job("state", (f"model{number}",)) for number in range(60)]
    for job in jobs:
        place.table.add(NewJob(key=job.key, kind=job.kind, inputs=job.inputs, params=job.params))
    place.table.most_crashes = 1000
    rng, killed = random.Random(7), 0
    with JobWorkers(3, place._workspace, place.url, place.scratch, 60.0) as workers:
        deadline = time.monotonic() + 200
        while (counts := place.table.counts())["queued"] or counts["running"]:
            assert time.monotonic() < deadline, counts
            # the first three while there is surely work left, however fast the machine is
            time.sleep(rng.uniform(0.0, 0.6) if killed >= 3 else 0.02)
            alive = sorted(workers.pids)
            if killed < 8 and alive:
                os.kill(rng.choice(alive), signal.SIGKILL)
                killed += 1
    states = {row.state for row in place.table.rows()}
    assert states == {"done"}
    entries = [row for row in place.chain.ledger.find() if row.type == "evidence"]
    assert len(entries) == len({row.id for row in entries}) == len({row.subject for row in entries}) == len(jobs)
    assert killed >= 3


def test_a_pool_whose_idle_processes_were_killed_goes_on(tmp_path):
    executor = PoolJobs(setup_at(tmp_path), JobLimits(), workers=2)
    job = Job("write", ("a",))
    executor.submit(job)
    assert [outcome.key for outcome in executor.results()] == [job.key]
    for pid in executor.pids():
        os.kill(pid, signal.SIGKILL)
    executor.submit(other := Job("write", ("b",)))
    assert [outcome.key for outcome in executor.results()] == [other.key]
    executor.close()
    assert len(runs_of(tmp_path, "b")) == 1


def test_inline_jobs_in_a_thread_have_no_alarm_but_run(tmp_path):
    executor, found = InlineJobs(setup_at(tmp_path), JobLimits()), []
    executor.submit(Job("write", ("a",)))
    thread = threading.Thread(target=lambda: found.extend(executor.results()))
    thread.start()
    thread.join()
    assert [outcome.value for outcome in found] == [b"write a"]
