"""Common corruptions: accuracy under noise, blur, weather and bad cameras, by severity (after ImageNet-C and MNIST-C).

No attacker chooses here; a model that fails these fails without one. Hendrycks and Dietterich 2019; Mu and Gilmer 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from stannary.checks.robustness.spatial import pose
from stannary.checks.robustness.threat_settings import SEVERITIES
from stannary.checks.target.card import CorruptionPoint
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import rate
from stannary.core.errors import UsageError

__all__ = ["CORRUPTIONS", "SEVERITIES", "corrupted", "corruptions"]

_IMAGE = 4  # dimensions of a batch of images
_Corruption = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]  # of images in [0, 1]


def _gaussian_noise(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    return x + (0.08, 0.14, 0.22, 0.32, 0.45)[severity - 1] * _normal(x, generator)


def _shot_noise(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    photons = (60.0, 25.0, 12.0, 6.0, 3.0)[severity - 1]
    return torch.poisson(x.clamp_min(0) * photons, generator=generator) / photons


def _impulse_noise(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    share = (0.03, 0.07, 0.12, 0.2, 0.3)[severity - 1]
    draw = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return torch.where(draw < share / 2, 0.0, torch.where(draw > 1 - share / 2, 1.0, x))


def _gaussian_blur(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    spread = (0.6, 1.0, 1.5, 2.0, 2.6)[severity - 1]
    reach = math.ceil(2.5 * spread)
    line = torch.exp(-torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype).square() / (2 * spread**2))
    return _filtered(x, (line / line.sum())[:, None] * (line / line.sum())[None])


def _motion_blur(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    length = (3, 5, 7, 9, 11)[severity - 1]
    return _filtered(x, torch.eye(length, device=x.device, dtype=x.dtype) / length)


def _contrast(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.75, 0.55, 0.4, 0.27, 0.15)[severity - 1]


def _brightness(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    return x + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]


def _darkness(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    return x - (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]


def _fog(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Mix in clouds: noise at several scales."""
    height, width = x.shape[2:]
    clouds = torch.zeros(len(x), 1, height, width, device=x.device, dtype=x.dtype)
    for cells in (2, 4, 8):
        grid = torch.rand((len(x), 1, cells, cells), generator=generator, device=x.device, dtype=x.dtype)
        clouds += torch.nn.functional.interpolate(grid, (height, width), mode="bilinear", align_corners=True) / cells
    share = (0.2, 0.35, 0.5, 0.6, 0.7)[severity - 1]
    return (1 - share) * x + share * clouds / clouds.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)


def _occlusion(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Cover a square at a random place with grey."""
    height, width = x.shape[2:]
    side = max(1, round((0.15, 0.22, 0.3, 0.38, 0.46)[severity - 1] * min(height, width)))
    spot = torch.rand((2, len(x)), generator=generator, device=x.device)
    top, left = (spot[0] * (height - side + 1)).long(), (spot[1] * (width - side + 1)).long()
    down = torch.arange(height, device=x.device) - top[:, None]
    along = torch.arange(width, device=x.device) - left[:, None]
    covered = ((down >= 0) & (down < side))[:, None, :, None] & ((along >= 0) & (along < side))[:, None, None, :]
    return torch.where(covered, 0.5, x)


def _pixelate(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    height, width = x.shape[2:]
    share = (0.7, 0.55, 0.42, 0.32, 0.25)[severity - 1]
    small = (max(1, round(height * share)), max(1, round(width * share)))
    return torch.nn.functional.interpolate(torch.nn.functional.interpolate(x, small, mode="area"), (height, width))


def _rotation(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    return pose(x, (8, 15, 23, 30, 40)[severity - 1])


def _translation(x: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG001 - one signature
    by = max(1, round((0.04, 0.07, 0.11, 0.15, 0.2)[severity - 1] * min(x.shape[2:])))
    return pose(x, 0, (by, -by))


CORRUPTIONS: Mapping[str, _Corruption] = {
    "gaussian-noise": _gaussian_noise,
    "shot-noise": _shot_noise,
    "impulse-noise": _impulse_noise,
    "gaussian-blur": _gaussian_blur,
    "motion-blur": _motion_blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "darkness": _darkness,
    "fog": _fog,
    "occlusion": _occlusion,
    "pixelate": _pixelate,
    "rotation": _rotation,
    "translation": _translation,
}


def corrupted(
    x: torch.Tensor, name: str, severity: int, *, seed: int = 0, bounds: tuple[float, float] = (0.0, 1.0)
) -> torch.Tensor:
    """Return images `(n, channels, height, width)`, whose values lie in `bounds`, under a corruption of severity 1 to 5.

    Raises:
        UsageError: there is no such corruption or severity, or these are no images.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES or x.ndim != _IMAGE:
        msg = (
            f"no corruption {name} of severity {severity} for inputs {tuple(x.shape)} (there are {', '.join(CORRUPTIONS)}, 1 to 5)"
        )
        raise UsageError(msg)
    low, high = bounds
    generator = torch.Generator(device=x.device).manual_seed(seed * 1000 + list(CORRUPTIONS).index(name) * 10 + severity)
    out = CORRUPTIONS[name]((x - low) / (high - low), severity, generator)
    return out.clamp(0, 1) * (high - low) + low


def corruptions(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    names: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[CorruptionPoint, ...]:
    """Return the accuracy under each corruption and severity: one decision a sample each; a sample without an answer is wrong."""
    points = []
    for name in names:
        for severity in severities:
            decided = target.decide(corrupted(x, name, severity, seed=seed, bounds=bounds))
            points.append(
                CorruptionPoint(corruption=name, severity=severity, accuracy=rate(int((decided == labels).sum()), len(x)))
            )
    return tuple(points)


def _normal(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.empty_like(x).normal_(generator=generator)


def _filtered(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return images filtered by a kernel of odd sides, with their borders repeated."""
    tall, broad = (side // 2 for side in kernel.shape)
    channels = x.shape[1]
    padded = torch.nn.functional.pad(x, (broad, broad, tall, tall), mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel.expand(channels, 1, *kernel.shape), groups=channels)
