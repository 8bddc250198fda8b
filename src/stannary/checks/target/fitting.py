"""Between the shape of the data and the shape that a model takes: axes, flattened inputs, fixed batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from stannary.core.errors import InputError

__all__ = ["Fit", "fit", "in_batches"]

Fit: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"


def fit(data: tuple[int, ...], model: Sequence[int | None], name: str = "model") -> Fit:
    """Return what brings inputs `(n, *data)` into the shape `(n, *model)`; None in `model` takes any size.

    The same shape passes as it is; pictures `(channels, height, width)` have their channels moved last; inputs of as many
    numbers are reshaped, as for a model that takes a picture flat.

    Raises:
        InputError: none of that fits.
    """
    if _matches(data, model):
        return lambda x: x
    if len(data) == 3 and _matches((*data[1:], data[0]), model):  # noqa: PLR2004 - a picture
        return lambda x: x.movedim(1, -1)
    sizes = tuple(model)
    open_ = [at for at, size in enumerate(sizes) if size is None]
    known = math.prod(size for size in sizes if size is not None)
    count = math.prod(data)
    if len(open_) <= 1 and known and count % known == 0 and (open_ or known == count):
        shape = tuple(count // known if size is None else size for size in sizes)
        return lambda x: x.reshape(len(x), *shape)
    wanted = "x".join("?" if size is None else str(size) for size in sizes)
    msg = f"the model takes inputs of {wanted or 'no'} numbers, the data has {'x'.join(map(str, data))}"
    raise InputError(msg, where=name)


def _matches(data: tuple[int, ...], model: Sequence[int | None]) -> bool:
    return len(data) == len(model) and all(b is None or a == b for a, b in zip(data, model, strict=True))


def in_batches(call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, size: int) -> torch.Tensor:
    """Call a function that takes exactly `size` samples at a time, the last ones filled up with copies of the last."""
    parts = []
    for part in x.split(size):
        lacking = size - len(part)
        full = torch.cat([part, part[-1:].expand(lacking, *part.shape[1:])]) if lacking else part
        parts.append(call(full)[: len(part)])
    return torch.cat(parts)
