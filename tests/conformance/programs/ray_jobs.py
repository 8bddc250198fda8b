"""The checks of `stannary.testing.executor_conformance` on a Ray cluster of two nodes on this machine; a node is killed too.

Runs in an environment that has Ray, with stannary importable. Prints a JSON object: check → "ok", or why not.
"""

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

# Before Ray is imported: a node that is gone is noticed within two seconds, and not within fifteen.
os.environ |= {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}

from ray.cluster_utils import Cluster

from stannary.evidence.chain import Chain
from stannary.evidence.workspace import Workspace
from stannary.run.jobs.interface import run_all
from stannary.run.jobs.model import Done, Job, JobLimits
from stannary.run.jobs.ray_ import RayJobs
from stannary.store.database import Database
from stannary.store.job_table import JobTable
from stannary.testing.executor_conformance import CHECKS, runs_of, setup_at, work_off

STORE = 80 << 20


class OnRay:
    isolates = True
    many = 1000

    def __init__(self, root, address):
        self.address = address
        self.scratch = root / "scratch"
        self.scratch.mkdir(parents=True)
        self.chain = Chain(Workspace.create(root, passphrase=None), write=True)
        self.table = JobTable(Database(root / "jobs.db"), backoff=0.05)

    def open(self, limits):
        return RayJobs(setup_at(self.scratch), limits, address=self.address)

    def work(self, limits):
        executor = self.open(limits)
        work_off(self.table, executor, self.chain)
        executor.close()


def a_killed_node_costs_a_try(place, cluster, node):
    """Two jobs hang, one on each node; the node is killed, and its job is done by the other when that is free."""
    executor = place.open(JobLimits(backoff=0.05, seconds=60.0, crashes=5))
    jobs = [Job("hang", (f"on{number}",), {"hangs": 1}) for number in range(2)]

    def kill():
        deadline = time.monotonic() + 120
        while not all(runs_of(place.scratch, job.inputs[0]) for job in jobs):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        time.sleep(1.0)
        for job in jobs:  # the one on the other node hangs as well; its process is killed
            for pid in runs_of(place.scratch, job.inputs[0])[:1]:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue

    killer = threading.Thread(target=kill)
    killer.start()
    found = {outcome.key: outcome for outcome in run_all(executor, jobs)}
    killer.join()
    executor.close()
    assert {type(outcome) for outcome in found.values()} == {Done}, found
    assert {len(runs_of(place.scratch, job.inputs[0])) for job in jobs} == {2}


def main():
    found = {}
    cluster = Cluster()
    cluster.add_node(num_cpus=1, object_store_memory=STORE, include_dashboard=False)
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    rows = {**CHECKS, "a killed node costs a try": lambda place: a_killed_node_costs_a_try(place, cluster, node)}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, check) in enumerate(rows.items()):
            began = time.monotonic()
            try:
                check(OnRay(Path(folder) / str(number), cluster.address))
                found[name] = "ok"
            except Exception:  # noqa: BLE001 - whatever it is, it is what is reported
                found[name] = traceback.format_exc()
            sys.stderr.write(f"{name} {time.monotonic() - began:.1f}\n")
    cluster.shutdown()
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
