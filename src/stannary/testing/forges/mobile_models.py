"""Forges of Core ML, PaddlePaddle and Caffe models."""

from __future__ import annotations

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message, number

__all__: list[str] = []


def _coreml(kind: int, *body: bytes) -> bytes:
    description = message(2, message(1, message(1, "x")), message(100, message(3, "author")))
    return number(1, 4) + description + message(kind, *body)


def _layer(*parts: bytes) -> bytes:
    return message(1, message(1, "layer"), message(2, "x"), message(3, "y"), *parts)


@forge("coreml.plain", filename="model.mlmodel", family="Core ML", malicious=False)
def _() -> bytes:
    return _coreml(500, _layer(message(130, message(10))), _layer(message(140, number(1, 4))))


@forge("coreml.custom_layer", filename="model.mlmodel", family="Core ML", malicious=True)
def _() -> bytes:
    return _coreml(500, _layer(message(500, message(10, "RemoteShellLayer"))))


@forge("coreml.custom_in_pipeline", filename="model.mlmodel", family="Core ML", malicious=True)
def _() -> bytes:
    inner = number(1, 4) + message(555, message(1, "RemoteModel"))
    return _coreml(202, message(1, inner))


@forge("coreml.linked_traversal", filename="model.mlmodel", family="Core ML", malicious=True)
def _() -> bytes:
    return _coreml(556, message(1, message(1, message(1, "other.mlmodelc")), message(2, message(1, "../../Shared"))))


@forge("coreml.linked_relative", filename="model.mlmodel", family="Core ML", malicious=True)
def _() -> bytes:
    return _coreml(556, message(1, message(1, message(1, "other.mlmodelc"))))


@forge("coreml.blob_traversal", filename="model.mlmodel", family="Core ML", malicious=True)
def _() -> bytes:
    value = message(5, message(1, "@model_path/../../../private/data.bin"))
    operation = message(3, message(1, "const"), message(5, message(1, "val"), message(2, value)))
    function = message(2, message(1, "main"), message(2, message(3, message(1, "CoreML5"), message(2, operation))))
    return _coreml(502, number(1, 1), function)


@forge("coreml.truncated", filename="model.mlmodel", family="Core ML", malicious=None)
def _() -> bytes:
    return _coreml(500, _layer(message(140, number(1, 4))))[:-5]


def _paddle(*operators: bytes) -> bytes:
    block = (
        number(1, 0)
        + number(2, 0)
        + message(3, message(1, "x"), message(2, number(1, 7)))
        + b"".join(message(4, o) for o in operators)
    )
    return message(1, block) + message(4, number(1, 0))


def _operator(kind: str, *attributes: tuple[str, str]) -> bytes:
    return (
        message(1, message(1, "X"), message(2, "x"))
        + message(3, kind)
        + b"".join(message(4, message(1, k), number(2, 2), message(5, v)) for k, v in attributes)
    )


@forge("paddle.plain", filename="inference.pdmodel", family="PaddlePaddle", malicious=False)
def _() -> bytes:
    return _paddle(
        _operator("feed"), _operator("matmul_v2", ("op_callstack", "File train.py, line 1, in subprocess.run")), _operator("fetch")
    )


@forge("paddle.py_func", filename="inference.pdmodel", family="PaddlePaddle", malicious=True)
def _() -> bytes:
    return _paddle(_operator("py_func"))


@forge("paddle.save_absolute", filename="inference.pdmodel", family="PaddlePaddle", malicious=True)
def _() -> bytes:
    return _paddle(_operator("save_combine", ("file_path", "/root/.ssh/authorized_keys")))


@forge("paddle.load_relative", filename="inference.pdmodel", family="PaddlePaddle", malicious=True)
def _() -> bytes:
    return _paddle(_operator("load", ("file_path", "other.params")))


@forge("paddle.params_plain", filename="inference.pdiparams", family="PaddlePaddle", malicious=False)
def _() -> bytes:
    description = number(1, 5) + number(2, 2)
    return bytes(4) + bytes(8) + bytes(4) + len(description).to_bytes(4, "little") + description + bytes(8)


@forge("paddle.params_truncated", filename="inference.pdiparams", family="PaddlePaddle", malicious=None)
def _() -> bytes:
    return bytes(4) + bytes(8) + bytes(4) + (1 << 30).to_bytes(4, "little") + bytes(64)


def _caffe(*layers: bytes) -> bytes:
    return message(1, "net") + b"".join(message(100, layer) for layer in layers)


@forge("caffe.plain", filename="net.caffemodel", family="Caffe", malicious=False)
def _() -> bytes:
    return _caffe(message(1, "data") + message(2, "Input"), message(1, "relu") + message(2, "ReLU") + message(3, "data"))


@forge("caffe.python_layer", filename="net.caffemodel", family="Caffe", malicious=True)
def _() -> bytes:
    return _caffe(
        message(1, "p")
        + message(2, "Python")
        + message(130, message(1, "helpers"), message(2, "Runner"), message(3, "{'cmd': 'echo owned'}"))
    )


@forge("caffe.source_traversal", filename="net.caffemodel", family="Caffe", malicious=True)
def _() -> bytes:
    return _caffe(message(1, "d") + message(2, "HDF5Data") + message(112, message(1, "../../other/files.txt")))
