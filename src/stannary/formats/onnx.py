"""ONNX models: operators of all graphs, functions and training information, external data, strings, metadata.

Source: onnx.proto of ONNX 1.19 (ModelProto and below). Tensor payloads are skipped by their length.

Facts (`graph` is the path of the graph or function):
- `onnx.model` ir_version, producer, opsets (domain: version), functions, nodes
- `onnx.operator` domain, op, count, node, local: each distinct operator; `local` when a function of the model defines it
- `onnx.external_data` tensor, location, offset, length, exists, link, odd: `link` is the target of a symbolic link, `odd` a key
    that no writer of external data uses, or a base path out of the folder
- `onnx.context` op, path: a compiled context read from a file by an execution provider
- `onnx.tensor_size` tensor, dims, expected, stored: dimensions that do not fit the stored bytes
- `onnx.grown_tensor` op, node, dims, bytes: a tensor that constants of the graph make larger than any memory (see `onnx_sizes`)
- `onnx.endless_loop` node: a loop that never ends (see `onnx_loops`)
- `onnx.tree_problem` node, detail: an ensemble of trees whose nodes lead nowhere (see `onnx_trees`)
- `onnx.metadata` key, value (clipped)
- `onnx.training`: the model has initialization or training graphs
"""

from __future__ import annotations

import os
import re
from collections import Counter

from stannary.formats.embedded import carve
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.onnx_shapes import BITS, element_count
from stannary.formats.onnx_sizes import RELEVANT, STANDARD, Constant, Node, Scope
from stannary.formats.onnx_sizes import report as report_sizes
from stannary.formats.onnx_trees import OPERATORS as TREES
from stannary.formats.onnx_trees import report as report_trees
from stannary.formats.protobuf import Field, fields, packed, position, signed, text
from stannary.formats.setting_values import outside

__all__ = ["probe", "read"]

_DEPTH = 24
_EXTERNAL_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_OPERATORS = 5000
_PADDING = 1 << 16
_BYTE_TYPES = frozenset({0, 2, 3, 8})
_CONTEXT_FIELDS = frozenset(
    {"ep_cache_context", "engine_path", "model_path", "library", "library_path", "so_path", "onnx_model_filename"}
)
_PLAIN = re.compile(r"[^/\\:]+")
_LIBRARY = re.compile(rb"\A[\x21-\x7e]{1,1000}\.(?:so(?:\.\d+)*|dll|dylib)\Z")  # whatever the attribute that names it is called


def probe(view: View) -> bool:
    """Tell whether the message is an ONNX model."""
    from stannary.formats.protobuf_models import schemas

    return "onnx" in schemas(view)


def read(view: View, sink: Sink) -> None:
    """Read a ModelProto. Raises FormatError."""
    walk = _Walk(view, sink)
    walk.model()
    walk.report()


