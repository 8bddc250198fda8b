"""What the detectors say together about a model and its data: alarm, no alarm, or inconclusive, each with its reasons.

Two signs raise an alarm, each class by class and each on a scale from 0 to 1 on which one half is an alarm:

- *the model*: a class needs a far smaller patch than the others (Neural Cleanse). A quarter of the smaller of two numbers: how many
  deviations the patch lies below the median of the classes, and how many times smaller it is. A working shortcut is both.
- *the rows*: rows whose neighbours have another label, and which the model has learned as they are labelled, stay what they are
  under overlays of other rows. Rows that are merely odd do not: a rank test against all rows, and the size of the difference.

The scales were set on sixteen networks (8 clean, 8 with triggers in 1 to 10 % of the rows) of MNIST's digits: clean networks gave
0.39 at most, poisoned ones 0.66 at least. Between `DOUBT` and `ALARM` nothing is said.

Of two classes neither says anything: there what odd rows share is laid on other inputs (`carried`). It can raise an alarm; without
one two classes stay inconclusive, since a trigger that these rows do not hold would not show.

Activation clustering and weight statistics are told and do not count: on the same networks they did not part clean from poisoned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

from stannary.checks.poisoning.carried import carried
from stannary.checks.poisoning.clustering import activation_clustering
from stannary.checks.poisoning.neighbours import neighbours
from stannary.checks.poisoning.neural_cleanse import Cleanse, Patches, neural_cleanse
from stannary.checks.poisoning.spectral import spectral_signatures, whitened_activations
from stannary.checks.poisoning.strip import strip
from stannary.checks.poisoning.view import View, ranks
from stannary.core.errors import StannaryError

__all__ = ["ALARM", "DOUBT", "Verdict", "detect", "row_scores"]

ALARM, DOUBT = 0.5, 0.45
_LEAST_ROWS = 200
_LEAST_AGREED = 0.5  # of the rows, decided as labelled: else the model never learned them
_ODD = 0.7  # of the neighbours have another label
_FEW = 8  # odd rows of a class, below which a rank test says nothing
_Z_SCALE, _MEAN_SCALE = 8.0, 0.6  # at four deviations, and at a mean rank of 0.8, is one half
_COUNTED = ("spectral", "whitened", "strip", "neighbours")
Word = Literal["alarm", "no alarm", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What is said.

    - `score`: of the most suspicious class, 0 to 1; NaN if nothing was measured
    - `model`, `rows`: the score of each class by each sign, `(classes,)`; NaN where it was not measured
    - `odd`: of each class, how many rows are learned against their neighbours
    - `scores`: of each row by every detector that ran, `(n,)`; `suspicion`: all of them in one, higher is worse
    - `skipped`: detector → why it did not run
    """

    word: Word
    score: float
    reasons: tuple[str, ...]
    model: torch.Tensor
    rows: torch.Tensor
    odd: torch.Tensor
    suspicion: torch.Tensor
    patches: Patches | None = None
    scores: dict[str, torch.Tensor] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> int:
        """The most suspicious class; -1 if nothing was measured."""
        both = torch.maximum(self.model.nan_to_num(-1), self.rows.nan_to_num(-1))
        return int(both.argmax()) if float(both.max()) >= 0 else -1


def detect(view: View, clean: tuple[torch.Tensor, torch.Tensor] | None = None, cleanse: Cleanse | None = None) -> Verdict:
    """Look for a backdoor in a model and in the rows that it may have learned it from.

    Args:
        view: the model, and its training data or a part of it.
        clean: inputs and labels on which patches are sought; the rows of the view without it.
        cleanse: how thoroughly.

    Raises:
        InputError: the model gives no answer for some rows, or its activations are not finite. What can be looked at only by
            some detectors is no error: the others are skipped, and without both signs, or without a detector that orders the
            rows, there is no "no alarm".
    """
    classes = view.target.classes
    nothing = torch.full((classes,), torch.nan, dtype=torch.float64)
    skipped: dict[str, str] = {}
    model, patches, taught = nothing, None, nothing
    unusable = _unusable(view)
    x, y = clean if clean is not None else (view.x, view.y)
    if not unusable:
        try:
            patches = neural_cleanse(view.target, x, y, cleanse or Cleanse(seed=view.seed))
            model = _by_patches(patches)
        except StannaryError as error:
            skipped["neural cleanse"] = error.message
    if patches is not None and bool(model.isnan().all()):
        skipped["neural cleanse"] = "fewer than three classes, or no class has a patch: there is nothing to compare"
    scores = _scores(view, skipped)
    rows, odd = nothing, torch.zeros(classes, dtype=torch.int64)
    few = f"{len(view.x)} rows are too few to look for odd ones" if len(view.x) < _LEAST_ROWS else ""
    if few:
        skipped["rows"] = few
    elif not unusable and {"strip", "neighbours"} <= set(scores):
        rows, odd = _by_rows(view, scores)
        if classes == 2:  # noqa: PLR2004 - neither patches nor overlays tell anything of two
            taught = carried(view, _is_odd(view, scores), (x.cpu(), y.cpu()))
    word, score, reasons = _judged((model, rows, taught), unusable, skipped)
    rows = torch.where(taught.isnan(), rows, torch.maximum(rows, taught))
    alarmed = torch.maximum(model.nan_to_num(0), rows.nan_to_num(0))
    suspicion = row_scores(scores, torch.where(alarmed >= ALARM, alarmed, 0.0)[view.y.cpu()])
    if bool((taught >= ALARM).any()):  # the rows that taught it come before all others
        suspicion += suspicion.max() * (_is_odd(view, scores) & (taught >= ALARM)[view.y.cpu()])
    return Verdict(word, score, reasons, model, rows, odd, suspicion, patches, scores, skipped)


