"""How ./dev runs a whole suite: what fails once is run again by itself, and is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dev_environments import ROOT, run

# More than these are no accident of the machine's.
FORGIVEN = 2


def suite(python: str, args: Sequence[str], *, cwd: Path = ROOT) -> int:
    """Run pytest in two processes. Return its exit code, or 0 if all that failed passes when run again.

    As CPython's own `regrtest --rerun`: among 25,000 tests that start servers, kill processes and measure time, a busy machine
    fails one now and then. At most two are run again, alone and with the same seed, so that what fails by its seed fails again.
    They are printed as *unsteady*, each of which is a defect to look for.
    """
    cache = cwd / ".pytest_cache" / "v" / "cache" / "lastfailed"
    cache.unlink(missing_ok=True)
    pytest = [python, "-m", "pytest"]
    code = run([*pytest, "-n", "2", *args], cwd=cwd)
    failed = sorted(json.loads(cache.read_bytes())) if code == 1 and cache.is_file() else []
    if not failed or len(failed) > FORGIVEN:
        return code
    print("--- once more, alone: " + ", ".join(failed), flush=True)
    code = run([*pytest, "--randomly-seed=last", *failed], cwd=cwd)
    for test in [] if code else failed:
        print(f"unsteady: {test} failed among the others and passed alone, with the same seed", flush=True)
    return code
