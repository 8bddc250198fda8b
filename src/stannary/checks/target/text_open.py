"""A model of some library, a function or an endpoint becomes a target that takes texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stannary.checks.target.http_request import HttpRequest
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import InputError

__all__ = ["text_endpoint", "text_target"]

_PROBES = 16
_AGREE = 0.9  # scores may mean something else than the decision


def text_target(
    model: Any,  # noqa: ANN401 - any library's
    probe: Sequence[str],
    *,
    classes: int = 0,
    name: str = "model",
    budget: int | None = None,
) -> TextTarget:
    """Return a fitted scikit-learn pipeline that starts at texts, or a function of texts, as a target.

    Args:
        model: with `predict` and `classes_`, or a function from a list of texts to scores `(n, classes)` or labels `(n,)`.
        probe: some texts.
        classes: how many labels the data has: of a function that gives labels.
        name: for messages.
        budget: of queries.

    Raises:
        InputError: it does not take texts, or gives something else than scores or labels.
    """
    probe = list(probe[:_PROBES])
    if callable(getattr(model, "predict", None)):
        return _estimator(model, probe, name, budget)
    if not callable(model):
        msg = f"it is a {type(model).__name__}, not a model of texts"
        raise InputError(msg, where=name, help="name a function that builds the model: `package.module:build()`")

    def ask(texts: list[str]) -> Any:  # noqa: ANN401 - numpy
        out = model(texts)
        return out.detach().cpu().numpy() if isinstance(out, torch.Tensor) else np.asarray(out)

    out = _tried(ask, probe, name)
    wide = out.shape[1] if out.ndim == 2 else 2 if out.dtype.kind == "f" else max(classes, 2)  # noqa: PLR2004 - scores of classes
    return TextTarget(ask, wide, probe, name=name, budget=budget)


def _estimator(model: Any, probe: list[str], name: str, budget: int | None) -> TextTarget:  # noqa: ANN401 - scikit-learn's
    known = getattr(model, "classes_", None)
    if known is None or np.ndim(known) != 1:
        msg = f"the {type(model).__name__} has no classes_: is it a fitted classifier with one label a text?"
        raise InputError(msg, where=name)
    known = np.asarray(known)
    order = np.argsort(known)

    def decide(texts: list[str]) -> Any:  # noqa: ANN401 - numpy
        said = np.asarray(model.predict(texts)).reshape(-1)
        at = np.clip(np.searchsorted(known[order], said), 0, len(known) - 1)
        return np.where(known[order][at] == said, order[at], -1)

    said = _tried(decide, probe, name)
    for kind in ("predict_proba", "decision_function"):
        function = getattr(model, kind, None)  # absent where the settings do not allow it
        if callable(function) and _agrees(function, probe, said, len(known)):
            found = TextTarget(lambda texts, ask=function: _scores(ask, texts), len(known), probe, name=name, budget=budget)  # type: ignore[misc]
            break
    else:
        found = TextTarget(decide, len(known), probe, name=name, budget=budget)
    found.labels = tuple(str(label) for label in known.tolist())
    return found


def _scores(function: Callable[[list[str]], Any], texts: list[str]) -> Any:  # noqa: ANN401 - numpy
    """Return scores `(n, classes)`; one score a text is that of the second class, against 0."""
    out = np.asarray(function(texts), dtype=np.float64)
    return np.stack([-out, out], 1) if out.ndim == 1 else out


def _agrees(function: Callable[[list[str]], Any], probe: list[str], said: Any, classes: int) -> bool:  # noqa: ANN401 - numpy
    try:
        out = _scores(function, probe)
    except Exception:  # noqa: BLE001 - a model is others' code, which may raise anything
        return False
    return out.shape == (len(probe), classes) and float((out.argmax(1) == said).mean()) >= _AGREE


def _tried(function: Callable[[list[str]], Any], probe: list[str], name: str) -> Any:  # noqa: ANN401 - numpy
    try:
        out = np.asarray(function(probe))
    except Exception as exc:  # a model is others' code, which may raise anything
        msg = f"the model does not take a list of texts: {type(exc).__name__}: {str(exc)[:300]}"
        raise InputError(msg, where=name, help="give the whole pipeline, from texts on") from exc
    if out.ndim not in (1, 2) or len(out) != len(probe) or out.dtype.kind not in "iubf":
        msg = f"the model gives {out.dtype} of shape {out.shape} for {len(probe)} texts, neither scores nor labels"
        raise InputError(msg, where=name, help="return floats (n, classes) or integers (n,)")
    return out


def text_endpoint(
    request: HttpRequest,
    probe: Sequence[str],
    *,
    classes: int,
    column: str = "text",
    cache: Path | None = None,
    budget: int | None = None,
) -> TextTarget:
    """Return a classifier of texts behind `request` as a target. A few texts of `probe` are asked, and paid for.

    In the body `{{flat}}` is the list of texts, `{{records}}` objects with `column`, `{{rows}}` lists of one text each.

    Raises:
        BackendError, InputError, UsageError: as `http_target`.
    """
    from stannary.checks.target.http_target import http_target

    held = list(probe[:_PROBES])

    def rows(x: torch.Tensor) -> list[list[object]]:
        return [[held[int(at)]] for at in x[:, 0].tolist()]

    def places() -> torch.Tensor:
        return torch.arange(len(held), dtype=torch.float64)[:, None]

    remote = http_target(request, places(), classes=classes, columns=(column,), rows=rows, cache=cache)

    def ask(texts: list[str]) -> Any:  # noqa: ANN401 - numpy
        held[:] = texts
        found = remote.decide(places()) if remote.access == "decision" else remote.logits(places())
        return found.numpy()

    batch = request.batch * request.concurrency  # as many requests at a time as it allows
    made = TextTarget(ask, remote.classes, list(held), name=remote.name, budget=budget, batch=batch)
    made.labels, made.notes = remote.labels, list(remote.notes)
    return made
