"""Shadow models: the target's recipe on random halves of the data, so that each sample is in one half of them and out of the other.

Shadows come in pairs that share no sample and together use all; every sample is thus in exactly half of them, and an
odd sample in fewer. Networks of one architecture are trained as one: their parameters are stacked and every step is one
batched product (`torch.func`), which costs less than one after the other even on a single core. Other models are refitted.

A group of shadows is the unit of work: its seeds depend on its number alone, so that results are the same for one worker
or many, and after an interruption (groups that are done are read back from the checkpoint folder).
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from stannary.checks.privacy.seeds import derive, generator
from stannary.checks.privacy.shadow_files import ShadowFiles
from stannary.checks.privacy.stacks import stacked
from stannary.core.errors import InputError, UsageError

__all__ = ["Factory", "Plan", "RefitFactory", "TorchFactory", "batches", "confidences", "shadow_confidences"]

_EVALUATED = 1024  # samples of a batch when shadows are asked
_CACHED = (
    4 << 20
)  # bytes of parameters of the networks trained at one time on a CPU: with gradients and moments, what its caches hold
_BUILDING = threading.Lock()  # parameters are initialised from torch's global generator


class Factory(Protocol):
    """Trains models as the target was trained.

    `group`: how many are trained together; `stacked`: whether as one. `identity`: what tells this recipe from others, so
    that a checkpoint of another is not taken for it.
    """

    group: int
    stacked: bool
    identity: str

    def outputs(self, x: torch.Tensor, y: torch.Tensor, chosen: torch.Tensor, seeds: list[int]) -> torch.Tensor:
        """Train one model on each row of `chosen` `(g, m)`, indices into `x` `(n, *shape)`; return logits `(g, n, classes)`."""
        ...


class Plan:
    """Which shadow is trained on which samples.

    Args:
        n: samples, of which the first were members of the target's training set.
        shadows: how many; an even number.
        seed: of the halves and of the shadows' training.
    """

    def __init__(self, n: int, shadows: int, seed: int = 0) -> None:
        if shadows < 2 or shadows % 2 or n < 4:  # noqa: PLR2004 - pairs; two samples in each half
            msg = f"{shadows} shadows of {n} samples: it takes an even number of shadows, and at least 4 samples"
            raise UsageError(msg)
        self.n, self.shadows, self.seed = n, shadows, seed
        half = n // 2
        rows = []
        for pair in range(shadows // 2):
            mixed = torch.randperm(n, generator=generator(seed, "halves", pair))
            rows += [mixed[:half].sort().values, mixed[half : 2 * half].sort().values]
        self.chosen = torch.stack(rows)  # (shadows, n // 2)
        self.inside = torch.zeros(shadows, n, dtype=torch.bool).scatter_(1, self.chosen, value=True)
        self.seeds = [derive(seed, "shadow", index) for index in range(shadows)]


class TorchFactory:
    """Networks of one architecture, trained as one stack with cross entropy.

    Args:
        build: returns a new, initialised module that maps `(n, *shape)` to logits `(n, classes)`.
        epochs: passes over the training data.
        batch: samples of a step.
        rate: learning rate.
        decay: weight decay.
        momentum: None for Adam, else SGD with this momentum.
        group: networks in a stack; 1 trains them one by one. A CPU trains a stack in pieces that its cache holds; a GPU takes all.
    """

    def __init__(
        self,
        build: Callable[[], torch.nn.Module],
        *,
        epochs: int = 30,
        batch: int = 64,
        rate: float = 1e-3,
        decay: float = 0.0,
        momentum: float | None = None,
        group: int = 8,
    ) -> None:
        if min(epochs, batch, group) < 1 or rate <= 0:
            msg = f"no training with {epochs} epochs, batches of {batch}, stacks of {group} and a learning rate of {rate}"
            raise UsageError(msg)
        self.build, self.epochs, self.batch, self.rate, self.decay, self.momentum = build, epochs, batch, rate, decay, momentum
        self.group, self.stacked = group, group > 1
        self.identity = f"torch {build()!s} {epochs} {batch} {rate} {decay} {momentum} {group}"

    def outputs(self, x: torch.Tensor, y: torch.Tensor, chosen: torch.Tensor, seeds: list[int]) -> torch.Tensor:
        """Train, and return logits `(g, n, classes)`; see `Factory`."""
        models = [self._new(seed).to(x.device) for seed in seeds]
        orders = self._orders(chosen.shape[1], seeds)
        # torch has one generator for all threads: where layers draw from it (dropout), one stack is trained at a time
        with _seeded(seeds[0] + 2) if _draws(models[0], x) else contextlib.nullcontext():
            if self.group == 1:
                return self._alone(models[0], (x, y), chosen[0], orders[0])[None]
            size = _piece(models, x.device)
            parts = [slice(at, at + size) for at in range(0, len(models), size)]
            return torch.cat([self._together(models[part], (x, y), chosen[part], orders[part]) for part in parts])

    def _new(self, seed: int) -> torch.nn.Module:
        with _seeded(seed):
            return self.build().train()

    def _orders(self, m: int, seeds: list[int]) -> torch.Tensor:
        """Return `(g, epochs, m)` positions in the order of training."""
        rows = []
        for seed in seeds:
            draw = torch.Generator().manual_seed(seed + 1)
            rows.append(torch.stack([torch.randperm(m, generator=draw) for _ in range(self.epochs)]))
        return torch.stack(rows)

    def _optimizer(self, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        if self.momentum is not None:
            return torch.optim.SGD(parameters, self.rate, self.momentum, weight_decay=self.decay, fused=True)
        return torch.optim.Adam(parameters, self.rate, weight_decay=self.decay, fused=True)

    def _alone(
        self, model: torch.nn.Module, data: tuple[torch.Tensor, torch.Tensor], own: torch.Tensor, orders: torch.Tensor
    ) -> torch.Tensor:
        x, y = data
        optimizer = self._optimizer(list(model.parameters()))
        own = own.to(x.device)
        for order in orders:
            for positions in batches(order.to(x.device), self.batch):
                at = own[positions]
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[at]), y[at]).backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            return torch.cat([model(part) for part in x.split(_EVALUATED)])

    def _together(
        self, models: list[torch.nn.Module], data: tuple[torch.Tensor, torch.Tensor], chosen: torch.Tensor, orders: torch.Tensor
    ) -> torch.Tensor:
        """Train a stack: the loss is the sum of all, and each network's gradient is its own."""
        x, y = data
        stack = stacked(models, x)
        x = stack.seen(x)
        optimizer = self._optimizer(stack.leaves)
        held = x.new_empty((len(models) * self.batch, *x.shape[1:]))  # the inputs of a step, always in the same place
        for epoch in range(self.epochs):
            order = chosen.gather(1, orders[:, epoch]).to(x.device)
            for at in batches(order, self.batch, 1):
                torch.index_select(x, 0, at.flatten(), out=held[: at.numel()])
                stack.train(held[: at.numel()].unflatten(0, at.shape), y[at])
                optimizer.step()
        return torch.cat([stack.ask(part) for part in x.split(_EVALUATED)], 1)


