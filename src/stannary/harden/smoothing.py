"""Randomised smoothing (Cohen et al. 2019): a classifier that decides by vote under Gaussian noise, with a certificate in l2."""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch.nn import functional

from stannary.checks.target.statistics import clopper_pearson
from stannary.core.errors import UsageError
from stannary.harden.interface import Hardened, Settings, epochs_of, seeded, trainable

__all__ = ["Smoothed", "Voting", "certify", "smoothing"]

_BATCH = 1000


class Smoothed(torch.nn.Module):
    """The votes of a module under noise, as log-shares.

    The noise is drawn anew at each call, from a generator of its own: an attack on it has to average (EOT).

    Args:
        module: the base classifier, trained with this noise.
        sigma: standard deviation of the noise, in units of the input.
        votes: samples of noise a decision.
    """

    def __init__(self, module: torch.nn.Module, sigma: float, votes: int = 100, seed: int = 0) -> None:
        super().__init__()
        if not 0 < sigma < float("inf") or votes < 1:
            msg = f"sigma {sigma} and {votes} votes smooth nothing"
            raise UsageError(msg, code="USE013")
        self.module, self.sigma, self.votes, self._seed = module, sigma, votes, seed
        self._generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)` logarithms of the mean softmax under noise."""
        if self._generator is None or self._generator.device != x.device:
            self._generator = torch.Generator(device=x.device).manual_seed(self._seed)
        total: torch.Tensor | None = None
        for _ in range(self.votes):
            noise = torch.empty_like(x).normal_(generator=self._generator)
            shares = functional.softmax(self.module(x + self.sigma * noise), 1)
            total = shares if total is None else total + shares
        assert total is not None  # noqa: S101 - votes >= 1
        return (total / self.votes).clamp_min(1e-12).log()


class Voting(torch.nn.Module):
    """The same as `Smoothed` as one batch, with torch's own noise: what can be traced into a file."""

    def __init__(self, smoothed: Smoothed) -> None:
        super().__init__()
        self.module, self.sigma, self.votes = smoothed.module, smoothed.sigma, smoothed.votes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)` logarithms of the mean softmax under noise."""
        many = x.repeat(self.votes, *[1] * (x.ndim - 1))
        shares = functional.softmax(self.module(many + self.sigma * torch.randn_like(many)), 1)
        return shares.reshape(self.votes, -1, shares.shape[1]).mean(0).clamp_min(1e-12).log()


def smoothing(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train with Gaussian noise of `sigma` (0.25), and wrap the model so that it decides by vote."""
    sigma, votes = settings.get("sigma", 0.25), int(settings.get("votes", 100))
    generator = seeded(settings, x.device)
    smoothed = Smoothed(model, sigma, votes, settings.seed)
    trainable(model)
    optimizer = torch.optim.Adam(model.parameters(), settings.rate)
    for batch, labels in epochs_of(x, y, settings):
        model.train()
        optimizer.zero_grad()
        noise = torch.empty_like(batch).normal_(generator=generator)
        functional.cross_entropy(model(batch + sigma * noise), labels).backward()
        optimizer.step()
    model.eval()
    return Hardened(smoothed, "smoothing", {"sigma": sigma, "votes": votes, "epochs": settings.epochs, "seed": settings.seed})


def certify(
    smoothed: Smoothed, x: torch.Tensor, y: torch.Tensor, *, first: int = 100, n: int = 1000, alpha: float = 0.001, seed: int = 0
) -> torch.Tensor:
    """Return the radius in l2 within which each sample `(m, *shape)` is decided as its label, `(m,)`; 0: none is certified.

    Each radius holds with probability 1 - `alpha` (Cohen et al. 2019, CERTIFY: `first` votes choose the class, `n` others bound
    its probability from below).
    """
    generator = torch.Generator(device=x.device).manual_seed(seed)
    radii = torch.zeros(len(x), dtype=torch.float64)
    for at in range(len(x)):
        votes = _votes(smoothed, x[at], first, generator)
        best = int(votes.argmax())
        if best != int(y[at]):
            continue
        hits = int(_votes(smoothed, x[at], n, generator)[best])
        low, _ = clopper_pearson(hits, n, 1 - 2 * alpha)  # one-sided
        if low > 0.5:  # noqa: PLR2004 - the majority
            radii[at] = smoothed.sigma * NormalDist().inv_cdf(low)
    return radii


def _votes(smoothed: Smoothed, x: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    counts: torch.Tensor | None = None
    for start in range(0, n, _BATCH):
        size = min(_BATCH, n - start)
        noise = torch.empty((size, *x.shape), device=x.device, dtype=x.dtype).normal_(generator=generator)
        with torch.no_grad():
            out = smoothed.module(x[None] + smoothed.sigma * noise)
        found = torch.bincount(out.argmax(1), minlength=out.shape[1])
        counts = found if counts is None else counts + found
    assert counts is not None  # noqa: S101 - n >= 1
    return counts
