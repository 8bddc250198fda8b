"""TensorFlow graphs: SavedModel, MetaGraphDef (`.meta`), GraphDef (`.pb`), and Keras metadata beside them.

Source: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto,
framework/{graph,node_def,function,attr_value,tensor}.proto; keras saved_metadata.proto.
Every node of every graph and of the function library is visited; weights are skipped by length.

Facts:
- `tf.model` kind, nodes, functions, version
- `tf.operator` op, node, graph, count: each distinct operator, with the first node that has it
- `tf.path` op, node, graph, key, value, computed: constant text that reaches an operator that deals with files,
  addresses or programs; `key` is the attribute, or `input`
- `tf.asset` filename
- `tf.collection` name, values
- `keras.*` from the metadata of Keras objects (see `keras_config`)
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.embedded import carve
from stannary.formats.interface import Sink, View, clip
from stannary.formats.keras_config import read_config
from stannary.formats.protobuf import fields, position, text

__all__ = ["Graphs", "read_graph", "read_keras_metadata", "read_meta_graph", "read_saved_model"]

_STRING = 7  # DT_STRING
_OPERATORS = 5000
_LONGEST = 1 << 20
_NESTED = 8
# Their input is a GraphDef, which they run.
_RUN_GRAPHS = frozenset({"DatasetFromGraph"})
# Operators whose text inputs and attributes are worth knowing; what they mean is for the rules.
_FOLLOWED = re.compile(
    r"File|Read|Write|Save|Restore|Load|Dump|Print|Debug|Dataset|Record|Rpc|Summary|Matching|Sql|LMDB|Checkpoint|ImmutableConst|Custom|Exec"
    r"|Shell|System|Server|Service|Library|Py|Python|Script|Host|Grpc|Url|Http|Bigtable|Arrow|Kafka|Audio.*Log|Asset|Proto|InitializeTable"
)
_PASSED = frozenset(
    [
        "Identity",
        "IdentityN",
        "StringJoin",
        "Pack",
        "Reshape",
        "ExpandDims",
        "Squeeze",
        "ConcatV2",
        "Concat",
        "StringStrip",
        "StringLower",
        "StringUpper",
        "ReduceJoin",
        "StopGradient",
        "PlaceholderWithDefault",
        "Cast",
        "Fill",
        "Substr",
        "StaticRegexReplace",
        "RegexReplace",
        "AsString",
        "DecodeBase64",
        "Select",
        "SelectV2",
        "Switch",
        "Merge",
        "GatherV2",
        "StridedSlice",
        "Slice",
        "StringFormat",
    ]
)


class _Node(NamedTuple):
    offset: int
    name: str
    op: str
    inputs: list[str]
    attributes: list[View]


class Graphs:
    """Collects the operators of all graphs of one file."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.operators: Counter[str] = Counter()
        self.first: dict[str, tuple[str, str, int]] = {}
        self.depth = 0  # of graphs that constants hold
        self.nodes = 0
        self.functions = 0

    def graph(self, view: View, where: str) -> None:
        """Read a GraphDef and its function library."""
        scope = _Scope(self, where)
        for field in fields(view, self.sink.budget):
            if field.number == 1 and isinstance(field.value, View):
                scope.node(field.value)
            elif field.number == 2 and isinstance(field.value, View):
                self._library(field.value)
        scope.finish()

    def held(self, view: View, where: str) -> None:
        """Read a graph that is a constant of another, and is run by one of its operators."""
        if self.depth >= _NESTED:
            self.sink.incomplete(f"{where}: graphs within constants deeper than {_NESTED}")
            return
        self.depth += 1
        try:
            self.graph(view, where)
        except FormatError as exc:  # it cannot be run either; the graph around it can
            self.sink.incomplete(f"{where}: {exc.message}", position(view))
        self.depth -= 1

    def _library(self, view: View) -> None:
        for field in fields(view, self.sink.budget):
            if field.number == 1 and isinstance(field.value, View):
                self._function(field.value)

    def _function(self, view: View) -> None:
        name = "function"
        nodes = []
        for field in fields(view, self.sink.budget):
            if field.number == 1 and isinstance(field.value, View):
                name = next((text(f.value, 200) for f in fields(field.value) if f.number == 1 and isinstance(f.value, View)), name)
            elif field.number == 3 and isinstance(field.value, View):
                nodes.append(field.value)
        self.functions += 1
        scope = _Scope(self, clip(name))
        for node in nodes:
            scope.node(node)
        scope.finish()

    def count(self, op: str, node: str, where: str, offset: int) -> None:
        """Count an operator."""
        self.nodes += 1
        if op not in self.first:
            if len(self.first) >= _OPERATORS:
                if len(self.first) == _OPERATORS:
                    self.first["\0"] = ("", "", 0)
                    self.sink.incomplete(f"more than {_OPERATORS} distinct operators")
                return
            self.first[op] = (clip(node), clip(where), offset)
        self.operators[op] += 1

    def report(self, kind: str, version: str) -> None:
        """Report everything counted."""
        self.sink.fact("tf.model", 0, kind=kind, nodes=self.nodes, functions=self.functions, version=clip(version))
        for op, count in self.operators.items():
            node, where, offset = self.first[op]
            self.sink.fact("tf.operator", offset, op=clip(op), node=node, graph=where, count=count)


