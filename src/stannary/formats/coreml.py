"""Core ML models (`.mlmodel`, and the same inside `.mlpackage`): custom code, linked models, nested pipelines.

Source: coremltools mlmodel/format/{Model,NeuralNetwork,CustomModel,LinkedModel,Parameters,MIL}.proto.

Facts:
- `coreml.model` version, kind (field number of the model type), layers
- `coreml.custom` what (layer, model, operation), name: the class that the application has to provide
- `coreml.link` what (file, search_path), value
- `coreml.file` value: the file of a blob that an ML program reads
- `coreml.metadata` key, value
"""

from __future__ import annotations

import re

from stannary.core.errors import FormatError
from stannary.formats.embedded import carve
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.protobuf import Field, fields, position, text

__all__ = ["read"]

_DEPTH = 16
_PIPELINES = frozenset({200, 201, 202})
_NETWORKS = frozenset({303, 403, 500})
_ML_PROGRAM = 502
_CUSTOM_MODEL = 555
_LINKED_MODEL = 556
_CUSTOM_LAYER = 500
_TYPES = 200  # model types have field numbers from here on
_BLOB = re.compile(rb"@model_path[^\x00-\x1f\x7f]{0,200}")


def read(view: View, sink: Sink) -> None:
    """Read a Model message. Raises FormatError."""
    _model(view, sink, "model", 0)


def _model(view: View, sink: Sink, path: str, depth: int) -> None:
    if depth > _DEPTH:
        sink.incomplete(f"{path}: models nested deeper than {_DEPTH}")
        return
    version = kind = layers = 0
    for field in fields(view, sink.budget):
        number, value = field.number, field.value
        if number == 1:
            version = field.number_value
        elif not isinstance(value, View):
            continue
        elif number == 2:
            _description(value, sink)
        elif number >= _TYPES:
            kind = number
            layers += _type(field, sink, path, depth)
    sink.fact("coreml.model", position(view), version=version, kind=kind, layers=layers, path=clip(path))


def _type(field: Field, sink: Sink, path: str, depth: int) -> int:
    """Read the content of a model type and return the number of layers."""
    number, value = field.number, field.view
    if number in _PIPELINES:
        _pipeline(value, sink, path, depth, wrapped=number != 202)
    elif number in _NETWORKS:
        return _network(value, sink, path)
    elif number == _CUSTOM_MODEL:
        _custom(value, sink, "model", name_field=1, parameters=30)
    elif number == _LINKED_MODEL:
        _linked(value, sink)
    elif number == _ML_PROGRAM:
        return _program(value, sink)
    return 0


def _pipeline(view: View, sink: Sink, path: str, depth: int, *, wrapped: bool) -> None:
    for field in fields(view, sink.budget):
        if field.number != 1 or not isinstance(field.value, View):
            continue
        if wrapped:  # PipelineClassifier, PipelineRegressor: a Pipeline inside
            _pipeline(field.value, sink, path, depth + 1, wrapped=False)
        else:
            _model(field.value, sink, f"{path}/{field.offset}", depth + 1)


def _network(view: View, sink: Sink, path: str, depth: int = 0) -> int:
    """Read a NeuralNetwork; loops and branches hold networks of their own."""
    layers = 0
    if depth > _DEPTH:
        sink.incomplete(f"{path}: networks nested deeper than {_DEPTH}")
        return 0
    for field in fields(view, sink.budget):
        if field.number != 1 or not isinstance(field.value, View):
            continue
        layers += 1
        for part in fields(field.value, sink.budget):
            if not isinstance(part.value, View):
                continue
            if part.number == _CUSTOM_LAYER:
                _custom(part.value, sink, "layer", name_field=10, parameters=30)
            elif part.number in (600, 605, 615):  # loop, branch, loopContinue… hold NeuralNetwork messages
                for inner in fields(part.value):
                    if isinstance(inner.value, View) and inner.number in (1, 2, 3, 4, 5) and len(inner.value) > 4:
                        layers += _network_if_any(inner.value, sink, path, depth + 1)
    return layers


