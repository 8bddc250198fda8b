"""Bounds on memory: kept in place where little was read, taken back where not; what is over them ends the reading alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits on data are Linux's")
_PROLOGUE = """
import resource
from stannary.run import alarm
alarm.allow()
before = resource.getrlimit(resource.RLIMIT_DATA)
limit = lambda: resource.getrlimit(resource.RLIMIT_DATA)
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", _PROLOGUE + code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bound_ends_with_the_block_unless_it_is_kept():
    run("""
with alarm.bound_memory(64 << 20):
    bounded = limit()
assert bounded != before and limit() == before
bound = alarm.bound_memory(64 << 20)
with bound:
    bound.kept = True
assert limit() == bounded
with alarm.bound_memory(128 << 20):
    assert limit()[0] == bounded[0] + (64 << 20)
assert limit() == before
alarm.free_memory()
assert limit() == before
""")


def test_what_was_kept_is_given_back():
    run("""
bound = alarm.bound_memory(64 << 20)
with bound:
    bound.kept = True
alarm.free_memory()
assert limit() == before
bytes(128 << 20)
""")


def test_a_bound_that_was_kept_still_bounds_and_more_can_be_had():
    run("""
bound = alarm.bound_memory(64 << 20)
with bound:
    bound.kept = True
again = alarm.bound_memory(64 << 20)
with again as more:
    inside = limit()
    try:
        bytes(128 << 20)
    except MemoryError:
        more()
        assert limit()[0] > inside[0]
    else:
        raise SystemExit("not bounded")
assert limit() == before
""")
