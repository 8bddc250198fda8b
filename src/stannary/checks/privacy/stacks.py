"""Networks of one architecture held as one: every step is one batched product, whatever their number.

Networks of linear layers and functions of single numbers are multiplied as they are, forward and back, without autograd, and into
memory that they keep: what is taken anew for each step costs a third of the time on a CPU. Inputs that are 0 in every sample, as
the edges of pictures are, move nothing, and are left out. All other networks go through `torch.func`.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch

__all__ = ["Stack", "stacked"]

_nn = torch.nn
_NARROW = 32  # outputs
_WIDE = 1 << 18  # multiplications of a product that is worth a call of its own
_SINGLE = (  # layers without parameters that work on each number by itself
    _nn.ReLU, _nn.LeakyReLU, _nn.ELU, _nn.GELU, _nn.SiLU, _nn.Tanh, _nn.Sigmoid, _nn.Softplus, _nn.Identity, _nn.Dropout,
)  # fmt: skip


class Stack(Protocol):
    """Some networks as one. `leaves`: what an optimizer moves, with one network each along the first axis."""

    leaves: list[torch.Tensor]

    def seen(self, x: torch.Tensor) -> torch.Tensor:
        """Return inputs `(n, *shape)` as `train` and `ask` take them."""
        ...

    def train(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Set the leaves' gradients: of each network's mean cross entropy on its own inputs `(g, m, ...)`, labels `(g, m)`."""
        ...

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits `(g, m, classes)` of the same inputs `(m, ...)`, by all networks as they are used."""
        ...


def stacked(models: list[torch.nn.Module], x: torch.Tensor) -> Stack:
    """Return networks of one architecture, in training mode, as one to be trained on and asked about some of `x` `(n, *shape)`."""
    layers = _layers(models[0])
    return _Mapped(models) if layers is None else _Products(models, layers, x)


def _layers(model: torch.nn.Module) -> list[torch.nn.Module] | None:
    """Return the layers of a network one after another, None unless all of them are known to `_Products`."""
    if type(model) is torch.nn.Sequential:
        parts = [_layers(part) for part in model]
        found = [layer for part in parts if part is not None for layer in part]
        return None if None in parts or len({id(layer) for layer in found}) < len(found) or _hooked(model) else found
    known = type(model) in (torch.nn.Linear, *_SINGLE) or (
        type(model) is torch.nn.Flatten and (model.start_dim, model.end_dim) == (1, -1)
    )
    own = all(value.requires_grad and value.dtype == torch.float32 for value in model.parameters())
    return [model] if known and own and not _hooked(model) else None


def _hooked(model: torch.nn.Module) -> bool:
    return bool(model._forward_hooks or model._forward_pre_hooks or model._backward_hooks or model._backward_pre_hooks)  # noqa: SLF001 - torch tells it nowhere else


class _Products:
    """A network's layers one after another, of which the linear ones are stacks of matrices `(g, outputs, inputs)`."""

    def __init__(self, models: list[torch.nn.Module], layers: list[torch.nn.Module], x: torch.Tensor) -> None:
        whole = [_layers(model) or [] for model in models]
        self.leaves: list[torch.Tensor] = []
        self._steps: list[_Linear | _Rectifier | _Single] = []
        self._flat = isinstance(layers[0], torch.nn.Flatten)
        self._live = _live(layers, x)
        for at, layer in enumerate(layers):
            if isinstance(layer, torch.nn.Linear):
                used = None if self.leaves else self._live
                linear = _Linear([own[at] for own in whole], used, first=not self.leaves)
                self._steps.append(linear)
                self.leaves += linear.leaves
            elif type(layer) is torch.nn.ReLU and self._steps and isinstance(self._steps[-1], _Linear):
                self._steps.append(_Rectifier())
            elif not isinstance(layer, torch.nn.Flatten):
                self._steps.append(_Single(layer))

    def seen(self, x: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        x = x.flatten(1) if self._flat else x
        return x if self._live is None else x[:, self._live].contiguous()

    def train(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """See `Stack`."""
        x = inputs
        for step in self._steps:
            x = step.forward(x)
        turned = torch.softmax(x.mT.contiguous(), 1)  # over rows: it takes a sixth of what it takes along a row of ten
        turned.scatter_add_(1, labels[:, None], x.new_full((1, 1, 1), -1).expand(len(labels), 1, labels.shape[1])).div_(
            labels.shape[1]
        )
        grad: torch.Tensor | None = turned.mT
        for step in reversed(self._steps):
            grad = None if grad is None else step.backward(grad)

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        x = inputs.expand(len(self.leaves[0]), *inputs.shape)
        for step in self._steps:
            x = step.ask(x)
        return x


def _live(layers: list[torch.nn.Module], x: torch.Tensor) -> torch.Tensor | None:
    """Return which features the first linear layer needs, as indices: those that are not 0 in all samples; None for all."""
    before = [type(layer) for layer in itertools.takewhile(lambda one: not isinstance(one, torch.nn.Linear), layers)]
    if set(before) - {torch.nn.Flatten, torch.nn.Identity} or (x.ndim > 2 and torch.nn.Flatten not in before):  # noqa: PLR2004 - rows
        return None
    live = (x.flatten(1) != 0).any(0).nonzero()[:, 0]
    return None if len(live) in (0, x.flatten(1).shape[1]) else live


def _onednn() -> Callable[..., torch.Tensor] | None:
    """Return oneDNN's product of a matrix and a transposed one, None where torch has none, or where its own is as quick.

    On AMD's processors MKL, by which torch multiplies, does without AVX-512: 97 us for 64 x 633 by 633 x 128, 58 us by oneDNN.
    """
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    try:
        found: Callable[..., torch.Tensor] = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001 - what compiled networks call; nothing public reaches it without copies
        x, w = torch.eye(3, 4), torch.arange(8.0).view(2, 4)
        right = torch.equal(found(x, w, None, "none", [], ""), x @ w.mT)
    except (AttributeError, RuntimeError, TypeError):  # another torch has it under another name, or with other arguments
        return None
    return found if right else None


class _Linear:
    """Some networks' linear layer, weights `(g, outputs, inputs)`. Its parameters' gradients are written where they were before."""

    def __init__(self, own: list[torch.nn.Linear], used: torch.Tensor | None, *, first: bool) -> None:
        with torch.no_grad():
            weights = [layer.weight if used is None else layer.weight[:, used] for layer in own]
            self.weight, self.bias = torch.stack(weights).contiguous(), None
            if own[0].bias is not None:
                self.bias = torch.stack([layer.bias[None] for layer in own])
        self._by_weight = torch.zeros_like(self.weight)
        self.weight.grad = self._by_weight
        self.leaves = [self.weight]
        if self.bias is not None:
            self.bias.grad = torch.zeros_like(self.bias)
            self.leaves.append(self.bias)
        self._first, self._x = first, self.weight
        self._narrow = self.weight.shape[1] < _NARROW
        self._held: dict[str, torch.Tensor] = {}
        self._onednn = _onednn() if self.weight.device.type == "cpu" and torch.get_num_threads() == 1 else None
        self._each = list(self.weight), list(self._by_weight), None if self.bias is None else [one[0] for one in self.bias]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._x = x
        outputs = self.weight.shape[1]
        if self._narrow:  # ten rows take a third of the time that rows of ten take
            room = self._room("out", (len(x), outputs, x.shape[1]))
            return _product(self.weight, x.mT, room, None if self.bias is None else self.bias.mT).mT
        room = self._room("out", (len(x), x.shape[1], outputs))
        if self._onednn is None or x[0].numel() * outputs < _WIDE:
            return _product(x, self.weight.mT, room, self.bias)
        weights, _, biases = self._each
        for out, one, weight, bias in zip(room, x, weights, biases or [None] * len(x), strict=True):
            out.copy_(self._onednn(one, weight, bias, "none", [], ""))
        return room

    def backward(self, grad: torch.Tensor) -> torch.Tensor | None:
        if self._onednn is None or self._x[0].numel() * grad.shape[2] < _WIDE:
            torch.bmm(grad.mT, self._x, out=self._by_weight)
        else:
            for out, one, x in zip(self._each[1], grad.mT, self._x.mT, strict=True):
                out.copy_(self._onednn(one, x, None, "none", [], ""))
        if self.bias is not None:
            torch.sum(grad, 1, keepdim=True, out=self.bias.grad)
        if self._first:  # nothing before it is to be moved
            return None
        return torch.bmm(grad, self.weight, out=self._room("grad", (*grad.shape[:2], self.weight.shape[2])))

    def ask(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x, self.weight.mT) if self.bias is None else torch.baddbmm(self.bias, x, self.weight.mT)

    def _room(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        size = math.prod(shape)
        if name not in self._held or len(self._held[name]) < size:
            self._held[name] = self.weight.new_empty(size)
        return self._held[name][:size].view(shape)


def _product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, plus: torch.Tensor | None) -> torch.Tensor:
    return torch.bmm(a, b, out=out) if plus is None else torch.baddbmm(plus, a, b, out=out)


class _Rectifier:
    """A ReLU in the memory of the linear layer before it."""

    def __init__(self) -> None:
        self._out = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._out = x.clamp_min_(0)
        return self._out

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.aten.threshold_backward.grad_input(grad, self._out, 0, grad_input=grad)
        return made

    def ask(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp_min(0)


class _Single:
    """Any other function of single numbers, by autograd."""

    def __init__(self, layer: torch.nn.Module) -> None:
        self._layer = copy.deepcopy(layer)
        if hasattr(layer, "inplace"):  # what comes in is another layer's
            self._layer.inplace = False
        self._x = self._out = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            self._x = x.detach().requires_grad_()
            self._out = self._layer(self._x)
        return self._out.detach()

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(self._out, self._x, grad)[0]

    def ask(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = self._layer.eval()(x)
            return out


class _Mapped:
    """Any architecture, by `torch.func`: linear layers' stacks are held transposed, see `_turned`."""

    def __init__(self, models: list[torch.nn.Module]) -> None:
        parameters, self._buffers = torch.func.stack_module_state(models)
        self._named = {name: _turned(value.detach()).contiguous().requires_grad_() for name, value in parameters.items()}
        self.leaves = list(self._named.values())
        self._base = base = copy.deepcopy(models[0]).to("meta")

        def one(weights: dict[str, torch.Tensor], state: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = torch.func.functional_call(base, (weights, state), (inputs,))
            return out

        self._forward = torch.func.vmap(one, randomness="different")
        self._ask = torch.func.vmap(one, in_dims=(0, 0, None))

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: _turned(leaf) for name, leaf in self._named.items()}

    def seen(self, x: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        return x

    def train(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """See `Stack`."""
        for leaf in self.leaves:
            leaf.grad = None
        out = self._forward(self._weights(), self._buffers, inputs).flatten(0, 1)
        (torch.nn.functional.cross_entropy(out, labels.flatten(), reduction="sum") / labels.shape[1]).backward()

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        self._base.eval()
        with torch.no_grad():
            out: torch.Tensor = self._ask(self._weights(), self._buffers, inputs)
            return out


def _turned(stack: torch.Tensor) -> torch.Tensor:
    """Return a stack of matrices transposed, anything else as it is.

    Held as (inputs, outputs), a linear layer's gradient has the layout of its parameter; otherwise autograd copies it
    element by element, a third of the whole training on a CPU.
    """
    return stack.mT if stack.ndim == 3 else stack  # noqa: PLR2004 - network, rows, columns
