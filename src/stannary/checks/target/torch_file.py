"""Networks from files of PyTorch: TorchScript, `torch.export`, pickled modules. The caller has asked a scanner first."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch

from stannary.checks.target.fitting import Fit, in_batches
from stannary.checks.target.torch_model import TorchTarget, refusal, said
from stannary.core.errors import InputError

__all__ = ["Network", "network_target", "open_exported", "open_pickled", "open_script"]

_PROBABLE = 1e-3
_LEAST = 1e-37
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError, AssertionError)


class Network(torch.nn.Module):
    """A network as it is called here: in evaluation mode, on inputs of the data's shape, in batches that it takes.

    Args:
        inner: the network; may refuse `eval()`, as exported ones do.
        fitted: brings inputs into its shape.
        batch: the only number of samples that it takes, 0 for any.
        log: its outputs are probabilities; their logarithm is given.
        call: how it is called, if not as `inner(x)`.
    """

    def __init__(
        self,
        inner: torch.nn.Module,
        fitted: Fit | None = None,
        *,
        batch: int = 0,
        log: bool = False,
        call: Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        super().__init__()
        self.inner, self.fitted, self.batch, self.log = inner, fitted, batch, log
        self.call = call or inner
        with contextlib.suppress(NotImplementedError):  # of an exported one, whose mode was fixed then
            inner.eval()

    def train(self, mode: bool = True) -> Network:  # noqa: ARG002, FBT001, FBT002 - torch's signature
        """Stay in evaluation mode."""
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, or log-probabilities, `(n, classes)`."""
        x = self.fitted(x) if self.fitted is not None else x
        out = in_batches(self._once, x, self.batch) if self.batch and len(x) != self.batch else self._once(x)
        return out.clamp_min(_LEAST).log() if self.log else out

    def _once(self, x: torch.Tensor) -> torch.Tensor:
        out = self.call(x)
        if isinstance(out, Mapping):
            out = out.get("logits", next(iter(out.values()), None))
        elif hasattr(out, "logits"):
            out = out.logits
        elif isinstance(out, (tuple, list)) and out:
            out = out[0]
        if not isinstance(out, torch.Tensor):
            msg = f"the network gives {type(out).__name__}, not a tensor"
            raise TypeError(msg)
        return out


def network_target(network: torch.nn.Module, probe: torch.Tensor, *, name: str, device: str = "cpu", batch: int = 0) -> TorchTarget:
    """Return a network as a target. Outputs that are probabilities on the `probe` become log-probabilities.

    Raises:
        InputError: it does not take such inputs.
    """
    shape = tuple(probe.shape[1:])
    wrapped = network if isinstance(network, Network) else Network(network, batch=batch)
    target = TorchTarget(wrapped, shape, name=name, device=device)
    try:
        with torch.no_grad():
            out = wrapped(probe[:32].to(device, target.dtype))
    except _FAILURES as exc:
        msg = f"the network fails on the data: {refusal(wrapped, shape, exc)}"
        raise InputError(msg, where=name) from exc
    several = out.ndim == 2 and out.shape[1] > 1  # noqa: PLR2004 - samples and classes
    if several and not wrapped.log and bool((out >= 0).all()) and bool(((out.sum(1) - 1).abs() < _PROBABLE).all()):
        wrapped.log = True
        target.notes.append("the network gives probabilities: its logits are their logarithms, and saturate where one is 1")
    return target


def open_script(content: bytes, name: str) -> torch.nn.Module:
    """Return a TorchScript module. Raises InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
            module: torch.nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")
    except _FAILURES as exc:
        msg = f"the TorchScript file cannot be loaded: {said(exc)}"
        raise InputError(msg, where=name) from exc
    return module


def open_exported(content: bytes, name: str) -> tuple[torch.nn.Module, int]:
    """Return an exported program as a module, and the batch it was fixed to (0: any). Raises InputError."""
    try:
        program = torch.export.load(io.BytesIO(content))
        module: torch.nn.Module = program.module()
        fixed = _fixed_batch(program)
    except (*_FAILURES, KeyError, OSError) as exc:
        msg = f"the exported program cannot be loaded: {type(exc).__name__}: {said(exc)}"
        raise InputError(msg, where=name) from exc
    return module, fixed


def _fixed_batch(program: Any) -> int:  # noqa: ANN401 - torch.export.ExportedProgram
    """Return the first size of the user's input, if it is a number."""
    inputs = program.graph_signature.user_inputs
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            value = node.meta.get("val")
            first = value.shape[0] if value is not None and len(value.shape) else 0
            return int(first) if isinstance(first, int) else 0
    return 0


def open_pickled(content: bytes, name: str) -> torch.nn.Module:
    """Unpickle a module. This can run code: only for bytes that were scanned, inside the guard. Raises InputError."""
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as exc:
        msg = f"the module's own code is not installed here: {exc}"
        raise InputError(msg, where=name, help="name a function that builds it: `package.module:build()`") from exc
    except (*_FAILURES, EOFError, KeyError, OSError, zipfile.BadZipFile) as exc:
        msg = f"the torch file cannot be loaded: {type(exc).__name__}: {said(exc)}"
        raise InputError(msg, where=name) from exc
    if isinstance(found, torch.nn.Module):
        return found
    what = "weights without the network that they belong to" if isinstance(found, Mapping) else f"a {type(found).__name__}"
    msg = f"the file holds {what}"
    raise InputError(msg, where=name, help="name a function that builds the network and loads them: `package.module:build()`")
