"""Neural Cleanse (Wang et al. 2019): for each class the smallest patch that makes the model decide for it, whatever the input.

A backdoor is a shortcut: its class needs a much smaller patch than the others. All classes are optimised as one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.seeds import generator
from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["Cleanse", "Patches", "anomaly_indices", "apply", "neural_cleanse"]

_MAD = 1.4826  # what a median absolute deviation is multiplied by to be a standard deviation of normal data
_SUCCESS = 0.99
_PATIENCE = 10  # checks in a row after which the weight of the size goes up or down
_STEP = 1.5
_STRENGTHS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)  # what masks are multiplied by until they work on all the inputs they were sought on
_SLACK = 0.04  # of the success that was asked for
_MOST_VALUES = 1 << 28  # of the inputs of one step: a gigabyte, and the network's activations come on top
_LEAST_SPREAD = 0.1  # of the median: where most sizes are alike, a little less is no sign


@dataclass(frozen=True)
class Cleanse:
    """How thoroughly patches are sought.

    Args:
        steps: of Adam, for all classes at once.
        batch: samples of a step, for each class.
        rate: learning rate.
        weight: of the patch's size at the start; it is raised while the patch works, and lowered while it does not.
        success: share of inputs that a patch has to move to its class.
        seed: of the samples.
    """

    steps: int = 400
    batch: int = 32
    rate: float = 0.1
    weight: float = 1e-3
    success: float = _SUCCESS
    seed: int = 0


@dataclass(frozen=True)
class Patches:
    """What was found, class by class.

    - `masks` `(classes, *shape)` in [0, 1], one for all channels of a pixel; `patterns` `(classes, *shape)`
    - `sizes` `(classes,)`: sum of the mask over pixels or columns; infinite where no patch was found that works
    - `success` `(classes,)`: share of the held-out inputs of other classes that it moves
    - `indices` `(classes,)`: how many deviations the size lies below the median of all (positive: smaller)
    """

    masks: torch.Tensor
    patterns: torch.Tensor
    sizes: torch.Tensor
    success: torch.Tensor
    indices: torch.Tensor


def anomaly_indices(sizes: torch.Tensor, largest: float | None = None) -> torch.Tensor:
    """Return how many median absolute deviations (as standard deviations) each size lies below the median, `(classes,)`.

    Sizes that are infinite (no patch was found) count as `largest`, or as the greatest of the others. A deviation is a tenth of
    the median at least: it is nothing where most classes have no patch, which is when a class that has one stands out most.
    Three classes at least, else zeros: two have no middle.
    """
    finite = sizes[sizes.isfinite()]
    if len(sizes) < 3 or not len(finite):  # noqa: PLR2004 - fewer have no middle
        return torch.zeros(len(sizes), dtype=torch.float64)
    filled = torch.where(sizes.isfinite(), sizes, finite.max() if largest is None else largest).double()
    middle = filled.quantile(0.5)
    spread = _MAD * (filled - middle).abs().quantile(0.5)
    return (middle - filled) / torch.maximum(spread, _LEAST_SPREAD * middle).clamp_min(1e-12)


def apply(x: torch.Tensor, mask: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """Put a patch on inputs."""
    return (1 - mask) * x + mask * pattern


def neural_cleanse(target: Target, x: torch.Tensor, y: torch.Tensor, settings: Cleanse | None = None) -> Patches:
    """Seek a patch for every class of a white-box model.

    Args:
        target: it has to offer gradients.
        x: inputs `(n, *shape)` of several classes; a quarter of them is held out to see whether a patch works.
        y: their labels `(n,)`.
        settings: see `Cleanse`.

    Raises:
        UsageError: the target has no gradient, there are fewer than 16 samples, or classes and inputs are too many and too large
            to be sought on at once.
    """
    settings = settings or Cleanse()
    if target.access != "white":
        msg = f"the model offers no gradient (access: {target.access}): no patch can be sought"
        raise UsageError(msg, where=target.name)
    if len(x) < 16:  # noqa: PLR2004 - a dozen to seek, four to see
        msg = f"{len(x)} samples are too few to seek patches on"
        raise UsageError(msg, where=target.name)
    if target.classes * settings.batch * x[0].numel() > _MOST_VALUES:
        msg = f"patches for {target.classes} classes of inputs of {x[0].numel():,} values do not fit into memory at once"
        raise UsageError(msg, where=target.name)
    order = torch.randperm(len(x), generator=generator(settings.seed, "cleanse"))
    held = order[: len(x) // 4]
    search = _Search(target, (x[order[len(held) :]], y[order[len(held) :]]), settings)
    for step in range(settings.steps):
        search.step(step)
    masks, patterns = search.found()
    masks = torch.stack([_strengthened(search, (masks[k], patterns[k]), k) for k in range(target.classes)])
    success = torch.stack([_moved(target, x[held], y[held], (masks[k], patterns[k]), k) for k in range(target.classes)])
    single = masks.amax(1) if masks.ndim == 4 else masks  # noqa: PLR2004 - the channels of pictures share a mask
    area = float(single[0].numel())
    # a patch that does not hold on other inputs is none: its size says nothing
    sizes = torch.where(success >= settings.success - 0.1, single.flatten(1).sum(1).cpu(), torch.inf)
    return Patches(masks.cpu(), patterns.cpu(), sizes, success, anomaly_indices(sizes, area))


def _strengthened(search: _Search, patch: tuple[torch.Tensor, torch.Tensor], label: int) -> torch.Tensor:
    """Return the mask, stronger until it works on all that it was sought on: what was smallest in one batch was lucky, too."""
    mask, pattern = patch
    for strength in _STRENGTHS:
        stronger = (mask * strength).clamp_max(1)
        if float(_moved(search.target, search.x, search.y, (stronger, pattern), label)) >= search.settings.success - _SLACK:
            return stronger
    return mask


def _moved(target: Target, x: torch.Tensor, y: torch.Tensor, patch: tuple[torch.Tensor, torch.Tensor], label: int) -> torch.Tensor:
    others = x[y != label].to(patch[0].device)
    if not len(others):
        return torch.tensor(0.0)
    return (target.decide(apply(others, *patch).to(others)) == label).float().mean().cpu()


class _Search:
    """The state of the optimisation for all classes: masks and patterns are sigmoids between the bounds of the data."""

    def __init__(self, target: Target, data: tuple[torch.Tensor, torch.Tensor], settings: Cleanse) -> None:
        self.target, self.settings = target, settings
        self.x, self.y = (part.to(target.device) for part in data)
        k, shape = target.classes, self.x.shape[1:]
        draw = generator(settings.seed, "patches")
        masked = (1, *shape[1:]) if len(shape) == 3 else shape  # noqa: PLR2004 - channels, height, width
        self.low = self.x.amin(0) if len(shape) == 1 else self.x.min()
        self.high = self.x.amax(0) if len(shape) == 1 else self.x.max()
        self.mask = (torch.randn((k, *masked), generator=draw) * 0.1 - 1).to(self.x).requires_grad_()
        self.pattern = (torch.randn((k, *shape), generator=draw) * 0.1).to(self.x).requires_grad_()
        self.optimizer = torch.optim.Adam((self.mask, self.pattern), settings.rate, betas=(0.5, 0.9))
        self.weight = torch.full((k,), settings.weight, device=self.x.device)
        self.up, self.down = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.best = torch.full((k,), torch.inf, device=self.x.device)
        self.recent = torch.zeros(k, device=self.x.device)
        mask, pattern = self._both()
        self.kept = (mask.detach().clone(), pattern.detach().clone())

    def _both(self) -> tuple[torch.Tensor, torch.Tensor]:
        mask = self.mask.sigmoid().expand(self.pattern.shape)
        return mask, self.low + (self.high - self.low) * self.pattern.sigmoid()

    def step(self, number: int) -> None:
        """Move all patches by one batch."""
        k, size = len(self.mask), self.settings.batch
        draw = generator(self.settings.seed, "batch", number)
        picked = torch.randint(len(self.x), (k, size), generator=draw).to(self.x.device)
        labels = torch.arange(k, device=self.x.device).repeat_interleave(size)
        mask, pattern = self._both()
        mixed = apply(self.x[picked], mask[:, None], pattern[:, None]).flatten(0, 1)
        logits, _, grad = self.target.gradient(
            mixed.detach(), lambda out: torch.nn.functional.cross_entropy(out, labels, reduction="none")
        )
        sizes = self.mask.sigmoid().flatten(1).sum(1)
        worth = (mixed * grad.reshape(mixed.shape).to(mixed)).sum() / size + (self.weight * sizes).sum()
        self.optimizer.zero_grad()
        worth.backward()
        rate = (logits.argmax(1) == labels).reshape(k, size).float().mean(1)
        self._note(rate, sizes.detach(), (mask.detach(), pattern.detach()))
        self.optimizer.step()

    def _note(self, rate: torch.Tensor, sizes: torch.Tensor, both: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Keep what works and is smaller; weigh the size more where patches work, and less where they do not."""
        self.recent = 0.7 * self.recent + 0.3 * rate  # a batch alone is too few to tell 0.99
        works = (rate >= self.settings.success) & (self.recent >= self.settings.success - 0.02)
        better = works & (sizes < self.best)
        self.best = torch.where(better, sizes, self.best)
        for kept, now in zip(self.kept, both, strict=True):
            kept[better] = now[better]
        hit = rate >= self.settings.success
        self.up = torch.where(hit, self.up + 1, 0)
        self.down = torch.where(hit, 0, self.down + 1)
        raised, lowered = self.up >= _PATIENCE, self.down >= _PATIENCE
        self.weight = torch.where(raised, self.weight * _STEP, torch.where(lowered, self.weight / _STEP**1.5, self.weight))
        self.up[raised] = 0
        self.down[lowered] = 0

    def found(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best masks and patterns; of a class for which none worked, the last."""
        mask, pattern = self._both()
        never = ~self.best.isfinite()
        for kept, now in zip(self.kept, (mask.detach(), pattern.detach()), strict=True):
            kept[never] = now[never]
        return self.kept
