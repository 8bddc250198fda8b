"""The user's own `opa` program: `opa eval`, in an empty folder.

A module of somebody else is compiled with OPA's capabilities less what reaches out of it: `http.send`, look-ups of names, and
`opa.runtime`, which shows the environment. https://www.openpolicyagent.org/docs/latest/deployments/#capabilities
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Json
from stannary.evidence.engines.bounds import OWN, Bounds
from stannary.evidence.engines.confined import Confined
from stannary.evidence.engines.interface import QUERY, undefined

__all__ = ["OpaProgram"]

_SAID = 2000
_REACHING = frozenset({"http.send", "net.lookup_ip_addr", "opa.runtime"})


class _Expression(msgspec.Struct):
    value: Json


class _Row(msgspec.Struct):
    expressions: list[_Expression]


class _Answer(msgspec.Struct):
    result: list[_Row] = []


class _Capabilities(msgspec.Struct):
    """What is read of OPA's own list; the rest of it is passed on as it is."""

    builtins: list[dict[str, Json]]


class OpaProgram:
    """Runs `opa eval`."""

    def __init__(self, program: str, bounds: Bounds = OWN) -> None:
        self.name = f"opa ({program})"
        self._program = program
        self._bounds = bounds
        self._confined = Confined(self._program, bounds)

    def deny(self, module: str, document: Json) -> list[Json]:
        """Return what the module denies. Raises UsageError for a module that does not compile, BackendError otherwise."""
        with tempfile.TemporaryDirectory(prefix="stannary-opa-") as scratch:
            policy, given, may = (Path(scratch) / name for name in ("gate.rego", "input.json", "may.json"))
            policy.write_text(module, encoding="utf-8")
            given.write_bytes(msgspec.json.encode(document))
            command = [self._program, "eval", "--format", "json", "--data", str(policy), "--input", str(given)]
            if not self._bounds.reach:
                may.write_bytes(_capabilities(self._program))
                command += ["--capabilities", str(may)]
            done = self._confined.run(["exec", *command, QUERY], folder=scratch)
        if done.status:
            said = (done.said or done.answer).decode("utf-8", "replace").replace(f"{scratch}/", "").strip()[:_SAID]
            msg = f"opa does not take the policy: {said}"
            raise UsageError(msg, where="--policy", code="POL006", help="opa check FILE.rego")
        try:
            rows = msgspec.json.decode(done.answer, type=_Answer).result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"opa answered what is not understood: {error}"
            raise BackendError(msg, where=self._program, code="POL006") from error
        if not rows or not rows[0].expressions or not isinstance(rows[0].expressions[0].value, list):
            raise undefined(self.name)
        return list(rows[0].expressions[0].value)


@lru_cache(maxsize=4)
def _capabilities(program: str) -> bytes:
    """Return what a module of somebody else may call: all that this OPA has, less what reaches out. Raises BackendError."""
    done = Confined(program, OWN._replace(reach=False)).run(["exec", program, "capabilities", "--current"])
    said = done.said[:200].decode("utf-8", "replace").strip()
    try:
        known = msgspec.json.decode(done.answer, type=_Capabilities).builtins
        found = msgspec.json.decode(done.answer)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"`opa capabilities --current` does not say what it can do, so others' policies cannot be bounded: {error}; {said}"
        raise BackendError(msg, where=program, code="POL006", help="OPA 0.40 or later; or regopy, without opa on PATH") from error
    found["builtins"] = [item for item in known if item.get("name") not in _REACHING]
    return msgspec.json.encode({**found, "allow_net": []})
