"""What starting costs. CPU seconds of fresh interpreters, the least of several runs, so that a busy machine does not matter."""

import compileall
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stannary

RUNS = 15
# As a user has it: an installer compiles modules. Workers in their jail could not keep what they compile.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
STANNARY = str(Path(sys.executable).with_name("stannary"))
THIRD_PARTY = """
import sys
before = set(sys.modules)
import stannary
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(names - set(sys.stdlib_module_names) - {"stannary"}))
"""


def cpu(*command, folder=None):
    """Return the least CPU seconds (user and system) that a command takes in a folder, its children's included."""
    least = float("inf")
    for _ in range(RUNS):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        least = min(least, usage.ru_utime + usage.ru_stime)
    return least


@pytest.fixture(scope="module")
def bare():
    compileall.compile_dir(Path(stannary.__file__).parent, quiet=2)
    return cpu(sys.executable, "-c", "pass")


def test_importing_the_package_imports_nobody_elses():
    done = subprocess.run([sys.executable, "-c", THIRD_PARTY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_is_cheap(bare):
    assert cpu(sys.executable, "-c", "import stannary") - bare <= 0.015


def test_asking_for_the_version_is_cheap(bare):
    assert cpu(STANNARY, "--version") <= 2.5 * bare


def test_scanning_a_small_file_is_cheap(bare, tmp_path):
    # A pickle of {"a": 1}, protocol 4.
    (tmp_path / "small.pkl").write_bytes(b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.")
    # Not in our own folder, whose long pyproject.toml would be parsed for settings.
    # The goal is 100 ms on an idle machine; a busy one takes half as long again, and this is no stopwatch: as a
    # multiple of bare Python, measured in the same run, it tells a heavy import from a slow minute.
    assert cpu(STANNARY, "scan", "small.pkl", folder=tmp_path) <= max(0.100 + bare, 15 * bare)
