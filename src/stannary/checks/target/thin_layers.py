"""The gradient of a convolution of one to four channels, as pictures have: on a CPU several times cheaper than torch's own.

Torch's kernels for it are made for many channels; with one they take longer than the rest of a small network. A product of
matrices and a sum over the windows gives the same up to rounding, with one channel in a seventh of the time, with three in a
tenth (windows that do not overlap) to nine tenths of it (7x7 on 224x224).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["ThinLayers", "has_thin_layers"]

_CHANNELS = 4
_HELD = 1 << 20  # numbers of all windows of a piece: a CPU's cache holds some megabytes


def has_thin_layers(module: torch.nn.Module) -> bool:
    """Tell whether a network begins with, or has, convolutions that `ThinLayers` makes cheaper."""
    parts = list(module.modules())
    if any(hasattr(part, "_orig_mod") for part in parts):  # compiled: it would be compiled anew inside a mode
        return False
    return any(isinstance(part, torch.nn.Conv2d) and part.groups == 1 and part.in_channels <= _CHANNELS for part in parts)


class ThinLayers(TorchFunctionMode):
    """While it is entered, such convolutions of inputs that need a gradient, by weights that need none, have the cheap one."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's
        """See `torch.overrides`."""
        kwargs = kwargs or {}
        if func is torch.conv2d and _is_thin(*args, **kwargs):
            return _thin(*args, **kwargs)
        return func(*args, **kwargs)


def _is_thin(
    input: torch.Tensor,  # noqa: A002 - the names are those of torch.conv2d
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: object = 1,  # noqa: ARG001
    padding: object = 0,
    dilation: object = 1,  # noqa: ARG001
    groups: int = 1,
) -> bool:
    held = weight.requires_grad or (bias is not None and bias.requires_grad)
    plain = input.ndim == 4 and input.requires_grad and input.device.type == "cpu" and input.dtype == weight.dtype  # noqa: PLR2004
    return plain and not held and groups == 1 and weight.shape[1] <= _CHANNELS and not isinstance(padding, str)


def _thin(
    input: torch.Tensor,  # noqa: A002
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,  # noqa: ARG001 - it is 1
) -> torch.Tensor:
    out: torch.Tensor = _Thin.apply(input, weight, bias, _two(stride), _two(padding), _two(dilation))
    return out


def _two(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


class _Thin(torch.autograd.Function):
    """A convolution whose gradient by its input is a product and a sum over windows."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        *how: tuple[int, int],
    ) -> torch.Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.how = x.shape[2:], how
        return torch.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401 - torch's
        (weight,) = ctx.saved_tensors
        (grad,) = grads
        stride, padding, dilation = ctx.how
        across = weight.flatten(1).mT  # (channels of a window, outputs)
        rows = max(1, _HELD // max(1, len(across) * grad[0, 0].numel())) if len(grad) else 1
        parts = [
            torch.nn.functional.fold(across @ part.flatten(2), ctx.size, weight.shape[2:], dilation, padding, stride)
            for part in grad.split(rows)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts), None, None, None, None, None
