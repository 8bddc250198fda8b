"""The chain of evidence of a version as one line, from its source to where it is in service."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stannary.evidence.story import Link, Story, Told
from stannary.registry.model import Alias, Version
from stannary.registry.shredded import PastShredding

__all__ = ["Step", "steps"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain: what happened, what shows it. `state` is `good`, `bad` or `plain`; `evidence` names a statement."""

    what: str
    says: str
    state: str
    who: str = ""
    when: str = ""
    evidence: str = ""
    index: int | None = None
    verify: str = ""
    about: tuple[str, ...] = ()


def steps(version: Version, story: Story, aliases: Iterable[Alias], shredded: PastShredding | None = None) -> list[Step]:
    """Return the chain, in the order in which things lead to service; or to where the key of its contents was destroyed."""
    made = [
        Step(what="source", says=story.origin[0].strip() if story.origin else "nothing says where it comes from",
             state="good" if story.origin else "plain", about=story.origin),
        Step(what="pushed", says=f"{version} by {version.creator}", state="good", who=version.creator, when=version.created,
             index=version.entry, verify=f"stannary ledger prove {version.entry}"),
    ]  # fmt: skip
    made += [_evidence(link) for link in story.evidence]
    made += [_decision(told) for told in story.decisions]
    if version.quarantined:
        made.append(Step(what="quarantined", says=version.quarantined, state="bad"))
    if shredded is not None:
        made.append(Step(what="shredded", says=f"nobody can read it any more: {shredded.reason}", state="bad", who=shredded.actor,
                         when=shredded.when, index=shredded.entry, verify=f"stannary ledger prove {shredded.entry}"))  # fmt: skip
    elif version.dropped:
        made.append(Step(what="deleted", says="its contents are no longer kept", state="bad"))
    at = [alias for alias in aliases if alias.number == version.number]
    made += [
        Step(what=f"@{alias.alias}", says=f"in service since {alias.moved[:16].replace('T', ' ')}", who=alias.actor,
             when=alias.moved, state="bad" if version.quarantined else "good", evidence=alias.decision, index=alias.entry,
             verify=f"stannary ledger prove {alias.entry}")
        for alias in at
    ]  # fmt: skip
    return made if at else [*made, Step(what="service", says="no alias is at this version", state="plain")]


def _evidence(link: Link) -> Step:
    return Step(
        what=link.kind, says=link.says, state=_state(link.outcome), who=link.signer, when=link.issued.isoformat(), evidence=link.id,
        index=link.index, verify=link.verify,
    )  # fmt: skip


def _decision(told: Told) -> Step:
    link = told.decision
    return Step(
        what=f"gate {told.policy}", says=told.verdict, state="good" if told.verdict == "allow" else "bad", who=link.signer,
        when=link.issued.isoformat(), evidence=link.id, index=link.index, verify=link.verify, about=told.reasons,
    )  # fmt: skip


def _state(outcome: str) -> str:
    """Only what passed is good: what is incomplete shows nothing."""
    return "good" if outcome == "passed" else "bad"
