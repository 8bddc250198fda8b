"""A policy that somebody else sends: the name of a shipped one, or YAML that stands by itself."""

from __future__ import annotations

from stannary.core.errors import UsageError
from stannary.evidence.predicates.table import KINDS
from stannary.policy.library import SHIPPED, load
from stannary.policy.model import Policy

__all__ = ["policy_of_text"]


def policy_of_text(text: str) -> Policy:
    """Return a shipped policy by its name, or the one that the text is. No file is ever read for it.

    Raises UsageError, or a group of InputErrors with everything that is wrong with it.
    """
    if text in SHIPPED:
        return load(text, _no_file, frozenset(KINDS))

    def sent(name: str, parent: str) -> tuple[str, str]:
        return (text, "policy") if not parent else _no_file(name, parent)

    return load("policy", sent, frozenset(KINDS))


def _no_file(name: str, parent: str) -> tuple[str, str]:
    del parent
    msg = f"there is no policy {name[:80]!r} here: `extends` names one of {', '.join(SHIPPED)}"
    raise UsageError(msg, where="policy", code="POL003", help="send a policy that stands by itself")
