"""The executor on a real Ray cluster of two nodes passes the checks of every executor, and outlives a killed node.

Ray is large and has an environment of its own: `python -m venv .venv-peers/ray`, `pip install ray` and this project with
its extra `registry` into it; STANNARY_RAY names another. Where there is none the test says so.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("STANNARY_RAY") or ROOT / ".venv-peers" / "ray") / "bin" / "python"
PROGRAM = Path(__file__).parent / "programs" / "ray_jobs.py"


@pytest.mark.skipif(not PYTHON.exists(), reason="NOT RUN ON RAY: there is no .venv-peers/ray, and STANNARY_RAY names none")
def test_ray_passes_the_checks_of_every_executor():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([PYTHON, PROGRAM], env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 10
    assert {name: said for name, said in found.items() if said != "ok"} == {}
