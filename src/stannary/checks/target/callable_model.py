"""A Python function as a target, and the sentence that names one: `package.module:function` or `file.py:function`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stannary.checks.target.array_model import Arrays, ArrayTarget, log_of, looks_like_probabilities
from stannary.core.errors import InputError, UsageError

__all__ = ["callable_target", "import_object", "is_import"]


def callable_target(function: Arrays, probe: torch.Tensor, *, classes: int = 0, name: str = "function") -> ArrayTarget:
    """Return a function as a target: from an array `(n, *shape)` it gives scores `(n, classes)`, or labels `(n,)`.

    Integers are labels. Scores that are probabilities (rows that sum to one) become log-probabilities; one floating number
    a row is the probability of the second class if all lie in [0, 1], its score otherwise.

    Args:
        function: takes float64 for tables, float32 for others, as the data has it.
        probe: some inputs, which show what it gives.
        classes: how many there are, where it gives labels only.
        name: for messages.

    Raises:
        InputError: it fails on the probe, or gives something else.
    """
    kind = np.float64 if probe.dtype == torch.float64 else np.float32

    def ask(x: Any) -> Any:  # noqa: ANN401 - numpy
        out = function(x.astype(kind, copy=False))
        return out.detach().cpu().numpy() if isinstance(out, torch.Tensor) else np.asarray(out)

    rows = probe.double().cpu().numpy()
    try:
        out = ask(rows)
    except Exception as exc:  # a user's own code may raise anything
        msg = f"the function fails on {len(rows)} inputs of shape {rows.shape[1:]}: {type(exc).__name__}: {exc}"
        raise InputError(msg, where=name) from exc
    shape = tuple(probe.shape[1:])
    if out.shape == (len(rows),) and out.dtype.kind in "iub":
        return ArrayTarget(shape, max(classes, int(out.max()) + 1, 2), None, ask, name=name, model=function)
    if out.ndim not in (1, 2) or len(out) != len(rows) or out.dtype.kind != "f":
        msg = f"the function gives {out.dtype} of shape {out.shape} for {len(rows)} inputs, neither scores nor labels"
        raise InputError(msg, where=name, help="return floats (n, classes) or integers (n,)")
    single = out.ndim == 1 or out.shape[1] == 1
    flat = out.reshape(-1)
    probable = bool(((flat >= 0) & (flat <= 1)).all()) if single else looks_like_probabilities(out)
    scores = (lambda x: log_of(_flat(ask(x)))) if probable else ask
    target = ArrayTarget(shape, 2 if single else out.shape[1], scores, name=name, model=function)
    target.notes += ["its scores are taken for probabilities"] if probable else []
    return target


def _flat(out: Any) -> Any:  # noqa: ANN401 - numpy
    return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out  # noqa: PLR2004 - one output


def is_import(text: str) -> bool:
    """Tell whether a text is `module:function` and no path, address or drive."""
    module, colon, attribute = text.removesuffix("()").rpartition(":")
    if not colon or "//" in text or not all(part.isidentifier() for part in attribute.split(".")):
        return False
    return module.endswith(".py") or all(part.isidentifier() for part in module.split("."))


def import_object(text: str) -> Any:  # noqa: ANN401 - whatever it names
    """Import what `module:name` or `file.py:name` names; `module:name()` calls it and returns what that gives.

    This runs the module's code: it is for the caller's own. The current folder is searched first, as Python does.

    Raises:
        UsageError: there is no such module or name, or importing it fails.
    """
    called = text.endswith("()")
    module, _, attribute = text.removesuffix("()").rpartition(":")
    try:
        found = _module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found() if called else found
    except AttributeError as exc:
        msg = f"{module} has no {attribute!r}: {exc}"
        raise UsageError(msg, where=text) from exc
    except Exception as exc:  # a user's own module may raise anything
        msg = f"it cannot be imported: {type(exc).__name__}: {exc}"
        raise UsageError(msg, where=text, help="is the module installed, or in the current folder?") from exc


def _module(name: str) -> Any:  # noqa: ANN401 - a module
    if not name.endswith(".py"):
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"stannary_target_{Path(name).stem}", name)
    if spec is None or spec.loader is None:
        msg = f"no such file: {name}"
        raise ModuleNotFoundError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
