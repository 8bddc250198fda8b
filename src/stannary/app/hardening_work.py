"""What hardening does inside the guard: open the model twice, train one, attack both with the same attacks, compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from stannary import __version__
from stannary.app.guarding import Note, served, tell
from stannary.app.hardening_judges import Judged, judge
from stannary.app.hardening_open import Loaded, opened, opened_as
from stannary.app.hardening_request import HardenAnswer, HardenRequest, HardenWork
from stannary.checks.target.card import EvaluationResult, Model, TestData, Tool
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.paired import compare
from stannary.core.errors import InputError
from stannary.harden.card import HardeningResult, price_of
from stannary.harden.compare import correct, latencies, verdict_of
from stannary.harden.interface import Hardened, Settings, trainable
from stannary.harden.keep import as_bytes
from stannary.harden.methods import METHODS
from stannary.harden.scaled import in_deviations

__all__ = ["do", "worker"]

_EPS = {"table": 0.5}


def worker(_data: bytes) -> Callable[[bytes, bool], bytes]:
    """Return the handler of the guarded process: a `HardenWork` as JSON becomes a `HardenAnswer` as JSON."""

    def handle(payload: bytes, _degraded: bool) -> bytes:  # noqa: FBT001 - the protocol's
        work = msgspec.json.decode(payload, type=HardenWork)
        return msgspec.json.encode(do(work, served(work.folder)))

    return handle


def do(work: HardenWork, note: Note) -> HardenAnswer:
    """Do the work; errors are told, not raised."""
    try:
        return _hardened(work, note)
    except Exception as error:  # noqa: BLE001 - told to the caller, who raises it
        return HardenAnswer(error=tell(error, work.request.model))


def _hardened(work: HardenWork, note: Note) -> HardenAnswer:
    request, started = work.request, time.perf_counter()
    note("reading the data")
    loaded, before = opened(work)
    train, test = loaded.train, loaded.test
    note(f"{request.method}: training on {len(train)} samples")
    made = _trained(request, loaded, note)
    after = opened_as(made.model, train, request)
    sampled = test.sample(request.samples, request.seed)
    sides: list[Judged] = []
    for target, what in ((before, "the original"), (after, "the hardened model")):
        note(f"attacking {what}")
        sides.append(judge(Counting(target), sampled, train, request, made, original=target is before))
    old, new = sides
    stood = compare(old.stood, new.stood) if old.stood is not None and new.stood is not None else None
    content, kind = as_bytes(made.model, loaded.kind, test.x[:2].float())
    Path(work.folder, "hardened").write_bytes(content)
    accuracy = compare(correct(before, test), correct(after, test))
    chance = float(test.y.bincount().max()) / len(test)
    price = price_of(accuracy, request.max_accuracy_loss, chance)
    return HardenAnswer(
        kind=kind,
        result=HardeningResult(
            tool=Tool(version=__version__),
            method=request.method,
            parameters=made.parameters,
            judged_by=METHODS[request.method].judged_by,
            verdict=verdict_of(
                stood, (old.leak, new.leak), masking=made.masking, complete=_complete(request, old, new), price=price
            ),
            before=_card(work, request.model, before, old, sampled),
            after=_card(work, f"{request.model} after {request.method}", after, new, sampled),
            standing=stood,
            accuracy=accuracy,
            max_accuracy_loss=request.max_accuracy_loss,
            chance=chance,
            latency=latencies(before, after, test),
            privacy=made.privacy,
            training=train.source,
            training_digest=train.digest,
            seconds=time.perf_counter() - started,
            notes=(*made.notes, *loaded.notes, *_notes(request, changed=kind != loaded.kind)),
        ),
    )


def _complete(request: HardenRequest, old: Judged, new: Judged) -> bool:
    """Return whether what was measured can show anything: quick attacks show that a model falls, not that it stands."""
    quick = METHODS[request.method].judged_by == "robustness" and request.preset == "smoke"
    return not quick and not old.incomplete and not new.incomplete


def _notes(request: HardenRequest, *, changed: bool) -> list[str]:
    found = ["the file is TorchScript, which needs nothing of stannary"] if changed else []
    if METHODS[request.method].judged_by == "robustness" and request.preset == "smoke":
        found.append("--preset smoke is too weak an attack to show hardening: take gate or more")
    return found


def _trained(request: HardenRequest, loaded: Loaded, note: Note) -> Hardened:
    """Run the method on a model that was opened for it."""
    chosen, train = METHODS[request.method], loaded.train
    model = loaded.load()
    if chosen.on == "network" and not isinstance(model, torch.nn.Module):
        msg = f"{request.method} trains networks; the model is a {type(model).__name__}"
        raise InputError(msg, where=request.model, help="--method tree-robust trains trees")
    if chosen.on == "trees" and isinstance(model, torch.nn.Module):
        msg = f"{request.method} trains trees; the model is a network"
        raise InputError(msg, where=request.model, help="--method adversarial-training trains networks")
    done = 0
    total = len(train) * request.epochs

    def tick(samples: int) -> None:
        nonlocal done
        done += samples
        note(f"{request.method}: {min(done / total, 1):.0%} of the training")

    table = train.kind == "table"
    settings = Settings(
        eps=request.eps or _EPS.get(train.kind, 0.1),
        norm=request.norm or ("l2" if table else "linf"),
        steps=request.steps,
        epochs=request.epochs,
        batch=request.batch,
        rate=request.rate,
        seed=request.seed,
        low=0.0 if train.kind == "image" else float(train.x.min()),
        high=1.0 if train.kind == "image" else float(train.x.max()),
        tick=tick,
        more=dict(request.settings),
    )
    torch.manual_seed(request.seed)
    if chosen.on == "trees":
        from stannary.app.evaluation_suites import table_domain

        made: Hardened = chosen.load()(
            model, train.x, train.y, settings, domain=table_domain(train, request.domain), names=train.names
        )
        return made
    module = trainable(model.to(request.device))
    x, y = train.x.to(request.device, torch.float32), train.y.to(request.device)
    if table:
        return in_deviations(chosen.load(), module, x, y, settings)
    hardened: Hardened = chosen.load()(module, x, y, settings)
    return hardened


def _card(work: HardenWork, name: str, target: Target, found: Judged, data: Dataset) -> EvaluationResult:
    request, admitted = work.request, work.model
    digest, single = (admitted.digest, admitted.sha256) if admitted is not None and name == request.model else (None, None)
    return EvaluationResult(
        tool=Tool(version=__version__),
        model=Model(
            path=name,
            name=Path(name).name,
            digest=digest,
            sha256=single,
            format=admitted.format if admitted is not None else "function",
            access=target.access,
            classes=target.classes,
            shape=target.shape,
            jail=work.jail,
            notes=tuple(getattr(target, "notes", ())),
        ),
        data=TestData(path=data.source, digest=f"sha256:{data.digest.removeprefix('sha256:')}", target=request.target, n=len(data)),
        suite=(METHODS[request.method].judged_by,),
        seed=request.seed,
        device=request.device,
        outcome="incomplete" if found.incomplete else "passed",
        queries=found.queries,
        robustness=found.robustness,
        privacy=found.privacy,
        measurements=found.measurements,
        incomplete=found.incomplete,
    )
