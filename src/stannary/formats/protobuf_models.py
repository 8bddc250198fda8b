"""Model files in Protocol Buffers: which schema a message follows, and the reader for it.

Protocol Buffers carry no type, so a message is taken for every schema that it fits: all of its
top-level fields have the numbers and wire types of the schema, and a nested message that is
particular to it is in place. Text graphs (`.pbtxt`) go to the TensorFlow reader.

Facts: `protobuf.unrecognized` name - a file whose name asks for a model that its bytes are not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.column_values import search_values
from stannary.formats.identify import is_text
from stannary.formats.interface import Sink, View, clip
from stannary.formats.protobuf import FIXED32, FIXED64, LENGTH, VARINT, shape

__all__ = ["probe", "read", "schemas"]

Shape = list[tuple[int, int, "int | View"]]
_TOP_FIELDS = 20_000
_SMALLEST = 8
_FAR = 100
_TAIL = 4 << 20


class _Schema(NamedTuple):
    """Allowed top-level fields (number: wire types), and a test of what is inside."""

    name: str
    reader: str
    fields: Mapping[int, tuple[int, ...]]
    test: Callable[[Shape], bool]


def _inner(top: Shape, number: int, allowed: Mapping[int, tuple[int, ...]], need: int) -> bool:
    """Tell whether the first messages of a field fit a nested schema and have a given field."""
    found = [value for n, _, value in top if n == number and isinstance(value, View)]
    seen = False
    for value in found[:3]:
        inside = shape(value, 500)
        if inside is None or not _fits({(n, w) for n, w, _ in inside}, allowed):
            return False
        seen = seen or any(n == need for n, _, _ in inside)
    return seen


def _fits(kinds: set[tuple[int, int]], allowed: Mapping[int, tuple[int, ...]]) -> bool:
    """Tell whether fields fit a schema. Numbers far from its own are allowed: readers skip unknown fields."""
    return all(w in allowed[n] if n in allowed else n > _FAR for n, w in kinds)


def _has(top: Shape, *numbers: int) -> bool:
    return any(n in numbers for n, _, _ in top)


Wires = tuple[int, ...]
_V: Wires = (VARINT,)
_L: Wires = (LENGTH,)
_NODE = {1: _L, 2: _L, 3: _L, 4: _L, 5: _L, 6: _L, 7: _L}
_BLOCK = {1: _V, 2: _V, 3: _L, 4: _L, 5: _V}
_GRAPH = {
    1: _L,
    2: _L,
    5: _L,
    10: _L,
    11: _L,
    12: _L,
    13: _L,
    14: _L,
    15: _L,
    16: _L,
    **dict.fromkeys((3, 4, 6, 7, 8, 9), (VARINT, LENGTH)),
}
_FINGERPRINT = {**dict.fromkeys((1, 2, 3, 4, 5), (VARINT, FIXED64)), 6: _L, 7: _L}
_SAVED_OBJECT = {1: _V, 2: _V, 3: _L, 4: _L, 5: _L, 6: _L}
_META = {1: _L, 2: _L, 3: _L, 4: _L, 5: _L, 6: _L, 7: _L}
_PIECE = {1: _L, 2: (FIXED32,), 3: _V}
_CAFFE_LAYER = dict.fromkeys(range(1, 400), (VARINT, LENGTH, FIXED32))
_CAFFE = {1: _L, 2: _L, 3: _L, 4: (VARINT, LENGTH), 5: _V, 6: _L, 7: _V, 8: _L, 100: _L}
_COREML = {1: _V, 2: _L, 10: _V, **dict.fromkeys(range(200, 3001), _L)}


def _is_onnx(top: Shape) -> bool:
    if _has(top, 7) and _has(top, 1, 2, 8) and any(_inner(top, 7, _GRAPH, need) for need in (1, 2, 5)):
        return True
    return _has(top, 25) and _has(top, 8)


def _is_graph_def(top: Shape) -> bool:
    found = [value for n, _, value in top if n == 2 and isinstance(value, View)]
    if len(found) != 1:
        return False
    inside = shape(found[0], 50)
    return inside is not None and _inner(inside, 1, _NODE, 2)


_F = "stannary.formats."
_SCHEMAS = (
    _Schema("onnx", _F + "onnx:read", {**dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), _L), 1: _V, 5: _V}, _is_onnx),
    _Schema(
        "tf-saved-model",
        _F + "tensorflow:read_saved_model",
        {1: _V, 2: _L},
        lambda top: _inner(top, 2, _META, 1) or _inner(top, 2, _META, 2),
    ),
    _Schema("tf-meta-graph", _F + "tensorflow:read_meta_graph", _META, lambda top: _has(top, 2) and _is_graph_def(top)),
    _Schema("tf-graph", _F + "tensorflow:read_graph", {1: _L, 2: _L, 3: _V, 4: _L, 5: _L}, lambda top: _inner(top, 1, _NODE, 2)),
    _Schema("coreml", _F + "coreml:read", _COREML, lambda top: _has(top, 1) and _has(top, *[n for n in _COREML if n >= 200])),
    _Schema("paddle", _F + "paddle:read", {1: _L, 2: _L, 3: _L, 4: _L, 5: _L}, lambda top: _inner(top, 1, _BLOCK, 1)),
    _Schema(
        "keras-metadata",
        _F + "tensorflow:read_keras_metadata",
        {1: _L},
        lambda top: _inner(top, 1, _SAVED_OBJECT, 5) and _inner(top, 1, _SAVED_OBJECT, 4),
    ),
    _Schema(
        "sentencepiece",
        _F + "protobuf_models:read_sentencepiece",
        {1: _L, 2: _L, 3: _L, 4: _L, 5: _L},
        lambda top: _inner(top, 1, _PIECE, 2),
    ),
    _Schema("caffe", _F + "caffe:read", _CAFFE, lambda top: _has(top, 100) and _inner(top, 100, _CAFFE_LAYER, 2)),
    _Schema(
        "tf-fingerprint",
        _F + "protobuf_models:read_fingerprint",
        _FINGERPRINT,
        lambda top: _has(top, 1) and _has(top, 2) and len(top) <= 8,
    ),
)


def schemas(view: View) -> list[str]:
    """Return the names of all schemas that the message fits."""
    return [schema.name for schema in _fitting(view)]


def _fitting(view: View) -> list[_Schema]:
    if len(view) < _SMALLEST:
        return []
    top = shape(view, _TOP_FIELDS)
    if not top:
        return []
    kinds = {(number, wire) for number, wire, _ in top}
    return [s for s in _SCHEMAS if _fits(kinds, s.fields) and s.test(top)]


def probe(view: View) -> bool:
    """Tell whether the bytes are a model in Protocol Buffers."""
    return bool(_fitting(view))


def read(view: View, sink: Sink) -> None:
    """Read a message with the reader of every schema it fits. Raises FormatError."""
    fitting = _fitting(view)
    for schema in fitting:
        module, _, function = schema.reader.partition(":")
        getattr(importlib.import_module(module), function)(view, sink)
    if fitting:
        return
    name = view.name.rpartition("/")[2].lower()
    if is_text(view):
        if name.endswith((".pbtxt", ".pb", ".meta", ".prototxt")) or view.find(b"node") >= 0:
            importlib.import_module(_F + "tensorflow_text").read(view, sink)
        elif name.endswith((".onnx", ".mlmodel", ".pdmodel")):
            msg = "text, where the name says a model"
            raise FormatError(msg, 0)
        return
    if name.endswith(".pdiparams"):
        importlib.import_module(_F + "paddle").read_params(view, sink)
        return
    _damaged(view, sink, name)


def _damaged(view: View, sink: Sink, name: str) -> None:
    """Read what is left of a damaged file with the reader its name asks for, and what was put behind it."""
    search_values(sink, "behind", bytes(view.tail(_TAIL)))
    for ending, reader in _BY_NAME:
        if name.endswith(ending):
            module, _, function = reader.partition(":")
            getattr(importlib.import_module(module), function)(view, sink)
            sink.fact("protobuf.unrecognized", 0, name=clip(name))
            msg = f"not the {ending.lstrip('.')} model that the name says"
            raise FormatError(msg, 0)
    msg = "a message of no known model format"
    raise FormatError(msg, 0)


_BY_NAME = (
    (".onnx", _F + "onnx:read"),
    ("saved_model.pb", _F + "tensorflow:read_saved_model"),
    ("keras_metadata.pb", _F + "tensorflow:read_keras_metadata"),
    (".meta", _F + "tensorflow:read_meta_graph"),
    (".pb", _F + "tensorflow:read_graph"),
    (".mlmodel", _F + "coreml:read"),
    (".pdmodel", _F + "paddle:read"),
)


def read_sentencepiece(_view: View, sink: Sink) -> None:
    """Recognise a SentencePiece vocabulary (ModelProto of sentencepiece_model.proto): pieces and scores, nothing to run."""
    sink.inert("SentencePiece vocabulary")


def read_fingerprint(_view: View, sink: Sink) -> None:
    """Recognise the fingerprint of a SavedModel (FingerprintDef): checksums only."""
    sink.inert("SavedModel fingerprint")
