"""Which layers with weights an input passes in a network, whatever wrote it: modules, Keras, converted ONNX, exported programs.

What is looked at are operations and not modules: exported programs and models of ONNX and Keras have weights, and no modules of
torch's own that would use them. TorchScript runs outside of Python: there `scripted` reads the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["RECURRENT", "Layer", "Passed", "passed", "places_of"]

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
# operation → where its input and its weight stand among its arguments, and their names
_BY_PLACE = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "convolution"), ((0, "input"), (1, "weight"))),
    **dict.fromkeys(RECURRENT, ((0, "input"), (2, ""))),  # a list of matrices
}
_BY_MATRIX = {
    **dict.fromkeys(("matmul",), ((0, "input"), (1, "other"))),
    **dict.fromkeys(("mm", "bmm"), ((0, "input"), (1, "mat2"))),
    "addmm": ((1, "mat1"), (2, "mat2")),
}


class Layer(NamedTuple):
    """An operation with weights: `weight` `(channels, ...)`, None where it has several matrices in one."""

    name: str
    weight: torch.Tensor | None


class Passed(NamedTuple):
    """The layers in the order in which an input passed them, each once, and the last one's input `(n, ...)`, if there is one."""

    layers: tuple[Layer, ...]
    last: torch.Tensor | None


def places_of(kind: str) -> tuple[int, int, bool] | None:
    """Return where input and weight of an operation stand, and whether the weight's channels come last; None of others."""
    found = _BY_PLACE.get(kind) or _BY_MATRIX.get(kind)
    return (found[0][0], found[1][0], kind in _BY_MATRIX) if found else None


def passed(module: torch.nn.Module, x: torch.Tensor) -> Passed:
    """Run a network on `x` and return which layers that passed. Gradients flow to `x` through the last one's input."""
    named = [*module.named_parameters(), *module.named_buffers()]
    mode = _Looking({_storage(one): name for name, one in named if one.ndim > 1})
    with mode:
        module(x)
    return Passed(tuple(mode.seen.values()), mode.last)


def _storage(tensor: torch.Tensor) -> int:
    place: int = tensor.untyped_storage().data_ptr()
    return place


class _Looking(TorchFunctionMode):
    """Note each call of an operation with weights; a batch normalisation right behind one scales its channels."""

    def __init__(self, known: Mapping[int, str]) -> None:
        super().__init__()
        self.known = known
        self.seen: dict[tuple[int, int], Layer] = {}
        self.last: torch.Tensor | None = None
        self._behind: tuple[tuple[int, int], Any] = ((0, 0), None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        """Call the operation and look at it."""
        given = dict(kwargs or {})
        out = func(*args, **given)
        kind = getattr(func, "__name__", "").partition(".")[0].strip("_")  # of an exported program: `linear.default`
        if kind == "batch_norm" and args and args[0] is self._behind[1] and self._behind[0] in self.seen:
            name, weight = self.seen[self._behind[0]]
            self.seen[self._behind[0]] = Layer(name, _scaled(weight, _factor(func, args, given)))
        else:
            self._note(kind, args, given, out)
        return out

    def _note(self, kind: str, args: Sequence[Any], given: Mapping[str, Any], out: Any) -> None:  # noqa: ANN401 - as above
        found = _BY_PLACE.get(kind) or _BY_MATRIX.get(kind)
        if found is None:
            return
        entry, weight = (_at(args, given, *place) for place in found)
        many = isinstance(weight, (list, tuple))
        weight = weight[0] if many and weight else weight
        if not isinstance(entry, torch.Tensor) or not isinstance(weight, torch.Tensor):
            return
        storage = _storage(weight)
        if kind in _BY_MATRIX and storage not in self.known:
            return  # two values that were computed, as in attention
        name = self.known.get(storage, f"{kind} {len(self.seen) + 1}").removesuffix(".weight")
        shaped = weight.detach().transpose(-1, -2) if kind in _BY_MATRIX else weight.detach()
        place = (storage, weight.storage_offset())
        self.seen.setdefault(place, Layer(name, None if many else shaped))
        self.last, self._behind = entry, (place, out)


def _at(args: Sequence[Any], given: Mapping[str, Any], place: int, name: str) -> Any:  # noqa: ANN401 - whatever was given
    return args[place] if place < len(args) else given.get(name)


def _factor(func: Callable[..., Any], args: Sequence[Any], given: Mapping[str, Any]) -> torch.Tensor | None:
    """Return what a batch normalisation multiplies each channel by, None where it does not."""
    ours = func is torch.nn.functional.batch_norm  # whose arguments stand in another order than the operation's
    variance, weight = _at(args, given, 2 if ours else 4, "running_var"), _at(args, given, 3 if ours else 1, "weight")
    if variance is None or weight is None:
        return None
    eps: float | None = _at(args, given, 7, "eps")
    return (weight.detach() / (variance + (1e-5 if eps is None else eps)).sqrt()).abs()


def _scaled(weight: torch.Tensor | None, factor: torch.Tensor | None) -> torch.Tensor | None:
    if weight is None or factor is None or len(factor) != len(weight):
        return weight
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)).to(weight.dtype)
