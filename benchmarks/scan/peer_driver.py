"""Run a scanner's own command line on many paths, one process each, and say how each ended. Runs in its environment.

python peer_driver.py MODULE:FUNCTION SECONDS MEGABYTES [ARGUMENT...] < PATHS > CODES

The entry point is imported once and each path is read by a fork of this process, which is what the
console script does with less waiting; memory and time are bounded, since some of the paths are hostile.
A code of 137 is one that ran out of time.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback


def main() -> None:
    """Read paths from stdin, write exit codes to stdout, both a line each."""
    module, _, function = sys.argv[1].partition(":")
    seconds, megabytes, arguments = float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    entry = getattr(importlib.import_module(module), function)
    os.chdir(tempfile.mkdtemp(prefix="stannary-peer-"))  # one of them writes its result into the working folder
    for line in sys.stdin:
        print(one(entry, [*arguments, line.rstrip("\n")], seconds, megabytes), flush=True)


def one(entry, arguments, seconds, megabytes) -> int:
    """Return the exit code of one run."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        sys.argv = ["scanner", *arguments]
        os._exit(code_of(entry))
    limit = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 137
        time.sleep(0.002)


def code_of(entry) -> int:
    """Call the entry point and return what the interpreter would exit with."""
    try:
        code = entry()
    except SystemExit as leave:
        code = leave.code
    except BaseException:  # noqa: BLE001 - what a traceback ends with is exit code 1; here it must not count as an answer
        traceback.print_exc()
        return 70
    return code if isinstance(code, int) else 0 if code is None else 1


main()
