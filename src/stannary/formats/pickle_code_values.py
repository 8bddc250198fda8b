"""Symbolic values of a pickle as values of `python_flow`: modules, functions with their scopes, classes, cells, data."""

from __future__ import annotations

import ast
from typing import Any

from stannary.formats.bytecode import Code
from stannary.formats.bytecode_flow import lift
from stannary.formats.bytecode_lift import Work
from stannary.formats.bytecode_nodes import LOCAL
from stannary.formats.pickle_code_parts import Parts, last_name, made_by, pairs, raw_bytes
from stannary.formats.pickle_values import Blob, Global, Made, Map, root_name
from stannary.formats.python_values import UNKNOWN, Scope, Value, const, sequence

__all__ = ["Builder"]

_DEEPEST = 24
_WIDEST = 512
_BUILTIN = ("builtins", "__builtin__")
_WRAPPERS = frozenset({
    "MethodType",
    "staticmethod", "classmethod", "property", "StaticMethodType", "ClassMethodType", "PropertyType",
    "cached_property",
})  # fmt: skip
_PLAIN_TYPES = frozenset({
    "super", "range", "zip", "map", "filter", "enumerate", "reversed", "slice", "set", "frozenset", "list", "dict",
    "tuple", "int", "float", "complex", "bytes", "bytearray", "memoryview", "object", "type", "str", "bool",
})  # fmt: skip
# Names by which dill's `_load_type` knows types that have another name, or none, among the built-ins.
_TYPES = {
    "TypeType": "type", "ClassType": "type", "ObjectType": "object", "NoneType": "None", "StaticMethodType": "staticmethod",
    "ClassMethodType": "classmethod", "PropertyType": "property", "PartialType": "functools.partial", "FunctionType":
    "types.FunctionType",
    "CodeType": "types.CodeType", "ModuleType": "types.ModuleType", "MappingProxyType": "types.MappingProxyType",
}  # fmt: skip


