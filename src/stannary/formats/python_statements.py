"""Statements of Python source, in the order in which they run."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Iterable

from stannary.core.model import Json
from stannary.formats.python_expressions import Expressions
from stannary.formats.python_folding import NUMBERS
from stannary.formats.python_invoke import origin_of
from stannary.formats.python_names import RUNNERS, is_reported
from stannary.formats.python_values import UNKNOWN, Scope, Value, const, merge_origins, sequence
from stannary.formats.python_visitors import answers, called_by, is_framework, is_served

__all__ = ["Statements"]

_TEXT = 400
# As a decorator, one of these is called with what it decorates.
_DIRECT = frozenset({"os", "posix", "nt", "subprocess", "pty", "builtins", "eval", "exec", "compile", "__import__"})
_MAX_ITEMS = 4096
_FEWEST = 4


class Statements(Expressions):
    """Reads bodies of modules, classes and functions."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.function = ""
        self.branch = 0
        self.returns: list[Value] = []
        self.handlers: list[Value] = []  # what a framework calls with what a visitor sent

    @abstractmethod
    def report(self, kind: str, **data: Json) -> None:
        """Report a fact."""

    def body(self, statements: Iterable[ast.stmt]) -> None:
        """Read statements in order."""
        for statement in statements:
            method = getattr(self, "_s_" + type(statement).__name__.lower(), None)
            if method is not None:
                method(statement)
            else:
                self._generic(statement)

    def _generic(self, node: ast.AST) -> None:
        """Evaluate all expressions of a statement and read its blocks as branches."""
        self.branch += 1
        for _, field in ast.iter_fields(node):
            for child in field if isinstance(field, list) else (field,):
                if isinstance(child, ast.expr):
                    self.eval(child)
                elif isinstance(child, ast.stmt):
                    self.body((child,))
                elif isinstance(child, (ast.excepthandler, ast.match_case)):
                    self._generic(child)
        self.branch -= 1

    def _s_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind_name(
                alias.asname or alias.name.partition(".")[0], Value(alias.name if alias.asname else alias.name.partition(".")[0])
            )

    def _s_importfrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
                continue
            name = alias.name if module == "builtins" else f"{module}.{alias.name}" if node.module else f"{module}{alias.name}"
            self._bind_name(alias.asname or alias.name, Value(name, origin_of(name)))

    def _s_assign(self, node: ast.Assign) -> None:
        value = self.eval(node.value)
        for target in node.targets:
            self.bind(target, value)

    def _s_annassign(self, node: ast.AnnAssign) -> None:
        self.eval(node.annotation)
        if node.value is not None:
            self.bind(node.target, self.eval(node.value))

    def _s_augassign(self, node: ast.AugAssign) -> None:
        self.bind(node.target, self.eval(ast.BinOp(_as_load(node.target), node.op, node.value)))

    def _s_for(self, node: ast.For | ast.AsyncFor) -> None:
        iterated = self.eval(node.iter)
        items = iterated.items or ()
        if _is_spelled(node) and _FEWEST <= len(items) <= _MAX_ITEMS and all(item.known for item in items):
            self._spell(node, items)
            return
        self.branch += 1
        element = Value(f"{iterated.name}[]" if iterated.name else "", iterated.origins)
        element.own = iterated.own
        for item in items[:64]:
            element = element.either(item) if element.name or element.known or element.node or element.items else item
        self.bind(node.target, element)
        self.body(node.body)
        self.body(node.orelse)
        self.branch -= 1

    _s_asyncfor = _s_for

    def _spell(self, node: ast.For | ast.AsyncFor, items: tuple[Value, ...]) -> None:
        """Run a loop that puts a text together, item by item."""
        for item in items:
            self.bind(node.target, item)
            self.body(node.body)
        self.body(node.orelse)
        for statement in node.body:
            name = statement.target.id if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name) else ""
            value = self.scope.names.get(name, UNKNOWN)
            if isinstance(value.const, (str, bytes)) and "chr" in value.origins:
                self.scope.names[name] = const(value.const, value.origins | {NUMBERS})

    def _s_if(self, node: ast.If) -> None:
        current: ast.If | None = node
        while current is not None:  # a long elif chain is a loop, not recursion
            guard = _main_guard(current.test)
            mode = self.mode
            self.eval(current.test)
            self.branch += 0 if guard else 1
            if guard and self.mode == "import":
                self.mode = "main"
            self.body(current.body)
            self.mode = mode
            self.branch -= 0 if guard else 1
            rest = current.orelse
            current = rest[0] if len(rest) == 1 and isinstance(rest[0], ast.If) else None
            if current is None and rest:
                self.branch += 1
                self.body(rest)
                self.branch -= 1

    def _s_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.eval(item.context_expr)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value)
        self.body(node.body)

    _s_asyncwith = _s_with

    def _s_return(self, node: ast.Return) -> None:
        value = self.eval(node.value)
        self.returns.append(value)
        method = self.function.rpartition(".")[2]
        if method in {"__reduce__", "__reduce_ex__"} and value.items and (value.items[0].name or value.items[0].node is not None):
            callee = value.items[0]
            data: dict[str, Json] = {
                "callee": callee.name or getattr(callee.node, "name", "lambda"),
                "class": self.function.rpartition(".")[0],
            }
            self.report(
                "python.reduce",
                args=[a.shown(_TEXT) for a in (value.items[1].items or ())][:8] if len(value.items) > 1 else [],
                line=node.lineno,
                **data,
            )

    def _s_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for expression in (*node.args.defaults, *node.args.kw_defaults, *(a.annotation for a in arguments), node.returns):
            self.eval(expression)
        value = Value()
        value.node, value.scope = node, self.scope
        self.pending[id(node)] = value
        self._decorate(value, node)
        if self.scope.label == "<module>" and is_served(node, self.scope.names.values()):
            self.handlers.append(value)
        self._bind_name(node.name, value)
        if node.name == "__getattr__" and self.scope.parent is None and self.scope.label == "<module>":
            self._invoke(value, [UNKNOWN], {}, frozenset())  # PEP 562: run by `from module import anything`

    _s_asyncfunctiondef = _s_functiondef

    def _decorate(self, value: Value, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Call the decorators, the last one first, with what they are given."""
        decorated = value
        for applied in reversed([self.eval(decorator) for decorator in node.decorator_list]):
            self.line = node.lineno
            root, _, last = applied.name.rpartition(".")
            if is_framework(applied.name):
                self.handlers += called_by(value)
            if applied.node is not None or last in RUNNERS or root in _DIRECT or last in _DIRECT:
                outcome = self._invoke(applied, [decorated], {}, applied.origins)
                decorated = outcome if outcome.known else value

    def _s_classdef(self, node: ast.ClassDef) -> None:
        bases = [self.eval(base) for base in node.bases]
        keywords = {k.arg or "**": self.eval(k.value) for k in node.keywords}
        value = Value()
        value.node, value.scope = node, Scope(node.name, self.scope)
        value.items = tuple(bases)
        outer, name = self.scope, self.function
        self.scope, self.function = value.scope, f"{name}.{node.name}".strip(".")
        self.body(node.body)
        self.scope, self.function = outer, name
        for base in bases:
            if base.node is not None and base.scope is not None:
                for key, member in base.scope.names.items():
                    value.scope.names.setdefault(key, member)
        for maker, names in (
            (keywords.get("metaclass"), ("__prepare__", "__new__", "__init__", "__call__")),
            *((base, ("__init_subclass__",)) for base in bases),
        ):
            for name_ in names if maker is not None and maker.scope is not None else ():
                found = maker.scope.names.get(name_) if maker is not None and maker.scope is not None else None
                if found is not None and found.node is not None:
                    self._invoke(found, [], {}, frozenset())
        self._decorate(value, node)
        self.handlers += answers([base.name for base in bases], value)
        methods = [m.name for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
        self.report(
            "python.class",
            name=node.name,
            bases=[b.name for b in bases if b.name],
            methods=methods[:80],
            bound=_bound(value.scope),
            line=node.lineno,
        )
        self._bind_name(node.name, value)

    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target expression."""
        if isinstance(target, ast.Name):
            self._bind_name(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            items = value.items if value.items is not None and len(value.items) == len(target.elts) else None
            for index, element in enumerate(target.elts):
                self.bind(element, items[index] if items else Value(f"{value.name}[]" if value.name else "", value.origins))
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value)
        elif isinstance(target, ast.Attribute):
            base = self.eval(target.value)
            holder = base.owner if base.node is None and base.owner is not None else base
            if holder.scope is not None and isinstance(holder.node, ast.ClassDef):
                previous = holder.scope.names.get(target.attr)
                holder.scope.names[target.attr] = value if previous is None or previous is UNKNOWN else previous.either(value)
            elif base.name and "(" not in base.name and "[" not in base.name:
                self.line = target.lineno
                self.called(Value(f"{base.name}.{target.attr}.__set__"), [value], {}, value.origins)
        elif isinstance(target, ast.Subscript):
            self._bind_item(target, value)

    def _bind_item(self, target: ast.Subscript, value: Value) -> None:
        base, key = self.eval(target.value), self.eval(target.slice)
        if base.name == "sys.modules" and key.known:
            self.line = target.lineno
            self.called(Value("sys.modules.__setitem__"), [key, value], {}, value.origins)
        elif base.name == "os.environ" and key.known:
            self.line = target.lineno
            self.called(Value("os.environ.__setitem__"), [key, value], {}, value.origins)
        grows = base.items is not None and key.known and len(base.items) < _MAX_ITEMS and (base.keys or not base.items)
        if grows and base.items is not None and isinstance(target.value, ast.Name) and key.const not in base.keys:
            self._bind_name(target.value.id, sequence((*base.items, value), (*base.keys, key.const)))
            return
        if isinstance(target.value, ast.Name) and value.origins - base.origins:
            changed = base.copy()
            changed.origins = merge_origins((base, value))
            self._bind_name(target.value.id, changed)

    def _bind_name(self, name: str, value: Value) -> None:
        names = self.scope.names
        previous = names.get(name) if self.branch else None
        names[name] = value if previous is None else previous.either(value)


def _bound(scope: Scope) -> list[str]:
    """Return the special methods of a class that are functions of others: `__class_getitem__ = os.system`."""
    found = [
        f"{key} = {other.name}"
        for key, member in scope.names.items()
        if key.startswith("__") and key.endswith("__")
        for other in member.options()
        if other.node is None and other.name and "(" not in other.name and is_reported(other.name)
    ]
    return found[:20]


def _is_spelled(node: ast.For | ast.AsyncFor) -> bool:
    """Tell whether a loop does nothing but add to variables."""
    return all(isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name) and isinstance(s.op, ast.Add) for s in node.body)


def _main_guard(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides) and any(
        isinstance(s, ast.Constant) and s.value == "__main__" for s in sides
    )


def _as_load(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target
