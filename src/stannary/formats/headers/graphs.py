"""ONNX and TensorFlow: graphs as protocol buffers, checkpoints as tables."""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.headers.model import Header, Port, Tally
from stannary.formats.interface import Budget, View, clip
from stannary.formats.protobuf import Field, fields, packed, signed, text
from stannary.formats.protobuf_models import schemas
from stannary.formats.tf_checkpoint import entries

__all__ = ["checkpoint", "read", "tflite"]

# TensorProto.DataType of ONNX and DataType of TensorFlow, in words.
_ONNX = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16",
    11: "float64",
    12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1",
}  # fmt: skip
_TENSORFLOW = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64", 10: "bool",
    14: "bfloat16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_NO_NAMES = frozenset({"main_graph", "torch_jit", "torch-jit-export", "main", "graph", "g"})  # what exporters call every graph
_PORTS = 200
_PAIRS = 60


def read(view: View, budget: Budget) -> Header | None:
    """Read an ONNX model or a SavedModel; None for other messages. Raises FormatError."""
    kinds = schemas(view)
    if "onnx" in kinds:
        return _onnx(view, budget)
    if view.name.rpartition("/")[2].lower() == "saved_model.pb":
        return _saved_model(view, budget)
    if kinds and not view.name.endswith(".pbtxt"):
        return Header(
            format=next(iter(kinds)),
            framework="TensorFlow" if any("tensorflow" in kind or kind.startswith("graph") for kind in kinds) else "",
        )
    return None


def tflite(_view: View, _budget: Budget) -> Header:
    """Recognise a TensorFlow Lite model."""
    return Header(format="tflite", framework="TensorFlow Lite")


def _onnx(view: View, budget: Budget) -> Header:
    producer = version = domain = ""
    metadata: dict[str, str | int | float | bool] = {}
    tally = Tally()
    inputs: list[Port] = []
    outputs: list[Port] = []
    name = ""
    for field in fields(view, budget):
        if field.number == 5 and isinstance(field.value, int):
            metadata["model_version"] = signed(field.value)
        elif not isinstance(field.value, View):
            continue
        elif field.number in (2, 3, 4):
            said = clip(text(field.value), 200)
            producer, version, domain = (
                (said, version, domain)
                if field.number == 2
                else (producer, said, domain)
                if field.number == 3
                else (producer, version, said)
            )
        elif field.number == 7:
            name, inputs, outputs = _graph(field.value, budget, tally)
        elif field.number == 8:
            opset, number = _opset(field.value)
            metadata[f"opset {opset or 'ai.onnx'}"] = number
        elif field.number == 14 and len(metadata) < _PAIRS:
            key, value = _pair(field.value)
            metadata[f"metadata.{clip(key, 80)}"] = clip(value, 300)
    made = tally.fields()
    if producer:
        metadata["producer"] = f"{producer} {version}".strip()
    if domain:
        metadata["domain"] = domain
    return Header(
        format="onnx",
        framework="ONNX",
        architecture="" if name in _NO_NAMES else name,
        metadata=metadata,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        **made,  # type: ignore[arg-type]
    )


def _graph(view: View, budget: Budget, tally: Tally) -> tuple[str, list[Port], list[Port]]:
    name, given = "", set[str]()
    inputs: list[Port] = []
    outputs: list[Port] = []
    for field in fields(view, budget):
        if not isinstance(field.value, View):
            continue
        if field.number == 2:
            name = clip(text(field.value), 200)
        elif field.number == 5:
            given.add(_initializer(field.value, tally))
        elif field.number == 11 and len(inputs) < _PORTS:
            inputs.append(_value(field.value))
        elif field.number == 12 and len(outputs) < _PORTS:
            outputs.append(_value(field.value))
    return name, [port for port in inputs if port.name not in given], outputs


def _initializer(view: View, tally: Tally) -> str:
    dims: list[int] = []
    kind, name = 0, ""
    for field in fields(view):
        if field.number == 1:
            dims += [signed(size) for size in packed(field, 64)]
        elif field.number == 2:
            kind = field.number_value
        elif field.number == 8 and isinstance(field.value, View):
            name = clip(text(field.value, 400), 200)
    tally.add(_ONNX.get(kind, f"type {kind}"), dims)
    return name