class _Scope:
    """One graph or function: nodes by name, to follow constants into the operators that use them."""

    def __init__(self, graphs: Graphs, where: str) -> None:
        self.graphs = graphs
        self.sink = graphs.sink
        self.where = where
        self.constants: dict[str, list[View]] = {}
        self.passed: dict[str, list[str]] = {}
        self.followed: list[_Node] = []

    def node(self, view: View) -> None:
        """Read a NodeDef. All values of a repeated `op` are counted: readers keep the last."""
        name, ops = "", list[str]()
        inputs: list[str] = []
        attributes: list[View] = []
        for field in fields(view, self.sink.budget):
            value = field.value
            if not isinstance(value, View):
                continue
            if field.number == 5:
                attributes.append(value)
            elif field.number == 3:
                inputs.append(text(value, 500))
            elif field.number == 2:
                ops.append(text(value, 500))
            elif field.number == 1:
                name = text(value, 500)
        for op in ops:
            self.graphs.count(op, name, self.where, position(view))
            if op == "Const":
                self._constant(name, attributes)
            elif op in _PASSED:
                self.passed[name] = inputs
            if op != "Const" and _FOLLOWED.search(op):
                self.followed.append(_Node(position(view), name, op, inputs, attributes))

    def _constant(self, name: str, attributes: list[View]) -> None:
        for attribute in attributes:
            key, value = _entry(attribute)
            if key != "value" or value is None:
                continue
            for field in fields(value):
                if field.number == 8 and isinstance(field.value, View):
                    found = self._strings(name, field.value)
                    if found:
                        self.constants[name] = found

    def _strings(self, name: str, tensor: View) -> list[View]:
        kind, values = 0, list[View]()
        for field in fields(tensor, self.sink.budget):
            if field.number == 1:
                kind = field.number_value
            elif field.number == 8 and isinstance(field.value, View):
                values.append(field.value)
        if kind != _STRING:
            return []
        for value in values:
            if len(value) > 8:
                carve(self.sink, f"{clip(self.where)}/{clip(name)}", value.data, position(value))
        return values[:100]

    def finish(self) -> None:
        """Report the constant text that reaches the operators of interest."""
        for node in self.followed:
            # Only the first input of these is a path; the others name tensors.
            sources = node.inputs[:1] if node.op.startswith(("Save", "Restore")) else node.inputs
            for source in sources:
                for value in self._resolve(source):
                    if node.op in _RUN_GRAPHS:
                        self.graphs.held(value, clip(f"{self.where}/{node.name}"))
                    else:
                        self._path(node, "input", text(value, 1000))
            for attribute in node.attributes:
                key, content = _entry(attribute)
                for found in _texts(content) if content is not None and not key.startswith("_") else ():
                    self._path(node, key, found)

    def _path(self, node: _Node, key: str, value: str) -> None:
        if value:
            self.sink.fact(
                "tf.path",
                node.offset,
                op=clip(node.op),
                node=clip(node.name),
                graph=clip(self.where),
                key=clip(key),
                value=clip(value, 500),
            )

    def _resolve(self, source: str) -> list[View]:
        """Follow an input backwards through operators that pass text on."""
        found: list[View] = []
        stack, seen = [source], set[str]()
        while stack and len(seen) < 1000:
            name = stack.pop().lstrip("^").partition(":")[0]
            if name in seen:
                continue
            seen.add(name)
            found += self.constants.get(name, ())
            stack += self.passed.get(name, ())
        return found[:100]