class Builder:
    """Builds values for one version. What is built once is the same object whenever it is met again."""

    def __init__(self, parts: Parts, version: tuple[int, int], work: Work) -> None:
        self.parts = parts
        self.version = version
        self.work = work
        self.broken: list[str] = []
        self.used: set[int] = set()
        self.words: dict[int, list[str]] = {}
        self._known: dict[int, Value] = {}
        self._globals: dict[int, Scope] = {}

    def value(self, item: Any, depth: int = 0) -> Value:  # noqa: ANN401 - symbolic; one case a type
        """Return the value that a symbolic value would be."""
        kind = type(item)
        if item is None or kind in (str, bytes, int, float, bool):
            return const(item)
        if kind is Global:
            return Value(item.name if item.module in _BUILTIN else f"{item.module}.{item.name}")
        if depth > _DEEPEST:
            return UNKNOWN
        if kind in (tuple, list):
            return sequence([self.value(part, depth + 1) for part in item[:_WIDEST]])
        if kind is Map:
            found = pairs(item)
            kept = list(found)[:_WIDEST]
            return sequence([self.value(found[key], depth + 1) for key in kept], tuple(kept))
        if kind is Blob:
            raw = raw_bytes(item, self.parts.content) if item.kind != "text" else None
            return UNKNOWN if raw is None else const(raw)
        return self._made(item, depth) if kind is Made else UNKNOWN

    def _made(self, item: Made, depth: int) -> Value:
        if type(item.args) is not tuple:
            return UNKNOWN
        kind = made_by(item)
        key = id(item) if kind == "cell" or item.args == () else id(item.args)
        known = self._known.get(key)
        if known is not None:
            return known
        if kind in {"function", "class"}:
            value = self._known[key] = Value()
            (self._function if kind == "function" else self._class)(value, item, depth)
            return value
        value = self._known[key] = self._other(item, kind, depth)
        return value

    def _other(self, item: Made, kind: str, depth: int) -> Value:
        if kind == "cell":
            contents = self.parts.cells.get(id(item), item.args[0] if item.args else None)
            return self.value(contents, depth + 1)
        if kind == "module" and item.args and type(item.args[0]) is str:
            self.parts.functions.add(id(item.args))  # what code does with it is seen where it does so
            return Value(item.args[0])
        root = root_name(item)
        if root is not None and root[1].rpartition(".")[2] in {"_load_type", "_builtin_type"} and len(item.args) == 1:
            named = item.args[0] if type(item.func) is Global else None
            if type(named) is str:
                plain = named.removesuffix("Type").lower()
                return Value(_TYPES.get(named) or (plain if plain in _PLAIN_TYPES else named))
        name = last_name(item.func)
        if name in _WRAPPERS and item.args:
            return self.value(next((a for a in item.args if a is not None), None), depth + 1)
        if root in {("functools", "partial"), ("_functools", "partial")} and item.args:
            return self.value(item.args[0], depth + 1)
        if item.how.startswith("NEWOBJ") or kind == "":
            owner = self.value(item.func, depth + 1) if type(item.func) is Made else None
            if owner is not None and owner.node is not None:
                value = Value()
                value.owner = owner
                return value
        if root is None or (root == ("dill._dill", "_eval_repr") and item.args in (("Ellipsis",), ("NotImplemented",))):
            return UNKNOWN  # of the latter two neither does anything
        name = root[1] if root[0] in _BUILTIN else f"{root[0]}.{root[1]}"
        return Value(f"{name}()")

    # Functions

    def _function(self, value: Value, item: Made, depth: int) -> None:
        made = item.args[0] if item.args else None
        code = self.parts.code(made.args) if type(made) is Made and made_by(made) == "code" and type(made.args) is tuple else None
        if code is None or type(made) is not Made:
            return
        self.used.add(id(made.args))
        node = self.node(code)
        state = self._state(item)
        scope = Scope("<function>", self._scope(item, state, depth))
        self._closure(scope, code, item, state, depth)
        value.node, value.scope = node, scope
        defaults = state.get("__defaults__", state.get("defaults", item.args[3] if len(item.args) > 3 else None))
        self._defaults(node, scope, defaults, state.get("__kwdefaults__", state.get("kwdefaults")), depth)

    def _state(self, item: Made) -> dict[str, Any]:
        """Return everything that fills a function after it was made."""
        found: dict[str, Any] = {}
        for state in self.parts.fills.get(id(item.args), ()):
            for part in state if type(state) is tuple else (state,):
                found.update(pairs(part))
        if type(item.state) is tuple:
            for part in item.state:
                found.update(pairs(part))
        return found

    def _scope(self, item: Made, state: dict[str, Any], depth: int) -> Scope:
        """Return the scope of a function's globals; functions that share the dict share the scope."""
        sources = [state.get("__globals__", state.get("globals")), item.args[1] if len(item.args) > 1 else None]
        if made_by(item) and len(item.args) > 2 and type(item.args[2]) is Map:
            sources.append(item.args[2])
        maps = [m for m in sources if type(m) is Map]
        key = id(maps[0]) if maps else 0
        if key in self._globals:
            return self._globals[key]
        scope = self._globals[key] = Scope("<module>")
        for source in reversed(maps):
            for part in (source, *self.parts.maps.get(id(source), ())):
                for name, given in list(pairs(part).items())[: 8 * _WIDEST]:
                    scope.names[name] = self.value(given, depth + 1)
        return scope

    def _closure(self, scope: Scope, code: Code, item: Made, state: dict[str, Any], depth: int) -> None:
        given = [
            cells
            for cells in (state.get("__closure__", state.get("closure_values")), item.args[4] if len(item.args) > 4 else None)
            if type(cells) in (tuple, list)
        ]
        for place, name in enumerate(code.free):
            for cells in given:
                if cells is not None and place < len(cells):
                    found = self.value(cells[place], depth + 1)
                    if found is not UNKNOWN and not (found.known and found.const is None):
                        scope.names[LOCAL + name] = found
                        break

    def _defaults(self, node: ast.FunctionDef, scope: Scope, defaults: Any, named: Any, depth: int) -> None:  # noqa: ANN401 - symbolic
        def default(index: object, given: Any) -> ast.expr:  # noqa: ANN401 - symbolic
            name = f"{LOCAL}default{id(node)}{index}"
            scope.names[name] = self.value(given, depth + 1)
            return ast.Name(name, ast.Load(), lineno=node.lineno, col_offset=0)

        if type(defaults) in (tuple, list) and len(defaults) <= len(node.args.args):
            node.args.defaults = [default(index, given) for index, given in enumerate(defaults)]
        only = pairs(named)
        node.args.kw_defaults = [
            default(a.arg, only[a.arg.removeprefix(LOCAL)]) if a.arg.removeprefix(LOCAL) in only else None
            for a in node.args.kwonlyargs
        ]

    def node(self, code: Code) -> ast.FunctionDef:
        """Return the definition of a function that has this code, each time a new one."""
        node, broken = lift(code, self.version, self.work)
        self.broken += broken[: max(0, 32 - len(self.broken))]
        self.words[id(node)] = _words(code)
        return node

    def bare(self, code: Code) -> Value:
        """Return a function of code alone."""
        value = Value()
        module = Scope("<module>")
        module.names.update({name: Value(dotted) for name, dotted in self.parts.names.items()})
        value.node, value.scope = self.node(code), Scope("<function>", module)
        return value

    # Classes

    def _class(self, value: Value, item: Made, depth: int) -> None:
        names = [a for a in item.args[:3] if type(a) is str]
        name = (names[0] if names else "?").replace("\0", "?")
        scope = Scope(name.lstrip("<") or "?", Scope("<module>"))
        value.node = ast.ClassDef(name, [], [], [], [], lineno=1, col_offset=0)
        value.scope = scope
        members = {key: given for part in item.args if type(part) is Map for key, given in pairs(part).items()}
        members.update(self._state(item))
        for part in item.args:  # `types.new_class` runs a partial of dill's `_setitems`, whose keywords are the members
            for filling in part.state if type(part) is Made and type(part.state) is tuple else ():
                for source in pairs(filling).values():
                    members.update(pairs(source))
        for key, given in list(members.items())[: 4 * _WIDEST]:
            member = self.value(given, depth + 1)
            if isinstance(member.node, ast.FunctionDef) and member.scope is not None:
                member = member.copy()
                method = Scope(scope.label, member.scope)
                method.names = scope.names
                member.scope = method
                member.owner = None
            scope.names[key] = member
        bases = next((a for a in item.args if type(a) is tuple), ())
        value.items = tuple(self.value(base, depth + 1) for base in bases[:_WIDEST])
        for base in value.items:
            if base.node is not None and base.scope is not None:
                for key, inherited in base.scope.names.items():
                    scope.names.setdefault(key, inherited)


def _words(code: Code) -> list[str]:
    """Return all names of a code object and of the code in it, each behind a dot, and constants that could be names."""
    found: dict[str, None] = {}
    todo = [code]
    while todo and len(found) < 4 * _WIDEST:
        item = todo.pop()
        found.update(dict.fromkeys(f".{name}" for name in item.names))
        for value in item.consts:
            if isinstance(value, Code):
                todo.append(value)
            elif isinstance(value, str) and len(value) < 64 and value.replace(".", "_").isidentifier():
                found[value] = None
    return list(found)
