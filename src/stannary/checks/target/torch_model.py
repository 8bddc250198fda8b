"""A torch module as a target: white-box, on any device."""

from __future__ import annotations

import contextlib

import torch

from stannary.checks.target.interface import Access, Loss
from stannary.checks.target.thin_layers import ThinLayers, has_thin_layers
from stannary.core.errors import InputError

__all__ = ["TorchTarget", "labels_of", "refusal", "said"]


class TorchTarget:
    """A `torch.nn.Module` that maps `(n, *shape)` to logits `(n, classes)`.

    The module is put into evaluation mode and its parameters need no gradient while it is held. A binary model with one
    output `z` is read as logits `(0, z)`. Inputs are cast to the type of the parameters, as a table's are float64.

    Raises:
        InputError: the module cannot be called with its own input shape, or gives something else than `(n, classes)`.
    """

    access: Access = "white"

    def __init__(self, module: torch.nn.Module, shape: tuple[int, ...], *, name: str = "model", device: str = "cpu") -> None:
        self.name, self.shape, self.device = name, shape, device
        self.module = module.to(device).eval().requires_grad_(False)  # noqa: FBT003 - torch's
        self.dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        try:
            with torch.no_grad():
                out = self.module(torch.zeros((2, *shape), device=device, dtype=self.dtype))
        except (RuntimeError, TypeError, ValueError, IndexError, torch.jit.Error) as exc:
            msg = f"the model does not take inputs of shape {shape}: {refusal(self.module, shape, exc)}"
            raise InputError(
                msg, where=name, help="give data as the model was trained on: `.npz` with `x` (samples, *shape)"
            ) from exc
        if not isinstance(out, torch.Tensor) or out.ndim not in (1, 2) or len(out) != 2:  # noqa: PLR2004 - the two samples
            found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            msg = f"the model gives {found} for two samples, not logits of shape (2, classes)"
            raise InputError(msg, where=name)
        self._one = out.ndim == 1 or out.shape[1] == 1
        self.classes = 2 if self._one else out.shape[1]
        self._thin = device == "cpu" and has_thin_layers(self.module)
        self.labels: tuple[str, ...] = ()
        self.notes: list[str] = []

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.module(x.to(self.dtype)).float()
        if self._one:
            flat = out.reshape(-1)
            out = torch.stack((torch.zeros_like(flat), flat), 1)
        return out

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)` logits."""
        with torch.no_grad():
            return self._forward(x)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`, -1 where a logit is NaN."""
        return labels_of(self.logits(x))

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, losses and the gradient of the losses' sum by `x`."""
        with torch.enable_grad(), ThinLayers() if self._thin else contextlib.nullcontext():
            x = x.detach().requires_grad_(True)  # noqa: FBT003 - torch's
            out = self._forward(x)
            losses = loss(out)
            grad = None
            if losses.requires_grad:  # not where the input goes through comparisons or rounding alone
                (grad,) = torch.autograd.grad(losses.sum(), x, allow_unused=True)
        grad = torch.zeros_like(x) if grad is None else grad
        return out.detach(), losses.detach(), grad


def said(error: Exception) -> str:
    """Return what an error of torch's ends with: TorchScript puts a page of its source before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    kind, colon, rest = last.partition(": ")
    return (rest if colon and kind.endswith("Error") and kind.rpartition(".")[2].isidentifier() else last)[:300]


def refusal(module: torch.nn.Module, shape: tuple[int, ...], error: Exception) -> str:
    """Return in a line what a network said of inputs of a shape, with the shape of its first weights, which shows what it takes."""
    first = next((tuple(one.shape) for one in module.parameters() if one.ndim > 1), None)
    begins = f"; its first weights have the shape {first}, a sample the shape {shape}" if first else ""
    return f"{said(error)}{begins}"


def labels_of(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the greatest logit, `(n,)`; -1 where one of them is NaN."""
    labels = logits.argmax(1)
    labels[logits.isnan().any(1)] = -1
    return labels
