"""The executor on a real Ray cluster of two nodes passes the checks of every executor, and outlives a killed node.

Ray is large and has an environment of its own, `.venv-peers/ray`, which `./dev test` makes from requirements/ray.txt;
STANNARY_RAY names another. Only where Ray has no wheel for this Python the test is left out, and says so.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("STANNARY_RAY") or ROOT / ".venv-peers" / "ray") / "bin" / "python"
PROGRAM = Path(__file__).parent / "programs" / "ray_jobs.py"
HAS_RAY = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ray') is None)"


@pytest.mark.timeout(600)  # 80 seconds alone on two cores; beside the other suites it has one
def test_ray_passes_the_checks_of_every_executor():
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON.parents[1]} is not there: `./dev test` makes it, STANNARY_RAY names another")
    if subprocess.run([PYTHON, "-c", HAS_RAY], check=False).returncode:
        pytest.skip("NOT RUN ON RAY: it has no wheel for this Python or this machine (requirements/ray.in)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([PYTHON, PROGRAM], env=environment, capture_output=True, text=True, timeout=560, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 10
    assert {name: said for name, said in found.items() if said != "ok"} == {}
