"""What several operations are sent: a reason, a policy, a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from stannary.core.errors import UsageError
from stannary.evidence.policy_text import is_rego
from stannary.evidence.policy_text import policy_of_text as policy_sent
from stannary.server.operations import Call
from stannary.server.problems import Refused

__all__ = ["MOST_POLICY", "PolicyName", "Reason", "Text", "evaluating", "is_rego", "policy_sent", "time_sent"]

MOST_POLICY = 1 << 16  # characters: those that are shipped have less than a thousand, and a mebibyte of YAML takes half a minute

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
# What decisions call a module in Rego: the name of a file, of no folder.
PolicyName = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[A-Za-z0-9._-]*$")]
_AT_ONCE = 2
_DAY = len("2026-11-26")


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Text


@contextmanager
def evaluating(call: Call, policy: str) -> Iterator[None]:
    """Evaluate within what somebody sends: a module in Rego may take its time, and one account has two of them at once.

    Raises Refused (429) for a third one.
    """
    if not is_rego(policy):
        yield
        return
    who = call.principal.id
    if not call.place.modules.enter(who, _AT_ONCE):
        detail = f"{_AT_ONCE} modules in Rego that {who} has sent are being evaluated"
        raise Refused(429, "Too many requests", detail, code="API005", headers={"retry-after": "2"})
    try:
        yield
    finally:
        call.place.modules.leave(who)


def time_sent(where: str, text: str, *, is_end: bool = False) -> datetime | None:
    """Return a time: of a day (UTC) its beginning, or where the next one begins; None for nothing. Raises UsageError."""
    text = text.strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        if len(text) == _DAY:
            return found.replace(tzinfo=UTC) + (timedelta(days=1) if is_end else timedelta())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"is no time: {text[:40]!r}"
        raise UsageError(msg, where=where, code="API002", help="2026-11-26, or 2026-11-26T10:00:00Z") from error
