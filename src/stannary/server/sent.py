"""What several operations are sent: a reason, a policy."""

from __future__ import annotations

from typing import Annotated

import msgspec

from stannary.core.errors import UsageError
from stannary.policy.library import SHIPPED, load
from stannary.policy.model import Policy

__all__ = ["Reason", "Text", "policy_sent"]

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Text


def policy_sent(text: str) -> Policy:
    """Return a shipped policy by its name, or the one that is sent as YAML. No file of the server is ever read for it.

    Raises UsageError, or a group of InputErrors with everything that is wrong with it.
    """
    from stannary.evidence.predicates.table import KINDS

    if text in SHIPPED:
        return load(text, _no_file, frozenset(KINDS))

    def sent(name: str, parent: str) -> tuple[str, str]:
        return (text, "policy") if not parent else _no_file(name, parent)

    return load("policy", sent, frozenset(KINDS))


def _no_file(name: str, parent: str) -> tuple[str, str]:
    del parent
    msg = f"there is no policy {name[:80]!r} here: `extends` names one of {', '.join(SHIPPED)}"
    raise UsageError(msg, where="policy", code="POL003", help="send a policy that stands by itself")
