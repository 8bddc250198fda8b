"""Caffe networks (`.caffemodel`, NetParameter): layers that run Python or read files.

Source: caffe.proto (NetParameter, LayerParameter, V1LayerParameter, PythonParameter).

Facts:
- `caffe.network` layers
- `caffe.layer` type, count
- `caffe.python` module, layer, parameters
- `caffe.path` layer, value
"""

from __future__ import annotations

from collections import Counter

from stannary.formats.embedded import carve
from stannary.formats.interface import Sink, View, clip
from stannary.formats.protobuf import fields, position, text

__all__ = ["read"]

_PYTHON = 130
_WITH_SOURCE = frozenset(
    {107, 110, 112, 115, 129}
)  # data, hdf5 data/output, image data, infogain loss, window data: field 1 is a path


def read(view: View, sink: Sink) -> None:
    """Read a NetParameter. Raises FormatError."""
    kinds: Counter[str] = Counter()
    for field in fields(view, sink.budget):
        if field.number != 100 or not isinstance(field.value, View):
            continue
        kind = ""
        for part in fields(field.value, sink.budget):
            if not isinstance(part.value, View):
                continue
            if part.number == 2:
                kind = clip(text(part.value))
                kinds[kind] += 1
            elif part.number == _PYTHON:
                _python(part.value, sink)
            elif part.number in _WITH_SOURCE:
                for inner in fields(part.value):
                    if inner.number == 1 and isinstance(inner.value, View):
                        sink.fact("caffe.path", inner.offset, layer=kind, value=clip(text(inner.value), 500))
    sink.fact("caffe.network", 0, layers=kinds.total())
    for kind, count in list(kinds.items())[:5000]:
        sink.fact("caffe.layer", None, type=kind, count=count)


def _python(view: View, sink: Sink) -> None:
    found = {1: "", 2: "", 3: ""}
    for field in fields(view):
        if field.number in found and isinstance(field.value, View):
            found[field.number] = text(field.value, 1000)
            carve(sink, "python_param", field.value.data, position(field.value))
    sink.fact("caffe.python", position(view), module=clip(found[1]), layer=clip(found[2]), parameters=clip(found[3]))
