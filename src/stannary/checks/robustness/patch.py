"""Adversarial patches (Brown et al. 2017): one small picture that, laid on any image, decides what the model sees.

The patch is climbed in expectation over images, places, angles and brightness (EOT), so that it holds where it was not made; how
well is measured on other images at other places, beside a patch of noise, which says what any cover of that size does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from stannary.checks.robustness.losses import cross_entropy
from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import Loss, Spend, Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import UsageError

__all__ = ["Patch", "Patching", "adversarial_patch", "paste"]

_IMAGE = 3  # dimensions of one image
_BETAS = (0.9, 0.999)  # Adam's
_TURN = 20.0  # degrees either way
_DIM = 0.2  # of the brightness either way


@dataclass(frozen=True)
class Patching:
    """How a patch is made: its side in pixels, steps, images a step, the class it wishes for (None: any but the true one).

    `places`: at how many random places, angles and brightnesses it is measured on each image; it has turned an image if it did at
    one of them.
    """

    side: int
    steps: int = 200
    batch: int = 64
    wished: int | None = None
    pace: float = 0.05
    seed: int = 0
    bounds: tuple[float, float] = (0.0, 1.0)
    places: int = 1


@dataclass(frozen=True)
class Patch:
    """A patch `(channels, side, side)`, and the shares of held-out images, right without it, that it and one of noise turn.

    `right` `(n,)` bool: the held-out images that were right; `shown` `(n, *shape)`: each of them with the patch, at the place that
    turned it where one did; `turned` `(n,)` bool. `silent`: answers that were missing, which turn nothing.
    """

    patch: torch.Tensor
    success: Rate
    noise: Rate
    spend: Spend = field(default_factory=Spend)
    right: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    turned: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    shown: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    silent: int = 0


def adversarial_patch(
    target: Target,
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    how: Patching,
) -> Patch:
    """Make a patch on some images and measure it on others.

    Args:
        target: white-box, takes images `(channels, height, width)`.
        train: images `(n, *shape)` and labels on which the patch is made.
        test: others, on which it is measured.
        how: settings.

    Raises:
        UsageError: no gradients, no images, or a patch that is not smaller than them.
    """
    if target.access != "white" or len(target.shape) != _IMAGE or not 0 < how.side < min(target.shape[1:]):
        msg = f"a patch of side {how.side} takes gradients and larger images, not {target.access} access to {target.shape}"
        raise UsageError(msg)
    counted = target if isinstance(target, Counting) else Counting(target)
    before = counted.spend.copy()
    generator = torch.Generator(device=train[0].device).manual_seed(how.seed)
    patch = _climb(counted, train, how, generator)
    noise = torch.rand(patch.shape, generator=generator, device=patch.device, dtype=patch.dtype)
    noise = how.bounds[0] + noise * (how.bounds[1] - how.bounds[0])
    x, labels = test
    decided = counted.decide(x)
    right = decided == labels
    if how.wished is not None:
        right &= labels != how.wished
    rest = (x[right], labels[right])
    hit, shown, silent = _turned(counted, rest, patch, how, generator)
    by_noise, _, _ = _turned(counted, rest, noise, how, generator)
    turned, covered = torch.zeros_like(right), x.clone()
    turned[right], covered[right] = hit, shown
    return Patch(
        patch,
        rate(int(hit.sum()), len(hit)),
        rate(int(by_noise.sum()), len(hit)),
        counted.spend.since(before),
        right=right,
        turned=turned,
        shown=covered,
        silent=silent + int((decided < 0).sum()),
    )


def _climb(target: Counting, train: tuple[torch.Tensor, torch.Tensor], how: Patching, generator: torch.Generator) -> torch.Tensor:
    """Return the patch after so many steps of Adam."""
    x, labels = train
    low, high = how.bounds
    patch = torch.full((x.shape[1], how.side, how.side), (low + high) / 2, dtype=x.dtype, device=x.device)
    mean, spread = torch.zeros_like(patch), torch.zeros_like(patch)
    for step in range(1, how.steps + 1):
        pick = torch.randint(len(x), (min(how.batch, len(x)),), generator=generator, device=x.device)
        loss = _loss(labels[pick], how.wished)
        with torch.enable_grad():
            held = patch.detach().requires_grad_(True)  # noqa: FBT003 - torch's
            laid = paste(x[pick], held, generator, how.bounds)
        _, _, grad = target.gradient(laid.detach(), loss)
        (slope,) = torch.autograd.grad(laid, held, grad.nan_to_num(0.0))
        mean = _BETAS[0] * mean + (1 - _BETAS[0]) * slope
        spread = _BETAS[1] * spread + (1 - _BETAS[1]) * slope.square()
        way = (mean / (1 - _BETAS[0] ** step)) / ((spread / (1 - _BETAS[1] ** step)).sqrt() + 1e-12)
        patch = (patch + how.pace * (high - low) * way).clamp(low, high)
    return patch.detach()


def _loss(labels: torch.Tensor, wished: int | None) -> Loss:
    """Return what is climbed: away from the true labels, or towards the wished one."""
    if wished is None:
        return lambda out: cross_entropy(out, labels)
    return lambda out: -cross_entropy(out, torch.full_like(labels, wished))


def paste(
    x: torch.Tensor, patch: torch.Tensor, generator: torch.Generator, bounds: tuple[float, float] = (0.0, 1.0)
) -> torch.Tensor:
    """Return images `(n, *shape)` with the patch laid on each at a random place, angle and brightness; the patch gets gradients."""
    n, _, height, width = x.shape
    side = patch.shape[1]
    draw = torch.rand((4, n), generator=generator, device=x.device, dtype=x.dtype)
    half = side / 2
    top = half - 0.5 + draw[0] * (height - side)
    left = half - 0.5 + draw[1] * (width - side)
    angle = (2 * draw[2] - 1) * math.radians(_TURN)
    down = torch.arange(height, device=x.device, dtype=x.dtype)[None, :, None] - top[:, None, None]
    right = torch.arange(width, device=x.device, dtype=x.dtype)[None, None] - left[:, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    grid = torch.stack(((cos * right - sin * down) / half, (sin * right + cos * down) / half), 3)
    cover = (grid.abs() <= 1).all(3)[:, None].to(x.dtype)
    laid = torch.nn.functional.grid_sample(
        patch.expand(n, -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    dim = 1 + (2 * draw[3] - 1)[:, None, None, None] * _DIM
    laid = (bounds[0] + (laid - bounds[0]) * dim).clamp(*bounds)
    return x * (1 - cover) + laid * cover


def _turned(
    target: Counting, images: tuple[torch.Tensor, torch.Tensor], patch: torch.Tensor, how: Patching, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return which images a patch turns at one of its places, how they look then, and how many answers were missing."""
    x, labels = images
    hit, shown, silent = torch.zeros(len(x), dtype=torch.bool, device=x.device), x.clone(), 0
    for _ in range(how.places if len(x) else 0):
        laid = paste(x, patch, generator, how.bounds)
        decided = target.decide(laid)
        turns = (decided != labels) & (decided >= 0) if how.wished is None else decided == how.wished
        fresh = ~hit
        shown[fresh], silent = laid[fresh], silent + int((decided < 0).sum())
        hit |= turns
    return hit, shown, silent
