"""What each kind of background job does, in a worker. It signs and logs nothing: it opens no key that signs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary import __version__
from stannary.app.places import open_registry
from stannary.app.statements import bom_subject, state_scan, take_bom
from stannary.core.errors import IntegrityError
from stannary.core.model import Digest
from stannary.evidence.policy_text import policy_of_text
from stannary.evidence.product import Product, Stated
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.registry.names import parse
from stannary.run.jobs.model import Job, JobSetup

if TYPE_CHECKING:
    from stannary.registry.registry import Registry
    from stannary.run.jobs.handling import JobHandler
    from stannary.run.progress import OnProgress

__all__ = ["handler_setup", "open_handler"]

_FACTORY = f"{__name__}:open_handler"


class _Settings(msgspec.Struct, frozen=True):
    workspace: str
    offline: bool = False


def handler_setup(workspace: Workspace, progress: str) -> JobSetup:
    """Return how a worker opens the handler of a workspace's jobs; `progress` is the folder that it tells its progress in."""
    settings = _Settings(str(workspace.root.resolve()), workspace.offline)
    return JobSetup(_FACTORY, msgspec.msgpack.encode(settings), progress)


def open_handler(data: bytes) -> JobHandler:
    """Return what does the jobs of a workspace, in a worker. It opens the workspace for reading when it has its first job."""
    settings = msgspec.msgpack.decode(data, type=_Settings)
    opened: list[Registry] = []

    def handle(job: Job, report: OnProgress) -> bytes:
        if not opened:
            # Contents may be encrypted for a key file: its passphrase is in the environment, or was made up. No signer is opened.
            workspace = Workspace(Path(settings.workspace))
            workspace.offline = settings.offline
            opened.append(open_registry(workspace, write=False))
        kinds: dict[str, Callable[[Registry, Job, OnProgress], Product]] = {"scan": _scan, "bom": _bom, "gate": _gate}
        return kinds[job.kind](opened[0], job, report).encoded()

    return handle


def _scan(registry: Registry, job: Job, report: OnProgress) -> Product:
    from stannary.checks.static.scan import ScanOptions, Target, scan_paths

    clock = registry.chain.workspace.clock
    with _at_hand(registry, job) as (path, name):
        started = clock()
        result = scan_paths([Target(path=str(path), display=name)], ScanOptions(jobs=1, on_progress=report))
        stated = state_scan(result, started, clock())
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
        made = take_bom(str(path), workspace, name=name, jobs=1)
    document = cyclonedx.render(made.inventory, options)
    points = score(document).points
    kind = str(job.params["format"])
    if kind == "spdx":
        document = spdx.render(made.inventory, options)
    stated = Stated(msgspec.structs.replace(bom_subject(made), name=name), kind, document)
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
        resolved = resolve(
            job.inputs[0],
            offline=registry.chain.workspace.offline,
            dest=Path(folder),
            public=Public(credentials=bool(job.params.get("credentials"))),
        )
        yield resolved.path, resolved.display


def _hold(job: Job, digest: str) -> None:
    """Refuse evidence about something else than what the job is about. Raises IntegrityError."""
    if "version" in job.params and digest != job.inputs[0]:
        msg = f"is {digest}, and not the artifact that the job is about"
        raise IntegrityError(msg, where=str(job.params["version"]), code="JOB004")
