"""TensorFlow Lite: the FlatBuffer `TFL3`: operators, buffers, metadata.

Format: tensorflow `compiler/mlir/lite/schema/schema.fbs`. Custom operators run code the application registers; `Flex`
operators run TensorFlow kernels, with the file system among them.
"""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.embedded_text import PAYLOAD_MAGIC, hand_on
from stannary.formats.flatbuffer import Table, root
from stannary.formats.interface import Sink, View, clip
from stannary.formats.tensorrt import host_programs

__all__ = ["read"]

_CUSTOM = 32  # BuiltinOperator.CUSTOM
_WIDTH = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 11: 16, 12: 8, 15: 4, 16: 2}
_LARGE = 1 << 31
_NEAR = 1 << 16
_MAX_SEARCH = 256 << 20


def read(view: View, sink: Sink) -> None:
    """Report custom operators, sizes and indices that do not hold, and buffers that are programs or pickles.

    Raises FormatError when an offset leaves the file.
    """
    start = int.from_bytes(view.head(4), "little")
    if start >= len(view) and start > _NEAR:  # the root stands near the beginning: no file is cut so
        sink.fact("tflite.problem", 0, what="outside", detail=f"the model begins at {start} of {len(view)} bytes")
    model = root(view)
    names = _operators(model, sink)
    sizes = _buffers(model, view, sink)
    graphs = 0
    for graph in model.tables(2):
        graphs += 1
        _graph(graph, names, sizes, sink)
    sink.fact("tflite.model", 0, version=model.scalar(0, "I"), operators=names[:200], graphs=graphs, buffers=len(sizes))
    for at, machine in host_programs(View(view.data[:_MAX_SEARCH], view.name), 4):
        sink.fact("tflite.payload", at, buffer=-1, head=machine, size=len(view) - at)
        sink.child(f"program@{at}", view.data[at:], offset=at)
    hand_on(sink, "description", model.string(3))
    for entry in model.tables(6):
        index = entry.scalar(1, "I")
        if index >= len(sizes):
            sink.fact(
                "tflite.problem", entry.pos, what="buffer_index", detail=clip(f"metadata {entry.string(0)} in buffer {index}")
            )


def _operators(model: Table, sink: Sink) -> list[str]:
    names: list[str] = []
    for code in model.tables(1):
        builtin = max(code.scalar(0, "b"), code.scalar(3, "i"))
        custom = code.string(1)
        if builtin == _CUSTOM or custom:
            sink.fact("tflite.custom", code.pos, name=clip(custom), flex=custom.startswith("Flex"))
        names.append(custom or str(builtin))
    return names


def _buffers(model: Table, view: View, sink: Sink) -> list[int]:
    sizes: list[int] = []
    for index, buffer in enumerate(model.tables(4)):
        sink.budget.take_operations(1)
        data = buffer.blob(0)
        offset, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
        if offset > 1:
            if offset + size > len(view):
                sink.fact("tflite.problem", buffer.pos, what="outside", detail=f"buffer {index} at {offset}, {size} bytes")
                sink.incomplete(f"buffer {index} lies outside the file", buffer.pos)
            else:
                data = view.data[offset : offset + size]
        sizes.append(len(data))
        if (
            bytes(data[:8]).startswith(PAYLOAD_MAGIC[:4])
            or bytes(data[:4]) in {b"\x7fELF", b"PK\x03\x04"}
            or bytes(data[:2]) == b"#!"
        ):
            sink.fact("tflite.payload", buffer.pos, buffer=index, head=bytes(data[:8]).hex(), size=len(data))
            sink.child(f"buffer{index}", data)
    return sizes


def _graph(graph: Table, names: list[str], sizes: list[int], sink: Sink) -> None:
    tensors = 0
    for tensor in graph.tables(0):
        tensors += 1
        sink.budget.take_operations(1)
        start, rank = tensor.vector(0, 4)
        kind, index = tensor.scalar(1, "b"), tensor.scalar(2, "I")
        if index >= len(sizes):
            sink.fact(
                "tflite.problem", tensor.pos, what="buffer_index", detail=clip(f"tensor {tensor.string(3)} in buffer {index}")
            )
            continue
        elements = 1
        for at in range(start, start + 4 * rank, 4):
            dim = int.from_bytes(tensor.view.data[at : at + 4], "little", signed=True)
            elements *= max(dim, 0)
        if elements >= 1 << 40 or (sizes[index] and elements * _WIDTH.get(kind, 0) > max(sizes[index], 1) and elements > _LARGE):
            sink.fact("tflite.problem", tensor.pos, what="size", detail=clip(f"tensor {tensor.string(3)}: {elements} elements"))
    for operator in graph.tables(3):
        if operator.scalar(0, "I") >= len(names):
            sink.fact(
                "tflite.problem", operator.pos, what="operator_index", detail=f"operator {operator.scalar(0, 'I')} of {len(names)}"
            )
        for field in (1, 2):
            start, count = operator.vector(field, 4)
            for at in range(start, start + 4 * count, 4):
                index = int.from_bytes(operator.view.data[at : at + 4], "little", signed=True)
                if not -1 <= index < tensors:
                    sink.fact("tflite.problem", operator.pos, what="tensor_index", detail=f"tensor {index} of {tensors}")
                    msg = "an operator refers to a tensor that is not there"
                    raise FormatError(msg, operator.pos)