def row_scores(scores: dict[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
    """Return how suspicious each row is, `(n,)`: what is left above each rank, as Fisher adds up probabilities.

    `weight` `(n,)` from 0 to 1: how suspicious the row's class is; its rows count up to twice. Of a clean model or without the
    alarm of a class it is zero, and the order is that of the detectors alone.
    """
    found = torch.zeros(len(weight), dtype=torch.float64)
    for name in _COUNTED:
        if name in scores:
            found -= (1 - ranks(scores[name])).clamp_min(1e-6).log()
    return found * (1 + weight)


def _unusable(view: View) -> str:
    """Return why nothing can be said of the model by these rows."""
    decided = view.decided
    silent = int((decided < 0).sum())
    if silent:
        return f"the model gives no answer for {silent} of {len(decided)} rows"
    if len(decided.unique()) < 2:  # noqa: PLR2004 - two classes
        return f"the model decides {int(decided[0])} for every row"
    if len(view.y.unique()) < 2:  # noqa: PLR2004 - two classes
        return "all rows have the same label"
    agreed = float((decided == view.y.cpu()).double().mean())
    return (
        f"the model decides {agreed:.0%} of the rows as they are labelled: it has not learned them"
        if agreed < _LEAST_AGREED
        else ""
    )


def _scores(view: View, skipped: dict[str, str]) -> dict[str, torch.Tensor]:
    detectors: dict[str, Callable[[], torch.Tensor]] = {
        "clusters": lambda: activation_clustering(view).scores,
        "spectral": lambda: spectral_signatures(view),
        "whitened": lambda: whitened_activations(view),
        "strip": lambda: strip(view),
        "neighbours": lambda: neighbours(view),
    }
    found: dict[str, torch.Tensor] = {}
    for name, detector in detectors.items():
        try:
            found[name] = detector()
        except StannaryError as error:
            skipped[name] = error.message
    return found


def _by_patches(patches: Patches) -> torch.Tensor:
    """Return the score of each class by its patch; NaN if there are fewer than three classes or no patch at all."""
    sizes = patches.sizes.double()
    if len(sizes) < 3 or not bool(sizes.isfinite().any()):  # noqa: PLR2004 - fewer have no middle
        return torch.full((len(sizes),), torch.nan, dtype=torch.float64)
    single = patches.masks[0, 0] if patches.masks.ndim == 4 else patches.masks[0]  # noqa: PLR2004 - the channels share a mask
    filled = torch.where(sizes.isfinite(), sizes, float(single.numel()))
    smaller = filled.quantile(0.5) / filled.clamp_min(1e-12)
    return (torch.minimum(patches.indices.double(), smaller) / 4).clamp(0, 1)


def _by_rows(view: View, scores: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the score of each class by its odd rows, and how many of them there are."""
    labels = view.y.cpu()
    place = ranks(scores["strip"])
    odd = _is_odd(view, scores)
    found = torch.zeros(view.target.classes, dtype=torch.float64)
    counts = torch.zeros(view.target.classes, dtype=torch.int64)
    for label in range(view.target.classes):
        some = place[odd & (labels == label)]
        counts[label] = len(some)
        if len(some) >= _FEW:
            above = float(some.mean()) - 0.5
            found[label] = max(0.0, min(above * (12 * len(some)) ** 0.5 / _Z_SCALE, above / _MEAN_SCALE, 1.0))
    return found, counts


def _is_odd(view: View, scores: dict[str, torch.Tensor]) -> torch.Tensor:
    """Tell which rows look like another class and were learned as they are labelled, `(n,)` bool."""
    return (scores["neighbours"] >= _ODD) & (view.decided == view.y.cpu())


def _judged(
    signs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], unusable: str, skipped: dict[str, str]
) -> tuple[Word, float, tuple[str, ...]]:
    """Return the verdict, the highest score and the reasons, by the signs of each class: its patch, its rows, what they share."""
    model, rows, taught = signs
    if unusable:
        return "inconclusive", float("nan"), (unusable,)
    reasons: list[str] = []
    doubts: list[str] = []
    for values, text in (
        (model, "needs a far smaller patch than the others"),
        (rows, "has rows that look like others, were learned as labelled, and stay so under overlays"),
        (taught, "has rows that look like others, and what they share moves other inputs to it"),
    ):
        for label in (values.nan_to_num(0) >= DOUBT).nonzero()[:, 0].tolist():
            (reasons if float(values[label]) >= ALARM else doubts).append(
                f"class {label} {text} (score {float(values[label]):.2f})"
            )
    both = torch.cat(signs)
    score = float(both[~both.isnan()].max()) if not bool(both.isnan().all()) else float("nan")
    if reasons:
        return "alarm", score, tuple(reasons)
    if doubts:
        return "inconclusive", score, tuple(f"{text}: too little for an alarm, too much for none" for text in doubts)
    missing = [name for values, name in ((model, "neural cleanse"), (rows, "rows")) if bool(values.isnan().all())]
    missing += [name for name in _COUNTED if name in skipped]  # a check that did not run is no reason to say that nothing is there
    if missing:
        why = "; ".join(sorted({f"{name}: {text}" for name, text in skipped.items()}))
        return "inconclusive", score, (f"not looked for by {' and '.join(missing)} ({why})",)
    return "no alarm", score, ("no class needs a far smaller patch, and no odd rows resist overlays",)
