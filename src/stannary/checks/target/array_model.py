"""A target whose answers are arrays: any library that predicts with numpy. It offers scores or labels, and no gradient.

A gradient of a model that has none is not made up here: attacks that need one refuse, and those by scores or decisions serve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from stannary.checks.target.interface import Access, Loss
from stannary.checks.target.torch_model import labels_of
from stannary.core.errors import InputError, UsageError

__all__ = ["ArrayTarget", "Arrays", "log_of", "looks_like_probabilities"]

Arrays: TypeAlias = "Callable[[Any], Any]"  # an array (n, *shape) → scores (n, classes) or (n,), or labels (n,)
_LEAST = 1e-300  # a probability of 0 has no logarithm; forests give many
_PROBABLE = 1e-3


class ArrayTarget:
    """A classifier by functions of numpy arrays `(n, *shape)`, float64.

    Args:
        shape: of one input.
        classes: how many there are.
        scores: gives `(n, classes)`, or `(n,)`: the score of the second of two classes. None: labels only.
        labels_by: gives class numbers `(n,)`; without it the greatest score decides.
        name: for messages.
        labels: names of the classes, in their order.
        model: the library's object, for attacks that read it (trees).
        notes: what a report has to say about it.

    A row for which the function raises is asked once more alone: it has no answer (-1, NaN), and its neighbours have theirs.

    Raises:
        InputError: on a call, when an answer has the wrong shape.
    """

    device = "cpu"

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        scores: Arrays | None,
        labels_by: Arrays | None = None,
        *,
        name: str = "model",
        labels: tuple[str, ...] = (),
        model: Any = None,  # noqa: ANN401 - any library's
    ) -> None:
        if classes < 2:  # noqa: PLR2004 - a decision
            msg = f"the model has {classes} class: there is nothing to evade"
            raise InputError(msg, where=name)
        if scores is None and labels_by is None:
            msg = "a target gives scores or labels"
            raise UsageError(msg, where=name)
        self.name, self.shape, self.classes = name, shape, classes
        self.access: Access = "decision" if scores is None else "score"
        self.labels, self.model = labels, model
        self.notes: list[str] = []
        self._scores, self._labels_by, self._failed = scores, labels_by, False

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores `(n, classes)`, float64: logits, margins or log-probabilities; NaN where there was no answer."""
        if self._scores is None:
            msg = "the model gives labels only"
            raise UsageError(msg, where=self.name)
        out = self._asked(self._scores, _array(x), self._wide, np.full((1, self.classes), np.nan))
        return torch.from_numpy(out).to(x.device)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`, -1 where there was no answer."""
        if self._labels_by is None:
            return labels_of(self.logits(x))
        out = self._asked(self._labels_by, _array(x), self._label, np.full(1, -1, dtype=np.int64))
        return torch.from_numpy(out).to(x.device)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # noqa: ARG002 - the protocol's
        """Refuse: raises UsageError."""
        msg = f"the model offers no gradient (access: {self.access})"
        raise UsageError(msg, where=self.name, help="use attacks by scores or decisions")

    def _asked(self, call: Arrays, x: Any, shaped: Callable[[Any, int], Any], nothing: Any) -> Any:  # noqa: ANN401 - numpy
        """Call on all rows; where it raises, on halves of them, down to those that have no answer; note why the first had none."""
        if not len(x):
            return np.repeat(nothing, 0, 0)
        try:
            out = call(x)
        except Exception as error:  # noqa: BLE001 - a model is others' code, which may raise anything
            if len(x) == 1:
                self._note(error)
                return nothing
            half = len(x) // 2
            return np.concatenate([self._asked(call, part, shaped, nothing) for part in (x[:half], x[half:])])
        return shaped(out, len(x))

    def _note(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            said = " ".join(str(error).split())[:200]
            self.notes.append(f"it fails on some inputs, at first with {type(error).__name__}: {said}")

    def _wide(self, out: Any, count: int) -> Any:  # noqa: ANN401 - numpy
        out = np.asarray(out, dtype=np.float64)
        if out.ndim == 2 and out.shape[1] == 1:  # noqa: PLR2004 - one output
            out = out[:, 0]
        if out.ndim == 1 and self.classes == 2:  # noqa: PLR2004 - of two classes
            out = np.stack([np.zeros_like(out), out], 1)
        if out.shape != (count, self.classes):
            msg = f"the model gives scores of shape {out.shape} for {count} inputs and {self.classes} classes"
            raise InputError(msg, where=self.name)
        return out

    def _label(self, out: Any, count: int) -> Any:  # noqa: ANN401 - numpy
        out = np.asarray(out).reshape(-1)
        if out.shape != (count,):
            msg = f"the model gives {len(out)} labels for {count} inputs"
            raise InputError(msg, where=self.name)
        number = np.asarray(out, dtype=np.float64)
        good = np.isfinite(number) & (number >= 0) & (number < self.classes) & (np.floor(number) == number)
        return np.where(good, number, -1).astype(np.int64)


def _array(x: torch.Tensor) -> Any:  # noqa: ANN401 - numpy
    return x.detach().cpu().double().numpy()


def log_of(probabilities: Any) -> Any:  # noqa: ANN401 - numpy
    """Return log-probabilities `(n, classes)`, finite where the probabilities are; `(n,)` of the second class gives log-odds."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 1:
        return np.log(np.clip(p, _LEAST, None)) - np.log(np.clip(1 - p, _LEAST, None))
    return np.log(np.clip(p, _LEAST, None))


def looks_like_probabilities(out: Any) -> bool:  # noqa: ANN401 - numpy or a tensor
    """Tell whether scores `(n, classes)` are probabilities: none negative, and rows that sum to one."""
    array = np.asarray(out, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2 or not len(array):  # noqa: PLR2004 - of classes
        return False
    return bool((array >= 0).all() and (np.abs(array.sum(1) - 1) < _PROBABLE).all())