class _Walk:
    """One model. Operators are counted and reported once each, at the first node that has them."""

    def __init__(self, view: View, sink: Sink) -> None:
        self.view = view
        self.sink = sink
        self.operators: Counter[tuple[str, str]] = Counter()
        self.first: dict[tuple[str, str], tuple[str, int]] = {}
        self.functions: dict[tuple[str, str], Scope] = {}
        self.scope = Scope()
        self.roots = [self.scope]
        self.opsets: dict[str, int] = {}
        self.nodes = 0
        self.facts: dict[str, object] = {"ir_version": None, "producer": None}
        self.training = False

    def model(self) -> None:
        for field in fields(self.view, self.sink.budget):
            number = field.number
            if number == 1 and isinstance(field.value, int):
                self.facts["ir_version"] = field.value
            elif not isinstance(field.value, View):
                continue
            elif number == 2:
                self.facts["producer"] = clip(text(field.value))
            elif number == 7:
                self._graph(field.value, "graph", 0)
            elif number == 8:
                self._opset(field.value)
            elif number == 14:
                self._metadata(field, "metadata")
            elif number == 20:
                self._training(field.value)
            elif number == 25:
                self._function(field.value)
            elif number in (3, 4, 6):
                carve(self.sink, "doc_string" if number == 6 else "producer", field.value.data, field.offset)

    def report(self) -> None:
        self.sink.fact("onnx.model", 0, **self.facts, opsets=self.opsets, functions=len(self.functions), nodes=self.nodes)
        if self.training:
            self.sink.fact("onnx.training", 0)
        for (domain, name), count in self.operators.items():
            local = (domain, name) in self.functions
            node, offset = self.first[domain, name]
            self.sink.fact("onnx.operator", offset, domain=clip(domain), op=clip(name), count=count, node=node, local=local)
        report_sizes(self.roots, self.functions, self.sink)

    def _opset(self, view: View) -> None:
        domain, version = "", 0
        for field in fields(view):
            if field.number == 1 and isinstance(field.value, View):
                domain = clip(text(field.value))
            elif field.number == 2:
                version = field.number_value
        if len(self.opsets) < 100:
            self.opsets[domain] = version

    def _metadata(self, field: Field, where: str) -> None:
        key, value = _entry(field.view)
        if where == "metadata":
            self.sink.fact("onnx.metadata", field.offset, key=clip(key), value=clip(text(value)))
        if len(value) and not carve(self.sink, f"{where}.{clip(key)}", value.data, field.offset):
            hand_on(self.sink, f"{where}.{clip(key)}", bytes(value.data[: 1 << 20]).decode("utf-8", "replace"), field.offset)

    def _training(self, view: View) -> None:
        self.training = True
        for field in fields(view):
            if field.number in (1, 2) and isinstance(field.value, View):
                self._graph(field.value, "initialization" if field.number == 1 else "algorithm", 0)

    def _function(self, view: View) -> None:
        name = domain = ""
        nodes, inputs = [], []
        for field in fields(view, self.sink.budget):
            if not isinstance(field.value, View):
                continue
            if field.number == 1:
                name = clip(text(field.value))
            elif field.number == 10:
                domain = clip(text(field.value))
            elif field.number == 7:
                nodes.append(field.value)
            elif field.number == 4:
                inputs.append(text(field.value, 200))
            elif field.number == 11:
                self._attribute(field.value, f"{name}()", "", 0)
            elif field.number == 9:
                self._opset(field.value)
            elif field.number == 14:
                self._metadata(field, "function")
        outer, self.scope = self.scope, Scope()
        self.scope.inputs = inputs
        self.functions[domain, name] = self.scope
        self.roots.append(self.scope)
        for node in nodes:
            self._node(node, f"{name}()", 0)
        self.scope = outer

    def _graph(self, view: View, path: str, depth: int) -> None:
        if depth > _DEPTH:
            self.sink.incomplete(f"{clip(path)}: sub-graphs nested deeper than {_DEPTH}")
            return
        outer = self.scope
        if depth:
            self.scope = Scope()
            outer.inner.append(self.scope)
        self._graph_fields(view, path, depth)
        self.scope = outer

    def _graph_fields(self, view: View, path: str, depth: int) -> None:
        for field in fields(view, self.sink.budget):
            number = field.number
            if not isinstance(field.value, View):
                continue
            if number == 1:
                self._node(field.value, path, depth)
            elif number == 5:
                self.scope.constants.update(self._tensor(field.value, path))
            elif number == 15:
                self._sparse(field.value, path)
            elif number == 16:
                self._metadata(field, "graph")
            elif number == 10:
                carve(self.sink, f"{clip(path)}.doc_string", field.value.data, position(field.value))

    def _node(self, view: View, path: str, depth: int) -> None:
        name = op = domain = ""
        parts: dict[int, list[View]] = {1: [], 2: [], 5: []}  # inputs, outputs, attributes
        for field in fields(view, self.sink.budget):
            if not isinstance(field.value, View):
                continue
            if field.number in parts:
                parts[field.number].append(field.value)
            elif field.number == 4:
                op = text(field.value)
            elif field.number == 7:
                domain = text(field.value)
            elif field.number == 3:
                name = text(field.value, 200)
            elif field.number in (6, 9):
                self._said(field, f"{clip(path)}/{clip(name)}")
        key = (domain, op)
        self.nodes += 1
        if key not in self.first:
            if len(self.first) >= _OPERATORS:
                if len(self.first) == _OPERATORS:
                    self.sink.incomplete(f"more than {_OPERATORS} distinct operators")
                    self.first["\0", ""] = ("", 0)
                return
            self.first[key] = (clip(f"{path}/{name or op}"), position(view))
        self.operators[key] += 1
        for attribute in self._follow(Node(op, domain, parts[1], parts[2], parts[5], f"{path}/{name or op}", position(view))):
            self._attribute(attribute, f"{path}/{name or op}", op, depth)

    def _follow(self, node: Node) -> list[View]:
        """Keep a node whose tensor may be large, that may not end, or that may be a function that comes later; look at trees.

        Return its attributes that are not read yet.
        """
        if node.op in RELEVANT or node.op == "Loop" or node.domain not in STANDARD:
            self.scope.nodes.append(node)
        if node.op in TREES and node.domain == "ai.onnx.ml":
            return report_trees(node.op, node.attributes, node.path, node.offset, self.sink)
        return node.attributes

    def _said(self, field: Field, owner: str) -> None:
        """Read what a node says of itself: its documentation, or a pair of its metadata."""
        if field.number == 9:
            self._metadata(field, "node")
        carve(self.sink, f"{owner}.doc_string", field.view.data, position(field.view))

    def _attribute(self, view: View, path: str, op: str, depth: int) -> None:
        name = ""
        for field in fields(view, self.sink.budget):
            value, number = field.value, field.number
            if not isinstance(value, View):
                continue
            if number == 1:
                name = text(value, 200)
            elif number in (4, 9):
                self._string(value, path, op, name)
            elif number in (5, 10):
                self._tensor(value, path)
            elif number in (6, 11):
                self._graph(value, f"{path}.{name}"[-1000:], depth + 1)
            elif number in (22, 23):
                self._sparse(value, path)
            elif number == 13:
                carve(self.sink, f"{clip(path)}.doc_string", value.data, position(value))

    def _string(self, value: View, where: str, op: str, name: str) -> None:
        path = bytes(value.data) if len(value) < 4096 else b"\0"
        if (name in _CONTEXT_FIELDS or _LIBRARY.match(path)) and b"\0" not in path:
            self.sink.fact("onnx.context", position(value), op=clip(op), field=name, path=clip(text(value)))
        if len(value) > 8:
            carve(self.sink, f"{clip(where)}.{clip(name)}", value.data, position(value))

    def _sparse(self, view: View, path: str) -> None:
        for field in fields(view):
            if field.number in (1, 2) and isinstance(field.value, View):
                self._tensor(field.value, path)

    def _tensor(self, view: View, path: str) -> dict[str, Constant]:
        """Read a TensorProto, and return its name with its dimensions, type and bytes."""
        dims: list[int] = []
        kind, name, raw, outside = 0, "", None, {}
        for field in fields(view, self.sink.budget):
            number, value = field.number, field.value
            if number == 1:
                dims += [signed(d) for d in packed(field)]
            elif number == 2:
                kind = field.number_value
            elif not isinstance(value, View):
                continue
            elif number == 8:
                name = text(value, 200)
            elif number == 9:
                raw = value
            elif number == 13:
                key, content = _entry(value)
                outside[key] = text(content)
            elif number == 6 and len(value) > 8:
                carve(self.sink, f"{clip(path)}/{clip(name) or 'string_data'}", value.data, position(value))
            elif number == 12:
                carve(self.sink, f"{clip(path)}/{clip(name)}.doc_string", value.data, position(value))
        if outside:
            self._external(name, outside, position(view))
            self._kept_elsewhere(name, dims, kind, outside, position(view))
        elif raw is not None:
            self._raw(name, dims, kind, raw)
        return {name: (dims, kind, view)}

    def _kept_elsewhere(self, name: str, dims: list[int], kind: int, entries: dict[str, str], offset: int) -> None:
        """Compare the length that a tensor has in another file with what its dimensions ask for; writers pad a little."""
        length = entries.get("length", "")
        expected = _expected(dims, kind)
        if expected is None or not length.isdecimal():
            return
        if not expected <= int(length[:20]) <= 2 * expected + _PADDING:
            self.sink.fact(
                "onnx.tensor_size",
                offset,
                tensor=clip(name),
                dims=[str(d) for d in dims[:16]],
                expected=expected,
                stored=int(length[:20]),
            )

    def _raw(self, name: str, dims: list[int], kind: int, raw: View) -> None:
        expected = _expected(dims, kind)
        if expected is not None and expected != len(raw):
            self.sink.fact(
                "onnx.tensor_size",
                position(raw),
                tensor=clip(name),
                dims=[str(d) for d in dims[:16]],
                expected=expected,
                stored=len(raw),
            )
        if kind in _BYTE_TYPES and len(dims) <= 1:
            carve(self.sink, f"tensor {clip(name)}", raw.data, position(raw))

    def _external(self, name: str, entries: dict[str, str], offset: int) -> None:
        location = entries.get("location", "")
        exists = link = None
        if _PLAIN.fullmatch(location):
            exists = location in self.sink.siblings if self.sink.siblings else None
            link = _link_target(self.view.path, location)
        self.sink.fact(
            "onnx.external_data",
            offset,
            tensor=clip(name),
            location=clip(location, 1000),
            offset=clip(entries["offset"]) if "offset" in entries else None,
            length=clip(entries["length"]) if "length" in entries else None,
            exists=exists,
            link=link,
            odd=_odd(entries),
        )


