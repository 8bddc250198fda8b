"""A policy, typed: what `language.py` reads and `decide.py` goes by."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

import msgspec

from stannary.core.canonical import digest_of
from stannary.core.model import Digest, Severity

__all__ = ["Duration", "Measure", "Name", "Policy", "Requirement", "WaiverRule", "duration", "shown"]

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}$")]
Duration: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,5}[smhdw]$")]
_Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Measure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A bound on a measurement, held against the worse end of its interval."""

    metric: Name
    min: float | None = None  # the interval's low end has to reach it
    max: float | None = None  # the interval's high end must not exceed it
    min_samples: _Whole | None = None


class Requirement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Evidence that has to be there. What is not named is not asked for; *incomplete* never satisfies.

    `id` names the rule in reasons and waivers (default: the kind, with the check where one is named). Of each
    check only the newest evidence of a trusted signer counts.
    """

    kind: Name
    id: str = ""
    check: str = ""
    signers: tuple[Name, ...] = ()
    max_age: Duration | None = None
    max_severity: Severity | Literal["none"] | None = None
    verdicts: tuple[Name, ...] = ()
    measures: tuple[Measure, ...] = ()
    approvals: _Whole | None = None  # so many different identities have to state it
    not_by: tuple[Name, ...] = ()  # who signed one of these kinds does not count: separation of duties
    waivable: bool = True

    @property
    def name(self) -> str:
        """Return what the requirement is called."""
        return self.id or (f"{self.kind}:{self.check}" if self.check else self.kind)


class WaiverRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose waivers count, and for how long at most."""

    allow: bool = True
    signers: tuple[Name, ...] = ()
    max_days: _Whole | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """A policy with everything it inherits."""

    name: str
    description: str = ""
    require: tuple[Requirement, ...] = ()
    waivers: WaiverRule = WaiverRule()
    valid_for: Duration | None = None  # how long a decision stands by itself

    @cached_property
    def digest(self) -> Digest:
        """Return the digest of what the policy demands, whatever file it was written in."""
        return digest_of(msgspec.to_builtins(self))


def duration(text: str) -> timedelta:
    """Return what `30d` or `12h` means."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def shown(time: timedelta) -> str:
    """Return a duration in its largest whole unit, for people."""
    seconds = int(time.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
