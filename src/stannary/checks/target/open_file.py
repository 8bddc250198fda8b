"""A model file becomes a target, by what its content says it is.

Loading a pickle runs what is in it. Whoever calls this has asked the scanner first and is in the guard (`stannary.app`).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stannary.checks.target.booster_file import booster_kind, library, loaded, open_booster
from stannary.checks.target.data import Dataset
from stannary.checks.target.file_kind import torch_kind
from stannary.checks.target.interface import Target
from stannary.core.errors import InputError

__all__ = ["model_file", "open_model", "open_object", "target_of"]

_PROBES = 256
_PACKED = (b"x\x9c", b"x\x01", b"x\xda", b"x^", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"]\0\0", b"\x04\x22\x4d\x18")  # joblib's
_JSON_HEAD = 1 << 16
_BUILD = "name a function that builds the model and loads them: `package.module:build()`"
_REFUSED: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"GGUF", "a language model in GGUF: its inputs are texts", "serve it and use --suite llm"),
    (4, b"TFL3", "a TFLite model, which no backend here runs", "evaluate the Keras or ONNX model it was made from"),
    (8, b'{"', "weights (safetensors) without the network that they belong to", _BUILD),
)
# MLflow's flavours, most specific first: what is in the folder, by the flavour's own key.
_FLAVORS = {"sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "catboost": "data", "onnx": "data", "keras": "data"}
_SUFFIXES = (
    ".onnx",
    ".pt2",
    ".pt",
    ".pth",
    ".keras",
    ".h5",
    ".skops",
    ".cbm",
    ".ubj",
    ".json",
    ".joblib",
    ".pkl",
    ".pickle",
    ".txt",
)


def model_file(path: Path) -> Path:
    """Return the file of the model: `path` itself, or the one model in a folder (MLflow's `MLmodel` names it).

    Raises:
        InputError: there is none, or several.
    """
    if not path.is_dir():
        return path
    named = _flavor(path / "MLmodel") if (path / "MLmodel").is_file() else ""
    if named:
        inner = (path / named).resolve()
        if not inner.is_relative_to(path.resolve()):
            msg = f"MLmodel names {named}, which lies outside of the folder"
            raise InputError(msg, where=str(path))
        path = inner
        if path.is_file():
            return path
    if (path / "saved_model.pb").is_file():
        msg = "a TensorFlow SavedModel, which no backend here runs"
        raise InputError(msg, where=str(path), help="export it as .keras or ONNX")
    found = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix in _SUFFIXES and not _is_settings(one))
    if len(found) == 1:
        return found[0]
    listed = ", ".join(one.name for one in found[:5])
    msg = f"there are several models in the folder: {listed}" if found else "there is no model in the folder that can be opened"
    raise InputError(msg, where=str(path), help="name the file")


def _is_settings(path: Path) -> bool:
    return path.suffix in (".json", ".txt") and not path.stem.startswith("model") and "booster" not in path.stem


def _flavor(path: Path) -> str:
    import yaml

    try:
        flavors = yaml.safe_load(path.read_text(encoding="utf-8"))["flavors"]
        return next((str(flavors[name][key]) for name, key in _FLAVORS.items() if name in flavors), "")
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as exc:
        msg = f"MLmodel cannot be read: {exc}"
        raise InputError(msg, where=str(path)) from exc


def open_model(content: bytes, data: Dataset, *, name: str = "model", device: str = "cpu") -> Target:
    """Return a model file as a target for such data.

    Args:
        content: of the file: TorchScript, `torch.export`, a pickled module, ONNX, Keras, scikit-learn (pickle, joblib, skops),
            XGBoost, LightGBM, CatBoost.
        data: what it is to be asked about: its shape, its columns.
        name: for messages.
        device: where networks run.

    Raises:
        InputError: it is none of these, or does not take such data.
        UsageError: the library that it needs is not installed.
    """
    for at, magic, what, fix in _REFUSED:
        if content[at : at + len(magic)] == magic:
            msg = f"the file is {what}"
            raise InputError(msg, where=name, help=fix)
    if not content:
        msg = "the file is empty"
        raise InputError(msg, where=name)
    probe = data.x[:_PROBES]
    opener = _opener(content)
    if opener is None:
        msg = "the content is of no model that can be evaluated"
        raise InputError(msg, where=name, help=f"or {_BUILD}")
    return opener(content, data, probe, name, device)


_Opener = Callable[[bytes, Dataset, torch.Tensor, str, str], Target]


def _opener(content: bytes) -> _Opener | None:
    if content[:4] == b"PK\x03\x04" or content[:4] == b"\x80\x02\x8a\n":
        kind = torch_kind(content)
        if kind:
            return lambda c, d, p, n, v: _torch(kind, c, p, (n, v, d))
        members = _members(content)
        if "schema.json" in members:
            return _skops
        return _keras if "config.json" in members else None
    if content[:8] == b"\x89HDF\r\n\x1a\n":
        return _keras
    if booster_kind(content):
        return _boosted
    if content[:1] == b"\x80" or content.startswith(_PACKED):
        return _pickled
    return _onnx if content[:1] in (b"\x08", b"\x0a", b"\x12", b"\x3a") else None


def _members(content: bytes) -> set[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return set()


def _torch(kind: str, content: bytes, probe: torch.Tensor, of: tuple[str, str, Dataset]) -> Target:
    from stannary.checks.target import torch_file

    name, device, data = of
    if kind == "compiled":
        msg = "the file holds a compiled program, which has no gradients and runs machine code"
        raise InputError(msg, where=name, help="evaluate the exported program that it was compiled from")
    if kind == "script":
        return torch_file.network_target(torch_file.open_script(content, name), probe, name=name, device=device)
    if kind == "export":
        module, batch = torch_file.open_exported(content, name)
        return torch_file.network_target(module, probe, name=name, device=device, batch=batch)
    return target_of(torch_file.open_pickled(content, name), data, name=name, device=device)


def _onnx(content: bytes, _data: Dataset, probe: torch.Tensor, name: str, _device: str) -> Target:
    from stannary.checks.target.onnx_model import open_onnx

    return open_onnx(content, probe, name=name)


def _keras(content: bytes, _data: Dataset, probe: torch.Tensor, name: str, _device: str) -> Target:
    from stannary.checks.target.keras_model import open_keras

    return open_keras(content, probe, name=name)


def _boosted(content: bytes, data: Dataset, _probe: torch.Tensor, name: str, _device: str) -> Target:
    return target_of(open_booster(content, name), data, name=name)


def _skops(content: bytes, data: Dataset, _probe: torch.Tensor, name: str, _device: str) -> Target:
    return target_of(_skops_object(content, name), data, name=name)


def _skops_object(content: bytes, name: str) -> Any:  # noqa: ANN401 - what skops returns
    skops = library("skops.io", name)
    unknown = loaded(lambda: skops.get_untrusted_types(data=content), name)
    if unknown:
        msg = f"the file has types that skops does not know: {', '.join(unknown[:5])}"
        raise InputError(msg, where=name, help="load it yourself and name a function that returns it: `package.module:build()`")
    return loaded(lambda: skops.loads(content), name)


def _pickled(content: bytes, data: Dataset, _probe: torch.Tensor, name: str, device: str) -> Target:
    joblib = library("joblib", name)
    return target_of(loaded(lambda: joblib.load(io.BytesIO(content)), name), data, name=name, device=device)


def open_object(content: bytes, *, name: str = "model") -> tuple[Any, str]:
    """Return the object in a file that a library can train again, and how it was kept.

    Which is `script`, `torch`, `pickle`, `skops`, or a kind of `booster_kind`.

    Raises:
        InputError: it is no such file: exported programs and ONNX do not say how they were trained.
        UsageError: the library that it needs is not installed.
    """
    from stannary.checks.target import torch_file

    kind = torch_kind(content) if content[:4] in (b"PK\x03\x04", b"\x80\x02\x8a\n") else ""
    if kind == "script":
        return torch_file.open_script(content, name), "script"
    if kind == "pickle":
        return torch_file.open_pickled(content, name), "torch"
    if content[:4] == b"PK\x03\x04" and "schema.json" in _members(content):
        return _skops_object(content, name), "skops"
    if content[:1] == b"\x80" or content.startswith(_PACKED):
        joblib = library("joblib", name)
        return loaded(lambda: joblib.load(io.BytesIO(content)), name), "pickle"
    boosted = booster_kind(content)
    if boosted:
        return open_booster(content, name), boosted
    opener = _opener(content)
    fixed = "an ONNX model" if opener is _onnx else "a Keras model" if opener is _keras else "no model"
    what = "an exported program" if kind == "export" else fixed
    fix = "give TorchScript, a pickled module or classifier, or `package.module:build()`"
    if what == "no model":
        msg = "the file holds no model that can be trained again"
        raise InputError(msg, where=name, code="EVA009", help=fix)
    msg = f"{what} cannot be trained again from its file"
    raise InputError(msg, where=name, help=fix)


def target_of(model: Any, data: Dataset, *, name: str = "model", device: str = "cpu") -> Target:  # noqa: ANN401 - any library's
    """Return a model of some library, or a function, as a target for such data. Raises InputError."""
    from stannary.checks.target.boosted import boosted_target
    from stannary.checks.target.callable_model import callable_target
    from stannary.checks.target.sklearn_model import sklearn_target
    from stannary.checks.target.torch_file import network_target

    probe = data.x[:_PROBES]
    if all(hasattr(model, part) for part in ("logits", "decide", "access", "classes")):
        found: Target = model  # one of a user's own
        return found
    keras = any(kind.__module__.partition(".")[0] == "keras" for kind in type(model).__mro__)
    if isinstance(model, torch.nn.Module) and not keras:
        return network_target(model, probe, name=name, device=device)
    if keras:
        from stannary.checks.target.keras_model import keras_target

        return keras_target(model, probe, name=name)
    frame = data.frame if data.encodings else None
    boosted = boosted_target(model, name=name, columns=data.names, frame=frame)
    if boosted is not None:
        return boosted
    if callable(getattr(model, "predict", None)):
        return sklearn_target(model, name=name, columns=data.names, frame=frame, probe=probe)
    if callable(model):
        return callable_target(model, probe, classes=data.classes, name=name)
    if isinstance(model, dict):
        inner = [
            key for key, value in model.items() if callable(getattr(value, "predict", None)) or isinstance(value, torch.nn.Module)
        ]
        has = f"a dictionary whose {json.dumps(str(inner[0]))} is a model" if inner else "a dictionary, perhaps weights alone"
    else:
        has = f"a {type(model).__name__}"
    msg = f"it is {has}, not a model"
    raise InputError(msg, where=name, help=_BUILD)
