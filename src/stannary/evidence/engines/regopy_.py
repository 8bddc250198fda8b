"""rego-cpp through its official wheel, `regopy`: no other program needed; slow with much evidence, and fine for a gate.

It runs in a process of its own: a module that it cannot read has been seen to end the interpreter (1.5.2).
"""

from __future__ import annotations

import re
import subprocess
import sys

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Json
from stannary.evidence.engines.interface import QUERY, undefined
from stannary.evidence.engines.rego_variables import unbound

__all__ = ["Regopy"]

_SECONDS = 120
_SAID = re.compile(r"errormsg \d+:([^)]*)\)")
_PLACE = re.compile(r"gate\.rego\|(\d+)\|")
_CHILD = """
import json, sys, regopy
given = json.load(sys.stdin)
regopy.set_default_log_level("None")
engine = regopy.Interpreter()
try:
    engine.add_module("gate.rego", given["module"])
    engine.set_input(given["input"])
    output = engine.query(given["query"])
    answer = {"values": [v for row in output.results for v in row.expressions]} if output.ok() else {"error": str(output)}
except regopy.RegoError as error:
    answer = {"error": str(error)}
json.dump(answer, sys.stdout, default=list)
"""


class _Answer(msgspec.Struct):
    values: list[Json] = []
    error: str = ""


class Regopy:
    """Evaluates in a child process."""

    name = "regopy"

    def deny(self, module: str, document: Json) -> list[Json]:
        """Return what the module denies. Raises UsageError for a module that does not compile, BackendError otherwise."""
        loose = unbound(module)
        if loose is not None:  # regopy would take it for undefined, and a rule with it would deny nothing
            msg = f"the variable {loose.name!r} is unsafe: nothing in its rule binds it"
            raise UsageError(
                msg, where=f"gate.rego:{loose.line}", code="POL006", help="is it a slip of the pen? `opa check FILE` says more"
            )
        given = msgspec.json.encode({"module": module, "input": document, "query": QUERY})
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, a program of ours
                [sys.executable, "-I", "-c", _CHILD], input=given, capture_output=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            msg = f"could not evaluate the policy: {error}"
            raise BackendError(msg, where="regopy", code="POL006") from error
        try:
            answer = msgspec.json.decode(done.stdout, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            said = done.stderr[-300:].decode("utf-8", "replace").strip()
            # 1.5.2 ends the interpreter, with 0 and without a word, over a module that it cannot parse.
            what = (
                f"ended with {done.returncode} and no answer{f': {said}' if said else ', as it does over a module that is no Rego'}"
            )
            raise BackendError(what, where="regopy", code="POL006", help="`opa check FILE` says where; or --engine opa") from error
        if answer.error:
            raise _refused(answer.error, module)
        if not answer.values or not isinstance(answer.values[0], list):
            raise undefined(self.name)
        return answer.values[0]


def _refused(text: str, module: str) -> UsageError:
    said = _SAID.search(text)
    place = _PLACE.search(text)
    line = module.count("\n", 0, int(place[1])) + 1 if place else 1
    msg = f"regopy does not take the policy: {said[1] if said else text[:200]}"
    return UsageError(msg, where=f"gate.rego:{line}", code="POL006", help="Rego v1: import rego.v1; deny contains msg if { ... }")
