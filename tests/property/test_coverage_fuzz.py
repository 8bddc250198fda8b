"""A short coverage-guided run over the readers of pickles and archives, with the forges as corpus."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stannary.testing.forges import all_forges

RUNS = 6000  # a quarter of a minute; a number, not a time: a fast machine tries no more than a slow one
SECONDS = 90  # and no longer, on a slow one
TARGET = """
import resource, sys
import atheris
with atheris.instrument_imports(include=["stannary.formats", "stannary.checks.static.walk"]):
    from stannary.checks.static.ruleset import load as load_rules
    from stannary.checks.static.verdict import findings_of, verdict_of
    from stannary.checks.static.walk import read_view
    from stannary.formats.interface import View
    from stannary.formats import compressed, numpy_array, pickle_reader, tar, zip
from stannary.testing.oracles import runs

resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
RULES = load_rules()

def one(data):
    report = read_view(View(data, "model.pkl"), strict=True)
    verdict = verdict_of(findings_of(report, RULES, "model.pkl"), missed=bool(report.missed))
    if verdict in {"clean", "unverified"} and runs(data):
        raise RuntimeError(f"payload runs, verdict {verdict}")

atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def test_coverage_guided(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("LEFT OUT: atheris is not installed (no wheel for this Python or platform?): no coverage-guided fuzzing")
    corpus, target = tmp_path / "corpus", tmp_path / "target.py"
    corpus.mkdir()
    target.write_text(TARGET)
    for name, item in all_forges().items():
        if name.split(".")[0] in {"pickle", "zip", "torch", "joblib", "numpy", "tar"} and "bomb" not in name and "pad." not in name:
            content = item.build()
            if isinstance(content, bytes) and len(content) < 4000:
                (corpus / name).write_bytes(content)
    # Memory is bounded by the target itself: libFuzzer looks at ru_maxrss, which a child has from its parent.
    options = {
        "runs": RUNS,
        "max_total_time": SECONDS,
        "timeout": 60,
        "max_len": 4096,
        "rss_limit_mb": 0,
        "seed": 1,
        "artifact_prefix": f"{tmp_path}/",
    }
    command = [sys.executable, str(target), *(f"-{key}={value}" for key, value in options.items()), str(corpus)]
    alike = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 180, check=False, cwd=tmp_path, env=alike)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]  # the exception is told on standard output
    runs = [line for line in done.stderr.splitlines() if "DONE" in line]
    assert runs, done.stderr[-2000:]
