"""How shadows of a target are trained: by the owner's function, as its own kind is, or, where neither can be had, by default.

What shadows tell is worth what their likeness to the target is. A recipe therefore says how like they are, and a report repeats it.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stannary.checks.privacy.seeds import derive
from stannary.checks.privacy.shadows import Factory, RefitFactory, TorchFactory, batches, confidences
from stannary.checks.target.array_model import log_of
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError

__all__ = ["Likeness", "Recipe", "Train", "default_recipe", "recipe_for"]

Likeness = Literal["given", "architecture", "estimator", "default"]
Train = Callable[[Any, Any, int], Any]  # inputs (m, *shape) and labels (m,) as arrays, a seed → a target or an estimator
_MOST_EPOCHS = 100
_WIDTH = 128
_BATCH = 64
_NEVER = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError)


@dataclass(frozen=True)
class Recipe:
    """A factory of shadows, how like the target they are, and the sentence that says so."""

    factory: Factory
    likeness: Likeness
    note: str

    @property
    def faithful(self) -> bool:
        """Whether shadows are of the target's own kind; others serve as references alone."""
        return self.likeness != "default"


def recipe_for(target: Target, data: Dataset, train: Train | None = None, *, seed: int = 0, group: int = 8) -> Recipe:
    """Return how shadows of `target` are trained.

    1. `train`, the owner's own function, if it is given: nothing is more like the target.
    2. A torch network whose every parameter knows how to start anew: the same architecture, by Adam, for as many epochs as it
       takes to fit one shadow's half as well as the target fits its members.
    3. An estimator with scikit-learn's interface: a clone with the same parameters, fitted anew.
    4. Otherwise a small network, which is a reference and no shadow.

    Args:
        target: the model, or the counter around it.
        data: members of its training set, labels numbered as the target numbers them; on the CPU.
        train: from inputs, labels and a seed to a fitted model.
        seed: of the network that finds the number of epochs.
        group: networks that are trained as one stack.
    """
    inner = target.inner if isinstance(target, Counting) else target
    if train is not None:
        factory = RefitFactory(_full(train, inner.classes), f"train {_written(train)}")
        return Recipe(factory, "given", "shadows are trained by the given function")
    if isinstance(inner, TorchTarget):
        build = _builder(inner)
        if build is not None:
            return _network(inner, build, data, (seed, group))
    model = getattr(inner, "model", None)
    if all(hasattr(model, name) for name in ("fit", "get_params", "classes_")):
        fit = _refit(model, data, inner.classes)
        note = f"shadows are {type(model).__name__}s with the target's parameters, fitted anew"
        return Recipe(RefitFactory(fit, f"clone {model!r}"), "estimator", note)
    return default_recipe(data, inner.classes, group=group)


def _written(train: Train) -> str:
    """Return what tells a function from others, and from what it was before its file was changed."""
    found = inspect.unwrap(train)
    name = getattr(found, "__qualname__", type(found).__name__)
    try:
        content = Path(inspect.getsourcefile(found) or "").read_bytes()
    except (OSError, TypeError):  # made by no file
        content = getattr(getattr(found, "__code__", None), "co_code", b"")
    return f"{name} {hashlib.sha256(content).hexdigest()}"


def default_recipe(data: Dataset, classes: int, *, group: int = 8, why: str = "how the target was trained is not known") -> Recipe:
    """Return a network of one hidden layer on standardised inputs: a reference where nothing is known of the target."""
    flat = data.x.flatten(1).float()
    middle, spread = flat.mean(0), flat.std(0)
    scale = torch.where(spread > 0, spread, torch.ones_like(spread))

    def build() -> torch.nn.Module:
        return _Standard(middle, scale, classes)

    note = f"{why}: references are networks of {_WIDTH} hidden units; attacks by shadows of its own kind may find more"
    return Recipe(TorchFactory(build, epochs=20, batch=_BATCH, group=group), "default", note)