def _network_if_any(view: View, sink: Sink, path: str, depth: int) -> int:
    try:
        return _network(view, sink, path, depth)
    except FormatError:
        return 0


def _custom(view: View, sink: Sink, what: str, *, name_field: int, parameters: int) -> None:
    name, offset = "", None
    for field in fields(view, sink.budget):
        if not isinstance(field.value, View):
            continue
        if field.number == name_field:
            name, offset = text(field.value), field.offset
        elif field.number == parameters:
            for entry in fields(field.value):
                if entry.number == 2 and isinstance(entry.value, View):
                    for value in fields(entry.value):
                        if isinstance(value.value, View):
                            carve(sink, f"{what} {clip(name)} parameter", value.value.data, position(value.value))
        elif field.number in (20, 40):
            carve(sink, f"{what} {clip(name)} text", field.value.data, position(field.value))
    sink.fact("coreml.custom", offset, what=what, name=clip(name))


def _linked(view: View, sink: Sink) -> None:
    """Read a LinkedModelFile: file name and search path are string parameters with defaults."""
    for field in fields(view):
        if field.number != 1 or not isinstance(field.value, View):
            continue
        for part in fields(field.value):
            if isinstance(part.value, View) and part.number in (1, 2):
                for value in fields(part.value):
                    if value.number == 1 and isinstance(value.value, View):
                        what = "file" if part.number == 1 else "search_path"
                        sink.fact("coreml.link", value.offset, what=what, value=clip(text(value.value), 1000))


def _description(view: View, sink: Sink) -> None:
    """Read the metadata of a ModelDescription: short texts, author, licence, user defined."""
    for field in fields(view, sink.budget):
        if field.number != 100 or not isinstance(field.value, View):
            continue
        for part in fields(field.value):
            if not isinstance(part.value, View):
                continue
            if part.number == 100:
                key, value = "", View(b"")
                for entry in fields(part.value):
                    if isinstance(entry.value, View):
                        key, value = (text(entry.value, 200), value) if entry.number == 1 else (key, entry.value)
            else:
                key, value = {1: "description", 2: "version", 3: "author", 4: "license"}.get(part.number, "text"), part.value
            sink.fact("coreml.metadata", part.offset, key=clip(key), value=clip(text(value)))
            hand_on(sink, clip(key), text(value, 1 << 20))


def _program(view: View, sink: Sink) -> int:
    """Look through an ML program for blob files and custom operations by their text.

    Values in MIL are nested so deep that walking each costs more than it tells: blob file names start
    with @model_path, and the types of operations are short texts.
    """
    data = bytes(view.data[: sink.budget.limits.text])
    if len(view) > len(data):
        sink.incomplete(f"an ML program of {len(view)} bytes was read to {len(data)}")
    for name in dict.fromkeys(_BLOB.findall(data)):
        sink.fact("coreml.file", position(view), value=clip(name.decode("utf-8", "replace"), 1000))
    return _operations(view, sink)


def _operations(view: View, sink: Sink) -> int:
    """Count the operations of all functions; `custom_layer` operations name a class."""
    count = 0
    stack = [(view, 0)]
    steps = {0: (2,), 1: (2,), 2: (3,), 3: (2,), 4: (3,)}  # Program.functions, entry, blocks, entry, operations
    while stack:
        part, level = stack.pop()
        for field in fields(part, sink.budget):
            if field.number not in steps[level] or not isinstance(field.value, View):
                continue
            if level < len(steps) - 1:
                stack.append((field.value, level + 1))
                continue
            count += 1
            for inner in fields(field.value):
                if inner.number == 4 and isinstance(inner.value, View):
                    stack.append((inner.value, level))
                elif inner.number == 1 and isinstance(inner.value, View) and b"custom" in bytes(inner.value.data[:200]):
                    sink.fact("coreml.custom", inner.offset, what="operation", name=clip(text(inner.value)))
    return count
