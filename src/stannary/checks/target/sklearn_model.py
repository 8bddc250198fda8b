"""Classifiers with scikit-learn's interface: `predict`, `classes_`, `predict_proba` or `decision_function` where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stannary.checks.target.array_model import Arrays, ArrayTarget, log_of
from stannary.checks.target.forests import direct
from stannary.core.errors import InputError

__all__ = ["sklearn_target"]

_PROBES = 256
_AGREE = 0.9  # scores of pairs of classes may be as many as the classes, and mean something else


def sklearn_target(
    model: Any,  # noqa: ANN401 - anything with that interface
    *,
    name: str = "model",
    columns: Sequence[str] = (),
    frame: Callable[[torch.Tensor], Any] | None = None,
    probe: torch.Tensor | None = None,
) -> ArrayTarget:
    """Return a fitted classifier or pipeline as a target.

    Labels are what `predict` says. Scores are log-probabilities or `decision_function`, whichever agrees with `predict` on
    the `probe`; if neither can be had, access is by decisions.

    Args:
        model: the classifier.
        name: for messages.
        columns: names of the features; put into the model's own order where it knows names.
        frame: makes a DataFrame of inputs, for pipelines that take words (`Dataset.frame`).
        probe: some inputs `(n, features)`.

    Raises:
        InputError: it is no fitted classifier of a table with one label a row, or has other columns.
    """
    classes = _classes(model, name)
    prepare, count = _inputs(model, name, tuple(columns), frame, probe)
    rows = torch.zeros((2, count), dtype=torch.float64) if probe is None else probe[:_PROBES].double()
    _tried(model, prepare, rows, name)
    asked = direct(model, prepare(rows.numpy()))
    order = np.argsort(classes)
    ordered = classes[order]

    def decide(x: Any) -> Any:  # noqa: ANN401 - numpy
        said = np.asarray(asked.predict(prepare(x))).reshape(-1)
        at = np.clip(np.searchsorted(ordered, said), 0, len(ordered) - 1)
        return np.where(ordered[at] == said, order[at], -1)

    scores, note = _scores(asked, prepare, decide, (len(classes), rows.numpy()))
    names = tuple(str(label) for label in classes.tolist())
    target = ArrayTarget((count,), len(classes), scores, decide, name=name, labels=names, model=model)
    target.notes += [note] if note else []
    return target


def _classes(model: Any, name: str) -> Any:  # noqa: ANN401 - scikit-learn's
    if not callable(getattr(model, "predict", None)):
        msg = f"a {type(model).__name__} is no model: it does not predict"
        raise InputError(msg, where=name)
    try:
        classes = getattr(model, "classes_", None)
    except AttributeError:  # of a pipeline that is not fitted
        classes = None
    if classes is None:
        numbers = "gives numbers, not classes; models of numbers are not evaluated"
        why = numbers if _regresses(model) else "has no classes_: is it fitted?"
        msg = f"the {type(model).__name__} {why}"
        raise InputError(msg, where=name)
    if isinstance(classes, list) or np.ndim(classes) != 1:
        msg = "the model gives several labels a row; one is evaluated"
        raise InputError(msg, where=name)
    return np.asarray(classes)


def _regresses(model: Any) -> bool:  # noqa: ANN401 - scikit-learn's
    try:
        from sklearn.base import is_regressor

        return bool(is_regressor(model))
    except Exception:  # noqa: BLE001 - a class that only looks like scikit-learn's has no tags to ask
        return getattr(model, "_estimator_type", "") == "regressor"


def _inputs(
    model: Any,  # noqa: ANN401 - scikit-learn's
    name: str,
    columns: tuple[str, ...],
    frame: Callable[[torch.Tensor], Any] | None,
    probe: torch.Tensor | None,
) -> tuple[Callable[[Any], Any], int]:
    """Return what turns an array into what the model takes, and the number of features of the array."""
    own = getattr(model, "feature_names_in_", None)
    wanted = tuple(map(str, own)) if own is not None else ()
    if frame is not None and probe is not None:
        made = tuple(map(str, frame(probe[:1]).columns))
        if wanted and set(made) >= set(wanted) and wanted != columns:
            listed = list(wanted)
            return (lambda x: frame(torch.from_numpy(np.ascontiguousarray(x)))[listed]), probe.shape[1]
    count = len(columns) or (probe.shape[1] if probe is not None else 0) or int(getattr(model, "n_features_in_", 0))
    needed = int(getattr(model, "n_features_in_", count))
    if wanted and columns and set(wanted) <= set(columns):
        import pandas as pd

        at = [columns.index(one) for one in wanted]
        return (lambda x: pd.DataFrame(x[:, at], columns=list(wanted))), len(columns)
    if wanted and columns and columns != tuple(f"x{i}" for i in range(len(columns))):
        missing = [one for one in wanted if one not in columns]
        msg = f"the model wants the columns {', '.join(missing[:8])}, which the data does not have"
        raise InputError(msg, where=name, help=f"the data has {', '.join(columns[:12])}")
    if needed != count:
        msg = f"the model takes {needed} features, the data has {count}"
        raise InputError(msg, where=name)
    if wanted:
        import pandas as pd

        return (lambda x: pd.DataFrame(x, columns=list(wanted))), count
    return (lambda x: x), count


def _tried(model: Any, prepare: Callable[[Any], Any], rows: torch.Tensor, name: str) -> None:  # noqa: ANN401 - scikit-learn's
    try:
        said = model.predict(prepare(rows[:2].numpy()))
    except Exception as exc:  # a model is others' code, which may raise anything
        msg = f"the model cannot predict: {type(exc).__name__}: {exc}"
        raise InputError(msg, where=name) from exc
    if np.asarray(said).reshape(-1).shape != (len(rows[:2]),):
        msg = f"the model gives labels of shape {np.shape(said)} for two rows"
        raise InputError(msg, where=name)


def _scores(
    model: Any,  # noqa: ANN401 - scikit-learn's
    prepare: Callable[[Any], Any],
    decide: Arrays,
    probe: tuple[int, Any],
) -> tuple[Arrays | None, str]:
    """Return the function that gives scores, and what has to be said about it."""
    classes, rows = probe
    said = decide(rows)
    best: tuple[float, Arrays | None, str] = (-1.0, None, "")
    for kind in ("predict_proba", "decision_function"):
        function = getattr(model, kind, None)  # absent where the settings do not allow it, as in SVC
        if not callable(function):
            continue

        def scores(x: Any, ask: Any = function, log: bool = kind == "predict_proba") -> Any:  # noqa: ANN401, FBT001 - numpy; bound here
            out = np.asarray(ask(prepare(x)))
            return log_of(out) if log else out

        try:
            out = scores(rows)
        except Exception:  # noqa: BLE001 - a model is others' code, which may raise anything
            out = np.empty(0)  # no scores
        if out.ndim == 1 and classes == 2:  # noqa: PLR2004 - of two classes
            out = np.stack([np.zeros_like(out), out], 1)
        if out.shape != (len(rows), classes):
            continue  # one score for each pair of classes: no order among them
        agreed = float((out.argmax(1) == said).mean())
        if agreed > best[0]:
            best = (agreed, scores, kind)
    agreed, found, kind = best
    if found is not None and agreed < _AGREE:
        return None, f"{kind} orders the classes otherwise than predict on {1 - agreed:.1%} of the data; labels alone are used"
    note = f"{kind} and predict differ on {1 - agreed:.1%} of the data; predict decides" if found is not None and agreed < 1 else ""
    return found, note
