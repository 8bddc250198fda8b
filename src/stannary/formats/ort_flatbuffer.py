"""ONNX Runtime's own format (`.ort`): the FlatBuffer `ORTM`.

Format: onnxruntime `core/flatbuffers/schema/ort.fbs`. Nodes of a domain outside ONNX and Microsoft run code from a library
the application registers.
"""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.embedded_text import PAYLOAD_MAGIC, hand_on
from stannary.formats.flatbuffer import Table, root
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_MAX_DEPTH = 16


def read(view: View, sink: Sink) -> None:
    """Report the operators with their domains, texts, and initializers that hold a payload.

    Raises FormatError when an offset leaves the file or there is no model.
    """
    session = root(view)
    model = session.table(1)
    if model is None:
        msg = "a session without a model"
        raise FormatError(msg, session.pos)
    sink.fact("ort.model", 0, version=clip(session.string(0), 40), producer=clip(model.string(2), 80))
    for index in (4, 6, 8):
        hand_on(sink, "documentation", model.string(index))
    for pair in model.tables(9):
        hand_on(sink, f"metadata.{clip(pair.string(0), 80)}", pair.string(1))
    graph = model.table(7)
    if graph is not None:
        _graph(graph, sink, set(), 0)


def _graph(graph: Table, sink: Sink, seen: set[tuple[str, str]], depth: int) -> None:
    if depth > _MAX_DEPTH:
        msg = f"graphs nested deeper than {_MAX_DEPTH}"
        raise FormatError(msg, graph.pos)
    for tensor in graph.tables(0):
        _tensor(tensor, sink)
    for node in graph.tables(2):
        sink.budget.take_operations(1)
        key = (node.string(2) or "ai.onnx", node.string(5))
        if key not in seen:
            seen.add(key)
            sink.fact("ort.operator", node.pos, domain=clip(key[0]), name=clip(key[1]), provider=clip(node.string(7), 60))
        for attribute in node.tables(10):
            _attribute(node, attribute, sink, seen, depth)


def _attribute(node: Table, attribute: Table, sink: Sink, seen: set[tuple[str, str]], depth: int) -> None:
    name = clip(f"{node.string(0)}.{attribute.string(0)}", 120)
    for text in (attribute.string(5), *attribute.strings(10)):
        if len(text) >= 12:
            hand_on(sink, name, text)
    for tensor in ([t] if (t := attribute.table(6)) is not None else []) + list(attribute.tables(11)):
        _tensor(tensor, sink)
    for graph in ([g] if (g := attribute.table(7)) is not None else []) + list(attribute.tables(12)):
        _graph(graph, sink, seen, depth + 1)


def _tensor(tensor: Table, sink: Sink) -> None:
    sink.budget.take_operations(1)
    data = tensor.blob(4)
    head = bytes(data[:8])
    if head.startswith((*PAYLOAD_MAGIC[:5], b"\x7fELF")) and len(data) > 16:
        sink.fact("ort.payload", tensor.pos, name=clip(tensor.string(0)), head=head.hex(), size=len(data))
        sink.child(f"initializer.{clip(tensor.string(0), 80)}", data)
    for text in tensor.strings(5):
        if len(text) >= 24:
            hand_on(sink, clip(tensor.string(0), 80), text)
