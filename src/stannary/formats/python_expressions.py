"""Expressions of Python source read symbolically: which outside names are called, and with what.

Nothing of the source is run. Names are followed through imports, aliases, assignments,
`getattr`, `__import__`, `sys.modules`, `globals()` and `__dict__`; strings through the pure
functions of `python_values`; functions of the file itself are read where they are called.
"""

from __future__ import annotations

import ast
import builtins
from abc import abstractmethod
from collections.abc import Callable

from stannary.core.errors import BudgetExceeded
from stannary.formats.python_folding import element, elements, fold_method, operate
from stannary.formats.python_invoke import MAX_NAME, NAMESPACES, SELF, Invocations
from stannary.formats.python_own import FILE, NAMES, named
from stannary.formats.python_values import UNKNOWN, Value, const, merge_origins, sequence, text_value

__all__ = ["BUILTIN_NAMES", "Expressions"]

BUILTIN_NAMES = frozenset({*dir(builtins), "__builtins__"})
_OPERATIONS = 1_500_000


class Expressions(Invocations):
    """Evaluates expressions to `Value`s; statements and reports are `Flow`'s."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _OPERATIONS
        self.pending: dict[int, Value] = {}  # functions and lambdas, read in the end unless they are called before
        self._table: dict[type[ast.AST], Callable[..., Value]] = {}

    def eval(self, node: ast.expr | None) -> Value:
        """Return what an expression may be."""
        if node is None:
            return UNKNOWN
        self._left -= 1
        if self._left < 0:
            msg = f"more than {_OPERATIONS} steps of source"
            raise BudgetExceeded(msg)
        method = self._table.get(type(node))
        if method is None:
            method = getattr(self, "_e_" + type(node).__name__.lower(), None) or self._children
            self._table[type(node)] = method
        return method(node)

    def _children(self, node: ast.AST) -> Value:
        values = [self.eval(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return Value("", merge_origins(values)) if values else UNKNOWN

    def _e_constant(self, node: ast.Constant) -> Value:
        return const(node.value) if isinstance(node.value, (str, bytes, int, float, type(None))) else UNKNOWN

    def _e_name(self, node: ast.Name) -> Value:
        found = self.scope.find(node.id)
        if found is not None:
            return found
        if node.id in BUILTIN_NAMES or node.id == "get_ipython":  # a name of the interactive shell
            value = Value(node.id)
            value.own = NAMES.get(node.id, "")
            return value
        if node.id in NAMES:
            return named(node.id)
        if self.stars:
            return Value(f"{self.stars[-1]}.{node.id}")
        return UNKNOWN

    def _e_list(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        if len(node.elts) > 65_536:
            return UNKNOWN
        items: list[Value] = []
        for child in node.elts:
            value = self.eval(child.value if isinstance(child, ast.Starred) else child)
            if isinstance(child, ast.Starred) and value.items is not None:
                items.extend(value.items)
            else:
                items.append(value)
        return sequence(items)

    _e_tuple = _e_list
    _e_set = _e_list

    def _e_dict(self, node: ast.Dict) -> Value:
        keys = [self.eval(key) for key in node.keys]
        return sequence([self.eval(value) for value in node.values], tuple(k.const if k.known else None for k in keys))

    def _e_starred(self, node: ast.Starred) -> Value:
        return self.eval(node.value)

    def _e_joinedstr(self, node: ast.JoinedStr) -> Value:
        values = [self.eval(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values]
        texts = [v.as_text() for v in values]
        return text_value(
            "".join("{}" if t is None else t for t in texts), merge_origins(values), exact=all(v.known for v in values)
        )

    def _e_ifexp(self, node: ast.IfExp) -> Value:
        self.eval(node.test)
        return self.eval(node.orelse).either(self.eval(node.body))

    def _e_boolop(self, node: ast.BoolOp) -> Value:
        result = self.eval(node.values[0])
        for value in node.values[1:]:
            result = result.either(self.eval(value))
        return result

    def _e_namedexpr(self, node: ast.NamedExpr) -> Value:
        value = self.eval(node.value)
        self.scope.names[node.target.id] = value
        return value

    def _e_await(self, node: ast.Await) -> Value:
        return self.eval(node.value)

    def _e_lambda(self, node: ast.Lambda) -> Value:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            self.eval(default)  # evaluated where the lambda is written, called or not
        value = Value()
        value.node, value.scope = node, self.scope
        self.pending[id(node)] = value
        return value

    def _e_binop(self, node: ast.BinOp) -> Value:
        chain: list[tuple[ast.operator, ast.expr]] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):  # long sums lean left; a loop, not recursion
            chain.append((left.op, left.right))
            left = left.left
        value = self.eval(left)
        for op, right in reversed(chain):
            value = operate(op, value, self.eval(right))
        return value

    def _e_unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.eval(node.operand)
        if value.known and isinstance(value.const, int) and isinstance(node.op, (ast.USub, ast.Invert)):
            return const(-value.const if isinstance(node.op, ast.USub) else ~value.const, value.origins)
        return Value("", value.origins)

    def _e_subscript(self, node: ast.Subscript) -> Value:
        base, index = self.eval(node.value), self.eval(node.slice)
        origins = merge_origins((base, index))
        if base.name == "sys.modules" and isinstance(node.slice, ast.Name) and node.slice.id == "__name__":
            return Value(SELF)
        special = self._special_method(base, "__getitem__")
        if special is not None:
            return self.enter(special, [index], {})
        if isinstance(node.slice, ast.Slice):
            return self._slice(base, node.slice, origins)
        if index.known:
            if base.items is not None:
                return element(base, index.const, origins)
            if base.known and isinstance(base.const, (str, bytes)) and isinstance(index.const, int):
                return const(base.const[index.const], origins) if -len(base.const) <= index.const < len(base.const) else UNKNOWN
            if base.name and isinstance(index.const, str):
                return self._named_item(base, index.const, origins)
        if base.name == "sys.modules" or base.name in NAMESPACES or base.name.endswith("__dict__"):
            result = Value(f"{base.name.removesuffix('.__dict__')}.<?>", origins)
            result.dynamic = True
            return result
        result = Value(f"{base.name}[]"[:MAX_NAME] if base.name else "", origins)
        result.own = FILE if base.name == "sys.argv" and index.const == 0 else base.own
        return result

    def _slice(self, base: Value, node: ast.Slice, origins: frozenset[str]) -> Value:
        bounds = [None if n is None else self.eval(n) for n in (node.lower, node.upper, node.step)]
        values = [None if b is None else b.const for b in bounds]
        if all(b is None or (b.known and isinstance(b.const, int)) for b in bounds) and values[2] != 0:
            if base.known and isinstance(base.const, (str, bytes)):
                # Text read backwards is text that was written to be hidden.
                return const(base.const[slice(*values)], origins | {"str[::-1]"} if values[2] == -1 else origins)
            if base.items is not None and not base.keys:
                return sequence(base.items[slice(*values)])
        result = Value(base.name, origins)
        result.subject = base.subject
        return result

    def _e_attribute(self, node: ast.Attribute) -> Value:
        return self._members(self.eval(node.value), node)

    def _e_call(self, node: ast.Call) -> Value:
        function = node.func
        receiver: Value | None = None
        if isinstance(function, ast.Attribute):
            receiver = self.eval(function.value)
            target = self._members(receiver, function)
        else:
            target = self.eval(function)
        args = self._arguments(node)
        if receiver is not None and receiver.items is not None and isinstance(function, ast.Attribute):
            self._grow(receiver, function, args)
        keywords = {k.arg or "**": self.eval(k.value) for k in node.keywords}
        self.line = node.lineno
        if (
            receiver is not None
            and isinstance(function, ast.Attribute)
            and (receiver.known or receiver.text is not None)
            and function.attr != "joinpath"
            and target.node is None
        ):
            folded = fold_method(receiver, function.attr, args, merge_origins((receiver, *args)))
            if folded is not None:
                return folded
        result: Value | None = None
        for option in target.options():
            outcome = self._invoke(option, args, keywords, target.origins)
            result = outcome if result is None else outcome.either(result)
        return result or UNKNOWN

    def _grow(self, receiver: Value, function: ast.Attribute, args: list[Value]) -> None:
        """Follow what is appended to a list or set that has a name."""
        if (
            function.attr in {"append", "add", "insert", "appendleft"}
            and args
            and isinstance(function.value, ast.Name)
            and not receiver.keys
        ):
            self.bind(function.value, sequence((*(receiver.items or ())[:4096], args[-1])))

    def _arguments(self, node: ast.Call) -> list[Value]:
        args: list[Value] = []
        for arg in node.args:
            value = self.eval(arg)
            if isinstance(arg, ast.Starred) and value.items is not None:
                args.extend(value.items)
            else:
                args.append(value)
        return args

    def _e_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Value:
        generator = node.generators[0]
        source = self.eval(generator.iter)
        items = elements(source)
        if len(node.generators) == 1 and not generator.ifs and items is not None and len(items) <= 4096:
            results = []
            for item in items:
                self.bind(generator.target, item)
                results.append(self.eval(node.elt))
            value = sequence(results)
            value.origins |= source.origins
            return value
        for comprehension in node.generators:
            iterated = self.eval(comprehension.iter)
            self.bind(comprehension.target, Value(f"{iterated.name}[]" if iterated.name else "", iterated.origins))
            for test in comprehension.ifs:
                self.eval(test)
        value = self.eval(node.elt)
        return Value("", value.origins | source.origins)

    _e_generatorexp = _e_listcomp
    _e_setcomp = _e_listcomp

    def _e_dictcomp(self, node: ast.DictComp) -> Value:
        for comprehension in node.generators:
            iterated = self.eval(comprehension.iter)
            self.bind(comprehension.target, Value("", iterated.origins))
        return Value("", merge_origins((self.eval(node.key), self.eval(node.value))))

    @abstractmethod
    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target expression."""
