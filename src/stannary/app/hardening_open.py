"""What hardening starts from, inside the guard: training and test data, and how the model is opened anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stannary.app.hardening_request import HardenRequest, HardenWork
from stannary.checks.target.data import Dataset, open_data
from stannary.checks.target.interface import Target
from stannary.checks.target.open_file import model_file, open_object, target_of
from stannary.core.errors import InputError

__all__ = ["Loaded", "opened", "opened_as"]

_HELD_OUT = 0.2


class Loaded(NamedTuple):
    """How the model is opened anew, how it was kept, and what it is asked about."""

    load: Callable[[], Any]
    kind: str
    train: Dataset
    test: Dataset
    notes: tuple[str, ...] = ()


def opened(work: HardenWork) -> tuple[Loaded, Target]:
    """Return the data, numbered as the model numbers it, how to open the model, and the model as a target."""
    request = work.request
    train = open_data(request.data, target=request.target)
    if request.test:
        test = open_data(request.test, target=request.target)
    else:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(request.seed))
        cut = max(1, int(len(train) * _HELD_OUT))
        train, test = train.take(order[cut:].sort().values), train.take(order[:cut].sort().values)
    if train.shape != test.shape or train.names != test.names:
        msg = f"the test data has inputs of shape {test.shape}, the training data of {train.shape}"
        raise InputError(msg, where=request.test, help="both need the same columns, in the same order")
    test, notes = _unseen(train, test, request)
    load, kind = _loader(work)
    before = opened_as(load(), train, request)
    labels = tuple(getattr(before, "labels", ()))
    return Loaded(load, kind, train.aligned(before.classes, labels), test.aligned(before.classes, labels), notes), before


def _unseen(train: Dataset, test: Dataset, request: HardenRequest) -> tuple[Dataset, tuple[str, ...]]:
    """Return the test data without what is trained on, of which a model knows the answers by heart; and that, if it was."""
    known = {row.tobytes() for row in train.x.numpy()}
    new = torch.tensor([row.tobytes() not in known for row in test.x.numpy()], dtype=torch.bool)
    left = int((~new).sum())
    if not left:
        return test, ()
    if left == len(test):
        msg = f"all {left} test samples are in the training data, too: nothing can be judged by them"
        raise InputError(msg, where=request.test or request.data, help="--test takes samples that are not trained on")
    return test.take(new.nonzero()[:, 0]), (f"{left} of {len(test)} test samples are in the training data, too, and were left out",)


def _loader(work: HardenWork) -> tuple[Callable[[], Any], str]:
    """Return what opens the model anew each time, and how it was kept."""
    if work.model is None:
        from stannary.checks.target.callable_model import import_object

        found = import_object(work.request.model)
        return lambda: copy.deepcopy(found), "torch" if isinstance(found, torch.nn.Module) else "pickle"
    from stannary.app.opening import scanned_bytes

    content = scanned_bytes(work.model, model_file(Path(work.model.path)))
    name = work.model.display
    _, kind = open_object(content, name=name)
    return lambda: open_object(content, name=name)[0], kind


def opened_as(model: Any, data: Dataset, request: HardenRequest) -> Target:  # noqa: ANN401 - any library's
    """Return a model as a target. Raises InputError."""
    return target_of(model, data, name=request.model, device=request.device)
