"""Outliers among a class's activations: along their first direction, and, after a robust whitening, along all that are too wide."""

from __future__ import annotations

import math

import torch

from stannary.checks.poisoning.clustering import principal
from stannary.checks.poisoning.view import View
from stannary.core.errors import UsageError

__all__ = ["quantum_entropy", "robust_covariance", "spectral_signatures", "whitened_activations"]

_COMPONENTS = (2, 4, 8, 16)
_ALPHA = 4.0  # of the quantum entropy: between the trace (0) and the first direction alone (infinite); the paper's
_KEPT = 0.55  # of the rows that a robust covariance rests on
_STEPS = 30
_TAIL = 0.15  # of the rows that are compared with the rest to choose the number of components


def spectral_signatures(view: View) -> torch.Tensor:
    """Return squared projections on each class's first singular direction, `(n,)` (Tran et al. 2018); NaN in tiny classes."""
    found = view.activations
    scores = torch.full((len(found),), torch.nan, dtype=torch.float64)
    for _, rows in view.classes():
        scores[rows] = principal(found[rows], 1)[:, 0].square()
    return scores


def whitened_activations(view: View) -> torch.Tensor:
    """Return quantum-entropy scores of robustly whitened activations, `(n,)`, after SPECTRE (Hayase et al. 2021).

    Whitening by what is usual in a class makes directions stand out in which only a few rows are wide. The number of
    components is the one that sets the farthest rows most apart. Divided by their class's median: comparable across classes.
    """
    found = view.activations
    scores = torch.full((len(found),), torch.nan, dtype=torch.float64)
    for _, rows in view.classes():
        best = (-math.inf, torch.zeros(0))
        for count in _COMPONENTS:
            if count > found.shape[1] or 2 * count > len(rows):
                break
            reduced = principal(found[rows], count)
            try:
                centre, covariance = robust_covariance(reduced)
            except UsageError:
                break  # the class lies in fewer dimensions
            root = torch.linalg.cholesky(covariance)
            value = quantum_entropy(torch.linalg.solve_triangular(root, (reduced - centre).T, upper=False).T)
            cut = value.quantile(1 - _TAIL)
            apart = float(value[value >= cut].mean() / value[value < cut].mean().clamp_min(1e-12))
            if apart > best[0]:
                best = (apart, value)
        if len(best[1]):
            scores[rows] = best[1] / best[1].median().clamp_min(1e-12)
    return scores


def robust_covariance(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return centre and covariance of the most compact half of rows `(m, features)`: FastMCD's C-steps from a spatial median.

    The covariance is scaled so that the median Mahalanobis distance is that of normal data (Rousseeuw and Van Driessen 1999).

    Raises:
        UsageError: so many rows lie in fewer dimensions that it is singular.
    """
    kept = max(int(_KEPT * len(rows)), rows.shape[1] + 1)
    centre = rows.median(0).values
    spread = (rows - centre).abs().median(0).values
    far = ((rows - centre) / spread.clamp_min(1e-12)).square().sum(1)
    chosen = far.argsort()[:kept].sort().values
    covariance = torch.eye(rows.shape[1], dtype=rows.dtype)
    for _ in range(_STEPS):
        centre = rows[chosen].mean(0)
        covariance = (rows[chosen] - centre).T @ (rows[chosen] - centre) / len(chosen)
        if float(torch.linalg.eigvalsh(covariance)[0]) <= 1e-12 * float(covariance.diagonal().max().clamp_min(1e-300)):
            msg = f"rows of {rows.shape[1]} features lie in fewer dimensions"
            raise UsageError(msg)
        far = ((rows - centre) @ torch.linalg.inv(covariance) * (rows - centre)).sum(1)
        again = far.argsort()[:kept].sort().values
        if torch.equal(again, chosen):
            break
        chosen = again
    return centre, covariance * far.median() / _median_of_chi_square(rows.shape[1])


def _median_of_chi_square(k: int) -> float:
    return k * (1 - 2 / (9 * k)) ** 3  # Wilson and Hilferty: within 0.3 % from two degrees of freedom on


def quantum_entropy(rows: torch.Tensor) -> torch.Tensor:
    """Return how far rows `(m, features)`, whitened, reach into directions that are wider than they should be, `(m,)`.

    x' Q x / tr Q with Q = exp(alpha (S - I) / (|S| - 1)), S the second moment (Dong, Hopkins and Li 2019).
    """
    moment = rows.T @ rows / len(rows)
    values, axes = torch.linalg.eigh(moment)
    widest = float(values[-1]) - 1
    weights = (_ALPHA * (values - values[-1]) / widest).exp() if widest > 1e-9 else torch.ones_like(values)  # noqa: PLR2004 - none is too wide
    weights = weights / weights.sum()
    return (rows @ axes).square() @ weights
