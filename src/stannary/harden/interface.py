"""What a method of hardening is given, and what it returns."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from stannary.core.errors import InputError, UsageError
from stannary.core.model import Json

__all__ = ["Hardened", "Settings", "copied", "epochs_of", "modules_of", "seeded", "trainable"]


@dataclass(frozen=True)
class Settings:
    """How to harden.

    Args:
        eps: radius of the attacks that are trained against, in `norm` (`linf` or `l2`).
        steps: gradient steps of the inner attack.
        epochs: passes over the data.
        batch: samples of a batch.
        rate: learning rate (Adam).
        seed: of everything random.
        low, high: bounds of the inputs.
        tick: called with the number of samples done, for progress.
        more: settings of single methods (`beta` of TRADES, `epsilon` and `delta` of DP-SGD, `sigma` of smoothing, ...).
    """

    eps: float = 0.1
    norm: str = "linf"
    steps: int = 7
    epochs: int = 5
    batch: int = 128
    rate: float = 1e-3
    seed: int = 0
    low: float = 0.0
    high: float = 1.0
    tick: Callable[[int], None] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with. Raises UsageError."""
        wrong = [
            text
            for text, bad in (
                ("eps must be positive", not 0 < self.eps < float("inf")),
                ("norm is linf or l2", self.norm not in ("linf", "l2")),
                ("steps, epochs and batch are at least 1", min(self.steps, self.epochs, self.batch) < 1),
                ("the learning rate must be positive", not 0 < self.rate < float("inf")),
                ("low must be below high", not self.low < self.high),
            )
            if bad
        ]
        if wrong:
            raise UsageError("; ".join(wrong), code="USE013")

    def get(self, name: str, default: float) -> float:
        """Return a setting of a single method as a number. Raises UsageError."""
        value = self.more.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError) as exc:
            msg = f"{name} is a number, not {value!r}"
            raise UsageError(msg, code="USE013") from exc


@dataclass
class Hardened:
    """What came out: the model, what was done, and what it says about itself.

    Args:
        model: of the same kind as the one that was given, or a module that wraps it.
        method: its name.
        parameters: for the record.
        masking: it hides gradients and is no defence by itself: it never raises a verdict.
        privacy: epsilon, delta, noise and sampling rate of training with differential privacy.
        notes: what a user should know.
    """

    model: Any
    method: str
    parameters: dict[str, Json]
    masking: bool = False
    privacy: dict[str, float] | None = None
    notes: tuple[str, ...] = ()


_M = TypeVar("_M", bound=torch.nn.Module)


def trainable(model: _M) -> _M:
    """Let every parameter have gradients; a TorchScript module refuses `requires_grad_` as a whole."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)  # noqa: FBT003 - torch's
    return model


def copied(model: _M) -> _M:
    """Return a copy whose parameters are its own; a deep copy of TorchScript has some that cannot be trained."""
    if not isinstance(model, torch.jit.ScriptModule):
        return copy.deepcopy(model)
    buffer = io.BytesIO()
    torch.jit.save(model, buffer)
    buffer.seek(0)
    found: _M = torch.jit.load(buffer, map_location=next((one.device for one in model.parameters()), torch.device("cpu")))
    return found


def modules_of(model: torch.nn.Module, method: str) -> None:
    """Refuse a network whose layers cannot be told apart, for a method that starts them anew. Raises InputError."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        msg = f"{method} starts every layer anew, and TorchScript does not say which layers there are"
        raise InputError(msg, help="give the module itself: saved whole by torch.save, or `package.module:build()`")


def seeded(settings: Settings, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of the seed."""
    return torch.Generator(device=device).manual_seed(settings.seed)


def epochs_of(x: torch.Tensor, y: torch.Tensor, settings: Settings, epochs: int | None = None) -> Any:  # noqa: ANN401 - an iterator of pairs
    """Yield shuffled batches `(x, y)` of all epochs."""
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs if epochs is None else epochs):
        for at in torch.randperm(len(x), generator=generator).split(settings.batch):
            where = at.to(x.device)
            yield x[where], y[where]
            if settings.tick is not None:
                settings.tick(len(at))
