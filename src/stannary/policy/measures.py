"""Whether measurements satisfy the bounds of a requirement: always by the worse end of the interval."""

from __future__ import annotations

from collections.abc import Iterable

from stannary.core.evidence import Evidence, Measurement, Reason
from stannary.policy.model import Measure, Requirement

__all__ = ["measure_reasons"]


def measure_reasons(requirement: Requirement, found: Evidence) -> Iterable[Reason]:
    """Yield a reason for each bound. A metric that was not measured fails; one measured twice has to hold each time."""
    for wanted in requirement.measures:
        rows = [row for row in found.measurements if row.metric == wanted.metric]
        if not rows:
            measured = ", ".join(sorted({row.metric for row in found.measurements})) or "nothing"
            text = f"{wanted.metric} was not measured ({measured} was)"
            yield Reason(rule=requirement.name, ok=False, message=text, evidence=str(found.id))
        for row in rows:
            problem = _problem(wanted, row)
            text = f"{row.metric} = {row.value:g} [{row.low:g}, {row.high:g}], n = {row.n:,}"
            message = f"{text}: {problem}" if problem else text
            yield Reason(rule=requirement.name, ok=not problem, message=message, evidence=str(found.id))


def _problem(wanted: Measure, row: Measurement) -> str:
    # An interval that does not hold its own value was not measured; comparisons with NaN are false, and so fail.
    if not row.low <= row.value <= row.high:
        return "the interval does not contain the value"
    if wanted.min is not None and not row.low >= wanted.min:
        return f"the low end has to reach {wanted.min:g}"
    if wanted.max is not None and not row.high <= wanted.max:
        return f"the high end must not exceed {wanted.max:g}"
    if wanted.min_samples is not None and row.n < wanted.min_samples:
        return f"the sample has to have {wanted.min_samples:,}"
    return ""
