"""A worker comes to its end in a program that has computed with threads, for which a fork of it would wait for ever."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"
SAID = 120  # seconds; a worker that waits for ever is not waited for

# A forest is trained by two threads of OpenMP, then a worker is to compute with two of its own.
PROGRAM = """
import os, sys
sys.path.insert(0, {source!r})
import numpy as np
{computes}
from stannary.run import fresh
from stannary.run.interface import Done, Job, Setup
from stannary.run.jail import Jail
from stannary.run.pool import Pool
assert fresh.needed() is {fresh}, len(os.listdir("/proc/self/task"))
sys.path.insert(0, {here!r})
with Pool(Setup("workers_that_compute:make"), {jail}, seconds=60) as pool:
    pool.submit(Job(b""))
    outcome = next(pool.results())
assert isinstance(outcome, Done), outcome
print(outcome.value.decode())
"""
HANDLER = """
def make(data):
    import torch

    torch.set_num_threads(2)

    def handle(payload, degraded):
        return b"%d" % (torch.ones(2048, 2048) @ torch.ones(2048, 2048)).max()
    return handle
"""
TORCH = "import torch\ntorch.set_num_threads(2)\ntorch.randn(2048, 2048).exp().sum()"
FOREST = (
    "from sklearn.ensemble import HistGradientBoostingClassifier as Boosting\n"
    "rng = np.random.default_rng(0)\nBoosting(max_iter=5).fit(rng.normal(size=(5000, 8)), rng.integers(0, 2, 5000))"
)


def run(tmp_path, computes, *, expected, jail="None"):
    (tmp_path / "workers_that_compute.py").write_text(HANDLER)
    program = PROGRAM.format(source=str(SOURCE), here=str(tmp_path), computes=computes, fresh=expected, jail=jail)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=SAID, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
@pytest.mark.parametrize("computes", [TORCH, FOREST], ids=["torch", "forest"])
def test_after_threads_it_is_a_fresh_interpreter_and_ends(tmp_path, computes):
    assert run(tmp_path, computes, expected=True) == "2048"


def test_in_the_guard_of_evaluations_it_does_too(tmp_path):
    (tmp_path / "scratch").mkdir()
    jail = f"jail_of(None, {str(tmp_path / 'scratch')!r}, [{str(tmp_path)!r}])"
    assert run(tmp_path, f"{TORCH}\nfrom stannary.app.guarding import jail_of", expected=True, jail=jail) == "2048"
