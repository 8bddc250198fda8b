"""ONNX forges."""

from __future__ import annotations

import base64
import struct
from functools import partial

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message, number
from stannary.testing.forges.hdf5 import PICKLE

__all__ = ["FAMILY", "attribute", "external", "graph", "model", "node", "tensor"]

FAMILY = "ONNX"
_FLOAT, _UINT8, _STRING = 1, 2, 8


def tensor(
    name: str, dims: tuple[int, ...] = (2,), kind: int = _FLOAT, raw: bytes | None = b"\0\0\x80?\0\0\0@", extra: bytes = b""
) -> bytes:
    """Return the body of a TensorProto."""
    body = b"".join(number(1, d) for d in dims) + number(2, kind) + message(8, name)
    return body + (message(9, raw) if raw is not None else b"") + extra


def external(location: str, **entries: str) -> bytes:
    """Return the fields of a tensor stored elsewhere."""
    pairs = {"location": location, **entries}
    return b"".join(message(13, message(1, k), message(2, v)) for k, v in pairs.items()) + number(14, 1)


def node(op: str, domain: str = "", attributes: bytes = b"", name: str = "n") -> bytes:
    """Return a node as a field of a graph."""
    return message(
        1, message(1, "x"), message(2, "y"), message(3, name), message(4, op), attributes, message(7, domain) if domain else b""
    )


def attribute(name: str, *parts: bytes) -> bytes:
    """Return an attribute as a field of a node."""
    return message(5, message(1, name), *parts)


def _value(name: str) -> bytes:
    shape = message(2, message(1, number(1, 2)))
    return message(1, name) + message(2, message(1, number(1, _FLOAT) + shape))


def graph(*parts: bytes) -> bytes:
    """Return the body of a graph."""
    return b"".join(parts) + message(2, "g") + message(11, _value("x")) + message(12, _value("y"))


def model(*parts: bytes, extra: bytes = b"") -> bytes:
    """Return a model over a graph of parts."""
    return number(1, 9) + message(2, "forge") + message(7, graph(*parts)) + message(8, number(2, 17)) + extra


def _init(body: bytes) -> bytes:
    return message(5, body)


@forge("onnx.plain", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    props = message(14, message(1, "names"), message(2, "{0: 'person', 1: 'bicycle'}"))
    sub = message(6, graph(node("Neg")))
    branches = attribute("then_branch", sub, number(20, 5)) + attribute("else_branch", sub, number(20, 5))
    local = message(
        25,
        message(1, "Twice"),
        message(4, "x"),
        message(5, "y"),
        message(7, message(1, "x"), message(2, "y"), message(4, "Add")),
        message(10, "local"),
    )
    return model(
        node("Relu"),
        node("If", attributes=branches),
        node("Twice", "local"),
        _init(tensor("w")),
        node("Gelu", "com.microsoft"),
        extra=props + local,
    )


@forge("onnx.pickle_behind", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Add")) + b"\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c\x0decho stannarytR."


@forge("onnx.aten", filename="model.onnx", family=FAMILY, malicious=None)
def _() -> bytes:
    return model(node("ATen", "org.pytorch.aten"))


@forge("onnx.external_plain", filename="repo", family=FAMILY, malicious=False)
def _() -> dict[str, bytes]:
    return {
        "model.onnx": model(node("Relu"), _init(tensor("w", raw=None, extra=external("model.onnx_data", offset="0", length="8")))),
        "model.onnx_data": bytes(8),
    }


@forge("onnx.external_too_long", filename="repo", family=FAMILY, malicious=True)
def _() -> dict[str, bytes]:
    outside = external("model.onnx_data", offset="0", length=str(1 << 40))
    return {"model.onnx": model(node("Relu"), _init(tensor("w", raw=None, extra=outside))), "model.onnx_data": bytes(8)}


@forge("onnx.external_missing", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("model.onnx_data"))))


@forge("onnx.external_traversal", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("../../../../etc/passwd"))))


@forge("onnx.external_absolute", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("/etc/passwd", length="10"))))


@forge("onnx.external_backslash", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("data\\..\\..\\secret.bin"))))


@forge("onnx.external_url", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("http://attacker.example/w.bin"))))


