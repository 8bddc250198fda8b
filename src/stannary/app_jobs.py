"""The background jobs of a workspace: what can be asked for, what each kind does, and a worker over its table.

Beside `app.py` on the line of the composition root. A job is described by whoever asks for it (`describe`: rights are looked
at then), done by a handler that signs and logs nothing (`open_handler`), and kept as evidence by the worker (`work`).
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stannary import __version__, app
from stannary.core.errors import IntegrityError, UsageError
from stannary.core.model import Digest, Json
from stannary.evidence.policy_text import policy_of_text
from stannary.evidence.product import Product, Stated, keeper_of
from stannary.evidence.statement import subject_resource
from stannary.evidence.subject import named_digest
from stannary.evidence.workspace import Workspace
from stannary.registry.names import DEFAULT, Name, parse
from stannary.run.jobs.model import Job, JobLimits, JobSetup
from stannary.store.job_table import JobTable, NewJob

if TYPE_CHECKING:
    from stannary.registry.registry import Registry
    from stannary.run.jobs.handling import JobHandler
    from stannary.run.jobs.interface import JobExecutor
    from stannary.run.progress import OnProgress

__all__ = ["KINDS", "Asked", "describe", "open_executor", "open_handler", "open_table", "work"]

KINDS = ("scan", "bom", "gate")
EVERYTHING = Name(DEFAULT, "*")
_FACTORY = "stannary.app_jobs:open_handler"
_SECONDS = 3600.0


class Asked(NamedTuple):
    """What somebody asks for: the kind, of what, and what that kind needs besides. `again`: also if it was done before."""

    kind: str
    target: str
    policy: str = "baseline"
    format: str = "cyclonedx"
    again: bool = False


class _Settings(msgspec.Struct, frozen=True):
    workspace: str
    offline: bool = False


def open_table(registry: Registry) -> JobTable:
    """Return the jobs of a registry's workspace."""
    return JobTable(registry.database, registry.chain.workspace.clock)


# Asking


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
    if asked.kind == "bom":
        if asked.format not in ("cyclonedx", "spdx"):
            msg = f"is no format of a bill of materials: {asked.format[:40]!r}"
            raise UsageError(msg, where="format", code="JOB002", help="cyclonedx or spdx")
        params["format"] = asked.format
    if asked.again:
        params["asked"] = registry.chain.workspace.clock().isoformat()
    job = Job(asked.kind, inputs, params)
    return NewJob(
        key=job.key, kind=job.kind, inputs=job.inputs, params=job.params,
        namespace=place.namespace, model=place.name, actor=registry.actor,
    )  # fmt: skip


def _is_version(target: str) -> bool:
    return target.startswith("registry:") or ("://" not in target and not target.startswith(("/", ".", "~")) and ":" in target)


def _check_address(target: str) -> None:
    from stannary.store.sources.public import check_public

    check_public(target)


# Doing


def open_handler(data: bytes) -> JobHandler:
    """Return what does the jobs of a workspace, in a worker. It opens the workspace for reading when it has its first job."""
    settings = msgspec.msgpack.decode(data, type=_Settings)
    opened: list[Registry] = []

    def handle(job: Job, report: OnProgress) -> bytes:
        if not opened:
            workspace = Workspace(Path(settings.workspace), passphrase=lambda: None)
            workspace.offline = settings.offline
            opened.append(app.open_registry(workspace, write=False))
        kinds: dict[str, Callable[[Registry, Job, OnProgress], Product]] = {"scan": _scan, "bom": _bom, "gate": _gate}
        return kinds[job.kind](opened[0], job, report).encoded()

    return handle


def _scan(registry: Registry, job: Job, report: OnProgress) -> Product:
    from stannary.checks.static.scan import ScanOptions, Target, scan_paths

    clock = registry.chain.workspace.clock
    with _at_hand(registry, job) as (path, name):
        started = clock()
        result = scan_paths([Target(path=str(path), display=name)], ScanOptions(jobs=1, on_progress=report))
        stated = app.state_scan(result, started, clock())
    named = [msgspec.structs.replace(one, subject=msgspec.structs.replace(one.subject, name=name)) for one in stated]
    subject = f"sha256:{named[0].subject.digest['dirHash1']}"
    _hold(job, subject)
    return Product(tuple(named), {"verdict": result.targets[0].verdict, "subject": subject})


