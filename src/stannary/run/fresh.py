"""When a worker must be a fresh interpreter and not a fork, and how one is started.

A fork has the caller's memory and none of its threads. GCC's OpenMP (which torch, scikit-learn, XGBoost and LightGBM compute with)
believes in a child that the threads it once made are still there, and waits for them for ever (GCC's bug 58378).
"""

from __future__ import annotations

import mmap
import os
import sys

__all__ = ["needed", "program", "shared_page"]

_COMPUTES = frozenset(
    {"catboost", "keras", "lightgbm", "numpy", "onnxruntime", "scipy", "sklearn", "tensorflow", "torch", "xgboost"}
)


def needed() -> bool:
    """Tell whether this process has threads that a library which computes may have made: its forks cannot be relied upon."""
    return not _COMPUTES.isdisjoint(sys.modules) and _threads() > 1


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # no Linux: how many there are is not to be known, and a fork is the riskier answer
        return sys.maxsize


def program() -> list[str]:
    """Return the command line of an interpreter that reads its settings and serves (`run.boot`), short of its arguments."""
    # The caller's search path, so that an installation anywhere is found; never the current folder.
    paths = [p for p in sys.path if p and os.path.isabs(p)]
    code = f"import sys; sys.path[:] = {paths!r}; from stannary.run.boot import main; main()"
    return [sys.executable, "-I", "-B", "-c", code]


def shared_page() -> int:
    """Return a descriptor of one page of memory that two processes may share; it has no name."""
    if sys.platform.startswith("linux"):
        page = os.memfd_create("stannary-page", 0)
    else:
        import tempfile  # 4 ms of a short run, and seldom needed

        page, name = tempfile.mkstemp()
        os.unlink(name)
    os.truncate(page, mmap.PAGESIZE)
    return page
