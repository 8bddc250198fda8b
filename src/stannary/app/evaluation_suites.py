"""The suites of an evaluation: how each is called, which measurements it gives, which threshold it missed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.app.evaluation_request import Request
from stannary.checks.target.card import Robustness
from stannary.core.errors import InputError
from stannary.core.evidence import Measurement

if TYPE_CHECKING:
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.domain import TableDomain
    from stannary.checks.target.interface import Domain
    from stannary.checks.target.statistics import Rate

__all__ = ["Suite", "domain_text", "robustness"]

_TABLE_EPS, _ARRAY_EPS = 0.5, 0.1


class Suite(NamedTuple):
    """What a suite found: its part of the card, its measurements, what it could not measure, which thresholds were missed."""

    part: Any
    measurements: tuple[Measurement, ...]
    incomplete: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()


def robustness(target: Counting, data: Dataset, whole: Dataset, request: Request) -> Suite:
    """Attack the samples of `data`, drawn from `whole`. Raises as `stannary.checks.robustness.suite`."""
    from stannary.checks.robustness.suite import Options
    from stannary.checks.robustness.suite import robustness as attack

    domain, digest = _domain(request, whole)
    table = data.kind == "table"
    options = Options(
        preset=request.preset,
        norm=request.norm or ("l2" if table else "linf"),
        eps=request.eps or (_TABLE_EPS if table else _ARRAY_EPS),
        seed=request.seed,
        least=request.min_robust,
        workers=request.workers,
        folder=Path(request.adversarials) if request.adversarials else None,
        replay=request.replay,
        checkpoint=Path(request.checkpoint) if request.checkpoint else None,
        domain=digest,
    )
    found = attack(target, data, domain, options)
    return Suite(
        found.part,
        measurements=tuple(_measured(found.part, request.seed)),
        incomplete=found.incomplete,
        reasons=tuple(_too_weak(found.part, request.min_robust)),
        next=tuple(_next(found.part, request, table=table)),
        atlas=("AML.T0015", "AML.T0043.000"),
        owasp=("ML01:2023",),
    )


def _measured(part: Robustness, seed: int) -> list[Measurement]:
    from stannary.checks.robustness.suite import metric_of

    rows = [("accuracy", part.clean), (metric_of(part.threat.norm, part.threat.eps or 0), part.robust)]
    rows += [(f"robustness.brittleness.{kind}", share) for kind, share in part.brittleness.items()]
    found = [_measurement(metric, share, seed) for metric, share in rows]
    if part.distance is not None:
        d = part.distance
        found.append(Measurement(metric=f"robustness.{d.norm}.median", value=d.median, low=d.low, high=d.high, n=d.n, seed=seed))
    return found


def _measurement(metric: str, share: Rate, seed: int) -> Measurement:
    return Measurement(metric=metric, value=share.value, low=share.low, high=share.high, n=share.n, seed=seed)


def _too_weak(part: Robustness, least: float | None) -> list[str]:
    """Return why the robust accuracy misses what was asked for: the worse end of its interval counts, or the stop rule's word."""
    if least is None or (part.stop is not None and part.stop.decision != "fail"):
        return []
    if part.stop is None and part.robust.low >= least:
        return []
    low, high = part.robust.low, part.robust.high
    return [f"robust accuracy {part.robust.value:.1%} [{low:.1%}, {high:.1%}] is not known to be at least {least:.1%}"]


def _next(part: Robustness, request: Request, *, table: bool) -> list[str]:
    """Return what to try now."""
    found = []
    if table and not request.domain:
        line = f"stannary evaluate {request.model} --data {request.data} --write-domain domain.yaml"
        found.append(f"{line}; then say in it what people cannot change")
    if part.adversarials:
        found.append(f"try these examples on the next version: --adversarials {request.adversarials} --replay {part.adversarials}")
    return found


def _domain(request: Request, data: Dataset) -> tuple[Domain, str]:
    """Return the domain, and the digest of its file. Raises InputError."""
    if data.kind == "table":
        if request.domain:
            from stannary.checks.target.domain_file import read_domain

            read = read_domain(request.domain, data.names)
            return read, f"sha256:{hashlib.sha256(Path(request.domain).read_bytes()).hexdigest()}"
        return _inferred(data), ""
    if request.domain:
        msg = "a domain says what columns of a table may be; this data has none"
        raise InputError(msg, where=request.domain)
    from stannary.checks.target.box import Box

    if data.kind == "image":
        return Box(), ""
    return Box(float(data.x.min()), float(data.x.max())), ""


def _inferred(data: Dataset) -> TableDomain:
    from stannary.checks.target.data_table import groups_of
    from stannary.checks.target.domain_infer import infer_domain

    return infer_domain(data.x, data.names, groups=groups_of(data.encodings))


def domain_text(data: Dataset, where: str) -> str:
    """Return the domain that data suggests, as YAML. Raises InputError for what is no table."""
    from stannary.checks.target.domain_file import dump_domain

    if data.kind != "table":
        msg = "only a table has a domain of columns"
        raise InputError(msg, where=where)
    return dump_domain(_inferred(data))
