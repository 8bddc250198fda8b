"""Keras 3 models on its torch backend: white-box. The process has to run Keras on torch: `KERAS_BACKEND=torch`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stannary.checks.target.fitting import fit, in_batches
from stannary.checks.target.torch_file import Network, network_target
from stannary.checks.target.torch_model import TorchTarget, said
from stannary.core.errors import InputError, UsageError

__all__ = ["keras_target", "open_keras", "use_keras"]

_CLOSE = 1e-4


def use_keras() -> Any:  # noqa: ANN401 - the module
    """Import Keras on torch. Raises UsageError where it is not installed, or runs on another backend already."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
        _settings()
    try:
        import keras
    except ImportError as exc:
        msg = "a Keras model needs keras"
        raise UsageError(msg, help="pip install keras") from exc
    if keras.backend.backend() != "torch":
        msg = f"Keras runs on {keras.backend.backend()} in this process; gradients are taken on torch"
        raise UsageError(msg, help="set KERAS_BACKEND=torch before it is imported")
    return keras


def _settings() -> None:
    """Have Keras look elsewhere for settings of its user's that cannot be read here: it would not be imported, as in the guard."""
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        (home / "keras.json").open("rb").close()
    except FileNotFoundError:
        return
    except OSError:
        os.environ["KERAS_HOME"] = str(Path(tempfile.gettempdir(), f"stannary-keras-{os.getpid()}"))


def open_keras(content: bytes, probe: torch.Tensor, *, name: str = "model.keras") -> TorchTarget:
    """Return a `.keras` (or HDF5) model as a target. Layers of Python code are refused, as Keras's safe mode does.

    Raises:
        InputError: it cannot be loaded, or is no classifier of such inputs.
    """
    keras = use_keras()
    with tempfile.TemporaryDirectory(prefix="stannary-") as folder:
        path = Path(folder, "model.keras" if content[:2] == b"PK" else "model.h5")
        path.write_bytes(content)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as exc:  # Keras raises whatever a layer's configuration made it meet
            msg = f"Keras does not load the model: {str(exc)[:300]}"
            raise InputError(msg, where=name) from exc
    return keras_target(model, probe, name=name)


def keras_target(model: Any, probe: torch.Tensor, *, name: str = "model") -> TorchTarget:  # noqa: ANN401 - Keras's
    """Return a Keras model as a target. A softmax or sigmoid at its end is taken off: its inputs are the logits.

    Raises:
        InputError: it has several inputs, or does not take such ones.
    """
    use_keras()
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or not shape or isinstance(shape[0], tuple):
        msg = f"the model takes {'several inputs' if shape else 'inputs of no known shape'}; one is evaluated"
        raise InputError(msg, where=name)
    fitted = fit(tuple(probe.shape[1:]), shape[1:], name)
    rows, fixed = fitted(probe[:32]).float(), shape[0] or 0

    def ask(x: torch.Tensor) -> torch.Tensor:
        return in_batches(lambda part: model(part, training=False), x, fixed) if fixed else model(x, training=False)

    try:
        with torch.no_grad():
            before = ask(rows)
    except Exception as exc:  # a layer may raise anything
        msg = f"the model fails on the data: {said(exc)}"
        raise InputError(msg, where=name) from exc
    logits = _without_activation(model, ask, rows, before)
    network = Network(model, fitted, batch=fixed, call=lambda x: model(x, training=False))
    single = before.ndim == 1 or before.shape[-1] == 1
    if single and not logits:
        msg = "the model has one output that is no probability: models of numbers are not evaluated"
        raise InputError(msg, where=name)
    return network_target(network, probe, name=name)


def _without_activation(
    model: Any,  # noqa: ANN401 - Keras's
    ask: Callable[[torch.Tensor], torch.Tensor],
    rows: torch.Tensor,
    before: torch.Tensor,
) -> bool:
    """Take a softmax or sigmoid off the last layer, if what is left is seen to be its inputs."""
    last: Any = model.layers[-1] if getattr(model, "layers", None) else None
    activation = getattr(last, "activation", None)
    kind = getattr(activation, "__name__", "")
    if kind not in ("softmax", "sigmoid"):
        return False
    last.activation = lambda x: x
    with torch.no_grad():
        after = ask(rows)
    due = after.softmax(-1) if kind == "softmax" else after.sigmoid()
    if after.shape == before.shape and float((due - before).abs().max()) < _CLOSE:
        return True
    last.activation = activation
    return False