def _odd(entries: dict[str, str]) -> str | None:
    """Return a key of external data that sets something else of the object that holds it (CVE-2026-34446), or a base elsewhere."""
    base = entries.get("basepath", "")
    if outside(base) or base.startswith("~"):
        return clip(f"basepath={base}")
    keys = sorted(key for key in entries.keys() - _EXTERNAL_KEYS if not key.startswith("prepacked"))
    return clip(f"{keys[0]}={entries[keys[0]]}") if keys else None


def _expected(dims: list[int], kind: int) -> int | None:
    """Return the bytes that dimensions ask for, -1 when one is negative; None for a type whose elements have no one size."""
    if kind not in BITS:
        return None
    count = element_count(dims)
    return -1 if count < 0 else -(-count * BITS[kind] // 8)


def _entry(view: View) -> tuple[str, View]:
    """Return key and value of a StringStringEntryProto."""
    key, value = "", View(b"")
    for field in fields(view):
        if isinstance(field.value, View):
            if field.number == 1:
                key = text(field.value, 1000)
            elif field.number == 2:
                value = field.value
    return key, value


def _link_target(path: str, location: str) -> str | None:
    """Return where a file beside the model points, when it is a symbolic link; it is never opened."""
    if not path:
        return None
    try:
        return clip(os.readlink(os.path.join(os.path.dirname(path), location)))  # noqa: PTH115, PTH118, PTH120 - no Path in readers' hot paths
    except (OSError, ValueError):
        return None
