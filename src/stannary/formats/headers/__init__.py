"""What a model file says about itself: architecture, tensors, element types, inputs and outputs.

One module a family of formats, each with `read(view, budget) -> Header`. They read headers only, build nothing, and
raise FormatError for what they cannot follow; what they could follow in part says so in `incomplete`. They look for
facts, where the readers beside them look for danger. To add one: a function, and its row in `_READERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from stannary.core.errors import FormatError
from stannary.formats.headers.model import Header, Port
from stannary.formats.identify import identify
from stannary.formats.interface import Budget, View

__all__ = ["Header", "Port", "header_of"]

_F = "stannary.formats.headers."
# Format by `identify` → the function that reads its header; the first row that matches is taken.
_READERS: dict[str, str] = {
    "safetensors": _F + "tensors:safetensors",
    "gguf": _F + "gguf:read",
    "ggml": _F + "gguf:legacy",
    "zip": _F + "archives:read",
    "hdf5": _F + "hdf5:read",
    "protobuf": _F + "graphs:read",
    "tflite": _F + "graphs:tflite",
    "xgboost-json": _F + "trees:xgboost_json",
    "ubjson": _F + "trees:xgboost_ubjson",
    "lightgbm": _F + "trees:lightgbm",
    "catboost": _F + "trees:catboost",
    "numpy": _F + "tensors:numpy",
    "tf-checkpoint": _F + "graphs:checkpoint",
    "pickle": _F + "pickles:read",
    "gzip": _F + "archives:packed",
    "zlib": _F + "archives:packed",
    "bz2": _F + "archives:packed",
    "xz": _F + "archives:packed",
    "joblib-z": _F + "archives:packed",
}
# Formats without a header of ours: that the file is a model of theirs is all that is known.
_NAMED: dict[str, str] = {
    "openvino": "OpenVINO", "onnx-ort": "ONNX Runtime", "executorch": "ExecuTorch", "tensorrt": "TensorRT", "torch7": "Torch7",
    "ncnn": "ncnn", "rknn": "RKNN", "mxnet": "MXNet", "mxnet-symbol": "MXNet", "xgboost-binary": "XGBoost", "skops": "skops",
    "pmml": "PMML", "rdata": "R",
}  # fmt: skip


def header_of(view: View, budget: Budget) -> Header | None:
    """Return what a file says about itself, None when it is no model file. Never raises for what the content does."""
    try:
        names = [row.name for row in identify(view)]
    except FormatError:
        return None
    for name in names:
        if name in _READERS:
            try:
                found = _load(_READERS[name])(view, budget)
            except (FormatError, RecursionError, ValueError, KeyError, IndexError, OverflowError) as error:
                if name in ("protobuf", "pickle", "ubjson", "tf-checkpoint", "gzip", "zlib"):
                    continue  # a guess by the first bytes or by the name: it may be something else
                return Header(
                    format=name, incomplete=f"its header cannot be read: {getattr(error, 'message', None) or error}"[:300]
                )
            if found is not None:
                return found
        elif name in _NAMED:
            return Header(format=name, framework=_NAMED[name])
    return None


def _load(target: str) -> Callable[[View, Budget], Header | None]:
    module, _, function = target.partition(":")
    found: Callable[[View, Budget], Header | None] = getattr(importlib.import_module(module), function)
    return found
