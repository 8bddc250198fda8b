"""Weights without any structure: the bytes that an ONNX, OpenVINO, ncnn, TensorFlow.js or Core ML model refers to by offset.

Such a file cannot be recognised by content. It is taken for weights when the model it belongs to is
beside it and nothing else can read it; otherwise it stays unread.
Core ML's blob file (`weight.bin`) has a header and is recognised by it
(coremltools, MILBlob/Blob/StorageFormat.hpp).
"""

from __future__ import annotations

import re

from stannary.formats.embedded import looks_embedded
from stannary.formats.identify import identify
from stannary.formats.interface import Sink, View

__all__ = ["read"]

_ROW = "raw-weights"
_BLOB_SENTINEL = b"\xef\xbe\xad\xde"
_BESIDE = (".onnx_data", ".onnx.data", ".data", "_data", ".weights", ".weight")
# Beside an ONNX model: a second file of external data, and tensors in files of their own (torch.onnx names them so).
_PART = re.compile(r"\.onnx[._]data_\d+$|^onnx__\w+_\d+$|\.bias$")
_SHARD = re.compile(r"(?:-shard\d+(?:of\d+)?|^params_shard_\d+)(?:\.bin)?$")
_HASH = re.compile(r"[0-9a-f]{32}")
_SAME_STEM = (".xml", ".param", ".mnn", ".mil", ".onnx", ".mlmodel")


def read(view: View, sink: Sink) -> None:
    """Say whether raw bytes are the weights of a model beside them."""
    if any(row.name != _ROW for row in identify(view)):
        return
    if view.head(8)[4:8] == b"\x02\0\0\0" and bytes(view.data[64:68]) == _BLOB_SENTINEL:
        sink.inert("Core ML weights")
    elif _owned(view, sink) and not looks_embedded(view.data):
        sink.inert("weights without structure, read by the model beside them")
    else:
        sink.incomplete("unknown binary format")


def _owned(view: View, sink: Sink) -> bool:
    name = view.name.replace("\\", "/").rpartition("/")[2].lower()
    names = {s.replace("\\", "/").rpartition("/")[2].lower() for s in sink.siblings}
    if _SHARD.search(name):  # TensorFlow.js and MLC: a manifest in JSON beside them
        return any(n.endswith((".json", "manifest")) for n in names)
    if _HASH.fullmatch(name):  # Orbax: chunks of arrays, beside the manifest of their store
        return "manifest.ocdbt" in names
    if name == "lexemes.bin":  # spaCy 2: the attributes of the words in strings.json
        return "strings.json" in names
    if name.endswith(".bin"):
        return any(name.removesuffix(".bin") + ending in names for ending in _SAME_STEM)
    if name.endswith(".weights") and any(n.endswith(".cfg") for n in names):
        return True
    return (name.endswith(_BESIDE) or _PART.search(name) is not None) and any(n.endswith(".onnx") for n in names)
