"""Threats that no radius describes: how they are called for what `--threat` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stannary.app.evaluation_request import Request
from stannary.checks.robustness.threat_settings import read_threats

if TYPE_CHECKING:
    from stannary.checks.robustness.threats import Found
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset

__all__ = ["bounds_of", "threats"]


def threats(target: Counting, data: Dataset, whole: Dataset, request: Request) -> Found:
    """Measure what `--threat` names on the samples of `data`, drawn from `whole`. Raises as `beyond`."""
    from stannary.checks.robustness.threats import Beyond, beyond

    what = Beyond(read_threats(request.threats), preset=request.preset, seed=request.seed, bounds=bounds_of(data))
    return beyond(target, data, whole, what)


def bounds_of(data: Dataset) -> tuple[float, float]:
    """Return between which values inputs lie: those of pictures are known, those of other arrays are seen."""
    return (0.0, 1.0) if data.kind == "image" else (float(data.x.min()), float(data.x.max()))
