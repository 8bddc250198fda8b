"""Rows whose label is probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

    probabilities = out_of_sample(train, x, y, classes)     # each row judged by a model that did not see it
    found = label_errors(probabilities, y)
    found.rows                                              # the most doubtful first

It finds wrong labels, by accident or by an attacker who flips them at random. It is no detector of backdoors: a model that learned
a trigger is as sure of the rows that have it as of any others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.seeds import derive, generator
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stannary.checks.poisoning.interface import Train

__all__ = ["LabelErrors", "confident_joint", "label_errors", "out_of_sample", "out_of_sample_by"]

_BATCH = 512


@dataclass(frozen=True)
class LabelErrors:
    """What was found.

    - `rows` `(k,)`: rows whose label is probably wrong, those that the model trusts least first
    - `suggested` `(k,)`: the label that the model gives them
    - `joint` `(classes, classes)`: estimated share of rows by given and true label; what is off the diagonal is wrong
    - `quality` `(n,)`: probability of each row's own label
    """

    rows: torch.Tensor
    suggested: torch.Tensor
    joint: torch.Tensor
    quality: torch.Tensor


def out_of_sample(train: Train, x: torch.Tensor, y: torch.Tensor, classes: int, *, folds: int = 5, seed: int = 0) -> torch.Tensor:
    """Return probabilities `(n, classes)` by models that were trained on the other folds; each class is spread over all of them.

    Raises:
        UsageError: fewer than two folds, or not as many labels as inputs.
        InputError: a class has fewer rows than there are folds, so that a model would never see it; or a model gives no answer.
    """
    if len(x) != len(y):
        msg = f"{len(x)} inputs and {len(y)} labels"
        raise UsageError(msg)
    fold = _dealt(y, folds, seed)
    out = torch.zeros(len(x), classes, dtype=torch.float64)
    for part in range(folds):
        model = train(x[fold != part], y[fold != part], derive(seed, "fold", part) % (1 << 31))
        for at in (fold == part).nonzero()[:, 0].split(_BATCH):
            out[at] = model.logits(x[at].to(model.device)).cpu().double().softmax(1)
    return _answered(out)


def _dealt(y: torch.Tensor, folds: int, seed: int) -> torch.Tensor:
    """Return the fold of each row, `(n,)`; each class is spread over all of them."""
    if folds < 2 or not len(y):  # noqa: PLR2004 - to train on one and judge the other
        msg = f"{len(y)} labels in {folds} folds"
        raise UsageError(msg)
    fold = torch.zeros(len(y), dtype=torch.int64)
    for label in y.unique().tolist():
        own = (y == label).nonzero()[:, 0].cpu()
        if len(own) < folds:
            msg = f"class {label} has {len(own)} rows: too few for {folds} folds"
            raise InputError(msg)
        fold[own[torch.randperm(len(own), generator=generator(seed, "folds", label))]] = torch.arange(len(own)) % folds
    return fold


def _answered(out: torch.Tensor) -> torch.Tensor:
    bad = int(out.isnan().any(1).sum())
    if bad:
        msg = f"the models give no answer for {bad} of {len(out)} rows"
        raise InputError(msg)
    return out


def out_of_sample_by(
    outputs: Callable[[torch.Tensor, int], torch.Tensor], y: torch.Tensor, classes: int, *, folds: int = 5, seed: int = 0
) -> torch.Tensor:
    """Return probabilities `(n, classes)` as `out_of_sample` does, where what trains also answers for all rows.

    Args:
        outputs: from the rows to train on `(m,)` and a seed to logits `(n, classes)` for every row.
        y: labels `(n,)`.
        classes: how many there are.
        folds: into which the rows are dealt, class by class.
        seed: of everything random.

    Raises:
        UsageError, InputError: as `out_of_sample`.
    """
    fold = _dealt(y, folds, seed)
    out = torch.zeros(len(y), classes, dtype=torch.float64)
    for part in range(folds):
        chosen, held = (fold != part).nonzero()[:, 0], (fold == part).nonzero()[:, 0]
        out[held] = outputs(chosen, derive(seed, "fold", part) % (1 << 31)).cpu().double()[held].softmax(1)
    return _answered(out)


def confident_joint(probabilities: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return counts `(classes, classes)` by given label and by the label of which the model is confident.

    A model is confident of a class where its probability is at least the mean of that class's own rows. Rows of which it is
    confident of no class are not counted; of several the most probable counts, and of a tie the given one. No row is confidently
    of a class without rows.
    """
    classes = probabilities.shape[1]
    threshold = torch.stack(
        [probabilities[y == k, k].mean() if bool((y == k).any()) else torch.tensor(torch.inf) for k in range(classes)]
    )
    above = torch.where(probabilities >= threshold - 1e-12, probabilities, -torch.inf)
    above[torch.arange(len(y)), y] += 1e-9  # of a tie the given label is the winner: it is no evidence against it
    sure = above.max(1)
    counted = sure.values.isfinite()
    joint = torch.zeros(classes, classes, dtype=torch.float64)
    return joint.index_put(
        (y[counted], sure.indices[counted]), torch.ones(int(counted.sum()), dtype=torch.float64), accumulate=True
    )


def label_errors(probabilities: torch.Tensor, y: torch.Tensor) -> LabelErrors:
    """Find wrong labels: as many rows of each given label as the joint says, by their margin ("prune by noise rate").

    Args:
        probabilities: `(n, classes)` of models that did not see the row; see `out_of_sample`.
        y: labels `(n,)` from 0 to classes - 1.

    Raises:
        InputError: these are no probabilities, or labels that are not among the classes.
    """
    p, y = probabilities.detach().cpu().double(), y.cpu()
    if p.ndim != 2 or len(p) != len(y) or not len(y):  # noqa: PLR2004 - rows and classes
        msg = f"probabilities of shape {tuple(p.shape)} for {len(y)} labels"
        raise InputError(msg)
    if not bool(p.isfinite().all()) or float(p.min()) < 0 or float((p.sum(1) - 1).abs().max()) > 1e-3:  # noqa: PLR2004 - float32
        msg = "these are no probabilities: each row is non-negative and adds up to 1"
        raise InputError(msg)
    if int(y.min()) < 0 or int(y.max()) >= p.shape[1]:
        msg = f"labels from {int(y.min())} to {int(y.max())} for {p.shape[1]} classes"
        raise InputError(msg)
    counts = torch.bincount(y, minlength=p.shape[1]).double()
    raw = confident_joint(p, y)
    raw = torch.where(raw.sum(1, keepdim=True) > 0, raw, torch.eye(len(raw), dtype=raw.dtype))
    joint = raw / raw.sum(1, keepdim=True) * counts[:, None]  # each given label is as frequent as it is
    wrong = torch.zeros(len(y), dtype=torch.bool)
    for given in range(p.shape[1]):
        own = (y == given).nonzero()[:, 0]
        for true in range(p.shape[1]):
            number = min(int(joint[given, true].round()), len(own))
            if true != given and number:
                margin = p[own, true] - p[own, given]
                wrong[own[margin.argsort(descending=True, stable=True)[:number]]] = True
    quality = p[torch.arange(len(y)), y]
    wrong &= p.max(1).values > quality + 1e-9
    rows = wrong.nonzero()[:, 0]
    rows = rows[quality[rows].argsort(stable=True)]
    return LabelErrors(rows, p[rows].argmax(1), joint / len(y), quality)