def _bom(registry: Registry, job: Job, report: OnProgress) -> Product:
    del report
    from stannary.report.bom import cyclonedx, spdx
    from stannary.report.bom.options import BomOptions
    from stannary.report.bom.score import score

    workspace = registry.chain.workspace
    options = BomOptions(timestamp=workspace.clock().replace(microsecond=0), tool_version=__version__)
    with _at_hand(registry, job) as (path, name):
        made = app.take_bom(str(path), workspace, name=name, jobs=1)
    document = cyclonedx.render(made.inventory, options)
    points = score(document).points
    kind = str(job.params["format"])
    if kind == "spdx":
        document = spdx.render(made.inventory, options)
    stated = Stated(msgspec.structs.replace(app.bom_subject(made), name=name), kind, document)
    _hold(job, str(made.inventory.digest))
    return Product((stated,), {"completeness": points, "subject": str(made.inventory.digest)})


def _gate(registry: Registry, job: Job, report: OnProgress) -> Product:
    del report
    from stannary.evidence.gate import judge, stated_decision

    version = str(job.params.get("version", ""))
    subject = subject_resource(Digest.parse(job.inputs[0]), str(parse(version).name) if version else "")
    judged = judge(registry.chain, subject, policy_of_text(str(job.params["policy"])))
    named, predicate = stated_decision(subject, judged, __version__)
    return Product((Stated(named, "vsa", predicate),), {"verdict": judged.decision.verdict, "subject": job.inputs[0]})


@contextmanager
def _at_hand(registry: Registry, job: Job) -> Iterator[tuple[Path, str]]:
    """Return where the input of a job lies, and what to call it, for as long as the block lasts."""
    from stannary.store.sources import resolve
    from stannary.store.sources.public import Public

    with tempfile.TemporaryDirectory(prefix="stannary-job-") as folder:
        version = str(job.params.get("version", ""))
        if version:
            found, path = registry.pull(parse(version), Path(folder) / "artifact")
            yield path, str(found.name)
            return
        resolved = resolve(job.inputs[0], offline=registry.chain.workspace.offline, dest=Path(folder), public=Public())
        yield resolved.path, resolved.display


def _hold(job: Job, digest: str) -> None:
    """Refuse evidence about something else than what the job is about. Raises IntegrityError."""
    if "version" in job.params and digest != job.inputs[0]:
        msg = f"is {digest}, and not the artifact that the job is about"
        raise IntegrityError(msg, where=str(job.params["version"]), code="JOB004")


# Working


def open_executor(spec: str, setup: JobSetup, limits: JobLimits, workers: int = 0) -> JobExecutor:
    """Return an executor: `inline`, `pool`, `ray`, `ray:HOST:PORT` or `ray://HOST:PORT`. Raises UsageError or BackendError."""
    if spec == "inline":
        from stannary.run.jobs.inline import InlineJobs

        return InlineJobs(setup, limits)
    if spec == "pool":
        from stannary.run.jobs.pool import PoolJobs

        return PoolJobs(setup, limits, workers=workers)
    if spec == "ray" or spec.startswith("ray:"):
        from stannary.run.jobs.ray_ import RayJobs

        return RayJobs(setup, limits, address=spec if spec.startswith("ray://") else spec.removeprefix("ray").removeprefix(":"))
    msg = f"is no executor: {spec[:80]!r}"
    raise UsageError(msg, where="--executor", code="JOB005", help="inline, pool, ray, ray:HOST:PORT or ray://HOST:PORT")


def work(
    workspace: Workspace, stop: threading.Event, *, executor: str = "pool", workers: int = 0, drain: bool = False,
    on_event: Callable[[str, str], None] | None = None,
) -> int:  # fmt: skip
    """Do the jobs of a workspace until `stop` is set (with `drain`, until none is left), and return how many were done.

    To be called before threads are started: the processes of a pool are forked. They do not get the workspace's keys, which are
    opened after that, here. Raises UsageError or BackendError.
    """
    from stannary.evidence.chain import Chain
    from stannary.run.jobs.worker import Worker, WorkerOptions

    with tempfile.TemporaryDirectory(prefix="stannary-jobs-") as progress:
        settings: Any = _Settings(str(workspace.root.resolve()), workspace.offline)
        setup = JobSetup(_FACTORY, msgspec.msgpack.encode(settings), progress)
        # What is tried again, and when a job is given up, is for the table to say: it outlives this process.
        running = open_executor(executor, setup, JobLimits(seconds=_SECONDS, tries=1, crashes=1), workers)
        try:
            chain = Chain(workspace, write=True)
            database = app.open_database(workspace)
            try:
                options = WorkerOptions(drain=drain, progress=progress)
                table = JobTable(database, workspace.clock)
                return Worker(table, running, keeper_of(chain), options, on_event).run(stop)
            finally:
                database.close()
                chain.ledger.close()
        finally:
            running.close()
