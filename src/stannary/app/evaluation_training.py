"""How the model was trained, as far as it is known: on which rows, and by what models like it are trained again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from stannary.app.evaluation_request import Request
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.privacy.recipes import Recipe, Train
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset

__all__ = ["members_of", "recipe_of", "trainer"]


def members_of(target: Counting, data: Dataset, request: Request) -> Dataset:
    """Return the training data, numbered as the model numbers it. Raises InputError when it has other columns than the data."""
    from stannary.checks.target.data import open_data

    members = open_data(request.members or "", target=request.target)
    if members.shape != data.shape or members.names != data.names:
        msg = f"has inputs of shape {members.shape}, the data of {data.shape}: both need the same columns in the same order"
        raise InputError(msg, where=request.members)
    return members.aligned(target.classes, data.label_names)


def trainer(request: Request) -> Train | None:
    """Return the function that trains such a model, `--train`, None without. Raises UsageError or InputError when it is none."""
    if not request.train:
        return None
    from stannary.checks.target.callable_model import import_object

    found = import_object(request.train)
    if not callable(found):
        msg = f"is no function from inputs, labels and a seed to a model, but {type(found).__name__}"
        raise UsageError(msg, where=request.train)

    @functools.wraps(found)
    def train(x: Any, y: Any, seed: int) -> Any:  # noqa: ANN401 - numpy, and any library's
        try:
            return found(x, y, seed)
        except Exception as error:  # a user's own code may raise anything
            msg = f"fails on {len(x)} inputs of shape {x.shape[1:]}: {type(error).__name__}: {error}"
            raise InputError(msg, where=request.train) from error

    return train


def recipe_of(target: Counting, rows: Dataset, request: Request) -> Recipe:
    """Return how models like the target are trained on rows: by the owner's function, or as far as the model shows it."""
    from stannary.checks.privacy.recipes import default_recipe, recipe_for

    train = trainer(request)
    if train is None and target.access == "decision":
        return default_recipe(rows, target.classes, why="the target gives labels alone")
    return recipe_for(target, rows, train, seed=request.seed)
