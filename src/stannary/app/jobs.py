"""The background jobs of a workspace: what can be asked for. Rights are looked at here, and not when a job is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stannary import __version__
from stannary.core.errors import UsageError
from stannary.core.model import Digest, Json
from stannary.evidence.policy_text import policy_of_text
from stannary.evidence.subject import named_digest
from stannary.registry.names import DEFAULT, Name, parse
from stannary.run.jobs.model import Job
from stannary.store.job_table import JobTable, NewJob

if TYPE_CHECKING:
    from stannary.registry.registry import Registry

__all__ = ["EVERYTHING", "FORMATS", "KINDS", "Asked", "describe", "open_table"]

KINDS = ("scan", "bom", "gate")
FORMATS = ("cyclonedx", "spdx")  # of a bill of materials
EVERYTHING = Name(DEFAULT, "*")


class Asked(NamedTuple):
    """What somebody asks for: the kind, of what, and what that kind needs besides. `again`: also if it was done before.

    `credentials`: that the worker shows its own to a hub or a bucket, which is a privilege (`fetch`).
    """

    kind: str
    target: str
    policy: str = "baseline"
    format: str = "cyclonedx"
    again: bool = False
    credentials: bool = False


def open_table(registry: Registry) -> JobTable:
    """Return the jobs of a registry's workspace."""
    return JobTable(registry.database, registry.chain.workspace.clock)


def describe(registry: Registry, asked: Asked) -> NewJob:
    """Return the job that is asked for, by the registry's actor. Nothing is fetched, and no path of this machine is taken.

    Raises UsageError for what is none, PolicyDenied when the actor may not, and what resolving a version raises.
    """
    if asked.kind not in KINDS:
        msg = f"there is no job {asked.kind[:40]!r}"
        raise UsageError(msg, where="kind", code="JOB002", help=f"one of {', '.join(KINDS)}")
    params: dict[str, Json] = {"tool": __version__}
    digest = named_digest(asked.target)
    place = EVERYTHING
    if digest is None and _is_version(asked.target):
        reference = parse(asked.target)
        place = reference.name
        registry.allowed("jobs", place)
        version = registry.resolve(reference)
        digest = Digest.parse(version.digest)
        params["version"] = str(version)
    else:
        registry.allowed("jobs", place)
    inputs = (str(digest) if digest else asked.target,)
    if asked.kind == "gate":
        if digest is None:
            msg = "a gate decides about a digest, or a version of the registry"
            raise UsageError(msg, where=asked.target[:200], code="JOB002", help="scan it first, and take the digest from there")
        policy_of_text(asked.policy)
        # Evidence is what it decides by: with more of it, it is another job.
        params |= {"policy": asked.policy, "ledger": registry.chain.ledger.head().size}
    elif "version" not in params:
        _check_address(asked.target)
    if asked.credentials:
        _check_credentials(registry, asked)
        params["credentials"] = True
    if asked.kind == "bom":
        if asked.format not in FORMATS:
            msg = f"is no format of a bill of materials: {asked.format[:40]!r}"
            raise UsageError(msg, where="format", code="JOB002", help=" or ".join(FORMATS))
        params["format"] = asked.format
    if asked.again:
        params["asked"] = registry.chain.workspace.clock().isoformat()
    job = Job(asked.kind, inputs, params)
    return NewJob(
        key=job.key, kind=job.kind, inputs=job.inputs, params=job.params,
        namespace=place.namespace, model=place.name, actor=registry.actor,
    )  # fmt: skip


def _check_credentials(registry: Registry, asked: Asked) -> None:
    """Return when the worker's own credentials may be used for a job. Raises UsageError, PolicyDenied."""
    if not asked.target.startswith(("hf://", "s3://")):
        msg = "only hf:// and s3:// are fetched with credentials"
        raise UsageError(msg, where="credentials", code="JOB002", help="leave it out")
    registry.allowed("fetch", EVERYTHING)


def _is_version(target: str) -> bool:
    return target.startswith("registry:") or ("://" not in target and not target.startswith(("/", ".", "~")) and ":" in target)


def _check_address(target: str) -> None:
    from stannary.store.sources.public import check_public

    check_public(target)
