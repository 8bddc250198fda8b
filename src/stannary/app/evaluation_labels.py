"""Wrong labels: the recipe by which the model is trained again, and what finds rows that such models do not believe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stannary.app.evaluation_request import Request
from stannary.app.evaluation_suites import Suite
from stannary.app.evaluation_training import recipe_of

if TYPE_CHECKING:
    import torch

    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset

__all__ = ["labels"]


def labels(target: Counting, data: Dataset, request: Request) -> Suite:
    """Look for wrong labels in `data` by models that are trained as the target was. Raises as `label_suite`."""
    from stannary.checks.poisoning.label_suite import drawn, label_suite

    rows = drawn(data, request.seed)
    recipe = recipe_of(target, rows, request)

    def outputs(chosen: torch.Tensor, seed: int) -> torch.Tensor:
        return recipe.factory.outputs(rows.x, rows.y, chosen[None], [seed])[0]

    said = recipe.note.replace("shadows", "models") if recipe.faithful else "small networks, as the model cannot be trained again"
    found = label_suite(outputs, rows, target.classes, recipe=said, seed=request.seed)
    return Suite(found.part, found.measurements, found.incomplete, (), found.next, found.atlas, found.owasp)
