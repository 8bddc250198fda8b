"""The vocabulary of evidence and of what is decided from it (ARCHITECTURE.md).

`Verified[T]` wraps what a signature was checked on. It is made by `stannary.evidence.verify` alone (a
test holds that), so that a function that takes `Verified[Evidence]` cannot be handed anything unsigned.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Generic, Literal, TypeVar

import msgspec

from stannary.core.model import Digest, Finding, Json

__all__ = [
    "Check",
    "Decision",
    "Evidence",
    "Measurement",
    "Outcome",
    "Reason",
    "Resource",
    "SeverityCounts",
    "Verified",
    "seal",
]

T = TypeVar("T")
Outcome = Literal["passed", "failed", "incomplete", "error"]


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number with its interval (`low` to `high`, at the confidence level `level`), sample size and seed."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    seed: int | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something named by its digests: a subject, or an input (in-toto's ResourceDescriptor, in part)."""

    digest: Mapping[str, str]  # algorithm → hex; an artifact of ours has `dirHash1`
    name: str = ""
    uri: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was run: its id and version, the digest of its rules or data, its parameters."""

    id: str
    version: str
    ruleset: str = ""
    parameters: Mapping[str, Json] = {}


class SeverityCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings there are, whatever waivers say."""

    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    info: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One statement about one subject, as projected from its envelope; `id` names the statement.

    `kind` is the short name of the predicate type (`model-scan`, `statement`, ...). `predicate` is the whole
    of it. `recorded` is when the ledger took it, which the signer cannot choose; `issued` is what it says.
    """

    id: Digest
    subject: Digest
    subject_name: str
    kind: str
    predicate_type: str
    check: Check
    outcome: Outcome
    issued: datetime
    expires: datetime | None = None
    recorded: datetime | None = None
    verdict: str = ""
    counts: SeverityCounts = SeverityCounts()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    inputs: tuple[Resource, ...] = ()
    partial: bool = False
    predicate: Mapping[str, Json] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a rule of a policy holds or does not: the rule, the evidence it rests on, the next command."""

    rule: str
    ok: bool
    message: str
    evidence: str = ""
    waiver: str = ""
    help: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about a subject, from which evidence, until when it stands by itself."""

    verdict: Literal["allow", "deny"]
    subject: Digest
    subject_name: str
    policy: Digest
    policy_name: str
    reasons: tuple[Reason, ...]
    evidence: tuple[Digest, ...]
    decided: datetime
    expires: datetime | None = None


class Verified(Generic[T]):
    """A value on which a signature of `keyid` was verified. `identity` is who that is, as the caller's trust says."""

    __slots__ = ("identity", "index", "keyid", "value")

    def __init__(self) -> None:
        msg = "Verified is made by stannary.evidence.verify alone"
        raise TypeError(msg)

    value: T
    keyid: str
    identity: str
    index: int | None  # where the ledger holds it

    def __repr__(self) -> str:
        return f"Verified({self.value!r}, keyid={self.keyid[:16]!r}, identity={self.identity!r})"


def seal(value: T, *, keyid: str, identity: str = "", index: int | None = None) -> Verified[T]:
    """Wrap a value whose signature was just verified. Only `stannary.evidence.verify` may call this."""
    made: Verified[T] = Verified.__new__(Verified)
    made.value, made.keyid, made.identity, made.index = value, keyid, identity, index
    return made
