"""The hardened model as a file of the kind that the original was; wrappers become TorchScript, which needs nothing of ours."""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

import torch

from stannary.checks.target.booster_file import BOOSTER_SUFFIXES, booster_bytes
from stannary.core.errors import InputError
from stannary.harden.scaled import Standardised
from stannary.harden.smoothing import Smoothed, Voting
from stannary.harden.wrapping import Ensemble, Rounded, Squeezed

__all__ = ["as_bytes", "suffix_of"]

_SUFFIXES = {"script": ".pt", "torch": ".pt", "pickle": ".joblib", "skops": ".skops"}


def suffix_of(kind: str) -> str:
    """Return the usual ending of a kind of file."""
    return _SUFFIXES.get(kind) or BOOSTER_SUFFIXES[kind]


def as_bytes(model: Any, kind: str, example: torch.Tensor) -> tuple[bytes, str]:  # noqa: ANN401 - any library's
    """Return the content of the model's file and its kind, one of those of `open_object`.

    Args:
        model: what a method gave.
        kind: how the original was kept.
        example: two inputs or more, for tracing.

    Raises:
        InputError: it cannot be written.
    """
    buffer = io.BytesIO()
    try:
        if kind in ("pickle", "skops"):
            return _of_library(model, kind)
        if kind in BOOSTER_SUFFIXES:
            return booster_bytes(model, kind), kind
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, buffer)
            return buffer.getvalue(), "script"
        if kind == "torch" and not _is_ours(model):
            torch.save(model, buffer)
            return buffer.getvalue(), "torch"
        model = _plain(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript's end, and of shapes that become numbers
            torch.jit.save(torch.jit.trace(model.eval(), example, check_trace=False), buffer)
    except (RuntimeError, TypeError, ValueError, AttributeError, ImportError) as exc:
        msg = f"the hardened model cannot be written: {type(exc).__name__}: {exc}"
        raise InputError(msg) from exc
    return buffer.getvalue(), "script"


def _plain(model: torch.nn.Module) -> torch.nn.Module:
    """Return a wrapper as one that can be traced: without generators of its own and without gradients that are made up."""
    if isinstance(model, Standardised):
        return Standardised(_plain(model.module), model.mean, model.deviation)
    if isinstance(model, Smoothed):
        return Voting(model)
    if isinstance(model, Squeezed):
        return Squeezed(model.module, model.bits, median=model.median, through=False)
    return model


def _is_ours(model: torch.nn.Module) -> bool:
    return isinstance(model, (Ensemble, Rounded, Squeezed, Smoothed, Standardised))


def _of_library(model: Any, kind: str) -> tuple[bytes, str]:  # noqa: ANN401 - any library's
    if kind == "skops":
        content: bytes = importlib.import_module("skops.io").dumps(model)
        return content, kind
    buffer = io.BytesIO()
    importlib.import_module("joblib").dump(model, buffer)
    return buffer.getvalue(), kind
