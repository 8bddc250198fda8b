"""An evaluation: the model is scanned, opened in the guard and attacked, and what was found becomes one report card.

The process that is called reads no model: it scans, starts a guarded process that does the work (`evaluation_work`), shows how far
that is and takes its card. A function, a GPU and several processes cannot be had in the guard; they take `trust`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary import __version__
from stannary.app.evaluation_request import Answer, Request, Work
from stannary.checks.target.card import EvaluationResult, Tool
from stannary.core.errors import BackendError, Bug, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.app.opening import Admitted
    from stannary.run.jail import Jail

__all__ = ["evaluate", "infer", "vouched"]

_DAYS = 20 * 24 * 3600.0  # an evaluation takes what it takes; Ctrl-C ends it
_LOOK = 0.5
_MEMORY = 1 << 38  # address space is no measure of a network's memory; the machine's own is the limit
_ERRORS = {kind.__name__: kind for kind in (BackendError, Bug, InputError, IntegrityError, PolicyDenied, UsageError)}
# What libraries of arrays look at to know the machine; nothing of another process.
_MACHINE = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/proc/sys/kernel",
    "/sys/devices/system",
    "/sys/fs/cgroup",
)
_ITSELF = "/proc/self"  # found by the process that enters the guard: resolved here it would be this one
_SAID = 300


def evaluate(request: Request, *, note: Callable[[str], None] = lambda _: None) -> EvaluationResult:
    """Evaluate what is asked for and return the card. `note` is told how far it is, in words.

    Raises:
        UsageError, InputError: options, data or a model that cannot be used.
        PolicyDenied: the scan refuses the model.
        BackendError: the guard, or an endpoint.
    """
    answer, work = _answer(request, note)
    if answer.card is None:
        msg = "the evaluation gave no card"
        raise Bug(msg)
    return vouched(answer.card, work)


def vouched(card: EvaluationResult, work: Work) -> EvaluationResult:
    """Return the card with what this process knows by itself: which artifact it is about, in which guard, what was asked.

    A model that ran code in the guard could otherwise have a card signed about another artifact.
    """
    request, admitted = work.request, work.model
    model = msgspec.structs.replace(card.model, path=request.model, digest=None, sha256=None, jail=work.jail)
    if admitted is not None:
        name = admitted.display.rstrip("/").rpartition("/")[2] or admitted.display
        given = {"path": admitted.display, "name": name, "digest": admitted.digest, "sha256": admitted.sha256}
        model = msgspec.structs.replace(model, **given, format=admitted.format)
    return msgspec.structs.replace(
        card, tool=Tool(version=__version__), model=model, suite=request.suites, seed=request.seed, device=request.device
    )


def infer(request: Request) -> str:
    """Return the domain that is inferred from the data, as YAML. Raises as `evaluate`."""
    return _answer(request, lambda _: None, infer=True)[0].text


def _answer(request: Request, note: Callable[[str], None], *, infer: bool = False) -> tuple[Answer, Work]:
    with ExitStack() as stack:
        own = request.is_function or (request.is_endpoint and not infer)  # the caller's own code, or nothing that is loaded
        model = None if infer or own else _admit(request, stack, note)
        work = Work(request=request, model=model, infer=infer)
        if own or (request.trust and (request.workers > 1 or request.device != "cpu")):
            from stannary.app.evaluation_work import do

            return _raised(do(work, note)), work
        answer, work = _guarded(work, stack, note)
        return _raised(answer), work


def _admit(request: Request, stack: ExitStack, note: Callable[[str], None]) -> Admitted:
    from stannary.app.opening import admit
    from stannary.app.targets import located
    from stannary.checks.static.scan import ScanOptions

    note("scanning the model")
    (target,) = stack.enter_context(located([request.model], offline=request.offline))
    return admit(target, ScanOptions(jail=request.jail), trust=request.trust)


def _guarded(work: Work, stack: ExitStack, note: Callable[[str], None]) -> tuple[Answer, Work]:
    """Do the work in a process of its own, in the guard."""
    from stannary.run import scratch
    from stannary.run.interface import Done, Job, Setup
    from stannary.run.pool import Pool

    folder = scratch.make()
    stack.callback(scratch.remove, folder)
    work = msgspec.structs.replace(work, folder=folder)
    progress = Path(folder, "progress")
    pool = stack.enter_context(Pool(Setup("stannary.app.evaluation_work:worker"), _jail(work, folder), seconds=_DAYS))
    held = pool.started()
    work = msgspec.structs.replace(work, jail=held.level if held is not None else "none")
    pool.submit(Job(msgspec.json.encode(work)))
    while True:
        for outcome in pool.results(timeout=_LOOK):
            if isinstance(outcome, Done):
                return msgspec.json.decode(outcome.value, type=Answer), work
            why = outcome.reason if hasattr(outcome, "reason") else outcome.error
            msg = f"the process that evaluated it ended: {why}"
            raise InputError(msg, where=work.request.model, code="EVA004")
        _tell(progress, note)


def _tell(progress: Path, note: Callable[[str], None]) -> None:
    with contextlib.suppress(OSError), progress.open(encoding="utf-8", errors="replace") as file:  # nothing to tell yet
        note(inline(file.read(_SAID)))  # the process is not trusted: neither with the length nor with the signs


def _jail(work: Work, folder: str) -> Jail:
    from stannary.run.jail import Jail

    request = work.request
    read = [request.data, request.members, request.domain, work.model.path if work.model else None]
    write = [request.adversarials, request.checkpoint]
    for path in filter(None, write):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Jail(
        level=request.jail,
        read=(*(str(Path(path).resolve()) for path in (*read, *_MACHINE) if path and Path(path).exists()), _ITSELF),
        write=(folder, "/dev/null", *(str(Path(path).resolve()) for path in write if path)),
        memory=_MEMORY,
        open_files=1024,
    )


def _raised(answer: Answer) -> Answer:
    """Return the answer, or raise the error that it tells of."""
    if not answer.error:
        return answer
    kind: type[StannaryError] = _ERRORS.get(answer.error, Bug)
    raise kind(answer.message, where=answer.where, code=answer.code, help=answer.help)
