"""Adversarial training: PGD (Madry et al. 2018), TRADES (Zhang et al. 2019), free (Shafahi et al. 2019)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from stannary.harden.interface import Hardened, Settings, epochs_of, seeded, trainable

__all__ = ["adversarial_training", "ascend", "free", "step_into_ball", "trades"]


def step_into_ball(x: torch.Tensor, origin: torch.Tensor, grad: torch.Tensor, size: float, settings: Settings) -> torch.Tensor:
    """Return `x` moved by `size` along the gradient, inside the ball around `origin` and the bounds."""
    if settings.norm == "linf":
        moved = origin + (x + size * grad.sign() - origin).clamp(-settings.eps, settings.eps)
    else:
        flat = grad.flatten(1)
        along = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).reshape(grad.shape)
        d = (x + size * along - origin).flatten(1)
        d = d * (settings.eps / d.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
        moved = origin + d.reshape(x.shape)
    return moved.clamp(settings.low, settings.high)


def ascend(
    loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, settings: Settings, generator: torch.Generator
) -> torch.Tensor:
    """Return points of the ball around `x` `(n, *shape)` at which the loss, a sum over samples, is high."""
    noise = torch.empty_like(x).uniform_(-1, 1, generator=generator)
    if settings.norm == "l2":
        flat = noise.flatten(1)
        noise = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).reshape(x.shape)
    found = (x + settings.eps * noise).clamp(settings.low, settings.high)
    size = 2.5 * settings.eps / settings.steps
    for _ in range(settings.steps):
        found = found.detach().requires_grad_(True)  # noqa: FBT003 - torch's
        (grad,) = torch.autograd.grad(loss(found), found)
        found = step_into_ball(found.detach(), x, grad, size, settings)
    return found.detach()


def adversarial_training(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train on the worst points of the ball around each sample, `x` `(n, *shape)`, `y` `(n,)`.

    The radius grows during the first `warmup` epochs (0): under a large one, a small network may not start to learn at all.
    """
    generator = seeded(settings, x.device)

    def loss(batch: torch.Tensor, labels: torch.Tensor, now: Settings) -> torch.Tensor:
        worst = ascend(lambda at: functional.cross_entropy(model(at), labels, reduction="sum"), batch, now, generator)
        model.train()
        return functional.cross_entropy(model(worst), labels)

    _train(model, x, y, settings, loss)
    return Hardened(model, "adversarial-training", _said(settings, steps=settings.steps, warmup=settings.get("warmup", 0)))


def trades(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train on clean samples, and for alike answers within the ball; `beta` (6) weighs the second; `warmup` as above."""
    generator, beta = seeded(settings, x.device), settings.get("beta", 6.0)

    def loss(batch: torch.Tensor, labels: torch.Tensor, now: Settings) -> torch.Tensor:
        with torch.no_grad():
            calm = functional.softmax(model(batch), 1)
        worst = ascend(
            lambda at: functional.kl_div(functional.log_softmax(model(at), 1), calm, reduction="sum"), batch, now, generator
        )
        model.train()
        clean = model(batch)
        drift = functional.kl_div(functional.log_softmax(model(worst), 1), functional.softmax(clean, 1), reduction="batchmean")
        return functional.cross_entropy(clean, labels) + beta * drift

    _train(model, x, y, settings, loss)
    return Hardened(model, "trades", _said(settings, beta=beta, steps=settings.steps, warmup=settings.get("warmup", 0)))


def free(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train with the gradient that the attack needs anyway: each batch is used `replays` (4) times, as many fewer epochs."""
    replays = max(1, int(settings.get("replays", 4)))
    generator = seeded(settings, x.device)
    optimizer = torch.optim.Adam(model.parameters(), settings.rate)
    delta = torch.zeros((0, *x.shape[1:]), device=x.device)
    for batch, labels in epochs_of(x, y, settings, max(1, -(-settings.epochs // replays))):
        if len(delta) < len(batch):
            noise = torch.empty((settings.batch, *x.shape[1:]), device=x.device).uniform_(-1, 1, generator=generator)
            delta = settings.eps * noise
        at = batch + delta[: len(batch)]
        for _ in range(replays):
            model.train()
            point = step_into_ball(at, batch, torch.zeros_like(at), 0.0, settings).requires_grad_(True)  # noqa: FBT003 - torch's
            optimizer.zero_grad()
            functional.cross_entropy(model(point), labels).backward()
            optimizer.step()
            assert point.grad is not None  # noqa: S101 - backward() made it
            at = step_into_ball(point.detach(), batch, point.grad, settings.eps, settings)
        delta = torch.cat((at - batch, delta[len(batch) :]))
    model.eval()
    return Hardened(model, "free", _said(settings, replays=replays))


def _train(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    settings: Settings,
    loss: Callable[[torch.Tensor, torch.Tensor, Settings], Any],
) -> None:
    """Train with Adam, its rate reduced tenfold for the last quarter. The inner attack sees the model in evaluation mode."""
    trainable(model)
    optimizer = torch.optim.Adam(model.parameters(), settings.rate)
    per_epoch = -(-len(x) // settings.batch)
    total, growing = settings.epochs * per_epoch, settings.get("warmup", 0) * per_epoch
    for number, (batch, labels) in enumerate(epochs_of(x, y, settings)):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * (0.1 if number >= total * 0.75 else 1.0)
        model.eval()
        grown = min(1.0, (number + 1) / growing) if growing > 0 else 1.0
        found = loss(batch, labels, dataclasses.replace(settings, eps=settings.eps * grown))
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    model.eval()


def _said(settings: Settings, **more: float) -> dict[str, Any]:
    return {
        "eps": settings.eps, "norm": settings.norm, "epochs": settings.epochs, "batch": settings.batch, "rate": settings.rate,
        "seed": settings.seed, **more,
    }  # fmt: skip
