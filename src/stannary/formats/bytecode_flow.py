"""Lifted bytecode followed like source: the same facts, and every outside name that the code touches.

`CodeFlow` is `python_flow.Flow` for the trees that `bytecode_lift` makes. What it adds is a list of everything
outside that the code names or calls (`touched`), of attributes of values that nobody knows (`attributes`), of globals
that are nowhere (`missing`), and of what cannot be told (`unclear`): only what is known completely can be harmless.
"""

from __future__ import annotations

import ast
import re

from stannary.core.model import Json
from stannary.formats.bytecode import Code, table
from stannary.formats.bytecode_functions import define
from stannary.formats.bytecode_lift import Lifter, Work
from stannary.formats.bytecode_nodes import LOCAL, Function, Marker
from stannary.formats.interface import Sink
from stannary.formats.python_expressions import BUILTIN_NAMES
from stannary.formats.python_flow import Flow
from stannary.formats.python_names import RUNNERS
from stannary.formats.python_values import UNKNOWN, Scope, Value

__all__ = ["CodeFlow", "lift"]

_IMPORT = LOCAL + "import"
_TEMPORARY = re.compile("\0\\d*\0?")
_MOST = 2000
_STEPS = 200_000
_WRAPPERS = {
    "property": "property",
    "functools.cached_property": "cached_property",
    "staticmethod": "staticmethod",
    "classmethod": "",
}
_OWN_NAMES = frozenset({"__name__", "__file__", "__module__", "__qualname__", "__doc__", "__annotations__", "__path__"})
# What everybody calls these modules: a function that dill took from a program finds them among the names of the one that loads it.
_MODULES = frozenset({
    "base64", "builtins", "collections", "copy", "ctypes", "datetime", "functools", "gc", "importlib", "io", "itertools",
    "json", "logging", "marshal", "math", "operator", "os", "pathlib", "pickle", "random", "re", "requests", "shutil",
    "socket", "statistics", "string", "subprocess", "sys", "tempfile", "threading", "time", "typing", "urllib", "warnings",
    "joblib", "keras", "lightgbm", "nltk", "numpy", "pandas", "scipy", "sklearn", "statsmodels", "tensorflow", "torch",
    "torchvision", "transformers", "xgboost",
})  # fmt: skip
_CONVENTIONS = dict(zip(_MODULES, _MODULES, strict=True)) | {
    "np": "numpy", "pd": "pandas", "tf": "tensorflow", "nn": "torch.nn", "F": "torch.nn.functional", "sp": "scipy", "xgb":
    "xgboost", "lgb": "lightgbm", "plt": "matplotlib.pyplot", "sns": "seaborn", "jnp": "jax.numpy", "sm": "statsmodels.api",
}  # fmt: skip
_QUIET_MEMBERS = frozenset({"__init__", "__name__", "__doc__", "__class__", "__dict__", "__module__", "__qualname__"})


def lift(code: Code, version: tuple[int, int], work: Work) -> tuple[ast.FunctionDef, list[str]]:
    """Return the definition of a code object's function in one version, and what did not add up."""
    lifted = Lifter(code, table(version), work).lift()
    return define(code, lifted.body), lifted.broken


