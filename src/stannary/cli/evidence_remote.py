"""`stannary gate|why --server`: what a server says of an artifact, from the evidence that it keeps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.core.evidence import Decision, Resource
from stannary.core.model import Digest

if TYPE_CHECKING:
    from stannary.registry.client import Client

__all__ = ["decided_there", "named", "next_there", "refuse_exports", "subject_there"]


def named(target: str) -> str:
    """Return a target with what is neither a path nor a digest taken as a name of the registry."""
    from stannary.evidence.subject import named_digest
    from stannary.registry.names import parse

    if target.startswith("registry:") or Path(target).exists() or named_digest(target) is not None:
        return target
    try:
        parse(target)
    except UsageError:
        return target
    return f"registry:{target}"


def subject_there(client: Client, target: str) -> Resource:
    """Return the subject that a target names: a version of the server's registry, or what lies here. Raises what both raise."""
    from stannary.cli.workspace import subject_at
    from stannary.evidence.statement import subject_resource
    from stannary.registry.names import parse

    if not target.startswith("registry:") or Path(target).exists():
        return subject_at(target)
    version, _ = client.show(parse(target))
    return subject_resource(Digest.parse(version.digest), str(version.name))


def next_there(help_: str, target: str) -> str:
    """Return the next command of a reason for whoever asks a server: the evidence has to come into its ledger, not into one here.

    Args:
        help_: what the server said, for its own workspace.
        target: what was decided about; only a version of the registry is known there by a name.
    """
    if not target.startswith("registry:"):
        return help_
    name = shlex.quote(target)
    command, _, rest = help_.partition(" TARGET ")
    known = {
        "stannary scan": f"stannary jobs add scan {name}",
        "stannary bom": f"stannary jobs add bom {name}{' --bom-format spdx' if 'spdx' in rest else ''}",
    }
    if command in known:
        return known[command]
    if command == "stannary attest" and rest.startswith("--topic approval"):
        return f"stannary registry approve {shlex.quote(target.removeprefix('registry:'))} --statement TEXT --key KEY"
    there = f"{help_.replace(' TARGET ', f' {name} ')}"
    return f"{there} (in the server's workspace)" if rest else there


def decided_there(client: Client, target: str, policy: str, *, record: bool) -> tuple[Decision, str]:
    """Return what a server decides about a target, and the id of the decision that it logged. Raises BackendError."""
    from stannary.cli.registry_remote import policy_there
    from stannary.evidence.statement import subject_of_resource
    from stannary.report.documents import DecisionDocument

    subject = subject_there(client, target)
    digest = subject_of_resource(subject)
    document: dict[str, Any] = client.decide(str(digest), policy_there(policy)[0], record=record)
    try:
        found = msgspec.convert(document, DecisionDocument)
        decision = Decision(
            verdict="allow" if found.verdict == "allow" else "deny",
            subject=Digest.parse(found.subject.digest),
            subject_name=found.subject.name or subject.name,
            policy=Digest.parse(found.policy.digest),
            policy_name=found.policy.name,
            reasons=tuple(msgspec.structs.replace(row, help=next_there(row.help, target)) for row in found.reasons),
            evidence=tuple(map(Digest.parse, found.evidence)),
            decided=found.decided,
            expires=found.expires,
        )
    except (msgspec.ValidationError, ValueError) as error:
        msg = f"the server's answer cannot be read: {error}"
        raise BackendError(msg, code="CLI004", help="is it a stannary of this version?") from error
    if decision.subject != digest:
        msg = f"the server decided about {decision.subject}"
        raise BackendError(msg, where=str(digest), code="CLI003")
    return decision, found.recorded


def refuse_exports(given: dict[str, Any]) -> None:
    """Raise UsageError for what only the workspace that has the evidence can write."""
    for option in ("export_input", "export_rego"):
        if given[option]:
            msg = "is written from the evidence of a workspace, which a server does not hand out"
            raise UsageError(
                msg, where=f"--{option.replace('_', '-')}", code="USE015", help="leave it out, or unset STANNARY_SERVER"
            )
    if given["engine"] != "auto":
        msg = "a server evaluates with the engine that it has"
        raise UsageError(msg, where="--engine", code="USE015", help="leave it out, or unset STANNARY_SERVER")
