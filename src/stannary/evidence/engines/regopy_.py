"""rego-cpp through its official wheel, `regopy`: no other program needed; slow with much evidence, and fine for a gate.

It runs in a process of its own, in the jail: it is C++, and reads what others wrote.
"""

from __future__ import annotations

import re

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Json
from stannary.evidence.engines.bounds import OWN, Bounds
from stannary.evidence.engines.confined import Confined
from stannary.evidence.engines.interface import QUERY, undefined
from stannary.evidence.engines.rego_variables import unbound

__all__ = ["Regopy"]

_SAID = re.compile(r"errormsg \d+:([^)]*)\)")
_PLACE = re.compile(r"gate\.rego\|(\d+)\|")


class _Answer(msgspec.Struct):
    values: list[Json] = []
    error: str = ""
    over: str = ""


class Regopy:
    """Evaluates in a child process."""

    name = "regopy"

    def __init__(self, bounds: Bounds = OWN) -> None:
        self._confined = Confined(self.name, bounds._replace(reach=False))  # it has nothing that asks the network

    def deny(self, module: str, document: Json) -> list[Json]:
        """Return what the module denies. Raises UsageError for a module that does not compile, BackendError otherwise."""
        loose = unbound(module)
        if loose is not None:  # regopy would take it for undefined, and a rule with it would deny nothing
            msg = f"the variable {loose.name!r} is unsafe: nothing in its rule binds it"
            raise UsageError(
                msg, where=f"gate.rego:{loose.line}", code="POL006", help="is it a slip of the pen? `opa check FILE` says more"
            )
        given = msgspec.json.encode({"module": module, "input": document, "query": QUERY})
        done = self._confined.run(["regopy"], given)
        try:
            answer = msgspec.json.decode(done.answer, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            said = done.said[-300:].decode("utf-8", "replace").strip()
            msg = f"ended with {done.status} and no answer{f': {said}' if said else ''}"
            raise BackendError(msg, where="regopy", code="POL006", help="or --engine opa") from error
        if answer.over:
            raise self._confined.over(answer.over)
        if answer.error:
            raise _refused(answer.error, module)
        if not answer.values or not isinstance(answer.values[0], list):
            raise undefined(self.name)
        return answer.values[0]


def _refused(text: str, module: str) -> UsageError:
    said = _SAID.search(text)
    place = _PLACE.search(text)
    line = module.count("\n", 0, int(place[1])) + 1 if place else 1
    # It says `<error>` and no more when it gives up.
    why = said[1] if said else "it gave up on it, as it does after very many steps" if text == "<error>" else text[:200]
    msg = f"regopy does not take the policy: {why}"
    return UsageError(msg, where=f"gate.rego:{line}", code="POL006", help="Rego v1: import rego.v1; deny contains msg if { ... }")
