"""What several operations are sent: a reason, a policy."""

from __future__ import annotations

from typing import Annotated

import msgspec

from stannary.evidence.policy_text import policy_of_text as policy_sent

__all__ = ["Reason", "Text", "policy_sent"]

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Text
