"""Policies by the names that people give them on the command line."""

from __future__ import annotations

from pathlib import Path

from stannary.core.errors import StannaryError, UsageError
from stannary.evidence.rego_gate import RegoPolicy
from stannary.policy.model import Policy

__all__ = ["read_module", "read_policy"]

_LARGEST = 1 << 20


def read_policy(name: str, engine: str = "auto") -> Policy | RegoPolicy:
    """Return a shipped policy, or the one in a file or on an OPA server. Raises UsageError, BackendError, or a group of them."""
    if name.startswith(("opa+http://", "opa+https://")):
        from stannary.evidence.engines.opa_server import OpaServer

        server = OpaServer(name.removeprefix("opa+"))
        return RegoPolicy(name, server.digest(), "", server)
    if name.endswith(".rego"):
        from stannary.evidence.engines.interface import choose
        from stannary.evidence.policy_text import rego_policy

        return rego_policy(read_module(name), name, choose(engine))
    return _yaml(name)


def read_module(path: str) -> str:
    """Return the module in a .rego file. Raises UsageError when there is none, or it is not UTF-8."""
    return _read(path, "")[0]


def _yaml(name: str) -> Policy:
    from stannary.evidence.predicates.table import KINDS
    from stannary.policy.library import load

    try:
        return load(name, _read, frozenset(KINDS))
    except ExceptionGroup as group:
        # A policy that cannot be read is the caller's, not an artifact that could not be analysed.
        found = (error for error in group.exceptions if isinstance(error, StannaryError))
        msg = "policy"
        raise ExceptionGroup(msg, [UsageError(e.message, where=e.where, code=e.code, help=e.help) for e in found]) from group


def _read(name: str, parent: str) -> tuple[str, str]:
    path = Path(parent).parent / name if parent else Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        from stannary.policy.library import SHIPPED

        msg = "there is no such policy"
        raise UsageError(
            msg, where=str(path), code="POL003", help=f"shipped are {', '.join(SHIPPED)}; anything else is a file"
        ) from None
    try:
        return content.decode("utf-8"), str(path)
    except UnicodeDecodeError as error:
        msg = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise UsageError(msg, where=str(path), code="POL001") from error
