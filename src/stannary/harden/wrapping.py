"""Defences around a model: squeezed inputs (Xu et al. 2018), coarse outputs, ensembles; and distillation (Papernot et al. 2016).

None of them makes a model robust by itself. Squeezing and distillation hide gradients: they are labelled `masking`, their result is
attacked through them (BPDA: the backward pass takes the squeeze for the identity), and they raise no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from stannary.core.errors import UsageError
from stannary.harden.interface import Hardened, Settings, copied, epochs_of, modules_of, seeded, trainable

__all__ = ["Ensemble", "Rounded", "Squeezed", "distill", "ensemble", "output_perturbation", "squeeze"]


class _Straight(torch.autograd.Function):
    """A function whose gradient is taken for the identity's (Athalye et al. 2018, BPDA)."""

    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:  # noqa: ANN401 - torch's
        """Return the changed input."""
        return change(x)

    @staticmethod
    def backward(_ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401 - torch's
        """Pass the gradient on."""
        return grads[0], None


class Squeezed(torch.nn.Module):
    """A model that sees inputs of fewer bits, and smoothed by a median of 3 x 3 where they are pictures.

    `through`: the gradient goes through the squeeze (for attacks that know of it); without it, it is zero nearly everywhere.
    """

    def __init__(self, module: torch.nn.Module, bits: int = 4, *, median: bool = False, through: bool = True) -> None:
        super().__init__()
        if not 1 <= bits <= 16:  # noqa: PLR2004 - what has any effect
            msg = f"{bits} bits: 1 to 16"
            raise UsageError(msg, code="USE013")
        self.module, self.bits, self.levels = module, bits, 2**bits - 1
        self.median, self.through = median, through

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the squeezed inputs."""
        seen: torch.Tensor = _Straight.apply(x, self.squeeze) if self.through else self.squeeze(x)
        out: torch.Tensor = self.module(seen)
        return out

    def squeeze(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the model sees of inputs in [0, 1]."""
        x = (x * self.levels).round() / self.levels
        if self.median and x.ndim == 4:  # noqa: PLR2004 - (n, channels, height, width)
            around = functional.unfold(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3)
            x = around.reshape(len(x), x.shape[1], 9, *x.shape[2:]).median(2).values
        return x


class Rounded(torch.nn.Module):
    """A model whose answers are probabilities rounded to `decimals`, or the label alone (0): less for extraction and membership."""

    def __init__(self, module: torch.nn.Module, decimals: int = 1) -> None:
        super().__init__()
        if decimals < 0:
            msg = f"{decimals} decimals"
            raise UsageError(msg, code="USE013")
        self.module, self.decimals = module, decimals

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the rounded probabilities; the best class stays the best."""
        shares = functional.softmax(self.module(x), 1)
        best = functional.one_hot(shares.argmax(1), shares.shape[1]).to(shares.dtype)
        if self.decimals == 0:
            return (best + 1e-6).log()
        scale = 10.0**self.decimals
        return ((shares * scale).round() / scale + 1e-6 + best * 1e-5).log()


class Ensemble(torch.nn.Module):
    """The mean of several models' probabilities."""

    def __init__(self, members: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean probabilities."""
        shares = torch.stack([functional.softmax(member(x), 1) for member in self.members]).mean(0)
        return shares.clamp_min(1e-12).log()


def squeeze(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:  # noqa: ARG001 - every method's
    """Reduce inputs to `bits` (4) and, with `median` 1, smooth them. Not trained; labelled as masking."""
    bits, median = int(settings.get("bits", 4)), bool(settings.get("median", 0))
    wrapped = Squeezed(model, bits, median=median)
    note = "hides gradients: attacked through it (BPDA), it raises no verdict"
    return Hardened(wrapped, "squeeze", {"bits": bits, "median": median}, masking=True, notes=(note,))


def output_perturbation(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:  # noqa: ARG001 - every method's
    """Round answers to `decimals` (1). It costs attacks on privacy precision, and evasion nothing: labelled as masking."""
    decimals = int(settings.get("decimals", 1))
    note = "against extraction and membership inference; labels are as before, and so is evasion"
    return Hardened(Rounded(model, decimals), "output-perturbation", {"decimals": decimals}, masking=True, notes=(note,))


def distill(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train a copy, started anew, on the model's own answers at temperature `temperature` (20)."""
    temperature = settings.get("temperature", 20.0)
    if not 0 < temperature < float("inf"):
        msg = f"a temperature of {temperature}"
        raise UsageError(msg, code="USE013")
    modules_of(model, "distill")
    student = trainable(copied(model))
    torch.manual_seed(settings.seed)
    for module in student.modules():
        if callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()
    model.eval()
    optimizer = torch.optim.Adam(student.parameters(), settings.rate)
    for batch, _ in epochs_of(x, y, settings):
        with torch.no_grad():
            soft = functional.softmax(model(batch) / temperature, 1)
        student.train()
        optimizer.zero_grad()
        functional.cross_entropy(student(batch) / temperature, soft).backward()
        optimizer.step()
    student.eval()
    note = "distillation makes logits large and gradients small: masking (Carlini and Wagner 2017); it raises no verdict"
    return Hardened(student, "distill", {"temperature": temperature, "epochs": settings.epochs}, masking=True, notes=(note,))


def ensemble(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings) -> Hardened:
    """Train `members` (3) copies adversarially, each from its own start and on samples of its own drawing, and average them."""
    from dataclasses import replace

    from stannary.harden.adversarial import adversarial_training

    count = max(2, int(settings.get("members", 3)))
    generator = seeded(settings)
    trained = []
    for number in range(count):
        member = copied(model)
        drawn = torch.randint(len(x), (len(x),), generator=generator).to(x.device)
        trained.append(adversarial_training(member, x[drawn], y[drawn], replace(settings, seed=settings.seed + number)).model)
    return Hardened(Ensemble(trained).eval(), "ensemble", {"members": count, "eps": settings.eps, "epochs": settings.epochs})
