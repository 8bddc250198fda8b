"""A policy that somebody else sends: the name of a shipped one, YAML that stands by itself, or a module in Rego."""

from __future__ import annotations

import hashlib
import re

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.evidence.engines.bounds import SENT
from stannary.evidence.engines.interface import Engine, choose
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.rego_gate import RegoPolicy
from stannary.policy.library import SHIPPED, load
from stannary.policy.model import Policy

__all__ = ["is_rego", "policy_of_text", "rego_policy"]

_UNNAMED = "gate.rego"
# A module begins with its package, and only comments stand before it; in YAML that line is no mapping.
_MODULE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*package[ \t]+[A-Za-z_]")


def is_rego(text: str) -> bool:
    """Tell whether a policy that was sent is a module in Rego."""
    return _MODULE.match(text) is not None


def policy_of_text(text: str, name: str = "") -> Policy | RegoPolicy:
    """Return a shipped policy by its name, or the one that the text is. No file is ever read for it.

    `name` is what decisions call a module in Rego, which says none of its own; one in YAML says its name.

    Raises UsageError, also where there is no engine for Rego, or a group of InputErrors with everything that is wrong with it.
    """
    if text in SHIPPED:
        return load(text, _no_file, frozenset(KINDS))
    if is_rego(text):
        return rego_policy(text, name or _UNNAMED, choose("auto", SENT))

    def sent(name: str, parent: str) -> tuple[str, str]:
        return (text, "policy") if not parent else _no_file(name, parent)

    return load("policy", sent, frozenset(KINDS))


def rego_policy(text: str, name: str, engine: Engine) -> RegoPolicy:
    """Return a module as a policy, which is known by the digest of its text."""
    return RegoPolicy(name, Digest(hashlib.sha256(text.encode()).hexdigest()), text, engine)


def _no_file(name: str, parent: str) -> tuple[str, str]:
    del parent
    msg = f"there is no policy {name[:80]!r} here: `extends` names one of {', '.join(SHIPPED)}"
    raise UsageError(msg, where="policy", code="POL003", help="send a policy that stands by itself")
