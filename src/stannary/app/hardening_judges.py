"""By which attacks a hardened model is judged: the same for the original and for the result."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import torch

from stannary.app.evaluation_measurements import measurements_of
from stannary.app.evaluation_suites import table_domain
from stannary.app.hardening_request import HardenRequest
from stannary.checks.robustness.cascade import ROBUST, WRONG
from stannary.checks.target.box import Box
from stannary.checks.target.card import Privacy, Robustness
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.statistics import Rate, rate
from stannary.core.evidence import Measurement
from stannary.harden.interface import Hardened
from stannary.harden.methods import METHODS
from stannary.harden.smoothing import Smoothed, certify

__all__ = ["Judged", "judge"]

_EOT = 20
_CERTIFIED = 100  # samples; each takes 1,100 votes


class Judged(NamedTuple):
    """What the attacks found: a part of a card, which samples stood `(n,)`, the membership attack's area."""

    robustness: Robustness | None = None
    privacy: Privacy | None = None
    stood: torch.Tensor | None = None
    leak: Rate | None = None
    measurements: tuple[Measurement, ...] = ()
    incomplete: tuple[str, ...] = ()
    queries: int = 0


def judge(target: Counting, data: Dataset, train: Dataset, request: HardenRequest, made: Hardened, *, original: bool) -> Judged:
    """Attack a model on `data`; `train` are its members, and where attacks on tables may begin. Raises as the suites."""
    if METHODS[request.method].judged_by == "privacy":
        return _privacy(target, data, train, request)
    if data.kind == "table":
        return _table(target, data, train, request)
    return _array(target, data, request, None if original else made)


def _privacy(target: Counting, data: Dataset, train: Dataset, request: HardenRequest) -> Judged:
    from stannary.checks.privacy.suite import Options, privacy_suite

    options = Options(shadows=request.shadows, samples=len(data))
    found = privacy_suite(target, train, data, options=options, seed=request.seed)
    return Judged(
        privacy=found.part,
        leak=found.part.auc,
        measurements=found.measurements,
        incomplete=found.incomplete,
        queries=target.spend.queries,
    )


def _table(target: Counting, data: Dataset, train: Dataset, request: HardenRequest) -> Judged:
    from stannary.checks.robustness.company import company_matters
    from stannary.checks.robustness.table_card import table_part
    from stannary.checks.robustness.table_suite import TableOptions, smallest, standing

    domain = table_domain(train, request.domain)
    options = TableOptions(preset=request.preset, norm=request.norm or "l2", eps=request.eps or 0.5, seed=request.seed)
    inside = ~domain.violations(data.x, data.x)  # test rows may lie beyond the bounds of the training data
    data = data.take(inside.nonzero()[:, 0])
    found = smallest(target, data, domain, options, pool=train)
    part = table_part(found, data, domain, options)
    stood = standing(found.size, options.eps) & (found.status != WRONG) & found.done
    moody = company_matters(target, data.x)
    missed = (*found.notes, moody) if moody else found.notes
    return Judged(
        robustness=part,
        stood=stood,
        measurements=measurements_of(part, request.seed),
        incomplete=missed,
        queries=target.spend.queries,
    )


def _array(target: Counting, data: Dataset, request: HardenRequest, made: Hardened | None) -> Judged:
    from stannary.checks.robustness.suite import Options, robustness

    smoothed = made.model if made is not None and isinstance(made.model, Smoothed) else None
    draws = max(1, _EOT // smoothed.votes) if smoothed is not None else _EOT  # its answer is a mean already
    options = Options(preset=request.preset, norm=request.norm or "linf", eps=request.eps or 0.1, seed=request.seed, eot=draws)
    box = Box() if data.kind == "image" else Box(float(data.x.min()), float(data.x.max()))
    found = robustness(target, data, box, options)
    part = found.part
    if smoothed is not None:
        some = data.take(torch.arange(min(_CERTIFIED, len(data))))
        radii = certify(smoothed, some.x.to(target.device), some.y.to(target.device), seed=request.seed)
        if options.norm == "l2":
            part = msgspec.structs.replace(part, certified=rate(int((radii >= options.eps).sum()), len(some)))
    return Judged(
        robustness=part,
        stood=found.status == ROBUST,
        measurements=measurements_of(part, request.seed),
        incomplete=found.incomplete,
        queries=target.spend.queries,
    )
