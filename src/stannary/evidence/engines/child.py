"""The child that `confined.py` starts: `memory seconds answer regopy`, or `memory seconds answer exec PROGRAM ARGUMENT…`.

`regopy` reads {"module", "input", "query"} from stdin and writes {"values"}, {"error"} or {"over"}, a limit. It is C++ that reads
what a stranger wrote, so it is in the jail: no file but Python's own, no socket, no process. `exec` becomes the program, which
has its limits and no privileges; what it may do apart from that it has to be told itself.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from stannary.run import limits
from stannary.run.jail import Jail, enter

__all__ = ["main"]

_FILES = 64


def main() -> None:
    """Do what the arguments say."""
    memory, seconds, answer = map(int, sys.argv[1:4])
    if sys.argv[4] == "exec":
        limits.limit(memory=memory, processor_seconds=seconds, open_files=4 * _FILES, file_size=answer)
        limits.no_new_privileges()
        os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - the program that the caller chose, and no shell
    import regopy

    enter(Jail(memory=memory, processor_seconds=seconds, open_files=_FILES, file_size=answer))
    out = os.dup(1)
    os.dup2(2, 1)  # where the engine prints what it thinks of a module
    regopy.set_default_log_level("None")
    given = json.load(sys.stdin)
    try:
        said = json.dumps(_asked(given), default=list)
    except MemoryError:
        said = '{"over": "memory"}'
    with os.fdopen(out, "w") as file:
        file.write(said if len(said) < answer else '{"over": "answer"}')
    os._exit(0)  # what the engine would tear down goes with the process


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    import regopy

    engine = regopy.Interpreter()
    try:
        engine.add_module("gate.rego", given["module"])
        engine.set_input(given["input"])
        output = engine.query(given["query"])
        return {"values": [v for row in output.results for v in row.expressions]} if output.ok() else {"error": str(output)}
    except regopy.RegoError as error:
        return {"error": str(error)}
