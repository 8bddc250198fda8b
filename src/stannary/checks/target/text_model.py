"""A classifier of texts: any function from texts to scores or labels, counted as every target is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from stannary.checks.target.interface import Access, BudgetSpent, Spend
from stannary.core.errors import BackendError, InputError, StannaryError

__all__ = ["TextTarget", "Texts"]

Texts: TypeAlias = "Callable[[list[str]], Any]"  # n texts → scores (n, classes) or (n,), or labels (n,)


class TextTarget:
    """A function of texts as a target: `predict_proba` of a scikit-learn pipeline, a client of an endpoint.

    Args:
        function: from a list of texts it gives floats `(n, classes)`, one float a text (the score of the second class: above 0,
            or above a half where all lie in [0, 1]), or integers `(n,)`, which are labels.
        classes: how many there are.
        probe: some texts, which show what it gives.
        name: for messages.
        budget: of queries.
        batch: texts of a call.

    A text for which the function fails is asked once more alone: it has no answer (NaN), and its neighbours have theirs.

    Raises:
        InputError: it fails on every text of the probe, or gives something else.
    """

    def __init__(
        self,
        function: Texts,
        classes: int,
        probe: Sequence[str],
        *,
        name: str = "function",
        budget: int | None = None,
        batch: int = 256,
    ) -> None:
        self.function, self.classes, self.name, self.budget, self.batch = function, classes, name, budget, batch
        self.spend = Spend()
        self.access: Access = "score"
        self.shape: tuple[int, ...] = ()  # of one input: a text has none
        self.labels: tuple[str, ...] = ()
        self.notes: list[str] = []
        self._middle = 0.0
        out = self._call(list(probe))
        if out is None:
            msg = f"the function fails on {len(probe)} texts"
            raise InputError(msg, where=name)
        if out.ndim == 1 and out.dtype.kind in "iub":
            self.access = "decision"
        elif out.ndim == 1 and ((out >= 0) & (out <= 1)).all():
            self._middle = 0.5
        if out.ndim not in (1, 2) or out.dtype.kind not in "iubf" or (out.ndim == 2 and out.shape[1] != classes):  # noqa: PLR2004 - of classes
            msg = f"the function gives {out.dtype} of shape {out.shape} for {len(probe)} texts and {classes} classes"
            raise InputError(msg, where=name, help="return floats (n, classes) or integers (n,)")

    def scores(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - numpy
        """Return scores `(n, classes)`, float64; of labels 1 for the label and 0 for others; NaN where there was no answer.

        Raises:
            BudgetSpent: the budget does not suffice for all of them; none is asked then.
        """
        if self.budget is not None and self.spend.queries + len(texts) > self.budget:
            msg = f"{self.name}: the budget of {self.budget} queries is used up"
            raise BudgetSpent(msg)
        out = np.full((len(texts), self.classes), np.nan)
        for start in range(0, len(texts), self.batch):
            part = list(texts[start : start + self.batch])
            out[start : start + len(part)] = self._answered(part)
        self.spend.unanswered += int(np.isnan(out).any(1).sum())
        return out

    def _answered(self, texts: list[str]) -> Any:  # noqa: ANN401 - numpy
        self.spend.queries += len(texts)
        self.spend.forward += len(texts)
        self.spend.calls += 1
        out = self._call(texts)
        if out is not None:
            return self._wide(out, len(texts))
        if len(texts) == 1:
            return np.full((1, self.classes), np.nan)
        self.spend.queries -= len(texts)  # they are asked again, each once
        self.spend.forward -= len(texts)
        return np.concatenate([self._answered([text]) for text in texts])

    def _call(self, texts: list[str]) -> Any:  # noqa: ANN401 - numpy
        try:
            return np.asarray(self.function(texts))
        except (BudgetSpent, BackendError):
            raise
        except StannaryError:
            return None
        except Exception:  # noqa: BLE001 - a model is others' code, which may raise anything
            return None

    def _wide(self, out: Any, count: int) -> Any:  # noqa: ANN401 - numpy
        if len(out) != count or (out.ndim == 2 and out.shape[1] != self.classes):  # noqa: PLR2004 - of classes
            msg = f"the function gives an answer of shape {out.shape} for {count} texts and {self.classes} classes"
            raise InputError(msg, where=self.name)
        if self.access == "decision":
            labels = out.astype(np.int64)
            good = (labels >= 0) & (labels < self.classes)
            wide = np.eye(self.classes)[np.where(good, labels, 0)]
            wide[~good] = np.nan
            return wide
        wide = out.astype(np.float64)
        if wide.ndim == 1:
            wide = np.stack([np.full(count, self._middle) - wide, wide - self._middle], 1)
        wide[~np.isfinite(wide).all(1)] = np.nan
        return wide