def _entry(view: View) -> tuple[str, View | None]:
    """Return key and value of a map entry."""
    key, value = "", None
    for field in fields(view):
        if isinstance(field.value, View):
            if field.number == 1:
                key = text(field.value, 200)
            elif field.number == 2:
                value = field.value
    return key, value


def _texts(value: View) -> list[str]:
    """Return the texts of an AttrValue: one, or a list of them."""
    found: list[str] = []
    for field in fields(value):
        if not isinstance(field.value, View):
            continue
        if field.number == 2:
            found.append(text(field.value, 1000))
        elif field.number == 1:
            found += [text(f.value, 1000) for f in fields(field.value) if f.number == 2 and isinstance(f.value, View)]
    return found[:100]


def read_saved_model(view: View, sink: Sink) -> None:
    """Read a SavedModel. Raises FormatError."""
    graphs = Graphs(sink)
    version = ""
    try:
        for field in fields(view, sink.budget):
            if field.number == 2 and isinstance(field.value, View):
                version = _meta_graph(field.value, graphs)
    finally:
        graphs.report("saved_model", version)


def read_meta_graph(view: View, sink: Sink) -> None:
    """Read a MetaGraphDef. Raises FormatError."""
    graphs = Graphs(sink)
    version = ""
    try:
        version = _meta_graph(view, graphs)
    finally:
        graphs.report("meta_graph", version)


def read_graph(view: View, sink: Sink) -> None:
    """Read a GraphDef. Raises FormatError."""
    graphs = Graphs(sink)
    try:
        graphs.graph(view, "graph")
    finally:
        graphs.report("graph", "")


def _meta_graph(view: View, graphs: Graphs) -> str:
    version = ""
    sink = graphs.sink
    for field in fields(view, sink.budget):
        value = field.value
        if not isinstance(value, View):
            continue
        if field.number == 1:
            version = next((text(f.value, 50) for f in fields(value) if f.number == 5 and isinstance(f.value, View)), "")
        elif field.number == 2:
            graphs.graph(value, "graph")
        elif field.number == 4:
            _collection(value, sink)
        elif field.number == 6:
            for inner in fields(value):
                if inner.number == 2 and isinstance(inner.value, View):
                    sink.fact("tf.asset", position(inner.value), filename=clip(text(inner.value), 1000))
        elif field.number == 7:
            _object_graph(value, sink)
    return version


def _collection(view: View, sink: Sink) -> None:
    """Read an entry of the collections: names of nodes, or bytes of anything."""
    name, value = _entry(view)
    count = 0
    for kind in fields(value) if value is not None else ():
        if kind.number not in (2, 5) or not isinstance(kind.value, View):
            continue
        for item in fields(kind.value, sink.budget):
            if item.number == 1 and isinstance(item.value, View):
                count += 1
                carve(sink, f"collection {clip(name)}[{count - 1}]", item.value.data, item.offset)
    sink.fact("tf.collection", position(view), name=clip(name), values=count)


def _object_graph(view: View, sink: Sink) -> None:
    """Read the metadata of Keras objects that older versions kept in the object graph."""
    for node in fields(view, sink.budget):
        if node.number != 1 or not isinstance(node.value, View):
            continue
        for field in fields(node.value):
            if field.number == 4 and isinstance(field.value, View):
                _user_object(field.value, sink, 1, 3)


def _user_object(view: View, sink: Sink, identifier: int, metadata: int) -> None:
    kind, content = "", None
    for field in fields(view):
        if isinstance(field.value, View):
            if field.number == identifier:
                kind = text(field.value, 200)
            elif field.number == metadata:
                content = field.value
    if content is None or len(content) < 3:
        return
    if len(content) > sink.budget.limits.text:
        sink.incomplete(f"metadata of {clip(kind)}: {len(content)} bytes were not read")
        return
    try:
        read_config(bytes(content.data).decode("utf-8", "replace"), sink, offset=position(content), path=clip(kind))
    except FormatError:
        carve(sink, f"metadata of {clip(kind)}", content.data, position(content))


def read_keras_metadata(view: View, sink: Sink) -> None:
    """Read `keras_metadata.pb` (SavedMetadata): the configuration of every Keras object. Raises FormatError."""
    for field in fields(view, sink.budget):
        if field.number == 1 and isinstance(field.value, View):
            _user_object(field.value, sink, 4, 5)