def _piece(models: list[torch.nn.Module], device: torch.device) -> int:
    """Return how many networks are trained as one: all on a GPU, as many as its cache holds on a CPU, in pieces of one size."""
    if device.type != "cpu":
        return len(models)
    held = sum(value.numel() * value.element_size() for value in models[0].parameters())
    pieces = math.ceil(len(models) * held / _CACHED) or 1
    return max(1, math.ceil(len(models) / pieces))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Hold torch's generators, which all threads share, and give them back as they were."""
    with _BUILDING, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _draws(model: torch.nn.Module, x: torch.Tensor) -> bool:
    """Tell whether a network draws while it trains: whether a pass of its copy moves the generator of its device."""

    def state() -> torch.Tensor:
        return torch.get_rng_state() if x.device.type == "cpu" else torch.cuda.get_rng_state(x.device)

    with _seeded(0), torch.no_grad():
        before = state()
        copy.deepcopy(model)(x[:2])
        return not torch.equal(before, state())


def batches(order: torch.Tensor, size: int, axis: int = 0) -> list[torch.Tensor]:
    """Return an order `(..., m)` in batches. A last one of a single sample is left out: batch normalisation fails on it."""
    parts = list(order.split(size, axis))
    return parts[:-1] if len(parts) > 1 and parts[-1].shape[axis] == 1 else parts


