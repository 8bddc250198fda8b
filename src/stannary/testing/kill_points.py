"""SIGKILL at each step that leaves a trace: not at random moments, but before and after every write of an operation.

An operation runs in a process of its own, which counts the calls by which something is written (statements and commits of a
database, `fsync`, `rename`, `link`, `write` and others) and kills itself at the n-th one. So a state that lasts for
microseconds is met as surely as one that lasts for seconds: `registry_crash.py` meets the latter, and two writers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ["TRACES", "count_steps", "kill_at", "killed_at"]

# What is called where something is made to last, in Python or in C.
TRACES = frozenset(
    {
        "execute", "executemany", "exec_driver_sql", "commit", "rollback", "send_query", "send_query_params",
        "send_query_prepared", "flush", "fsync", "fdatasync", "rename", "replace", "link", "unlink", "remove", "rmdir",
        "mkdir", "mkstemp", "open", "write", "close", "ftruncate", "truncate", "flock", "chmod", "put", "delete",
    }
)  # fmt: skip
_AT = ("call", "return", "c_call", "c_return")


def kill_at(step: int, names: Collection[str] = TRACES) -> Callable[[], int]:
    """Have this process killed at a step from now on, 0 for never; return what says how many steps there were.

    `names` are the functions of which a call, or its end, is a step.
    """
    seen = 0

    def profile(frame: FrameType, event: str, called: Any) -> None:  # noqa: ANN401 - what was called, or returned
        nonlocal seen
        name = called.__name__ if event.startswith("c_") else frame.f_code.co_name
        if event in _AT and name in names:
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def end() -> int:
        sys.setprofile(None)
        return seen

    sys.setprofile(profile)
    return end


def count_steps(operation: Callable[[], object], names: Collection[str] = TRACES) -> int:
    """Return how many steps an operation has; it is done, in a process of its own. Raises RuntimeError when it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _run(operation, 0, names, writer)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = said.read()
    _, status = os.waitpid(child, 0)
    if status or not found:
        msg = f"the operation failed with {os.waitstatus_to_exitcode(status)}"
        raise RuntimeError(msg)
    return int(found)


def killed_at(operation: Callable[[], object], steps: Iterable[int], names: Collection[str] = TRACES) -> Iterator[int]:
    """Do an operation again and again in a process that is killed at one of the steps after the other; yield each afterwards."""
    for step in steps:
        child = os.fork()
        if not child:
            _run(operation, step, names, -1)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in (-signal.SIGKILL, 0):  # 0: it had fewer steps this time
            msg = f"the operation failed with {code} where it was to be killed at step {step}"
            raise RuntimeError(msg)
        yield step


def _run(operation: Callable[[], object], step: int, names: Collection[str], tell: int) -> None:
    """Run an operation in the child, and end it without anything of the parent's."""
    code = 1
    try:
        end = kill_at(step, names)
        operation()
        seen = end()
        if tell >= 0:
            os.write(tell, str(seen).encode())
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent does, whatever happened
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
