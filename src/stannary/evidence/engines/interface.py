"""What an engine is, and which one there is."""

from __future__ import annotations

import importlib.util
import shutil
from typing import Protocol

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Json
from stannary.evidence.engines.bounds import OWN, Bounds

__all__ = ["ENGINES", "QUERY", "Engine", "choose", "undefined"]

QUERY = "data.stannary.gate.deny"
ENGINES = ("auto", "opa", "regopy")


class Engine(Protocol):
    """Evaluates Rego."""

    name: str

    def deny(self, module: str, document: Json) -> list[Json]:
        """Return what `data.stannary.gate.deny` of a module holds for an input. Raises UsageError, BackendError."""
        ...


def choose(name: str, bounds: Bounds = OWN) -> Engine:
    """Return the engine of a name; `auto` takes an `opa` on PATH before `regopy`. Raises UsageError when it is not there.

    What it returns is for one decision: the seconds of `bounds` are those of all its questions together. For a policy that a
    registry or a server was given, it is theirs to have an engine: there a BackendError says that they have none.
    """
    program = shutil.which("opa")
    if name in ("auto", "opa") and program:
        from stannary.evidence.engines.opa_program import OpaProgram

        return OpaProgram(program, bounds)
    if name in ("auto", "regopy") and importlib.util.find_spec("regopy") is not None:
        from stannary.evidence.engines.regopy_ import Regopy

        return Regopy(bounds)
    what = "an `opa` on PATH" if name == "opa" else "regopy" if name == "regopy" else "an `opa` on PATH, or regopy"
    if not bounds.reach:
        msg = (
            f"a policy in Rego needs {what}, and there is none where it is evaluated: on the machine of the registry or its server"
        )
        raise BackendError(msg, code="POL004", help="there: pip install 'stannary[rego]', or put opa on PATH; or a policy in YAML")
    msg = f"a policy in Rego needs {what}, and it is not here"
    raise UsageError(msg, where="--policy", code="POL004", help="pip install 'stannary[rego]', or put opa on PATH")


def undefined(engine: str) -> BackendError:
    """Return the error for a policy in which nothing says what to deny."""
    msg = f"{QUERY} is undefined in this policy, so it decides nothing"
    return BackendError(msg, where=engine, code="POL005", help="package stannary.gate; deny contains msg if { ... }")
