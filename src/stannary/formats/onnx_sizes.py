"""Sizes that constants of an ONNX graph give to its tensors, found without running it.

A graph of a hundred bytes can ask for more memory than there is: its shapes are values that nodes compute. Constants are folded
through the operators by which shapes are put together, shapes are followed through those that keep, widen or repeat a tensor, and a
tensor that is larger than any memory is told. Numbers above 2**63 are held at that.

Facts:
- `onnx.grown_tensor` op, node, dims, bytes (at least)
- `onnx.endless_loop` node: see `onnx_loops`
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from stannary.formats.interface import Sink, View, clip
from stannary.formats.onnx_loops import never_ends
from stannary.formats.onnx_shapes import BITS, LARGE, NOTHING, RELEVANT, VALUES, Call, Known, element_count, held, output
from stannary.formats.protobuf import FIXED32, FIXED64, fields, packed, signed, text

__all__ = ["RELEVANT", "STANDARD", "Constant", "Node", "Scope", "report"]

_BEYOND = 1 << 40  # bytes; the largest tensors of real models, masks of a million tokens in bits, stay below
STANDARD = frozenset({"", "ai.onnx"})  # the domains of ONNX' own operators
_TOLD = 20
_CALLS = 8
_NODE_COST = 60  # operations
_RAW = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "B", 10: "e", 11: "d", 12: "I", 13: "Q"}

Constant = tuple[list[int], int, View]  # dimensions, type and bytes of a TensorProto


class Node(NamedTuple):
    """One node, its parts not yet read."""

    op: str
    domain: str
    inputs: list[View]
    outputs: list[View]
    attributes: list[View]
    path: str
    offset: int


class Scope:
    """One graph or function: its constants, its nodes in order, and the graphs inside of them."""

    def __init__(self) -> None:
        self.constants: dict[str, Constant] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []  # of a function
        self.inner: list[Scope] = []


def report(roots: list[Scope], functions: Mapping[tuple[str, str], Scope], sink: Sink) -> None:
    """State the tensors of the graphs that are larger than any memory. Raises BudgetExceeded and FormatError."""
    follower = _Follower(functions, sink)
    for root in roots:
        follower.scope(root, {}, 0)


class _Follower:
    """Goes through the nodes in order, as a runtime does."""

    def __init__(self, functions: Mapping[tuple[str, str], Scope], sink: Sink) -> None:
        self.functions = functions
        self.sink = sink
        self.told: set[str] = set()

    def scope(self, scope: Scope, outer: dict[str, Known], calls: int) -> dict[str, Known]:
        known = dict(outer)
        self.sink.budget.take_operations(len(known) + _NODE_COST * len(scope.constants))
        for name, (dims, kind, view) in scope.constants.items():
            known[name] = _constant(dims, kind, view)
        for node in scope.nodes:
            self.sink.budget.take_operations(_NODE_COST)
            args = [known.get(text(name, 200), NOTHING) for name in node.inputs]
            if node.op == "Loop" and node.domain in STANDARD:
                self._loop(node, args)
                continue
            function = self.functions.get((node.domain, node.op))
            if function is not None:
                if calls < _CALLS:
                    self.scope(function, dict(zip(function.inputs, args, strict=False)), calls + 1)
                continue
            made = _apply(node, args) if node.domain in STANDARD else NOTHING
            if made is not NOTHING and node.outputs and len(made.shape or ()) <= VALUES:
                known[text(node.outputs[0], 200)] = made
                if not any(map(_beyond, args)):  # what grows on from there says nothing new
                    self._tell(node, made)
        for inner in scope.inner:
            self.scope(inner, known, calls)
        return known

    def _loop(self, node: Node, args: list[Known]) -> None:
        bodies = [
            f.view for at in node.attributes for f in fields(at, self.sink.budget) if f.number == 6 and isinstance(f.value, View)
        ]
        names = [text(name, 200) for name in node.inputs]
        if bodies and node.path not in self.told and never_ends(names, args, bodies[0], _read_constant, self.sink.budget):
            self.told.add(node.path)
            self.sink.fact("onnx.endless_loop", node.offset, node=clip(node.path))

    def _tell(self, node: Node, made: Known) -> None:
        if not _beyond(made) or node.path in self.told or len(self.told) >= _TOLD:
            return
        self.told.add(node.path)
        dims = [str(d) for d in (made.shape or ())[:16]]
        size = min(_bytes(made), LARGE)
        self.sink.fact("onnx.grown_tensor", node.offset, op=clip(node.op), node=clip(node.path), dims=dims, bytes=size)


def _bytes(known: Known) -> int:
    return 0 if known.shape is None else element_count(known.shape) * known.bits // 8


def _beyond(known: Known) -> bool:
    return _bytes(known) > _BEYOND


def _constant(dims: list[int], kind: int, view: View) -> Known:
    count = element_count(dims)
    values = _numbers(view, kind) if 0 < count <= VALUES else None
    return Known(tuple(dims), values if values is not None and len(values) == count else None, BITS.get(kind, 8))


def _numbers(view: View, kind: int) -> tuple[float, ...] | None:
    """Return the numbers of a small TensorProto."""
    found: list[float] = []
    for field in fields(view):
        if field.number in (5, 7, 11):
            found += [signed(v) for v in packed(field, VALUES + 1)]
        elif field.number in (4, 10):
            found += _floats(field.value, field.wire, "f" if field.number == 4 else "d")
        elif field.number == 9 and isinstance(field.value, View) and kind in _RAW:
            found += _unpacked(field.value, _RAW[kind])
    return tuple(held(v) for v in found)


def _unpacked(raw: View, code: str) -> list[float]:
    size = struct.calcsize(code)
    data = bytes(raw.data[: size * VALUES])
    return [n for (n,) in struct.iter_unpack("<" + code, data[: len(data) // size * size])]


def _floats(value: int | View, wire: int, code: str) -> list[float]:
    if isinstance(value, View):
        return _unpacked(value, code)
    return list(struct.unpack("<" + code, value.to_bytes(struct.calcsize(code), "little"))) if wire in (FIXED32, FIXED64) else []


def _attributes(views: list[View]) -> dict[str, Any]:
    """Return numbers, lists of numbers and tensors of attributes."""
    found: dict[str, Any] = {}
    for view in views:
        name = ""
        value: Any = None
        many: list[float] = []
        for field in fields(view):
            if field.number == 1 and isinstance(field.value, View):
                name = text(field.value, 200)
            elif field.number == 3:
                value = signed(field.number_value)
            elif field.number == 2:
                value = _floats(field.value, field.wire, "f")[0]
            elif field.number == 5 and isinstance(field.value, View):
                value = _tensor(field.value)
            elif field.number == 8:
                many += [signed(v) for v in packed(field, VALUES)]
            elif field.number == 7:
                many += _floats(field.value, field.wire, "f")
        found[name] = many or value
    return found


def _tensor(view: View) -> Known:
    dims: list[int] = []
    kind = 0
    for field in fields(view):
        if field.number == 1:
            dims += [signed(d) for d in packed(field, VALUES)]
        elif field.number == 2:
            kind = field.number_value
    return _constant(dims, kind, view)


def _read_constant(view: View, what: str) -> Known:
    """Return what is known of a TensorProto, or of the node Constant."""
    if what == "tensor":
        return _tensor(view)
    attributes = [f.value for f in fields(view) if f.number == 5 and isinstance(f.value, View)]
    return _apply(Node("Constant", "", [], [], attributes, "", 0), [])


def _apply(node: Node, args: list[Known]) -> Known:
    """Return what is known of the first output of a node."""
    try:
        return output(node.op, Call(args, _attributes(node.attributes)))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, IndexError, struct.error):
        return NOTHING  # such a node fails where it is run, too