def _value(view: View) -> Port:
    name, kind, shape = "", "", ""
    for field in fields(view):
        if field.number == 1 and isinstance(field.value, View):
            name = clip(text(field.value, 400), 200)
        elif field.number == 2:
            for inner in fields(field.view):
                if inner.number == 1:
                    kind, shape = _tensor_type(inner)
    return Port(name, kind, shape)


def _tensor_type(field: Field) -> tuple[str, str]:
    kind, sizes = "", list[str]()
    for inner in fields(field.view):
        if inner.number == 1:
            kind = _ONNX.get(inner.number_value, "")
        elif inner.number == 2:
            for dim in list(fields(inner.view))[:32]:
                size = next(iter(fields(dim.view)), None)
                sizes.append(
                    "?" if size is None else str(signed(size.value)) if isinstance(size.value, int) else clip(text(size.value), 40)
                )
    return kind, " x ".join(sizes)


def _opset(view: View) -> tuple[str, int]:
    domain, version = "", 0
    for field in fields(view):
        if field.number == 1 and isinstance(field.value, View):
            domain = clip(text(field.value), 80)
        elif field.number == 2:
            version = field.number_value
    return domain, version


def _pair(view: View) -> tuple[str, str]:
    found = {field.number: text(field.value, 1200) for field in fields(view) if isinstance(field.value, View)}
    return found.get(1, ""), found.get(2, "")


def _saved_model(view: View, budget: Budget) -> Header:
    """Read the signatures and the version of a SavedModel; its weights are in the checkpoint beside it."""
    version = ""
    inputs: list[Port] = []
    outputs: list[Port] = []
    for meta in fields(view, budget):
        if meta.number != 2:
            continue
        for field in fields(meta.view, budget):
            if field.number == 1:
                version = next(
                    (clip(text(row.value), 40) for row in fields(field.view) if row.number == 5 and isinstance(row.value, View)),
                    version,
                )
            elif field.number == 5:
                signature = {row.number: row.value for row in fields(field.view) if isinstance(row.value, View)}
                if text(signature.get(1, View(b""))) == "__saved_model_init_op":
                    continue
                for row in fields(signature.get(2, View(b""))):
                    if row.number in (1, 2) and isinstance(row.value, View):
                        (inputs if row.number == 1 else outputs).append(_signature(row.value))
    return Header(
        format="tensorflow",
        framework="TensorFlow",
        framework_version=version,
        inputs=tuple(dict.fromkeys(inputs[:_PORTS])),
        outputs=tuple(dict.fromkeys(outputs[:_PORTS])),
    )


def _signature(view: View) -> Port:
    pair = {field.number: field.value for field in fields(view) if isinstance(field.value, View)}
    kind, sizes = "", list[str]()
    for field in fields(pair.get(2, View(b""))):
        if field.number == 2:
            kind = _TENSORFLOW.get(field.number_value, "")
        elif field.number == 3:
            for dim in fields(field.view):
                if dim.number == 2 and len(sizes) < 32:
                    size = next((signed(row.number_value) for row in fields(dim.view) if row.number == 1), 0)
                    sizes.append("?" if size < 0 else str(size))
    return Port(clip(text(pair.get(1, View(b""))), 200), kind, " x ".join(sizes))


def checkpoint(view: View, budget: Budget) -> Header | None:
    """Read the index of a checkpoint: name, type and shape of each tensor. Raises FormatError."""
    if not view.name.lower().endswith(".index"):
        return None
    tally = Tally()
    for key, value in entries(view, budget):
        kind, dims = 0, list[int]()
        for field in fields(View(value)):
            if field.number == 1:
                kind = field.number_value
            elif field.number == 2:
                dims = [
                    signed(next((row.number_value for row in fields(dim.view) if row.number == 1), 0))
                    for dim in fields(field.view)
                    if dim.number == 2
                ]
        if key and _TENSORFLOW.get(kind) not in (None, "string"):
            tally.add(_TENSORFLOW[kind], dims)
    if not tally.tensors:
        msg = "no checkpoint index"
        raise FormatError(msg)
    return Header(format="tensorflow", framework="TensorFlow", **tally.fields())  # type: ignore[arg-type]
