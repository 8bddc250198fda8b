"""MXNet: `.params` files and symbol graphs.

Format: mxnet `src/ndarray/ndarray.cc` (NDArray::Load) and nnvm's JSON. A `Custom` operator runs Python that was
registered under its `op_type`; the loader trusts every count and shape of a `.params` file.
"""

from __future__ import annotations

from stannary.core.errors import FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.bounded_json import load
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Cursor, Sink, View, clip
from stannary.formats.setting_values import outside

__all__ = ["probe_symbol", "read_params", "read_symbol"]

_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_WIDTH = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 8: 2, 9: 2, 10: 4, 11: 8, 12: 2}
_MAX_ARRAYS = 200_000
_MAX_RANK = 64


def probe_symbol(view: View) -> bool:
    """Tell whether a JSON object looks like an nnvm graph: `nodes` with `op`, `arg_nodes` or `heads`."""
    head = view.head(1 << 16).lstrip(b" \t\r\n\xef\xbb\xbf")
    if head[:1] != b"{" or b'"nodes"' not in head or b'"op"' not in head:
        return False
    return b'"arg_nodes"' in head or view.find(b'"arg_nodes"') >= 0


def read_symbol(view: View, sink: Sink) -> None:
    """Report the operators of a graph, custom operators with their attributes, and references that do not hold."""
    _symbol(load(view, sink), sink, 0)


def _symbol(graph: Json, sink: Sink, depth: int) -> None:
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    if not isinstance(nodes, list) or depth > 8:
        return
    operators: set[str] = set()
    for index, node in enumerate(nodes):
        if not isinstance(node, dict):
            continue
        operator = str(node.get("op"))
        attributes: dict[str, Json] = next((node[k] for k in ("attrs", "attr", "param") if isinstance(node.get(k), dict)), {})
        if operator == "Custom":
            sink.fact("mxnet.custom", None, op_type=clip(str(attributes.get("op_type"))), node=clip(str(node.get("name"))))
        elif operator not in operators:
            operators.add(operator)
            sink.fact("mxnet.operator", None, name=clip(operator))
        for key, value in attributes.items():
            if isinstance(value, str) and (how := outside(value)) and len(value) > len("/x"):
                sink.fact(
                    "mxnet.opened",
                    None,
                    node=clip(str(node.get("name"))),
                    op=clip(operator),
                    key=clip(key),
                    value=clip(value),
                    how=how,
                )
            if isinstance(value, str) and len(value) >= 12:
                hand_on(sink, clip(f"{node.get('name')}.{key}", 120), value)
        for reference in node.get("inputs") or ():
            target = reference[0] if isinstance(reference, list) and reference else None
            if not isinstance(target, int) or not 0 <= target < index:
                sink.fact("mxnet.problem", None, what="reference", detail=clip(f"node {index} takes input {target}"))
                break
        for subgraph in node.get("subgraphs") or ():
            _symbol(subgraph, sink, depth + 1)


def read_params(view: View, sink: Sink) -> None:
    """Walk the arrays of a `.params` file: counts, shapes and types against the bytes there are, then the names."""
    cursor = Cursor(view)
    if cursor.uint(8) != _LIST_MAGIC:
        msg = "not an NDArray list"
        raise FormatError(msg, 0)
    cursor.skip(8)
    count = cursor.uint(8)
    if count > _MAX_ARRAYS or count * 4 > len(view):
        sink.fact("mxnet.problem", 16, what="count", detail=f"{count} arrays in a file of {len(view)} bytes")
        msg = f"{count} arrays cannot be in {len(view)} bytes"
        raise FormatError(msg, 16)
    for _ in range(count):
        _array(cursor, sink)
    names = cursor.uint(8)
    if names > count:
        sink.fact("mxnet.problem", cursor.pos, what="count", detail=f"{names} names for {count} arrays")
    seen: set[bytes] = set()
    for _ in range(min(names, count)):
        name = cursor.take(cursor.uint(8))
        if name in seen:
            sink.fact("mxnet.problem", cursor.pos, what="duplicate", detail=clip(name.decode("utf-8", "replace")))
        seen.add(name)
    sink.fact("mxnet.params", 0, arrays=count, names=names)
    if cursor.left:
        sink.fact("mxnet.problem", cursor.pos, what="trailing", detail=f"{cursor.left} bytes behind the names")
        sink.child("trailing", view.data[cursor.pos :], offset=cursor.pos)


def _array(cursor: Cursor, sink: Sink) -> None:
    at = cursor.pos
    magic = cursor.uint(4)
    if magic in {_V2, _V3}:
        storage = cursor.sint(4)
        if storage not in {-1, 0}:
            sink.incomplete("sparse arrays are not read", at)
            msg = f"storage type {storage}"
            raise FormatError(msg, at)
        rank, wide = cursor.sint(4), True
    elif magic == _V1:
        rank, wide = cursor.uint(4), True
    else:
        rank, wide = magic, False
    if rank == 0 or (rank < 0 and magic == _V3):
        return
    if not 0 < rank <= _MAX_RANK:
        sink.fact("mxnet.problem", at, what="rank", detail=f"an array of {rank} dimensions")
        msg = f"an array of {rank} dimensions"
        raise FormatError(msg, at)
    elements = 1
    for _ in range(rank):
        dim = cursor.sint(8) if wide else cursor.uint(4)
        if dim < 0:
            sink.fact("mxnet.problem", at, what="rank", detail=f"a dimension of {dim}")
        elements *= max(dim, 0)
    cursor.skip(8)  # device type and id
    kind = cursor.sint(4)
    size = elements * _WIDTH.get(kind, 1)
    if kind not in _WIDTH or size > cursor.left:
        sink.fact("mxnet.problem", at, what="size", detail=f"{elements} elements of type {kind}, {cursor.left} bytes are left")
        msg = f"an array of {size} bytes, {cursor.left} are left"
        raise Truncated(msg, at)
    cursor.skip(size)
