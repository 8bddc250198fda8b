"""Evaluations of classifiers of texts: they take no tensors, and so have a way of their own to a card."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary import __version__
from stannary.app.evaluation_measurements import measurements_of
from stannary.app.evaluation_request import Request, Work
from stannary.app.guarding import Note
from stannary.checks.target.card import EvaluationResult, Robustness, Tool

if TYPE_CHECKING:
    from stannary.checks.robustness.text_suite import TextRun
    from stannary.checks.target.text_data import Texts
    from stannary.checks.target.text_model import TextTarget

__all__ = ["text_card"]


def text_card(work: Work, note: Note) -> EvaluationResult:
    """Attack a classifier of texts by changed characters and words. Raises as `text_robustness` and what opens the model."""
    from stannary.app.evaluation_suites import too_weak
    from stannary.app.evaluation_work import environment, model_of, test_data
    from stannary.checks.robustness.text_presets import text_attacks
    from stannary.checks.robustness.text_suite import text_robustness
    from stannary.checks.target.text_data import open_texts

    request, started = work.request, time.perf_counter()
    note("reading the texts")
    texts = open_texts(request.data or "", request.text, target=request.target)
    note("opening the model")
    target = _target(work, texts)
    data = texts.data.aligned(target.classes, target.labels)
    sampled = texts.over(data.sample(request.samples, request.seed))
    note(f"attacking {len(sampled.data)} texts")
    attacks, missing = text_attacks(request.preset, share=request.eps, seed=request.seed)
    run = _run(work)
    labels, names = sampled.data.y.tolist(), sampled.data.label_names
    part = text_robustness(target, sampled.chosen(), labels, attacks, names, preset=request.preset, run=run)
    part = _numbered(part, sampled)
    incomplete = list(missing)
    if part.stop is not None and part.stop.decision == "inconclusive":
        incomplete.append(f"the stop rule did not decide about {part.stop.threshold:g} within {part.stop.samples} texts")
    if part.unfinished:
        why = next((run.stopped for run in part.attacks if run.stopped), f"no answer to {target.spend.unanswered} queries")
        incomplete.append(f"{part.unfinished} of {len(sampled.data)} texts were not attacked to the end: {why}")
    reasons = tuple(too_weak(part, request.min_robust))
    return EvaluationResult(
        tool=Tool(version=__version__),
        model=model_of(work, target),
        data=test_data(request, data, len(sampled.data)),
        suite=request.suites,
        seed=request.seed,
        outcome="failed" if reasons else "incomplete" if incomplete else "passed",
        queries=target.spend.queries,
        seconds=time.perf_counter() - started,
        robustness=part,
        measurements=measurements_of(part, request.seed),
        incomplete=tuple(incomplete),
        reasons=reasons,
        atlas=("AML.T0015", "AML.T0043"),
        owasp=("ML01:2023",),
        environment=environment(),
        next=_next(request, part),
    )


def _target(work: Work, texts: Texts) -> TextTarget:
    from stannary.checks.target.text_open import text_endpoint, text_target

    request, probe, classes = work.request, texts.texts[:64], texts.data.classes
    if request.is_endpoint:
        from stannary.checks.target.http_request import load_request

        return text_endpoint(
            load_request(Path(request.request or ""), request.model),
            probe,
            classes=classes,
            column=texts.column,
            cache=Path(request.answers) if request.answers else None,
            budget=request.budget,
        )
    if work.model is None:
        from stannary.checks.target.callable_model import import_object

        return text_target(import_object(request.model), probe, classes=classes, name=request.model, budget=request.budget)
    from stannary.app.opening import scanned_bytes
    from stannary.checks.target.open_file import model_file, open_object

    content = scanned_bytes(work.model, model_file(Path(work.model.path)))
    model, _ = open_object(content, name=work.model.display)
    return text_target(model, probe, classes=classes, name=work.model.display, budget=request.budget)


def _numbered(part: Robustness, sampled: Texts) -> Robustness:
    """Return the part with examples named by their row in the file."""
    rows = sampled.data.rows
    named = tuple(msgspec.structs.replace(one, sample=int(rows[one.sample])) for one in part.examples)
    return msgspec.structs.replace(part, examples=named)


def _run(work: Work) -> TextRun:
    from stannary.checks.robustness.text_replay import KnownTexts, load_texts
    from stannary.checks.robustness.text_suite import TextRun
    from stannary.checks.target.statistics import StopRule

    request = work.request
    folder = Path(request.adversarials) if request.adversarials else None
    return TextRun(
        rule=StopRule(request.min_robust) if request.min_robust is not None and request.preset == "gate" else None,
        checkpoint=Path(request.checkpoint) if request.checkpoint else None,
        identity=work.model.digest if work.model else request.model,
        known=KnownTexts(load_texts(folder, request.replay)) if folder and request.replay else None,
        folder=folder,
    )


def _next(request: Request, part: Robustness) -> tuple[str, ...]:
    if request.is_endpoint and not request.answers:
        return ("keep answers, so that they are paid once: --answers FILE",)
    if part.adversarials:
        return (f"try these examples on the next version: --adversarials {request.adversarials} --replay {part.adversarials}",)
    return ("read the examples: nearness to an encoder is no proof that they mean the same",)
