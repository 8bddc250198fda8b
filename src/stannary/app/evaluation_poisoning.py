"""Poisoned training data: how models are trained again, which rows they are trained on, what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stannary.app.evaluation_request import Request
from stannary.app.evaluation_suites import Suite
from stannary.app.evaluation_threats import bounds_of
from stannary.app.evaluation_training import members_of, recipe_of

if TYPE_CHECKING:
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset

__all__ = ["poisoning"]


def poisoning(target: Counting, data: Dataset, request: Request) -> Suite:
    """Poison the rows of `request.members`, or most of `data`, and test on what is left of `data`. Raises as `training_suite`."""
    from stannary.checks.poisoning.training_suite import Options, drawn, training_suite

    members = members_of(target, data, request) if request.members else None
    training, test = drawn(members or data, data if members else None, request.seed)
    recipe = recipe_of(target, training, request)
    said = recipe.note.replace("shadows", "models") if recipe.faithful else "small networks, as the model cannot be trained again"
    options = Options(
        **({"shares": request.poison} if request.poison else {}),
        bounds=bounds_of(training),
        surrogate=target if target.access == "white" else None,
        seed=request.seed,
    )
    found = training_suite(recipe.factory, (training, test), target.classes, options=options, recipe=said)
    return Suite(found.part, found.measurements, found.incomplete, (), found.next, found.atlas, found.owasp)
