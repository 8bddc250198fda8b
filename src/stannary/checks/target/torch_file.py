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

__all__ = ["Network", "in_fixed_batches", "network_target", "open_exported", "open_pickled", "open_script"]

_PROBABLE = 1e-3
_LEAST = 1e-37
_BATCHES = (1, 4, 8, 16, 32, 64, 100, 128, 256, 512)  # what a network is fixed to that does not take two samples
_FAILURES = (
    RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError, AssertionError,
    torch.jit.Error,  # what Python's own errors become in TorchScript; no RuntimeError
)  # fmt: skip


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
        alone = len(x) == 1 and (out.ndim == 0 or (out.ndim == 1 and len(out) != 1))
        return out[None] if alone else out  # a network that squeezes its outputs gives one sample's without its dimension


def network_target(network: torch.nn.Module, probe: torch.Tensor, *, name: str, device: str = "cpu", batch: int = 0) -> TorchTarget:
    """Return a network as a target. Outputs that are probabilities on the `probe` become log-probabilities.

    Raises:
        InputError: it does not take such inputs, or not one alone.
    """
    shape = tuple(probe.shape[1:])
    wrapped = network if isinstance(network, Network) else Network(network, batch=batch)
    wrapped.batch = wrapped.batch or _only_batch(wrapped, shape)
    target = TorchTarget(wrapped, shape, name=name, device=device)
    try:
        with torch.no_grad():
            out = wrapped(probe[:32].to(device, target.dtype))
    except _FAILURES as exc:
        msg = f"the network fails on the data: {refusal(wrapped, shape, exc)}"
        raise InputError(msg, where=name) from exc
    if wrapped.batch > 1:
        target.notes.append(in_fixed_batches(wrapped.batch))
    elif not wrapped.batch:
        _takes_one(wrapped, probe[:1].to(device, target.dtype), name)
    several = out.ndim == 2 and out.shape[1] > 1  # noqa: PLR2004 - samples and classes
    if several and not wrapped.log and bool((out >= 0).all()) and bool(((out.sum(1) - 1).abs() < _PROBABLE).all()):
        wrapped.log = True
        target.notes.append("the network gives probabilities: its logits are their logarithms, and saturate where one is 1")
    return target


def _only_batch(network: Network, shape: tuple[int, ...]) -> int:
    """Return the only number of samples that a network takes; 0 if it takes two, or no number that is usual."""
    first = next((one for one in network.parameters() if one.is_floating_point()), torch.zeros(0))
    for size in (2, *_BATCHES):
        with contextlib.suppress(*_FAILURES), torch.no_grad():
            out = network(torch.zeros((size, *shape), dtype=first.dtype, device=first.device))
            if out.ndim and len(out) == size:
                return 0 if size == 2 else size  # noqa: PLR2004 - what everything is asked with first
    return 0


def _takes_one(network: Network, sample: torch.Tensor, name: str) -> None:
    """Refuse a network that gives no answer to one sample alone. Raises InputError."""
    try:
        with torch.no_grad():
            out = network(sample)
        said_of = "" if len(out) == 1 else f"it gives {tuple(out.shape)} for one sample"
    except _FAILURES as exc:
        said_of = said(exc)
    if said_of:
        msg = f"the network does not answer one sample alone: {said_of}"
        why = "batch normalisation that was left in training does that: save the network after `model.eval()`"
        raise InputError(msg, where=name, help=why)


def in_fixed_batches(size: int) -> str:
    """Return what a card says of a model that takes one number of samples only."""
    return f"the model takes {size} samples at a time: fewer are filled up with copies, which are not counted as queries"


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
