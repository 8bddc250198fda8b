"""Surrogates: models that are trained on a target's answers, to be its copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from stannary.checks.privacy.seeds import derive, generator

__all__ = ["FOREST", "NETWORK", "ForestCopy", "Surrogate", "network", "train_surrogate"]

NETWORK, FOREST = "network", "forest"
_PICTURE = 12  # pixels a side from which on convolutions pay
_WIDTH = 256
_BATCH = 128
_STEPS = 1500
_TREES = 100
_HELD = 0.2  # share of the answers that decides between kinds
_ENOUGH = 50


class Surrogate(Protocol):
    """A copy of a classifier."""

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`."""
        ...


class _Scaled(torch.nn.Module):
    """Standardise inputs by what was asked, then decide."""

    middle: torch.Tensor
    scale: torch.Tensor

    def __init__(self, x: torch.Tensor, classes: int) -> None:
        super().__init__()
        x = x.float()
        picture = x.ndim == 4 and min(x.shape[2:]) >= _PICTURE  # noqa: PLR2004 - (n, channels, height, width)
        middle, spread = (x.mean(), x.std()) if picture else (x.mean(0), x.std(0, unbiased=False))
        self.register_buffer("middle", middle)
        self.register_buffer("scale", torch.where(spread > 1e-6, spread, torch.ones_like(spread)))  # noqa: PLR2004 - constant
        self.body = _convolutions(tuple(x.shape[1:]), classes) if picture else _layers(x[0].numel(), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `(n, classes)`."""
        out: torch.Tensor = self.body((x.float() - self.middle) / self.scale)
        return out

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`."""
        with torch.no_grad():
            return torch.cat([self(part.to(self.middle.device)).argmax(1) for part in x.split(2048)])


def _layers(d: int, classes: int) -> torch.nn.Sequential:
    nn = torch.nn
    return nn.Sequential(
        nn.Flatten(), nn.Linear(d, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, classes)
    )


def _convolutions(shape: tuple[int, ...], classes: int) -> torch.nn.Sequential:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def network(x: torch.Tensor, shares: torch.Tensor, seed: int, steps: int = _STEPS) -> _Scaled:
    """Return a network that was trained on inputs `(n, *shape)` to give the class shares `(n, classes)`."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "surrogate"))
        model = _Scaled(x, shares.shape[1])
    model.to(x.device).train()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    draw = generator(seed, "surrogate", 1)
    wanted = shares.float().to(x.device)
    done = 0
    while done < steps:
        for at in torch.randperm(len(x), generator=draw).to(x.device).split(_BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[at]), wanted[at]).backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
    model.eval()
    return model


class ForestCopy:
    """A forest that was trained on labels; scikit-learn's."""

    def __init__(self, x: torch.Tensor, labels: torch.Tensor, seed: int) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        self._model: Any = ExtraTreesClassifier(_TREES, random_state=derive(seed, "forest") % 2**31)
        self._model.fit(x.flatten(1).cpu().numpy(), labels.cpu().numpy())

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`."""
        return torch.from_numpy(self._model.predict(x.flatten(1).cpu().numpy())).to(x.device)


def train_surrogate(x: torch.Tensor, shares: torch.Tensor, seed: int) -> tuple[Surrogate, str]:
    """Return the copy, and its kind: the one that agrees more with answers which were held out; of few answers, a network.

    Args:
        x: what was asked, `(n, *shape)`.
        shares: what was answered, as shares of the classes `(n, classes)`; labels as 0 and 1.
        seed: the result repeats.
    """
    labels = shares.argmax(1).to(x.device)
    kinds = _kinds(x)
    kind = NETWORK
    if len(kinds) > 1 and len(x) >= _ENOUGH:
        order = torch.randperm(len(x), generator=generator(seed, "held")).to(x.device)
        held, rest = order[: int(_HELD * len(x))], order[int(_HELD * len(x)) :]
        right = {
            name: int((fit(x[rest], shares.to(x.device)[rest], seed).decide(x[held]) == labels[held]).sum())
            for name, fit in kinds.items()
        }
        kind = max(right, key=lambda name: right[name])
    return kinds[kind](x, shares, seed), kind


def _kinds(x: torch.Tensor) -> dict[str, Callable[[torch.Tensor, torch.Tensor, int], Surrogate]]:
    kinds: dict[str, Callable[[torch.Tensor, torch.Tensor, int], Surrogate]] = {NETWORK: network}
    if x[0].numel() > _PICTURE * _PICTURE:
        return kinds
    try:
        import sklearn.ensemble  # noqa: F401 - only whether it is there
    except ImportError:
        return kinds
    return kinds | {FOREST: lambda x, shares, seed: ForestCopy(x, shares.argmax(1), seed)}
