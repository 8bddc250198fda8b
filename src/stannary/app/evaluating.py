"""An evaluation: the model is scanned, opened in the guard and attacked, and what was found becomes one report card.

The process that is called reads no model: it scans, starts a guarded process that does the work (`evaluation_work`), shows how far
that is and takes its card. A function, a GPU and several processes cannot be had in the guard; they take `trust`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from stannary import __version__
from stannary.app.evaluation_request import Answer, Request, Work
from stannary.app.guarding import Note, guarded, jail_of, raised, scratch_folder
from stannary.checks.target.card import EvaluationResult, Tool
from stannary.core.errors import Bug, StannaryError

if TYPE_CHECKING:
    from stannary.app.opening import Admitted

__all__ = ["evaluate", "infer", "vouched"]


def evaluate(request: Request, *, note: Note = lambda _: None) -> EvaluationResult:
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
    if work.surrogate is not None:
        text = f"examples were made on the surrogate {work.surrogate.display} ({work.surrogate.digest}), too"
        model = msgspec.structs.replace(model, notes=(*model.notes, text))
    beside = card.against
    if beside is not None and work.against is not None:
        beside = msgspec.structs.replace(beside, path=work.against.display, digest=work.against.digest)
    suite = tuple(name for name in request.suites if name in card.suite or name not in request.optional)
    return msgspec.structs.replace(
        card, tool=Tool(version=__version__), model=model, against=beside, suite=suite, seed=request.seed, device=request.device
    )


def infer(request: Request) -> str:
    """Return the domain that is inferred from the data, as YAML. Raises as `evaluate`."""
    return _answer(request, lambda _: None, infer=True)[0].text


def _answer(request: Request, note: Note, *, infer: bool = False) -> tuple[Answer, Work]:
    with ExitStack() as stack:
        own = request.is_function or (request.is_endpoint and not infer)  # the caller's own code, or nothing that is loaded
        model = None if infer or own else _admit(request.model, request, stack, note)
        surrogate = _admit(request.surrogate, request, stack, note) if request.surrogate and not infer else None
        against = _admit(request.against, request, stack, note) if request.against and not infer else None
        work = Work(request=request, model=model, surrogate=surrogate, against=against, infer=infer)
        if own or (request.trust and (request.workers > 1 or request.device != "cpu" or request.train)):
            from stannary.app.evaluation_work import do

            return _raised(do(work, note)), work
        answer, work = _guarded(work, stack, note)
        return _raised(answer), work


def _admit(model: str, request: Request, stack: ExitStack, note: Note) -> Admitted:
    from stannary.app.opening import admit
    from stannary.app.targets import located
    from stannary.checks.static.scan import ScanOptions

    note("scanning the model" if model == request.model else f"scanning {model}")
    try:
        (target,) = stack.enter_context(located([model], offline=request.offline))
        return admit(target, ScanOptions(jail=request.jail), trust=request.trust)
    except (StannaryError, ExceptionGroup) as error:
        if request.is_address and model == request.model:
            _say_how(error)
        raise


def _say_how(error: StannaryError | ExceptionGroup[Exception]) -> None:
    """Add to an error about an address what whoever meant an endpoint has to do."""
    for one in error.exceptions if isinstance(error, ExceptionGroup) else (error,):
        if isinstance(one, StannaryError):
            also = f" ({one.help})" if one.help else ""
            one.help = f"it was to be fetched as a model file; to ask an endpoint say how: --request FILE{also}"


def _guarded(work: Work, stack: ExitStack, note: Note) -> tuple[Answer, Work]:
    """Do the work in a process of its own, in the guard."""
    request, folder = work.request, scratch_folder(stack)
    models = [admitted.path for admitted in (work.model, work.surrogate, work.against) if admitted]
    read = [request.data, request.members, request.domain, request.garak, *models]
    answer, level = guarded(
        "stannary.app.evaluation_work:worker",
        jail_of(request.jail, folder, read, (request.adversarials, request.checkpoint)),
        lambda level: msgspec.json.encode(msgspec.structs.replace(work, folder=folder, jail=level)),
        request.model,
        note,
    )
    return msgspec.json.decode(answer, type=Answer), msgspec.structs.replace(work, jail=level)


def _raised(answer: Answer) -> Answer:
    """Return the answer, or raise the error that it tells of."""
    if answer.error is not None:
        raise raised(answer.error)
    return answer
