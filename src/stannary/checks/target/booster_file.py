"""The boosters' own files: XGBoost's JSON and UBJSON, LightGBM's text, CatBoost's binary file and JSON; read and written."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stannary.core.errors import InputError, UsageError

__all__ = ["BOOSTER_SUFFIXES", "booster_bytes", "booster_kind", "library", "loaded", "open_booster"]

BOOSTER_SUFFIXES = {
    "xgboost-json": ".json",
    "xgboost-ubj": ".ubj",
    "lightgbm": ".txt",
    "catboost": ".cbm",
    "catboost-json": ".json",
}
_JSON_HEAD = 1 << 16


def booster_kind(content: bytes) -> str:
    """Return which of `BOOSTER_SUFFIXES` a file is by its content; nothing if it is none."""
    if content[:4] == b"CBM1":
        return "catboost"
    if b'"oblivious_trees"' in content[:_JSON_HEAD]:
        return "catboost-json"
    if content[:1] == b"{" and b"learner" in content[:_JSON_HEAD]:
        return "xgboost-json" if content[1:].lstrip()[:1] == b'"' else "xgboost-ubj"
    return "lightgbm" if content[:5] in (b"tree\n", b"tree\r") else ""


def open_booster(content: bytes, name: str) -> Any:  # noqa: ANN401 - of one of the libraries
    """Return the `Booster` (CatBoost: the classifier) in a file that has a kind.

    Raises:
        InputError: its library cannot read it.
        UsageError: its library is not installed.
    """
    kind = booster_kind(content)
    if kind.startswith("xgboost"):
        xgboost = library("xgboost", name)
        return loaded(lambda: xgboost.Booster(model_file=bytearray(content)), name)
    if kind == "lightgbm":
        lightgbm = library("lightgbm", name)
        return loaded(lambda: lightgbm.Booster(model_str=content.decode("utf-8", "replace")), name)
    catboost = library("catboost", name)
    form = "cbm" if kind == "catboost" else "json"
    return loaded(lambda: catboost.CatBoostClassifier().load_model(blob=content, format=form), name)


def booster_bytes(model: Any, kind: str) -> bytes:  # noqa: ANN401 - of one of the libraries
    """Return the file of a kind that holds a booster or a trained classifier of its library."""
    if kind.startswith("xgboost"):
        booster = model if type(model).__name__ == "Booster" else model.get_booster()
        return bytes(booster.save_raw(kind.removeprefix("xgboost-")))
    if kind == "lightgbm":
        booster = model if type(model).__name__ == "Booster" else model.booster_
        return str(booster.model_to_string()).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        model.save_model(str(path), format="cbm" if kind == "catboost" else "json")
        return path.read_bytes()


def library(module: str, name: str) -> Any:  # noqa: ANN401 - a module
    """Import a library that a model needs. Raises UsageError."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        msg = f"the model needs {package}, which is not installed"
        raise UsageError(msg, where=name, code="USE014", help=f"pip install {package}") from exc


def loaded(load: Callable[[], Any], name: str) -> Any:  # noqa: ANN401 - what a library returns
    """Call what reads a model. Raises InputError, whatever it raises."""
    try:
        return load()
    except Exception as exc:  # a library's own errors, and whatever a pickle raises
        text = str(exc).strip().splitlines() or [""]
        msg = f"the model cannot be loaded: {type(exc).__name__}: {text[0][:300]}"
        raise InputError(msg, where=name) from exc
