"""The suites of an evaluation: how each is called, which measurements it gives, which threshold it missed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.app.evaluation_against import Samples
from stannary.app.evaluation_measurements import measurements_of
from stannary.app.evaluation_request import Request
from stannary.app.evaluation_threats import bounds_of, threats
from stannary.app.evaluation_training import members_of, trainer
from stannary.checks.target.box import Box
from stannary.checks.target.card import Robustness
from stannary.core.errors import InputError
from stannary.core.evidence import Measurement

if TYPE_CHECKING:
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.domain import TableDomain
    from stannary.checks.target.interface import Target

__all__ = ["Suite", "backdoor", "domain_text", "privacy", "robustness", "table_domain", "too_weak"]

_TABLE_EPS, _ARRAY_EPS = {"l0": 1.0, "cost": 1.0}, 0.1  # columns, and cost; in standard deviations 0.5


class Suite(NamedTuple):
    """What a suite found: its part of the card, its measurements, what it could not measure, which thresholds were missed."""

    part: Any
    measurements: tuple[Measurement, ...]
    incomplete: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    samples: Samples | None = None


def robustness(target: Counting, both: tuple[Dataset, Dataset], request: Request, surrogate: Target | None = None) -> Suite:
    """Attack samples, drawn from a whole (`both`). Raises as the suites of `stannary.checks.robustness`."""
    data, whole = both
    table = data.kind == "table"
    found, incomplete, samples = _table(target, data, whole, request) if table else _array(target, both, request, surrogate)
    incomplete = (*incomplete, *filter(None, [whole.repeats()]))
    atlas: tuple[str, ...] = ("AML.T0015", "AML.T0043.000")
    if any(run.id.startswith("transfer") and not run.skipped for run in found.attacks):
        atlas = (*atlas, "AML.T0043.002")
    if request.threats:
        more = threats(target, data, whole, request)
        found, incomplete, atlas = more.into(found), (*incomplete, *more.incomplete), (*atlas, *more.atlas)
    return Suite(
        found,
        measurements=measurements_of(found, request.seed),
        incomplete=incomplete,
        reasons=tuple(too_weak(found, request.min_robust)),
        next=tuple(_next(found, request, table=table)),
        atlas=atlas,
        owasp=("ML01:2023",),
        samples=samples,
    )


def _array(
    target: Counting, both: tuple[Dataset, Dataset], request: Request, surrogate: Target | None
) -> tuple[Robustness, tuple[str, ...], Samples]:
    from stannary.checks.robustness.suite import Options
    from stannary.checks.robustness.suite import robustness as attack

    data, whole = both
    if request.domain:
        msg = "a domain says what columns of a table may be; this data has none"
        raise InputError(msg, where=request.domain)
    options = Options(
        preset=request.preset,
        norm=request.norm or "linf",
        eps=request.eps or _ARRAY_EPS,
        seed=request.seed,
        least=request.min_robust,
        workers=request.workers,
        folder=_path(request.adversarials),
        replay=request.replay,
        checkpoint=_path(request.checkpoint),
        curve=request.preset in ("standard", "paranoid") and request.budget is None,
        surrogate=surrogate,
        attacks=request.attacks,
    )
    box = Box(*bounds_of(data))
    found = attack(target, data, box, options, whole)
    return found.part, found.incomplete, Samples.of_array(found)


def _table(target: Counting, data: Dataset, whole: Dataset, request: Request) -> tuple[Robustness, tuple[str, ...], Samples]:
    from stannary.checks.robustness.replay import Replay, load
    from stannary.checks.robustness.table_card import table_robustness
    from stannary.checks.robustness.table_suite import TableOptions
    from stannary.checks.target.statistics import StopRule

    if request.attacks:
        msg = "attacks by name (--attack) are made on pictures and arrays; this data is a table"
        raise InputError(msg, where=request.data)
    folder = _path(request.adversarials)
    options = TableOptions(
        preset=request.preset,
        norm=request.norm or "l2",
        eps=request.eps or _TABLE_EPS.get(request.norm or "", 0.5),
        seed=request.seed,
        workers=request.workers,
        stop=StopRule(request.min_robust) if request.min_robust is not None and request.preset == "gate" else None,
        folder=_path(request.checkpoint),
        first=(Replay(*load(folder, request.replay)),) if request.replay and folder else (),
    )
    found = table_robustness(target, data, table_domain(whole, request.domain), options, pool=whole, folder=folder)
    return found.part, found.incomplete, Samples.of_table(found, options.eps)


def _path(name: str | None) -> Path | None:
    return Path(name) if name else None


def privacy(target: Counting, data: Dataset, request: Request) -> Suite:
    """Measure what the model tells of who was in its training data, `request.members`; `data` was not. Raises as the suite."""
    from stannary.checks.privacy.suite import Options, metric_of, privacy_suite

    options = Options(
        shadows=request.shadows,
        samples=request.samples,
        checkpoint=_path(request.checkpoint),
        extraction=request.extract,
        attributes=request.attributes,
        inversion=request.invert,
    )
    members = members_of(target, data, request)
    found = privacy_suite(target, members, data, train=trainer(request), options=options, seed=request.seed)
    reasons = []
    if request.max_leak is not None:
        told = next((row for row in found.measurements if row.metric == metric_of(0.01)), None)
        if told is None:
            reasons.append("what share of members is told at 1 % false alarms cannot be said of so few samples")
        elif told.high > request.max_leak:
            reasons.append(
                f"members told at 1 % false alarms: {told.value:.1%}, up to {told.high:.1%}, above {request.max_leak:.1%}"
            )
    incomplete = (*found.incomplete, *filter(None, dict.fromkeys(one.repeats() for one in (data, members))))
    return Suite(found.part, found.measurements, incomplete, tuple(reasons), (), found.atlas, found.owasp)


def backdoor(target: Counting, data: Dataset, request: Request) -> Suite:
    """Look for a backdoor in the model, and for what it learned it from in `request.members`, or in `data` without them."""
    from stannary.checks.poisoning.suite import backdoor_suite

    found = backdoor_suite(target, data, members_of(target, data, request) if request.members else None, seed=request.seed)
    return Suite(found.part, found.measurements, found.incomplete, found.reasons, found.next, found.atlas, found.owasp)


def too_weak(part: Robustness, least: float | None) -> list[str]:
    """Return why the robust accuracy misses what was asked for: the worse end of its interval counts, or the stop rule's word."""
    robust, stop = part.robust, part.stop
    if least is None or (robust.low >= least if stop is None else stop.decision != "fail"):
        return []
    return [f"robust accuracy {robust.value:.1%} [{robust.low:.1%}, {robust.high:.1%}] is not known to be at least {least:.1%}"]


def _next(part: Robustness, request: Request, *, table: bool) -> list[str]:
    """Return what to try now."""
    found = []
    if table and not request.domain:
        line = f"stannary evaluate {request.model} --data {request.data} --write-domain domain.yaml"
        found.append(f"{line}; then say in it what people cannot change")
    if request.preset == "smoke":
        found.append("smoke finds weak models and shows no robustness: --preset standard says what this one stands")
    if part.adversarials:
        found.append(f"try these examples on the next version: --adversarials {request.adversarials} --replay {part.adversarials}")
    return found


def table_domain(data: Dataset, file: str | None) -> TableDomain:
    """Return the domain of a table: the one in a file, or what its data suggests. Raises UsageError, InputError."""
    from stannary.checks.target.domain_file import read_domain

    return read_domain(file, data.names) if file else _inferred(data)


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
