"""Evaluations of what answers over HTTP, and of language models: they need no guard, or no data."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stannary import __version__
from stannary.app.evaluation_request import Request, Work
from stannary.checks.target.card import EvaluationResult, Model, Probes, Tool
from stannary.core.errors import IntegrityError
from stannary.core.evidence import Measurement

if TYPE_CHECKING:
    from stannary.checks.llm.attempts import Context
    from stannary.checks.llm.interface import Endpoint
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.http_target import HttpTarget

__all__ = ["endpoint_target", "language_card"]


def endpoint_target(request: Request, data: Dataset) -> HttpTarget:
    """Return the classifier behind the address that is evaluated, asked as `--request` says, with the columns of the data."""
    from stannary.checks.target.http_request import load_request
    from stannary.checks.target.http_target import http_target

    asked = load_request(Path(request.request or ""), request.model)
    rows: Callable[[Any], Any] | None = (lambda x: data.frame(x).to_numpy().tolist()) if data.encodings else None
    return http_target(
        asked,
        data.x,
        classes=data.classes,
        columns=data.raw_names if data.encodings else data.names,
        rows=rows,
        cache=Path(request.answers) if request.answers else None,
    )


def language_card(work: Work, note: Callable[[str], None]) -> EvaluationResult:
    """Probe a language model: an endpoint, or a local model that was admitted. Raises as `stannary.checks.llm.probe`."""
    from stannary.checks.llm.garak_report import read_report
    from stannary.checks.llm.probe import ProbeOptions, probe

    request, started = work.request, time.perf_counter()
    report = read_report(Path(request.garak)) if request.garak else None
    note("opening the model")
    endpoint, context, close = _opened(work)
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        note(f"{done} attempts are over")

    try:
        sources = (report.source,) if report else ()
        options = ProbeOptions(attempts=request.attempts, seed=request.seed, context=context, sources=sources)
        found = probe(endpoint, options, tick=tick)
    finally:
        close()
    incomplete = _incomplete(found)
    admitted = work.model
    return EvaluationResult(
        tool=Tool(version=__version__),
        model=Model(
            path=admitted.display if admitted else request.model,
            name=endpoint.name,
            digest=admitted.digest if admitted else None,
            sha256=admitted.sha256 if admitted else None,
            format=admitted.format if admitted else "endpoint",
            jail=work.jail,
        ),
        suite=request.suites,
        seed=request.seed,
        outcome="incomplete" if incomplete else "passed",
        queries=found.requests,
        seconds=time.perf_counter() - started,
        probes=found,
        measurements=tuple(
            Measurement(metric=f"llm.{name}.success", value=one.value, low=one.low, high=one.high, n=one.n, seed=request.seed)
            for name, one in found.families.items()
        ),
        incomplete=incomplete,
        atlas=found.atlas,
        owasp=found.owasp,
        environment={"python": platform.python_version(), "machine": platform.machine()},
        next=(*_next(found, request), *(report.left() if report else ())),
    )


def _opened(work: Work) -> tuple[Endpoint, Context, Callable[[], None]]:
    from stannary.checks.llm.attempts import Context

    request = work.request
    if work.model is not None:
        from stannary.checks.llm.local_model import open_local

        path = Path(work.model.path)
        _same(path, work.model.files, work.model.display)
        return open_local(path), Context(), lambda: None
    from stannary.checks.llm.chat_request import chat_request_of, load_chat_request
    from stannary.checks.llm.http_chat import HttpChat

    asked = load_chat_request(Path(request.request), request.model) if request.request else chat_request_of({"url": request.model})
    chat = HttpChat(asked, cache=Path(request.answers) if request.answers else None)
    return chat, Context(system=asked.system, secrets=asked.secrets, prompts=asked.system_prompts), chat.close


def _same(path: Path, scanned: frozenset[str], display: str) -> None:
    """Raise IntegrityError unless all that is about to be loaded is what was scanned."""
    known = {one.removeprefix("sha256:") for one in scanned}
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() not in known:
                msg = f"{file.name} is not the file that was scanned: it changed in between"
                raise IntegrityError(msg, where=display, code="EVA006")


def _incomplete(found: Probes) -> tuple[str, ...]:
    texts = [f"{name}: {why}" for name, why in found.skipped.items()]
    if found.unanswered:
        texts.append(f"{found.unanswered} of {found.attempts} attempts had no answer: {found.silence}")
    return tuple(texts)


def _next(found: Probes, request: Request) -> tuple[str, ...]:
    texts = []
    plain, led = found.families.get("plain"), found.families.get("jailbreak")
    if plain and led and led.low > plain.high:
        texts.append("jailbreaks succeed where plain requests do not: filter requests and answers outside of the model")
    if any(one.value for name, one in found.families.items() if name.startswith("leakage")):
        texts.append("what must not be said must not be in the prompt: keep secrets and other people's data out of the context")
    if any(one.value for name, one in found.families.items() if name.startswith("injection")):
        texts.append("treat what the model says after it read foreign text as foreign: let it trigger nothing without a check")
    if request.is_endpoint and not request.answers:
        texts.append("keep answers, so that they are paid once: --answers FILE")
    return tuple(texts)