@forge("onnx.external_in_subgraph_attribute", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    inner = message(
        6, graph(node("Constant", attributes=attribute("value", message(5, tensor("w", raw=None, extra=external("../w"))))))
    )
    return model(node("If", attributes=attribute("then_branch", inner)))


@forge("onnx.external_in_training", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    algorithm = message(2, graph(node("Add"), _init(tensor("w", raw=None, extra=external("../../w")))))
    return model(node("Relu"), extra=message(20, algorithm))


@forge("onnx.memory_address", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(
        node("Relu"), _init(tensor("w", raw=None, extra=external("*/_ORT_MEM_ADDR_/*", offset="140737488355328", length="8")))
    )


@forge("onnx.py_op", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("PyOp", "ai.onnx.contrib", attribute("id", message(4, "run"))))


@forge("onnx.python_op", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("PythonOp", "com.microsoft", attribute("func_name", message(4, "os.system"))))


@forge("onnx.shell_op", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("ShellExec", "acme.ops", attribute("cmd", message(4, "echo owned"))))


@forge("onnx.custom_domain", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Fuse", "acme.ops"))


@forge("onnx.custom_domain_in_function", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    body = message(7, message(4, "Fuse"), message(7, "acme.ops"))
    return model(node("Twice", "local"), extra=message(25, message(1, "Twice"), body, message(10, "local")))


@forge("onnx.unknown_operator", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    return model(node("FusedThing"))


@forge("onnx.huge_dimensions", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", (1 << 40, 1 << 20))))


@forge("onnx.dimensions_of_65_bits", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", (1 << 40, 1 << 40))))


@forge("onnx.negative_dimensions", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", (-1,))))


@forge("onnx.plugin_library", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("TRT_PluginV2", "trt.plugins", attribute("plugin_library", message(4, "/tmp/stannary.so"))))


@forge("onnx.context_traversal", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("EPContext", "com.microsoft", attribute("ep_cache_context", message(4, "../../tmp/context.bin"))))


@forge("onnx.tensor_pickle", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", (len(PICKLE),), _UINT8, PICKLE)))


@forge("onnx.string_tensor_pickle", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", (1,), _STRING, None, message(6, PICKLE))))


@forge("onnx.attribute_pickle", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu", attributes=attribute("state", message(4, PICKLE))))


@forge("onnx.node_metadata_pickle", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    pair = message(9, message(1, "state"), message(2, base64.b64encode(PICKLE * 2)))
    return model(node("Relu", attributes=pair))


@forge("onnx.metadata_pickle", filename="model.onnx", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), extra=message(14, message(1, "state"), message(2, PICKLE)))


@forge("onnx.renamed", filename="weights.dat", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("/etc/passwd"))))


@forge("onnx.unknown_fields", filename="model.bin", family=FAMILY, malicious=True)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w", raw=None, extra=external("/etc/passwd"))), extra=message(999, b"x"))


@forge("onnx.truncated", filename="model.onnx", family=FAMILY, malicious=None)
def _() -> bytes:
    return model(node("Relu"), _init(tensor("w")))[:-9]


@forge("onnx.length_beyond", filename="model.onnx", family=FAMILY, malicious=None)
def _() -> bytes:
    return number(1, 9) + b"\x3a\xff\xff\xff\xff\x0f" + bytes(16)


@forge("onnx.wrong_magic", filename="model.onnx", family=FAMILY, malicious=None)
def _() -> bytes:
    return struct.pack("<64B", *range(192, 256))


@forge("onnx.deep_subgraphs", filename="model.onnx", family=FAMILY, malicious=None)
def _() -> bytes:
    inner = graph(node("Neg"))
    for _depth in range(60):
        inner = graph(node("If", attributes=attribute("then_branch", message(6, inner))))
    return number(1, 9) + message(7, inner) + message(8, number(2, 17))


for _name, _place in {
    "variable": "$HOME/.ssh/id_rsa",
    "encoded": "%2e%2e/w.bin",
    "pipe": "|echo stannary",
    "half_encoded": "..%2f..%2fw.bin",
}.items():
    forge(f"onnx.external_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(
        partial(model, node("Relu"), _init(external(_place)))
    )
for _name, _offset in {"before": "-100", "far": str(1 << 63)}.items():
    forge(f"onnx.external_offset_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(
        partial(model, node("Relu"), _init(external("w.bin", offset=_offset)))
    )
forge("onnx.calls_server", filename="model.onnx", family=FAMILY, malicious=True)(
    partial(model, node("OpenAIAudioToText", "com.microsoft.extensions"))
)
