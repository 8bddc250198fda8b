"""Float brittleness: decisions that turn with the last bit of a number.

Boosted trees cut exactly at values of their training data, so that a real row lies on the cut itself: recomputing a feature in
another precision, or writing it to a file and reading it back, is then an evasion. A smallest distance of "0.0" says that and
nothing else, which is why it is measured apart, without the domain: what whole numbers may be does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from stannary.checks.target.interface import Spend, Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import BackendError, InputError

__all__ = ["KINDS", "Brittleness", "float_brittleness"]

KINDS = ("ulp_one", "ulp_all", "sd_1e-6_one", "sd_1e-6_all")
SMALL = 1e-6  # standard deviations
SIGNS = 6  # random choices of signs, besides all up and all down
_BATCH = 1 << 14  # rows of a call


@dataclass(frozen=True)
class Brittleness:
    """Shares of samples whose decision some such change turns, by kind; what was asked; why it is not complete."""

    rates: dict[str, Rate]
    spend: Spend
    stopped: str = ""


def float_brittleness(target: Target, x: torch.Tensor, scale: torch.Tensor, *, seed: int = 0) -> Brittleness:
    """Measure how many decisions turn with a change that nobody would notice.

    Kinds: `ulp` moves to the neighbouring float32, the precision in which most libraries compare; `sd_1e-6` moves by a millionth of
    a standard deviation; `one`: one feature, each in turn, up and down; `all`: all together, up, down and with random signs.

    Args:
        target: the model.
        x: samples `(n, features)` float64; those that get no answer are left out.
        scale: standard deviations `(features,)`.
        seed: of the signs.
    """
    before = _spend(target)
    rates: dict[str, Rate] = {}
    stopped = ""
    try:
        said = target.decide(x)
        x, said = x[said >= 0], said[said >= 0]
        steps: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
            _ulp,
            lambda rows, way: rows + SMALL * scale * way,
        )
        for names, step in zip((KINDS[:2], KINDS[2:]), steps, strict=True):
            for name, ways in zip(names, (_one(x.shape[1]), _all(x.shape[1], seed)), strict=True):
                turned = torch.zeros(len(x), dtype=torch.bool)
                for way in ways:
                    turned |= _turned(target, x, said, step(x, way), turned)
                rates[name] = rate(int(turned.sum()), len(x))
    except (InputError, BackendError) as exc:  # the budget, or a target that no longer answers: kinds that are done stand
        stopped = str(exc)
    return Brittleness(rates, _spend(target).since(before), stopped)


def _one(features: int) -> Iterator[torch.Tensor]:
    for at in range(features):
        for sign in (1.0, -1.0):
            way = torch.zeros(features, dtype=torch.float64)
            way[at] = sign
            yield way


def _all(features: int, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ones = torch.ones(features, dtype=torch.float64)
    yield ones
    yield -ones
    for _ in range(SIGNS):
        yield torch.randint(0, 2, (features,), generator=generator).double() * 2 - 1


def _ulp(x: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """Return the neighbouring float32 in the direction of each feature; where `way` is 0, the value as it is."""
    single = x.float()
    beyond = torch.where(way > 0, torch.inf, -torch.inf).float()
    return torch.where(way != 0, torch.nextafter(single, beyond.expand_as(single)).double(), x)


def _turned(target: Target, x: torch.Tensor, said: torch.Tensor, moved: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Tell which samples are decided otherwise at `moved`. Those that are known to turn, or did not move, are not asked."""
    turned = torch.zeros_like(known)
    left = (~known & (moved != x).any(1)).nonzero()[:, 0]
    for part in left.split(_BATCH):
        now = target.decide(moved[part])
        turned[part] = (now >= 0) & (now != said[part])
    return turned


def _spend(target: Target) -> Spend:
    spend: Spend | None = getattr(target, "spend", None)
    return Spend() if spend is None else spend.copy()
