"""Training with differential privacy: DP-SGD (Abadi et al. 2016) by Opacus, with its accountant. The accounting is not ours."""

from __future__ import annotations

import copy
import secrets
import warnings
from typing import NamedTuple

import torch
from torch.nn import functional

from stannary.core.errors import InputError, UsageError
from stannary.harden.interface import Hardened, Settings, modules_of, trainable

__all__ = ["dp_sgd"]


def dp_sgd(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train the model anew from what it is, so that it holds (`epsilon`, `delta`)-differential privacy for each sample.

    The guarantee is for this training alone: a model that has already seen the data has no privacy from it, so parameters are
    reset first where their modules know how, unless the setting `keep` is 1.

    Args:
        model: a module without batch normalisation (it mixes samples; Opacus refuses it).
        x: `(n, *shape)`.
        y: `(n,)`.
        settings: `epsilon` (8) to stay within, `delta` (a tenth of 1/n), `clip` (1) the gradient's norm. The noise comes from the
            operating system; with `reproducible` 1 it comes from the seed, for tests: who knows the seed can take it out again.

    Raises:
        UsageError: the bounds are no bounds, or Opacus is not installed.
        InputError: the module cannot be trained so.
    """
    try:
        from opacus import PrivacyEngine
        from opacus.validators import ModuleValidator
    except ImportError as exc:
        msg = "dp-sgd takes Opacus, which is not installed"
        raise UsageError(msg, code="USE014", help="pip install opacus") from exc
    bounds = _bounds(settings, len(x))
    modules_of(model, "dp-sgd")
    model = trainable(copy.deepcopy(model)).train()  # what is saved is mostly in evaluation mode, which Opacus refuses
    problems = ModuleValidator.validate(model, strict=False)
    if problems:
        msg = f"cannot be trained with differential privacy: {problems[0]}"
        raise InputError(msg, help="replace batch normalisation by group normalisation")
    kept = 0 if settings.get("keep", 0) else _reset(model, settings.seed)
    optimizer = torch.optim.Adam(model.parameters(), settings.rate)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=settings.batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus warns of its own random numbers and of hooks of torch
        engine = PrivacyEngine(accountant="prv")
        known = bool(settings.get("reproducible", 0))
        generator = torch.Generator().manual_seed(settings.seed if known else secrets.randbits(63))
        private, noisy, batches = engine.make_private_with_epsilon(
            module=model, optimizer=optimizer, data_loader=loader, target_epsilon=bounds.epsilon, target_delta=bounds.delta,
            epochs=settings.epochs, max_grad_norm=bounds.clip, noise_generator=generator,
        )  # fmt: skip
        for _ in range(settings.epochs):
            for batch, labels in batches:
                noisy.zero_grad()
                if len(batch):
                    functional.cross_entropy(private(batch), labels).backward()
                    noisy.step()
                if settings.tick is not None:
                    settings.tick(len(batch))
        spent = float(engine.get_epsilon(bounds.delta))
    ((noise, rate, steps),) = engine.accountant.history  # one mechanism throughout; what composition goes by
    privacy = {**bounds._asdict(), "epsilon": spent, "noise": float(noise), "rate": float(rate), "steps": float(steps)}
    notes = [f"{kept} parameters could not be reset: if they saw this data before, the bound is not theirs"] if kept else []
    notes += ["the noise comes from a known seed: no privacy"] if known else []
    parameters = {**privacy, "epochs": settings.epochs, "accountant": "prv", "seed": settings.seed}
    return Hardened(_bare(private), "dp-sgd", parameters, privacy=None if known else privacy, notes=tuple(notes))


class _Bounds(NamedTuple):
    epsilon: float
    delta: float
    clip: float


def _bounds(settings: Settings, n: int) -> _Bounds:
    """Return what the training stays within. Raises UsageError."""
    found = _Bounds(settings.get("epsilon", 8.0), settings.get("delta", 0.1 / max(1, n)), settings.get("clip", 1.0))
    if not 0 < found.epsilon < float("inf") or not 0 < found.delta < 1 or found.clip <= 0:
        msg = f"epsilon {found.epsilon}, delta {found.delta} and clip {found.clip} bound nothing"
        raise UsageError(msg, code="USE013")
    return found


def _bare(private: torch.nn.Module) -> torch.nn.Module:
    """Return the module without what Opacus hung on it."""
    private.remove_hooks()  # Opacus' wrapper; with its hooks the module cannot be trained again
    trained: torch.nn.Module = private._module.eval()  # noqa: SLF001 - Opacus' way to the module itself
    for parameter in trained.parameters():
        for name in ("grad_sample", "summed_grad", "_forward_counter"):
            if hasattr(parameter, name):
                delattr(parameter, name)
    return trained


def _reset(model: torch.nn.Module, seed: int) -> int:
    """Start every module anew; return how many parameters have no way to be."""
    torch.manual_seed(seed)
    reset: set[int] = set()
    for module in model.modules():
        start = getattr(module, "reset_parameters", None)
        if callable(start):
            start()
            reset |= {id(parameter) for parameter in module.parameters(recurse=False)}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in reset)
