"""Which waivers count: signed by whom the policy names, about the subject, with a reason, an owner and an end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest
from stannary.policy.model import WaiverRule

__all__ = ["Waivers"]

_SKEW = timedelta(minutes=5)


class Waivers:
    """The waivers about one subject, at one time."""

    def __init__(self, rule: WaiverRule, subject: Digest, waivers: Sequence[Verified[Evidence]], now: datetime) -> None:
        self._valid: dict[str, list[Verified[Evidence]]] = {}
        self._expired: dict[str, list[Verified[Evidence]]] = {}
        for item in sorted(waivers, key=lambda w: w.value.id):
            found = item.value
            if not rule.allow or found.kind != "waiver" or found.subject != subject or found.issued > now + _SKEW:
                continue
            if rule.signers and item.identity not in rule.signers:
                continue
            if found.expires is None or not _in_time(rule, found):
                continue
            into = self._valid if found.expires > now else self._expired
            into.setdefault(str(found.predicate.get("rule", "")), []).append(item)

    def of_finding(self, rule: str, file: str) -> Verified[Evidence] | None:
        """Return a waiver that covers a finding of a rule in a file."""
        return next((item for item in self._valid.get(rule, ()) if _covers(item, file)), None)

    def of_requirement(self, name: str) -> Verified[Evidence] | None:
        """Return a waiver of a whole requirement; one for a single file is none."""
        return next((item for item in self._valid.get(name, ()) if not item.value.predicate.get("file")), None)

    def expired(self, rule: str, file: str) -> str:
        """Return what to say when there was a waiver."""
        for item in self._expired.get(rule, ()):
            if _covers(item, file) and item.value.expires is not None:
                return f" (its waiver expired on {item.value.expires:%Y-%m-%d})"
        return ""


def _in_time(rule: WaiverRule, found: Evidence) -> bool:
    if rule.max_days is None or found.expires is None:
        return True
    return found.expires - found.issued <= timedelta(days=rule.max_days)


def _covers(item: Verified[Evidence], file: str) -> bool:
    named = item.value.predicate.get("file") or file
    return bool(named == file)