class CodeFlow(Flow):
    """Follows lifted code. `prefix` is put before the kinds of facts, `extra` is added to each."""

    def __init__(self, sink: Sink, *, entry: str = "function", prefix: str = "python.", **extra: Json) -> None:
        super().__init__(sink, entry=entry)
        self._left = _STEPS
        self.prefix = prefix
        self.extra: dict[str, Json] = extra
        self.root = self.scope
        self.touched: dict[str, None] = {}
        self.called_names: dict[str, None] = {}
        self.attributes: dict[str, None] = {}
        self.missing: dict[str, None] = {}
        self.unclear: dict[str, None] = {}
        self.stored: set[str] = set()  # attributes that are set
        self.switched = False  # a member `eval` was named

    def start(self, **extra: Json) -> None:
        """Begin the account of another function."""
        self.extra = extra
        self.touched, self.called_names, self.attributes, self.missing, self.unclear = {}, {}, {}, {}, {}

    def run(self, value: Value, mode: str) -> None:
        """Read one function as if it were called with nothing known, then the functions in it that it never calls."""
        self.mode = mode
        self._run(value, [], {})
        self.mode = "function"
        while self.pending:
            key, inner = self.pending.popitem()
            if key not in self._reached:
                self._run(inner, [], {})

    def top(self, node: ast.FunctionDef) -> None:
        """Read the code of a module as it runs when it is imported, then the functions that it never calls."""
        self.body(node.body)
        entry, self.mode = self.mode, "function"
        while self.pending:
            key, value = self.pending.popitem()
            if key not in self._reached:
                self._run(value, [], {})
        self.mode = entry

    def note(self, where: dict[str, None], what: str) -> None:
        """Add to an account; what does not fit any more is unclear."""
        if what in where:
            return
        if len(where) < _MOST:
            where[what] = None
        else:
            self.unclear["more names than are kept"] = None

    def touch(self, value: Value) -> Value:
        """Note the outside names that a value may stand for."""
        for option in value.options():
            if option.name and option.node is None and not option.name.startswith(LOCAL):
                self.note(self.touched, option.name)
        return value

    # Expressions

    def _e_name(self, node: ast.Name) -> Value:
        name = node.id
        if name == _IMPORT:
            return Value(_IMPORT)
        found = self.scope.find(name)
        if found is None and name.startswith(LOCAL):
            return UNKNOWN
        if found is not None:
            return self.touch(found)
        if name in _OWN_NAMES:
            return UNKNOWN
        if name in BUILTIN_NAMES:
            return self.touch(Value(name))
        if self.stars:
            return self.touch(Value(f"{self.stars[-1]}.{name}"))
        if name in _CONVENTIONS:
            return self.touch(Value(_CONVENTIONS[name]))
        self.note(self.missing, name)
        return UNKNOWN

    def _e_marker(self, _node: Marker) -> Value:
        return UNKNOWN

    def _e_function(self, node: Function) -> Value:
        value = Value()
        value.node, value.scope = node.node, self.scope
        self.pending[id(node.node)] = value
        return value

    def _members(self, base: Value, node: ast.Attribute) -> Value:
        if node.attr == "eval":
            self.switched = True  # of a network: called without arguments, or noted below
        if not any(o.name or o.node is not None or o.known or o.items is not None for o in base.options()) and node.attr != "eval":
            self.note(self.attributes, node.attr)
        return self.touch(super()._members(base, node))

    def _e_call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "eval" and node.args:
            self.note(self.attributes, "eval")  # of a frame it evaluates text; modules of networks have one without arguments
        return super()._e_call(node)

    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign to a target; an attribute or item of something outside is a change of the outside."""
        if isinstance(target, ast.Attribute):
            self.stored.add(target.attr)
            owner = self.eval(target.value)
            if owner.name and "(" not in owner.name and owner.node is None:
                self.note(self.unclear, f"sets {owner.name}.{target.attr}"[:160])
        super().bind(target, value)

    def _bind_name(self, name: str, value: Value) -> None:
        if self.scope.label == "<function>" and not name.startswith(LOCAL):
            home = self.scope
            while home.parent is not None:
                home = home.parent
            previous = home.names.get(name)  # STORE_GLOBAL
            home.names[name] = value if previous is None else previous.either(value)
            return
        super()._bind_name(name, value)

    # Calls

    def _parameters(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        value: Value,
        args: list[Value],
        keywords: dict[str, Value],
        home: Scope | None,
    ) -> None:
        super()._parameters(node, value, args, {LOCAL + k: v for k, v in keywords.items()}, home)

    def _invoke(self, target: Value, args: list[Value], keywords: dict[str, Value], origins: frozenset[str]) -> Value:
        if target.name == _IMPORT:
            return self._imported(args)
        if target.name and target.node is None:
            self.note(self.called_names, target.name)
        result = super()._invoke(target, args, keywords, origins)
        self.touch(result) if result.dynamic else None
        decorated = len(args) == 1 and isinstance(args[0].node, (ast.FunctionDef, ast.ClassDef)) and not keywords
        if decorated and target.node is None and result.node is None and target.name.rpartition(".")[2] not in RUNNERS:
            return args[0]
        return result

    def _named_item(self, base: Value, key: str, origins: frozenset[str]) -> Value:
        return self.touch(super()._named_item(base, key, origins))

    def _imported(self, args: list[Value]) -> Value:
        name = str(args[0].const) if args and args[0].known else "?"
        return self.touch(Value(name))

    def _special(self, name: str, args: list[Value], target: Value) -> Value | None:
        first = args[0] if args else UNKNOWN
        second = args[1] if len(args) > 1 else UNKNOWN
        if name == "getattr" and not (first.name or first.owner or first.node):
            if second.known and isinstance(second.const, str):
                self.note(self.attributes, second.const)
            else:
                self.note(self.unclear, "takes an attribute whose name is computed")
            self.called(target, args, {}, first.origins | second.origins)
            return Value("", first.origins | second.origins)
        if name in _WRAPPERS and isinstance(first.node, ast.FunctionDef):
            mark = _WRAPPERS[name]
            first.node.decorator_list = [ast.Name(mark, ast.Load(), lineno=1, col_offset=0)] if mark else []
            return first
        if name == "setattr" and not (first.name or first.node):
            return UNKNOWN
        return super()._special(name, args, target)

    def seen(self, attribute: str, value: Value) -> None:
        """Report an attribute that leads into the interpreter's own structures."""
        if attribute not in _QUIET_MEMBERS:
            super().seen(attribute, value)

    def report(self, kind: str, **data: Json) -> None:
        """Report a fact under the flow's own prefix, names of temporaries left out."""
        if self.level:
            data["nested"] = True
        for key in ("function", "class"):
            if isinstance(data.get(key), str):
                data[key] = _TEMPORARY.sub("", str(data[key]))
        if kind == "python.class" and self.prefix != "python.":
            return
        self.sink.fact(self.prefix + kind.removeprefix("python."), None, **data, **self.extra)
