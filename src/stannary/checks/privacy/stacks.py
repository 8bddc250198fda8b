"""Networks of one architecture held as one: every step is one batched product, whatever their number.

Networks of linear layers and functions of single numbers are multiplied as they are, and their gradients are written where they
were before: memory that is taken anew for each step costs a third of the time on a CPU. All others go through `torch.func`.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch

__all__ = ["Stack", "stacked"]

_nn = torch.nn
_SINGLE = (  # layers without parameters that work on each number by itself
    _nn.ReLU, _nn.LeakyReLU, _nn.ELU, _nn.GELU, _nn.SiLU, _nn.Tanh, _nn.Sigmoid, _nn.Softplus, _nn.Identity, _nn.Dropout,
)  # fmt: skip


class Stack(Protocol):
    """Some networks as one. `leaves`: what an optimizer moves, with one network each along the first axis."""

    leaves: list[torch.Tensor]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits `(g, m, classes)` of each network's own inputs `(g, m, *shape)`, for one step of training."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Set the gradients of the leaves."""
        ...

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits `(g, m, classes)` of the same inputs `(m, *shape)`, by all networks as they are used."""
        ...


def stacked(models: list[torch.nn.Module]) -> Stack:
    """Return networks of one architecture, in training mode, as one."""
    layers = _layers(models[0])
    return _Mapped(models) if layers is None else _Products(models, layers)


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


class _Product(torch.autograd.Function):
    """A batched linear layer that writes the gradients of its parameters into given tensors: each is used once a step."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, into: Any) -> torch.Tensor:  # noqa: ANN401 - torch's
        ctx.save_for_backward(x, weight)
        ctx.into = into
        return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:  # noqa: ANN401 - torch's
        x, weight = ctx.saved_tensors
        (grad,) = grads
        torch.bmm(x.mT, grad, out=ctx.into[0])
        if len(ctx.into) > 1:
            torch.sum(grad, 1, keepdim=True, out=ctx.into[1])
        return (torch.bmm(grad, weight.mT) if ctx.needs_input_grad[0] else None), None, None, None


class _Products:
    """Linear layers as `(g, inputs, outputs)`, and what lies between them."""

    def __init__(self, models: list[torch.nn.Module], layers: list[torch.nn.Module]) -> None:
        whole = [_layers(model) or [] for model in models]
        self.leaves: list[torch.Tensor] = []
        self._steps: list[tuple[torch.Tensor, ...] | torch.nn.Module] = []
        for at, layer in enumerate(layers):
            if not isinstance(layer, torch.nn.Linear):
                self._steps.append(copy.deepcopy(layer))
                continue
            with torch.no_grad():
                made = [torch.stack([own[at].weight.mT for own in whole]).contiguous()]
                if layer.bias is not None:
                    made.append(torch.stack([own[at].bias[None] for own in whole]))
            for leaf in made:
                leaf.requires_grad_().grad = torch.zeros_like(leaf)
            self.leaves += made
            self._steps.append(tuple(made))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        x = inputs
        for step in self._steps:
            if isinstance(step, tuple):
                x = _Product.apply(x, step[0], step[1] if len(step) > 1 else None, [leaf.grad for leaf in step])
            else:
                x = x.flatten(2) if isinstance(step, torch.nn.Flatten) else step(x)
        return x

    def backward(self, loss: torch.Tensor) -> None:
        """See `Stack`."""
        loss.backward()

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        for step in self._steps:
            if not isinstance(step, tuple):
                step.eval()
        with torch.no_grad():
            return self.forward(inputs.expand(len(self.leaves[0]), *inputs.shape))


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

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Stack`."""
        out: torch.Tensor = self._forward(self._weights(), self._buffers, inputs)
        return out

    def backward(self, loss: torch.Tensor) -> None:
        """See `Stack`."""
        for leaf in self.leaves:
            leaf.grad = None
        loss.backward()

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