class RefitFactory:
    """Models of any library, refitted one by one.

    Args:
        fit: called with inputs `(m, *shape)` (numpy), labels `(m,)` and a seed; returns a target or an estimator with
            `predict_proba`, whose classes are 0, 1, ...
        identity: names the recipe; change it when the recipe changes, if you keep checkpoints.
    """

    group = 1
    stacked = False

    def __init__(self, fit: Callable[[Any, Any, int], Any], identity: str = "refit") -> None:
        self.fit, self.identity = fit, identity

    def outputs(self, x: torch.Tensor, y: torch.Tensor, chosen: torch.Tensor, seeds: list[int]) -> torch.Tensor:
        """Fit, and return log-probabilities `(g, n, classes)`; see `Factory`."""
        rows = []
        for own, seed in zip(chosen, seeds, strict=True):
            fitted = self.fit(x[own].cpu().numpy(), y[own].cpu().numpy(), seed % 2**31)
            rows.append(fitted.logits(x) if hasattr(fitted, "logits") else _log_probabilities(fitted, x, int(y.max()) + 1))
        return torch.stack(rows)


def _log_probabilities(estimator: Any, x: torch.Tensor, classes: int) -> torch.Tensor:  # noqa: ANN401 - of any library
    """Return `(n, classes)`; a class that the half it was fitted on lacks has probability 0."""
    found = torch.as_tensor(np.asarray(estimator.predict_proba(x.cpu().numpy()), dtype=np.float64))
    full = torch.zeros(len(x), classes, dtype=torch.float64)
    full[:, torch.as_tensor(np.asarray(estimator.classes_, dtype=np.int64))] = found
    return full.log()


def confidences(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return log p and log(p / (1 - p)) of the true labels `y` `(n,)`, `(..., n, 2)` float64, from logits `(..., n, classes)`.

    The second is `z_y - log sum exp of the others` (Carlini et al. 2022, section IV-C): exact where 1 - p rounds to 0.
    """
    z = logits.double()
    label = y.to(z.device).expand(z.shape[:-1])[..., None]
    own = z.gather(-1, label)
    others = z.scatter(-1, label, float("-inf")).logsumexp(-1)
    log_p = own[..., 0] - z.logsumexp(-1)
    return torch.stack((log_p, own[..., 0] - others), -1)


def shadow_confidences(
    factory: Factory, plan: Plan, data: tuple[torch.Tensor, torch.Tensor], *, workers: int = 1, checkpoint: Path | None = None
) -> torch.Tensor:
    """Train all shadows of the plan on `data` (inputs `(n, *shape)`, labels `(n,)`); return their confidences `(shadows, n, 2)`.

    Args:
        factory: the recipe.
        plan: who is trained on what.
        data: all samples, on the device on which shadows are trained.
        workers: groups trained at one time, in threads.
        checkpoint: a folder; groups that it holds are not trained again.

    Raises:
        InputError: a shadow gives something else than finite logits for all samples, or a checkpoint is not what was written.
    """
    x, y = data
    groups = [range(start, min(start + factory.group, plan.shadows)) for start in range(0, plan.shadows, factory.group)]
    made = (factory.identity, plan.n, plan.shadows, plan.seed, factory.group)
    kept = ShadowFiles(checkpoint, made, data) if checkpoint is not None else None
    shape = (plan.n, 2)

    def work(group: range) -> torch.Tensor:
        known = kept.read(group.start, (len(group), *shape)) if kept is not None else None
        if known is not None:
            return known
        rows = slice(group.start, group.stop)
        found = confidences(factory.outputs(x, y, plan.chosen[rows], plan.seeds[rows]), y).cpu()
        if found.shape != (len(group), *shape) or found.isnan().any():
            msg = f"shadows {group.start} to {group.stop - 1} gave no usable logits: {tuple(found.shape)}, some NaN"
            raise InputError(msg)
        if kept is not None:
            kept.write(group.start, found)
        return found

    if workers == 1:
        return torch.cat([work(group) for group in groups])
    # a new thread starts with OpenMP's own number of threads, and the order of its sums would be another one
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
        return torch.cat(list(pool.map(work, groups)))
