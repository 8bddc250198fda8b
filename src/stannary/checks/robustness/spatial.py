"""Rotations and translations: the worst case of every sample over a grid, exact for that grid (Engstrom et al. 2019).

Gradients are of little use here, and the grid is small: each pose is tried on the samples that no pose before has broken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import Spend, Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import UsageError

__all__ = ["ANGLES", "SHIFTS", "Poses", "pose", "spatial"]

ANGLES = tuple(range(-30, 31, 6))  # degrees
SHIFTS = (-3, 0, 3)  # pixels, each way
_IMAGE = 4  # dimensions of a batch of images


@dataclass(frozen=True)
class Poses:
    """What the grid did.

    `at` `(n,)`: which of `grid` (degrees, pixels down, pixels right) broke a sample first, -1 where none did, -2 for one that is
    wrong as it is. `silent`: samples that got no answer in some pose; they count as right nowhere.
    """

    grid: tuple[tuple[float, int, int], ...]
    clean: Rate
    worst: Rate
    at: torch.Tensor
    silent: int = 0
    spend: Spend = field(default_factory=Spend)


def spatial(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    angles: Sequence[float] = ANGLES,
    shifts: Sequence[int] = SHIFTS,
    fill: float = 0.0,
) -> Poses:
    """Return the worst case of images `(n, channels, height, width)` with labels `(n,)` over all poses.

    Args:
        target: takes such images; decisions are enough.
        x: images.
        labels: the true ones.
        angles: of rotation about the middle, in degrees.
        shifts: in pixels, down and right, in all pairs.
        fill: the value of what moves into the picture.

    Raises:
        UsageError: these are no images.
    """
    if x.ndim != _IMAGE:
        msg = f"rotations and translations take images (n, channels, height, width), not {tuple(x.shape)}"
        raise UsageError(msg)
    counted = target if isinstance(target, Counting) else Counting(target)
    before = counted.spend.copy()
    decided = counted.decide(x)
    at = torch.full_like(labels, -1)
    at[decided != labels] = -2
    clean, silent = int((decided == labels).sum()), decided < 0
    # from the smallest change to the greatest, so that `at` names the least that breaks a sample
    grid = sorted(
        ((float(a), d, r) for a in angles for d in shifts for r in shifts),
        key=lambda p: (abs(p[0]) / 10 + abs(p[1]) + abs(p[2]), p),
    )
    for number, (angle, down, right) in enumerate(grid):
        rest = (at == -1).nonzero()[:, 0]
        if not len(rest):
            break
        decided = counted.decide(pose(x[rest], angle, (down, right), fill))
        silent[rest[decided < 0]] = True
        at[rest[decided != labels[rest]]] = number
    worst = rate(int((at == -1).sum()), len(x))
    return Poses(tuple(grid), rate(clean, len(x)), worst, at, int(silent.sum()), counted.spend.since(before))


def pose(x: torch.Tensor, angle: float, shift: tuple[int, int] = (0, 0), fill: float = 0.0) -> torch.Tensor:
    """Return images `(n, channels, height, width)` turned by degrees counter-clockwise and moved by pixels (down, right)."""
    height, width = x.shape[2:]
    down = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2 - shift[0]
    right = torch.arange(width, device=x.device, dtype=x.dtype)[None] - (width - 1) / 2 - shift[1]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    from_right, from_down = cos * right - sin * down, sin * right + cos * down  # where each pixel of the result comes from
    grid = torch.stack((2 * from_right / max(width - 1, 1), 2 * from_down / max(height - 1, 1)), 2)
    moved = torch.nn.functional.grid_sample(
        x - fill, grid.expand(len(x), -1, -1, -1), mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return moved + fill
