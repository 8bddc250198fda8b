"""What a network makes of its inputs just before it decides: the inputs of its last layer with weights.

Backdoors are sought there, since a trigger that decides has to show there, whatever it looks like in the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from stannary.checks.target.counting import Counting
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["activations", "features", "module_of", "weighted_layers"]

_BATCH = 512


def module_of(target: Target) -> torch.nn.Module | None:
    """Return the network behind a target, or None where there is none to look into."""
    inner = getattr(target, "inner", target)  # of a counting wrapper
    module = getattr(inner, "module", None)
    if not isinstance(module, torch.nn.Module):
        return None
    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())  # TorchScript takes no hooks
    return None if scripted else module


def weighted_layers(module: torch.nn.Module, x: torch.Tensor) -> list[torch.nn.Module]:
    """Return the layers with a matrix of weights in the order in which inputs `x` pass them, each once."""
    seen: list[torch.nn.Module] = []

    def note(layer: torch.nn.Module, _args: object, _out: object) -> None:
        if layer not in seen:
            seen.append(layer)

    hooks = [layer.register_forward_hook(note) for layer in module.modules() if _weighs(layer)]
    try:
        with torch.no_grad():
            module(x.to(_dtype(module)))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _weighs(layer: torch.nn.Module) -> bool:
    """Tell whether a layer itself, and not one inside it, holds a matrix."""
    inside = next(layer.children(), None) is not None
    return not inside and any(p.ndim > 1 for p in layer.parameters(recurse=True))


def _dtype(module: torch.nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def features(target: Target, x: torch.Tensor) -> torch.Tensor:
    """Return the inputs of the network's last weighted layer, `(n, features)`, through which gradients flow to `x`.

    Raises:
        UsageError: the target is no network, or has no layer before its last.
    """
    module = module_of(target)
    if module is None:
        network = isinstance(getattr(getattr(target, "inner", target), "module", None), torch.nn.Module)
        kind = "TorchScript, which takes no hooks" if network else "no network that can be looked into"
        msg = f"the model is {kind}: it has no activations"
        raise UsageError(msg, where=target.name, help="give the network as a pickled module, or as ONNX" if network else None)
    layers = weighted_layers(module, x[:1])
    if isinstance(target, Counting):
        target.looked(len(x) + 1)
    if len(layers) < 2:  # noqa: PLR2004 - the last and one before
        msg = "the network has a single layer, or none that can be looked into: it has no activations"
        raise UsageError(msg, where=target.name)
    return _into(module, layers[-1], x)


def _into(module: torch.nn.Module, last: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    caught: list[torch.Tensor] = []

    def catch(_layer: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        caught.append(args[0])

    hook = last.register_forward_pre_hook(catch)
    try:
        module(x.to(_dtype(module)))
    finally:
        hook.remove()
    found = caught[-1]
    if len(found) != len(x):
        msg = "the last layer of the network does not see one row for each input"
        raise InputError(msg)
    return found.reshape(len(x), -1).float()


def activations(target: Target, x: torch.Tensor) -> torch.Tensor:
    """Return `features` of all inputs in batches, detached, on the CPU. Raises UsageError as `features`."""
    if not len(x):
        msg = "there are no inputs"
        raise UsageError(msg, where=target.name)
    with torch.no_grad():
        return torch.cat([features(target, part.to(target.device)).cpu() for part in x.split(_BATCH)])