class _Standard(torch.nn.Module):
    """Two layers on inputs that are standardised column by column."""

    middle: torch.Tensor
    scale: torch.Tensor

    def __init__(self, middle: torch.Tensor, scale: torch.Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("middle", middle)
        self.register_buffer("scale", scale)
        self.first, self.second = torch.nn.Linear(len(middle), _WIDTH), torch.nn.Linear(_WIDTH, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of `(n, *shape)`."""
        flat = (x.flatten(1).to(self.middle.dtype) - self.middle) / self.scale
        out: torch.Tensor = self.second(self.first(flat).relu())
        return out


class _Like(torch.nn.Module):
    """A network as `TorchTarget` reads it: inputs in its own type, one output is the second of two classes."""

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.dtype, self.shape = module, dtype, shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `(n, classes)`."""
        out: torch.Tensor = self.module(x.to(self.dtype))
        if out.ndim == 1 or out.shape[-1] == 1:
            flat = out.reshape(-1)
            out = torch.stack((torch.zeros_like(flat), flat), 1)
        return out


def _builder(target: TorchTarget) -> Callable[[], torch.nn.Module] | None:
    """Return what makes a new network of the target's architecture; None if a parameter has no way to start anew."""
    base = copy.deepcopy(target.module).cpu()
    resettable = {
        id(parameter)
        for module in base.modules()
        if callable(getattr(module, "reset_parameters", None))
        for parameter in module.parameters(recurse=False)
    }
    if not resettable or any(id(parameter) not in resettable for parameter in base.parameters()):
        return None

    def build() -> torch.nn.Module:
        made = copy.deepcopy(base).requires_grad_(True)  # noqa: FBT003 - torch's
        for module in made.modules():
            start = getattr(module, "reset_parameters", None)
            if callable(start):
                start()
        return _Like(made, target.dtype, target.shape)

    return build


def _network(target: TorchTarget, build: Callable[[], torch.nn.Module], data: Dataset, context: tuple[int, int]) -> Recipe:
    seed, group = context
    if any(isinstance(module, _BatchNorm) for module in target.module.modules()):
        group = 1  # its running statistics are changed in place, which a stack does not allow
    x, y = data.x.to(target.device), data.y.to(target.device)
    try:
        epochs, reached = _epochs(target, build, (x, y), seed)
    except _NEVER as exc:  # as of a network that was exported for inference
        why = f"the target's architecture cannot be trained here ({type(exc).__name__}: {str(exc)[:200]})"
        return default_recipe(data, target.classes, why=why)
    note = f"shadows are networks of the target's architecture, trained by Adam for {epochs} epochs"
    note += "" if reached else ", which fit their data less well than the target: what they find is a lower bound"
    return Recipe(TorchFactory(build, epochs=epochs, batch=_BATCH, group=group), "architecture", note)


def _epochs(
    target: TorchTarget, build: Callable[[], torch.nn.Module], data: tuple[torch.Tensor, torch.Tensor], seed: int
) -> tuple[int, bool]:
    """Return how many epochs a network needs to fit half of the members as well as the target does, and whether it got there.

    What counts is the median of log(p / (1 - p)): a mean of losses would be that of a few samples which nobody fits.
    """
    x, y = data
    goal = float(torch.cat([confidences(target.logits(part), own) for part, own in _parts(x, y)])[:, 1].median())
    own = torch.randperm(len(x), generator=torch.Generator().manual_seed(derive(seed, "epochs")))[: max(2, len(x) // 2)]
    x, y = x[own.to(x.device)], y[own.to(x.device)]
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "epochs", 1))
        model = build().to(x.device).train()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for epoch in range(1, _MOST_EPOCHS + 1):
            for at in batches(torch.randperm(len(x)).to(x.device), _BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[at]), y[at]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                found = torch.cat([confidences(model(part), labels) for part, labels in _parts(x, y)])[:, 1].median()
            model.train()
            if float(found) >= goal:
                return epoch, True
    return _MOST_EPOCHS, False


def _parts(x: torch.Tensor, y: torch.Tensor) -> zip[tuple[torch.Tensor, torch.Tensor]]:
    return zip(x.split(1024), y.split(1024), strict=True)


class _Fitted:
    """An estimator's log-probabilities over all classes of the target; a class that its half lacked has none."""

    def __init__(self, model: Any, prepare: Callable[[Any], Any], order: Any, classes: int) -> None:  # noqa: ANN401 - any library's
        self._model, self._prepare, self._order, self._classes = model, prepare, order, classes

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)`."""
        rows = self._prepare(x.cpu().numpy())
        if not callable(getattr(self._model, "predict_proba", None)):
            found = np.asarray(self._model.decision_function(rows), dtype=np.float64)
            found = np.stack([np.zeros_like(found), found], 1) if found.ndim == 1 else found
            out = np.full((len(x), self._classes), -1e3)
        else:
            found = log_of(np.asarray(self._model.predict_proba(rows)))
            out = np.full((len(x), self._classes), -np.inf)
        if found.shape != (len(x), len(self._order)):
            msg = f"a shadow gives scores of shape {found.shape} for {len(x)} inputs"
            raise InputError(msg)
        out[:, self._order] = found
        return torch.from_numpy(out)


def _refit(model: Any, data: Dataset, classes: int) -> Train:  # noqa: ANN401 - any library's
    """Return what fits a clone of an estimator on labels numbered as the target numbers them."""
    known = np.asarray(model.classes_)
    prepare = _prepared(model, data)

    def fit(x: Any, y: Any, seed: int) -> _Fitted:  # noqa: ANN401 - numpy
        from sklearn.base import clone

        made = clone(model)
        seeds = {name: seed for name in made.get_params() if name.rpartition("__")[2] == "random_state"}
        made.set_params(**seeds)
        made.fit(prepare(x), known[y])
        order = np.array([int(np.flatnonzero(known == label)[0]) for label in made.classes_])
        return _Fitted(made, prepare, order, classes)

    return fit


def _prepared(model: Any, data: Dataset) -> Callable[[Any], Any]:  # noqa: ANN401 - any library's
    """Return what turns an array into what the estimator was fitted on: an array, or a frame with its columns."""
    own = getattr(model, "feature_names_in_", None)
    if own is None:
        return lambda x: x.reshape(len(x), -1)
    wanted = list(map(str, own))
    if set(wanted) <= set(data.names):
        import pandas as pd

        at = [data.names.index(one) for one in wanted]
        return lambda x: pd.DataFrame(x[:, at], columns=wanted)
    return lambda x: data.frame(torch.from_numpy(np.ascontiguousarray(x)))[wanted]


def _full(train: Train, classes: int) -> Train:
    """Return the owner's function, whose result answers for every class of the target."""

    def fit(x: Any, y: Any, seed: int) -> Any:  # noqa: ANN401 - any library's
        made = train(x, y, seed)
        if isinstance(made, torch.nn.Module):
            return TorchTarget(made, tuple(x.shape[1:]), name="shadow")
        if hasattr(made, "logits") or not hasattr(made, "classes_"):
            return made
        flat = x.ndim > 2 and getattr(made, "n_features_in_", 0) == x[0].size  # noqa: PLR2004 - rows and columns
        prepare = (lambda rows: rows.reshape(len(rows), -1)) if flat else (lambda rows: rows)
        return _Fitted(made, prepare, np.asarray(made.classes_, dtype=np.int64), classes)

    return fit
