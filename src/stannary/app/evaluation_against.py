"""Another model beside the one that is evaluated, as the version before: the same attacks on the same samples, in pairs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from stannary.app.evaluation_request import Request
from stannary.core.errors import Bug, InputError
from stannary.core.evidence import Measurement

if TYPE_CHECKING:
    import torch

    from stannary.app.evaluation_suites import Suite
    from stannary.app.opening import Admitted
    from stannary.checks.robustness.suite import Measured
    from stannary.checks.robustness.table_card import TableMeasured
    from stannary.checks.target.card import Against
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.interface import Target

__all__ = ["Samples", "against", "beside_other", "verdict_of"]


class Samples(NamedTuple):
    """Of each sample, `(n,)` bool: whether it was right as it is, stood every attack, was attacked to the end."""

    right: torch.Tensor
    stood: torch.Tensor
    done: torch.Tensor

    @classmethod
    def of_array(cls, found: Measured) -> Samples:
        """Return what the cascade says of pictures and arrays."""
        from stannary.checks.robustness.cascade import ROBUST, UNFINISHED, WRONG

        return cls(found.status != WRONG, found.status == ROBUST, found.status != UNFINISHED)

    @classmethod
    def of_table(cls, measured: TableMeasured, eps: float | None) -> Samples:
        """Return what the search for the smallest changes says of rows, at a radius."""
        from stannary.checks.robustness.cascade import WRONG
        from stannary.checks.robustness.table_suite import standing

        found = measured.found
        right = found.status != WRONG
        return cls(right, standing(found.size, eps) & right, found.done & found.seen)


def against(suite: Suite, other: Suite, admitted: Admitted) -> tuple[Suite, Against]:
    """Return the suite with what the comparison with another model adds to it, and the comparison.

    Samples that were not attacked to the end on both are not compared; where gradients of either are masked nothing is.
    """
    from stannary.checks.target.card import Against
    from stannary.checks.target.paired import compare

    ours, theirs = suite.samples, other.samples
    if ours is None or theirs is None:
        msg = "a suite of robustness says nothing of its samples"
        raise Bug(msg)
    both = ours.done & theirs.done
    masked = suite.part.masked or other.part.masked
    accuracy = compare(theirs.right, ours.right)
    standing = compare(theirs.stood[both], ours.stood[both]) if bool(both.any()) else compare(theirs.right[:1], theirs.right[:1])
    incomplete = tuple(f"of {admitted.display}: {text}" for text in other.incomplete)
    # Who stood a short attack alone may have fallen to the next step of it, and whether gradients are masked was not looked for.
    shown = suite.part.preset != "smoke"
    comparable = shown and not masked and not incomplete and not suite.incomplete and bool(both.any())
    part = Against(
        path=admitted.display, digest=admitted.digest, accuracy=accuracy, standing=standing, left=int((~both).sum()),
        masked=masked, verdict=verdict_of(standing.low, standing.high) if comparable else "not comparable",
    )  # fmt: skip
    threat, seed = suite.part.threat, suite.measurements[0].seed if suite.measurements else 0
    rows = (("accuracy.gain", accuracy, True), (f"robustness.{threat.norm}.eps_{threat.eps or 0:g}.gain", standing, comparable))
    gains = tuple(
        Measurement(
            metric=metric, value=one.difference, low=one.low if known else -1.0, high=one.high if known else 1.0,
            n=one.before.n, seed=seed,
        )
        for metric, one, known in rows
    )  # fmt: skip
    changed = suite._replace(
        measurements=(*suite.measurements, *gains),
        incomplete=(*suite.incomplete, *incomplete),
        next=(*suite.next, *_next(part)),
    )
    return changed, part


def beside_other(
    admitted: Admitted, suite: Suite, both: tuple[Dataset, Dataset], target: Target, request: Request
) -> tuple[Suite, Against]:
    """Open the other model and attack it as the first one was. Raises InputError when it answers another question."""
    from stannary.app.evaluation_suites import robustness
    from stannary.app.evaluation_work import opened
    from stannary.checks.target.counting import Counting

    sampled, whole = both
    opener = partial(opened, admitted, admitted.display, whole, request.device)
    other = opener()
    labels = tuple(getattr(other, "labels", ()))
    if other.classes != target.classes or (labels and tuple(map(str, labels)) != tuple(map(str, whole.label_names))):
        msg = f"has {other.classes} classes {', '.join(map(str, labels[:10]))}, the model {target.classes}".replace("  ", " ")
        raise InputError(msg, where=admitted.display, code="EVA008", help="--against takes another version of the same model")
    folder = str(Path(request.checkpoint, "against")) if request.checkpoint else None
    asked = msgspec.structs.replace(request, adversarials=None, replay="", checkpoint=folder, threats=(), min_robust=None)
    counted = Counting(other, request.budget, identity=admitted.digest, reopen=opener)
    return against(suite, robustness(counted, (sampled, whole), asked), admitted)


def verdict_of(low: float, high: float) -> Literal["better", "worse", "not told apart"]:
    """Say what an interval of a difference says."""
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _next(part: Against) -> tuple[str, ...]:
    if part.verdict != "worse":
        return ()
    return (f"{part.standing.lost} samples stood on {part.path} and do not any more: harden it, or keep the version before",)
