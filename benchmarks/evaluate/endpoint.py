"""Round trips to an endpoint: HopSkipJump on all samples at once, and one sample after the other as other libraries do.

    python benchmarks/evaluate/endpoint.py [SAMPLES]

A random forest on scikit-learn's breast cancer table stands behind a real HTTP server on loopback that answers 2 ms after each
request came. Both ways make the same attack; one sample after the other still sends a sample's directions as one request.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.engine import attack_block, run
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.http_request import request_of
from stannary.checks.target.http_target import http_target
from stannary.testing.http_models import Reply, serve_model

STEPS, DELAY, BATCH = 10, 0.002, 2048


def main(samples: int) -> None:
    torch.set_num_threads(1)
    table, labels = load_breast_cancer(return_X_y=True)
    table = (table - table.min(0)) / (table.max(0) - table.min(0))
    forest = RandomForestClassifier(20, random_state=0).fit(table[:300], labels[:300])
    right = np.flatnonzero(forest.predict(table[300:]) == labels[300:])[:samples] + 300
    x, y = torch.tensor(table[right]), torch.tensor(labels[right])

    def answer(body):
        return Reply({"predictions": forest.predict(np.array(body["instances"])).tolist()}, hold=DELAY)

    with serve_model(answer) as model:
        rows = []
        for name in ("at once", "one by one"):
            spec = {"url": model.url, "preset": "sklearn", "kind": "labels", "batch": BATCH, "concurrency": 8}
            target = http_target(request_of(spec), x, classes=2)
            problem = Problem(Counting(target), Box(), norm="l2", eps=None, seed=1)
            before, started, busy = len(model.seen), time.perf_counter(), time.process_time()
            if name == "at once":
                found = run(HopSkipJump(STEPS), problem, x, y)
                size = found.size
            else:
                parts = [
                    attack_block(HopSkipJump(STEPS), problem, x[at : at + 1], y[at : at + 1], block=at) for at in range(len(x))
                ]
                size = torch.cat([part.size for part in parts])
            wall, cpu = time.perf_counter() - started, time.process_time() - busy
            trips = len(model.seen) - before
            assert trips == problem.target.spend.calls
            rows.append(trips)
            queries, middle = problem.target.spend.queries, float(size.median())
            spent = f"{wall:.1f} s, {cpu:.1f} CPU s with the server"
            print(f"{name:<11} {trips:>7,} round trips, {queries:>8,} queries, median L2 {middle:.3f}, {spent}")
            target.close()
        print(f"{rows[1] / rows[0]:.1f} times fewer round trips, {len(x)} samples, {STEPS} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
