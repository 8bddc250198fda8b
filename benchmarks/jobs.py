"""Jobs a second that each executor of background jobs takes, runs and answers, for jobs that do next to nothing.

    ./dev bench jobs [COUNT]

The durable queue is on SQLite, with two workers of their own; each outcome is on the disk before it is answered.
"""

import sys
import tempfile
import time
from pathlib import Path

from stannary.run.jobs.inline import InlineJobs
from stannary.run.jobs.interface import run_all
from stannary.run.jobs.model import Job, JobLimits
from stannary.run.jobs.pool import PoolJobs
from stannary.run.jobs.queue import QueueJobs
from stannary.store.database import Database
from stannary.store.job_table import JobTable
from stannary.testing.executor_conformance import setup_at
from stannary.testing.job_workers import JobWorkers

LIMITS = JobLimits(in_flight=128)


def measure(name, executor, count):
    list(run_all(executor, [Job("digest", (f"warm {number}",)) for number in range(20)]))
    began = time.perf_counter()
    seen = sum(1 for _ in run_all(executor, (Job("digest", (f"n{number}",)) for number in range(count))))
    seconds = time.perf_counter() - began
    assert seen == count
    print(f"{name:<8} {count / seconds:>8,.0f} jobs/s")
    executor.close()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        measure("inline", InlineJobs(setup_at(scratch), LIMITS), count)
        measure("pool", PoolJobs(setup_at(scratch), LIMITS, workers=2), count)
        url = str(scratch / "jobs.db")
        with JobWorkers(2, None, url, scratch, 60.0):
            measure("queue", QueueJobs(JobTable(Database(url)), LIMITS), count)


if __name__ == "__main__":
    main()
