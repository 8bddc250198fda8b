"""What a network makes of its inputs just before it decides: the inputs of its last layer with weights.

Backdoors are sought there, since a trigger that decides has to show there, whatever it looks like in the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.layers import Layer, passed
from stannary.checks.poisoning.scripted import cut
from stannary.checks.target.counting import Counting
from stannary.checks.target.fitting import in_batches
from stannary.checks.target.torch_file import Network
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["Into", "activations", "features", "into_of", "layers_of"]

_BATCH = 512
Into = Callable[["torch.Tensor"], "torch.Tensor"]


def _network(target: Target) -> torch.nn.Module | None:
    """Return the network behind a target, or None where there is none to look into."""
    inner = getattr(target, "inner", target)  # of a counting wrapper
    inner = getattr(inner, "white", None) or inner  # of ONNX: the converted network, which was seen to agree
    module = getattr(inner, "module", None)
    return module if isinstance(module, torch.nn.Module) else None


def _script(module: torch.nn.Module) -> torch.jit.ScriptModule | None:
    """Return the TorchScript network that a module is, or is around."""
    inner = module.inner if isinstance(module, Network) else module
    return inner if isinstance(inner, torch.jit.ScriptModule) else None


def layers_of(target: Target) -> tuple[Layer, ...]:
    """Return the layers with weights in the order in which inputs pass them. Raises UsageError where none can be looked into."""
    module = _network(target)
    script = _script(module) if module is not None else None
    if script is not None:
        return cut(script).layers
    if module is None:
        msg = "the model is no network that can be looked into: it has no layers"
        raise UsageError(msg, where=target.name)
    x = torch.zeros((2, *target.shape), device=target.device, dtype=_dtype(module))
    with torch.no_grad():
        return passed(module, x).layers


def _dtype(module: torch.nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def features(target: Target, x: torch.Tensor) -> torch.Tensor:
    """Return the inputs of the network's last layer with weights, `(n, features)`, through which gradients flow to `x`.

    Raises:
        UsageError: the target is no network, or has no layer with weights that can be looked into.
    """
    return into_of(target)(x)


def into_of(target: Target) -> Into:
    """Return what gives `features`, for those who ask more than once. Raises UsageError as `features`."""
    module = _network(target)
    if module is None:
        msg = "the model is no network that can be looked into: it has no activations"
        raise UsageError(msg, where=target.name)
    script = _script(module)
    inside = _of_script(module, cut(script).into) if script is not None else _of_module(module, target.name)
    batch = module.batch if isinstance(module, Network) else 0

    def into(x: torch.Tensor) -> torch.Tensor:
        if isinstance(target, Counting):
            target.looked(len(x))
        x = x.to(_dtype(module))
        found = in_batches(inside, x, batch) if batch and len(x) != batch else inside(x)
        if not found.ndim or len(found) != len(x):
            msg = "the last layer of the network does not see one row for each input"
            raise InputError(msg, where=target.name)
        return found.reshape(len(x), -1).float()

    return into


def _of_module(module: torch.nn.Module, name: str) -> Into:
    def inside(x: torch.Tensor) -> torch.Tensor:
        last = passed(module, x).last
        if last is None:
            msg = "the network has no layer with weights that can be looked into: it has no activations"
            raise UsageError(msg, where=name, help="give the network as a pickled module, or as ONNX")
        return last

    return inside


def _of_script(module: torch.nn.Module, into: Into) -> Into:
    """Return what calls a part of a TorchScript network as the whole of it is called here."""
    fitted = module.fitted if isinstance(module, Network) else None
    return into if fitted is None else lambda x: into(fitted(x))


def activations(target: Target, x: torch.Tensor) -> torch.Tensor:
    """Return `features` of all inputs in batches, detached, on the CPU. Raises UsageError as `features`."""
    if not len(x):
        msg = "there are no inputs"
        raise UsageError(msg, where=target.name)
    into = into_of(target)
    with torch.no_grad():
        return torch.cat([into(part.to(target.device)).cpu() for part in x.split(_BATCH)])
