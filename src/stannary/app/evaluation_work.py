"""What an evaluation does inside the guard: read the data, open the model, run the suites, put the card together."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stannary import __version__
from stannary.app.evaluation_request import Answer, Request, Work
from stannary.app.guarding import Note, served, tell
from stannary.checks.target.card import EvaluationResult, Model, TestData, Tool
from stannary.core.errors import InputError

if TYPE_CHECKING:
    from stannary.app.opening import Admitted
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.interface import Target
    from stannary.checks.target.text_model import TextTarget

__all__ = ["do", "environment", "model_of", "opened", "test_data", "worker"]


def worker(_data: bytes) -> Callable[[bytes, bool], bytes]:
    """Return the handler of the guarded process: a `Work` as JSON becomes an `Answer` as JSON."""

    def handle(payload: bytes, _degraded: bool) -> bytes:  # noqa: FBT001 - the protocol's
        work = msgspec.json.decode(payload, type=Work)
        return msgspec.json.encode(do(work, served(work.folder)))

    return handle


def do(work: Work, note: Note) -> Answer:
    """Do the work; errors are told, not raised."""
    try:
        if work.infer:
            from stannary.app.evaluation_suites import domain_text

            return Answer(text=domain_text(_data(work.request), work.request.data or ""))
        if "llm" in work.request.suites:
            from stannary.app.evaluation_endpoint import language_card

            return Answer(card=language_card(work, note))
        if work.request.text:
            from stannary.app.evaluation_texts import text_card

            return Answer(card=text_card(work, note))
        return Answer(card=_card(work, note))
    except Exception as error:  # noqa: BLE001 - told to the caller, who raises it
        return Answer(error=tell(error, work.request.model))


def _card(work: Work, note: Note) -> EvaluationResult:
    from stannary.app.evaluation_steps import run_suites
    from stannary.checks.target.counting import Counting

    request, started = work.request, time.perf_counter()
    note("reading the data")
    data = _data(request)
    note("opening the model")
    opener = _opener(work, data)
    target = opener()
    data = data.aligned(target.classes, tuple(getattr(target, "labels", ())))
    sampled = data.sample(request.samples, request.seed)
    reopen = None if request.is_endpoint else opener
    counted = Counting(target, request.budget, identity=work.model.digest if work.model else "", reopen=reopen)
    found, left = run_suites(counted, (sampled, data), request, note, _surrogate(work, data, target))
    beside = None
    if work.against is not None:
        from stannary.app.evaluation_against import beside_other

        note(f"attacking {work.against.display} on the same samples")
        found["robustness"], beside = beside_other(work.against, found["robustness"], (sampled, data), target, request)
    incomplete = tuple(text for one in found.values() for text in one.incomplete)
    reasons = tuple(text for one in found.values() for text in one.reasons)
    return EvaluationResult(
        tool=Tool(version=__version__),
        model=model_of(work, target, (*data.notes, *left)),
        data=test_data(request, data, len(sampled if "robustness" in request.suites else data)),
        suite=tuple(name for name in request.suites if name in found),
        seed=request.seed,
        device=request.device,
        outcome="failed" if reasons else "incomplete" if incomplete else "passed",
        queries=counted.spend.queries,
        seconds=time.perf_counter() - started,
        robustness=found["robustness"].part if "robustness" in found else None,
        against=beside,
        privacy=found["privacy"].part if "privacy" in found else None,
        backdoor=found["backdoor"].part if "backdoor" in found else None,
        labels=found["labels"].part if "labels" in found else None,
        poisoning=found["poisoning"].part if "poisoning" in found else None,
        measurements=tuple(row for one in found.values() for row in one.measurements),
        incomplete=incomplete,
        reasons=reasons,
        atlas=tuple(name for one in found.values() for name in one.atlas),
        owasp=tuple(name for one in found.values() for name in one.owasp),
        environment=environment(),
        next=tuple(text for one in found.values() for text in one.next),
    )


def test_data(request: Request, data: Dataset, n: int) -> TestData:
    """Return what is said of the data, of which `n` samples were drawn."""
    return TestData(
        path=request.data or "",
        digest=f"sha256:{data.digest.removeprefix('sha256:')}",
        target=request.target,
        rows=len(data) + data.dropped,
        n=n,
        columns=data.raw_names,
    )


def _data(request: Request) -> Dataset:
    from stannary.checks.target.data import open_data

    return open_data(request.data or "", target=request.target)


def _opener(work: Work, data: Dataset) -> Callable[[], Target]:
    """Return what opens the model, here and in other processes."""
    request = work.request
    if request.is_endpoint:
        from stannary.app.evaluation_endpoint import endpoint_target

        return partial(endpoint_target, request, data)
    if work.model is None:
        return partial(_built, request, data)
    return partial(opened, work.model, work.model.display, data, request.device)


def _built(request: Request, data: Dataset) -> Target:
    from stannary.checks.target.callable_model import import_object
    from stannary.checks.target.open_file import target_of

    return target_of(import_object(request.model), data, name=request.model, device=request.device)


def opened(model: Admitted, name: str, data: Dataset, device: str) -> Target:
    """Open a model's file that was admitted. Raises as `open_model`."""
    from stannary.app.opening import scanned_bytes
    from stannary.checks.target.open_file import model_file, open_model

    return open_model(scanned_bytes(model, model_file(Path(model.path))), data, name=name, device=device)


def _surrogate(work: Work, data: Dataset, target: Target) -> Target | None:
    """Open the model that examples are to be made on. Raises InputError where nothing of it could be tried on the target."""
    if work.surrogate is None:
        return None
    made = opened(work.surrogate, work.surrogate.digest.removeprefix("sha256:")[:12], data, work.request.device)
    wrong = {
        f"offers {made.access}, and examples are made by gradients": made.access != "white",
        f"has {made.classes} classes, the model {target.classes}": made.classes != target.classes,
        "is of a table, whose attacks take no surrogate": data.kind == "table",
    }
    for why, holds in wrong.items():
        if holds:
            msg = f"the surrogate {why}"
            raise InputError(msg, where=work.surrogate.display, code="EVA007")
    return made


def model_of(work: Work, target: Target | TextTarget, left: tuple[str, ...] = ()) -> Model:
    """Return what is said of the model, and which suites were left out."""
    admitted: Admitted | None = work.model
    notes = (*getattr(target, "notes", ()), *left)
    common: dict[str, Any] = {"access": target.access, "classes": target.classes, "shape": target.shape, "notes": notes}
    if admitted is None:
        kind = "endpoint" if work.request.is_endpoint else "function"
        return Model(path=work.request.model, name=work.request.model, format=kind, jail="none", **common)
    return Model(
        path=admitted.display,
        name=os.path.basename(admitted.display.rstrip("/")) or admitted.display,  # noqa: PTH119 - may be an address
        digest=admitted.digest,
        sha256=admitted.sha256,
        format=admitted.format,
        jail=work.jail,
        **common,
    )


def environment() -> dict[str, str]:
    """Return in what it ran."""
    import torch

    return {"python": platform.python_version(), "torch": str(torch.__version__), "machine": platform.machine()}
