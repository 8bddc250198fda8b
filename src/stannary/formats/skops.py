"""skops: the `schema.json` of a skops archive, a tree of typed nodes.

Format: skops `io/` (every node has `__class__`, `__module__`, `__loader__`). Loading imports
`module.class` of most nodes; MethodNode, FunctionNode and OperatorFuncNode are the ones
CVE-2025-54412 and CVE-2025-54413 used. A node is reported once for each distinct name.
"""

from __future__ import annotations

import json

from stannary.core.errors import BudgetExceeded
from stannary.core.model import Json
from stannary.formats.bounded_json import DUPLICATE, load
from stannary.formats.interface import Sink, View, clip

__all__ = ["probe", "read"]

_MAX_NODES = 5_000_000
_KEY = b'"__loader__"'
_OPENING = b" \t\r\n\xef\xbb\xbf"


def probe(view: View) -> bool:
    """Tell whether this is a JSON object with skops nodes: the key in the first or last MiB, or the file's own name."""
    if view.name.replace("\\", "/").rsplit("/", 1)[-1].lower() == "schema.json":
        return view.head(64).lstrip(_OPENING)[:1] == b"{"
    if view.head(64).lstrip(_OPENING)[:1] != b"{":
        return False
    return view.find(_KEY, 0, 1 << 20) >= 0 or view.find(_KEY, max(0, len(view) - (1 << 20))) >= 0


def read(view: View, sink: Sink) -> None:
    """Report every distinct (loader, module, class), methods, functions, operators, and member references.

    Raises FormatError when the JSON cannot be read, BudgetExceeded above the text limit.
    """
    schema = load(view, sink)
    if not isinstance(schema, dict) or ("__loader__" not in schema and "_skops_version" not in schema):
        return
    sink.fact("skops.schema", 0, protocol=_short(schema.get("protocol")), version=_short(schema.get("_skops_version")))
    _Tree(sink).walk(schema)


class _Tree:
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.seen: set[tuple[str, ...]] = set()

    def walk(self, root: dict[str, Json]) -> None:
        """Visit every object of the JSON, iteratively, in order."""
        stack: list[Json] = [root]
        count = 0
        while stack:
            node = stack.pop()
            count += 1
            if count > _MAX_NODES:
                msg = f"more than {_MAX_NODES} nodes"
                raise BudgetExceeded(msg)
            if isinstance(node, dict):
                if "__loader__" in node or "__class__" in node:
                    self._node(node)
                stack.extend(v for v in reversed(list(node.values())) if isinstance(v, (dict, list)))
            elif isinstance(node, list):
                stack.extend(v for v in reversed(node) if isinstance(v, (dict, list)))

    def _node(self, node: dict[str, Json]) -> None:
        loader, module, name = (_short(node.get(k)) for k in ("__loader__", "__module__", "__class__"))
        if DUPLICATE in node:
            self._once("skops.problem", what="duplicate_key", detail=f"{module}.{name} has a key twice")
        self._once("skops.node", loader=loader, module=module, name=name)
        content = node.get("content")
        if loader == "MethodNode":
            self._method(module, name, content)
        elif loader == "OperatorFuncNode":
            self._once("skops.operator", module=module, name=name)
        elif loader == "FunctionNode":
            inner = content if isinstance(content, dict) else {}
            self._once("skops.function", module=_short(inner.get("module_path", module)), name=_short(inner.get("function", name)))
        member = node.get("file")
        if isinstance(member, str) and (".." in member or member.startswith("/") or "\\" in member):
            self._once("skops.problem", what="member", detail=f"member {clip(member)}")

    def _method(self, module: str, name: str, content: Json) -> None:
        inner = content if isinstance(content, dict) else {}
        bound = inner.get("obj") if isinstance(inner.get("obj"), dict) else {}
        owner = f"{_short(bound.get('__module__'))}.{_short(bound.get('__class__'))}" if isinstance(bound, dict) else ""
        self._once(
            "skops.method",
            module=module,
            name=name,
            method=_short(inner.get("func")),
            owner=owner,
            same=owner == f"{module}.{name}",
        )

    def _once(self, kind: str, **data: Json) -> None:
        key = (kind, *map(str, data.values()))
        if key not in self.seen and len(self.seen) < 20_000:
            self.seen.add(key)
            self.sink.fact(kind, None, **data)


def _short(value: Json) -> str:
    return clip(value if isinstance(value, str) else "" if value is None else json.dumps(value), 200)
