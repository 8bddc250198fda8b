"""The user's own `opa` program: `opa eval`, in an empty folder, with no network of ours."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Json
from stannary.evidence.engines.interface import QUERY, undefined

__all__ = ["OpaProgram"]

_SECONDS = 60
_SAID = 2000


class _Expression(msgspec.Struct):
    value: Json


class _Row(msgspec.Struct):
    expressions: list[_Expression]


class _Answer(msgspec.Struct):
    result: list[_Row] = []


class OpaProgram:
    """Runs `opa eval`."""

    def __init__(self, program: str) -> None:
        self.name = f"opa ({program})"
        self._program = program

    def deny(self, module: str, document: Json) -> list[Json]:
        """Return what the module denies. Raises UsageError for a module that does not compile, BackendError otherwise."""
        with tempfile.TemporaryDirectory(prefix="stannary-opa-") as scratch:
            policy, given = Path(scratch) / "gate.rego", Path(scratch) / "input.json"
            policy.write_text(module, encoding="utf-8")
            given.write_bytes(msgspec.json.encode(document))
            command = [self._program, "eval", "--format", "json", "--data", str(policy), "--input", str(given), QUERY]
            try:
                done = subprocess.run(command, cwd=scratch, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - the user's own program
            except (OSError, subprocess.TimeoutExpired) as error:
                msg = f"opa could not be run: {error}"
                raise BackendError(msg, where=self._program, code="POL006") from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").replace(f"{scratch}/", "").strip()[:_SAID]
            msg = f"opa does not take the policy: {said}"
            raise UsageError(msg, where="--policy", code="POL006", help="opa check FILE.rego")
        try:
            rows = msgspec.json.decode(done.stdout, type=_Answer).result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"opa answered what is not understood: {error}"
            raise BackendError(msg, where=self._program, code="POL006") from error
        if not rows or not rows[0].expressions or not isinstance(rows[0].expressions[0].value, list):
            raise undefined(self.name)
        return list(rows[0].expressions[0].value)
