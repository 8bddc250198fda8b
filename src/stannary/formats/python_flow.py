"""Statements of Python source read symbolically, and the facts that come of it.

`python.call`: a call of an outside name that touches processes, files, the network, code or
serialisation (`python_names`). Fields: name (dotted, `f()` for a result), line, scope (`import`:
runs when the file is imported or executed; `main`: under the `__main__` guard; `function`:
elsewhere), function (its enclosing function), args (folded, `{}` or `<name>` for what is not
known), keywords, origins (outside names the arguments' data came through), refs (outside
callables handed over), of (path or command of the object that the method belongs to),
dynamic (the name was assembled at run time), nested (inside code given as a string).
`python.reduce`: a `__reduce__` that returns a callable of an outside name. Fields: class, callee, args, line.
`python.inner`: an attribute that leads into the interpreter. Fields: attribute, of, line.
`python.class`: name, bases, methods, line.
`python.code`: constant text that is executed. Fields: line, length, origins.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.interface import Sink
from stannary.formats.python_expressions import Expressions
from stannary.formats.python_names import NestedSink, is_reported, parse
from stannary.formats.python_values import UNKNOWN, Scope, Value, merge_origins, sequence

__all__ = ["Flow"]

_RUNNERS = frozenset("Thread Timer Process register submit map filter apply apply_async start_new_thread call_soon run_until_complete starmap reduce run_in_executor settrace setprofile signal".split())
_EXECUTORS = frozenset({"exec", "eval", "compile", "execfile", "code.InteractiveInterpreter().runsource", "timeit.timeit", "cProfile.run"})
_NESTED_LEVELS = 4
_INLINE_LEVELS = 8
_INLINE_CALLS = 600
_TEXT = 400


class Flow(Expressions):
    """Reads one module and reports to a sink."""

    def __init__(self, sink: Sink, *, entry: str = "import", level: int = 0) -> None:
        super().__init__()
        self.sink = sink
        self.mode = entry
        self.level = level
        self.function = ""
        self._branch = 0
        self._calls = _INLINE_CALLS
        self._active: list[int] = []
        self._pending: dict[int, Value] = {}
        self._reached: set[int] = set()
        self._memo: dict[tuple[object, ...], Value] = {}
        self._reported: set[tuple[object, ...]] = set()
        self._returns: list[Value] = []

    def module(self, tree: ast.Module) -> None:
        """Read the module's body as it runs, then the functions it never calls."""
        self.body(tree.body)
        entry, self.mode = self.mode, "function"
        while self._pending:
            key, value = self._pending.popitem()
            if key not in self._reached:
                self._run(value, [], {})
        self.mode = entry

    # Statements

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
        self._branch += 1
        for _, field in ast.iter_fields(node):
            for child in field if isinstance(field, list) else (field,):
                if isinstance(child, ast.expr):
                    self.eval(child)
                elif isinstance(child, ast.stmt):
                    self.body((child,))
                elif isinstance(child, (ast.excepthandler, ast.match_case)):
                    self._generic(child)
        self._branch -= 1

    def _s_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind_name(alias.asname or alias.name.partition(".")[0], Value(alias.name if alias.asname else alias.name.partition(".")[0]))

    def _s_importfrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
                continue
            name = alias.name if module == "builtins" else f"{module}.{alias.name}" if node.module else f"{module}{alias.name}"
            self._bind_name(alias.asname or alias.name, Value(name, frozenset({name}) if name == "os.environ" else frozenset()))

    def _s_assign(self, node: ast.Assign) -> None:
        value = self.eval(node.value)
        for target in node.targets:
            self.bind(target, value)

    def _s_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.bind(node.target, self.eval(node.value))

    def _s_augassign(self, node: ast.AugAssign) -> None:
        self.bind(node.target, self.eval(ast.BinOp(_as_load(node.target), node.op, node.value)))

    def _s_for(self, node: ast.For | ast.AsyncFor) -> None:
        iterated = self.eval(node.iter)
        self._branch += 1
        items = iterated.items or ()
        element = Value(f"{iterated.name}[]" if iterated.name else "", iterated.origins)
        for item in items[:64]:
            element = element.either(item) if element.name or element.known or element.node or element.items else item
        self.bind(node.target, element)
        self.body(node.body)
        self.body(node.orelse)
        self._branch -= 1

    _s_asyncfor = _s_for

    def _s_if(self, node: ast.If) -> None:
        current: ast.If | None = node
        while current is not None:  # a long elif chain is a loop, not recursion
            guard = _main_guard(current.test)
            mode = self.mode
            self.eval(current.test)
            self._branch += 0 if guard else 1
            if guard and self.mode == "import":
                self.mode = "main"
            self.body(current.body)
            self.mode = mode
            self._branch -= 0 if guard else 1
            rest = current.orelse
            current = rest[0] if len(rest) == 1 and isinstance(rest[0], ast.If) else None
            if current is None and rest:
                self._branch += 1
                self.body(rest)
                self._branch -= 1

    def _s_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.eval(item.context_expr)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value)
        self.body(node.body)

    _s_asyncwith = _s_with

    def _s_return(self, node: ast.Return) -> None:
        value = self.eval(node.value)
        self._returns.append(value)
        method = self.function.rpartition(".")[2]
        if method in {"__reduce__", "__reduce_ex__"} and value.items and (value.items[0].name or value.items[0].node is not None):
            callee = value.items[0]
            data: dict[str, Json] = {"callee": callee.name or getattr(callee.node, "name", "lambda"), "class": self.function.rpartition(".")[0]}
            self._fact("python.reduce", args=[a.shown(_TEXT) for a in (value.items[1].items or ())][:8] if len(value.items) > 1 else [], line=node.lineno, **data)

    def _s_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            self.eval(default)
        value = Value()
        value.node, value.scope = node, self.scope
        self._pending[id(node)] = value
        for decorator in node.decorator_list:
            applied = self.eval(decorator)
            self.line = node.lineno
            if applied.node is not None or applied.name.rpartition(".")[2] in _RUNNERS:
                self._invoke(applied, [value], {}, applied.origins)
        self._bind_name(node.name, value)

    _s_asyncfunctiondef = _s_functiondef

    def _s_classdef(self, node: ast.ClassDef) -> None:
        bases = [self.eval(base) for base in node.bases]
        for keyword in node.keywords:
            self.eval(keyword.value)
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
        methods = [m.name for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
        self._fact("python.class", name=node.name, bases=[b.name for b in bases if b.name], methods=methods[:80], line=node.lineno)
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
            elif base.name and value.node is not None:
                self.line = target.lineno
                self._fact("python.patch", name=f"{base.name}.{target.attr}", line=target.lineno)
        elif isinstance(target, ast.Subscript):
            base = self.eval(target.value)
            self.eval(target.slice)
            if isinstance(target.value, ast.Name) and value.origins - base.origins:
                changed = base.copy()
                changed.origins = merge_origins((base, value))
                self._bind_name(target.value.id, changed)

    def _bind_name(self, name: str, value: Value) -> None:
        names = self.scope.names
        previous = names.get(name) if self._branch else None
        names[name] = value if previous is None else previous.either(value)

    # Functions of the file

    def enter(self, value: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
        """Read the body of a function or class of this file as called here."""
        node = value.node
        if isinstance(node, ast.Lambda):
            return self._run(value, args, keywords)
        if isinstance(node, ast.ClassDef):
            instance = Value()
            instance.owner = value
            for base in value.items or ():
                if base.name and is_reported(base.name):
                    self.called(base, args, keywords, merge_origins(args))
                    instance.name = f"{base.name}()"
            for method in ("__new__", "__init__"):
                found = value.scope.names.get(method) if value.scope is not None else None
                if found is not None and found.node is not None:
                    bound = found.copy()
                    bound.owner = instance
                    self._run(bound, args, keywords)
            return instance
        return self._run(value, args, keywords)

    def _run(self, value: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
        node = value.node
        if node is None or isinstance(node, ast.ClassDef) or id(node) in self._active:
            return UNKNOWN
        key = (id(node), self.mode, tuple(a.shown(120) for a in args), tuple(sorted((k, v.shown(120)) for k, v in keywords.items())))
        if key in self._memo:
            return self._memo[key]
        if len(self._active) >= _INLINE_LEVELS or (self._calls <= 0 and self.mode != "function"):
            return UNKNOWN
        self._calls -= 1
        if self.mode != "function":
            self._reached.add(id(node))
        outer, name, returns, branch = self.scope, self.function, self._returns, self._branch
        home = value.scope
        owner = home.label if home is not None and home.label[:1] not in "<" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""
        parent = home.parent if owner and home is not None else home
        own_name = getattr(node, "name", "lambda")
        self.scope = Scope("<function>", parent)
        self.function = f"{owner}.{own_name}" if owner else own_name
        self._returns, self._branch = [], 0
        self._active.append(id(node))
        try:
            self._parameters(node, value, args, keywords, home if owner else None)
            if isinstance(node, ast.Lambda):
                result = self.eval(node.body)
            else:
                self.body(node.body)
                result = UNKNOWN
                for returned in self._returns:
                    result = result.either(returned)
        finally:
            self._active.pop()
            self.scope, self.function, self._returns, self._branch = outer, name, returns, branch
        self._memo[key] = result
        return result

    def _parameters(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, value: Value, args: list[Value], keywords: dict[str, Value], home: Scope | None) -> None:
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        local = self.scope.names
        static = isinstance(node, ast.FunctionDef) and any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
        if home is not None and names and not static:
            instance = value.owner
            if instance is None:
                holder, instance = Value(), Value()
                holder.node, holder.scope = ast.ClassDef(home.label, [], [], [], []), home
                instance.owner = holder
            args = [instance, *args]
        defaults = node.args.defaults
        for index, name in enumerate(names):
            default = index - (len(names) - len(defaults))
            given = args[index] if index < len(args) else keywords.get(name)
            local[name] = given if given is not None else self.eval(defaults[default]) if default >= 0 else UNKNOWN
        for argument, default_node in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            local[argument.arg] = keywords.get(argument.arg) or self.eval(default_node)
        if node.args.vararg is not None:
            local[node.args.vararg.arg] = sequence(args[len(names):])
        if node.args.kwarg is not None:
            local[node.args.kwarg.arg] = Value("", merge_origins(keywords.values()))

    # Reports

    def called(self, value: Value, args: list[Value], keywords: dict[str, Value], origins: frozenset[str]) -> None:
        """Report a call of an outside name."""
        name, line = value.name, self.line
        handed = [*args, *keywords.values()]
        if self.mode != "function" and name.rpartition(".")[2] in _RUNNERS:
            for item in handed:
                if isinstance(item.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    self._run(item, [], {})
                    self.line = line
        trusts = "trust_remote_code" in keywords and keywords["trust_remote_code"].const is True
        refs = sorted({o.name for item in handed for v in (item, *(item.items or ())[:8]) for o in v.options() if o.name and "(" not in o.name and is_reported(o.name) and o.node is None})
        if not (is_reported(name) or trusts or (refs and name)):
            return
        if name in _EXECUTORS and args:
            self._nested(args[0], line)
            self.line = line
        shown = [a.shown(_TEXT) for a in args[:8]]
        key = (line, name, self.mode, tuple(shown))
        if key in self._reported:
            return
        self._reported.add(key)
        self._fact(
            "python.call", name=name, line=line, scope=self.mode, function=self.function, args=shown,
            keywords={k: v.shown(_TEXT) for k, v in list(keywords.items())[:12]}, origins=sorted(origins - {name})[:16],
            refs=refs[:8], of=value.subject[:_TEXT], dynamic=value.dynamic,
        )  # fmt: skip

    def seen(self, attribute: str, value: Value) -> None:
        """Report an attribute that leads into the interpreter's own structures."""
        if attribute in {"__subclasses__", "__globals__", "__builtins__", "__bases__", "__mro__", "__base__", "__getattribute__", "__loader__"}:
            self._fact("python.inner", attribute=attribute, of=value.name[-80:], line=self.line, scope=self.mode)

    def _nested(self, value: Value, line: int) -> None:
        """Read constant text that is executed as source of its own."""
        for option in value.options():
            text = option.const.decode("utf-8", "replace") if isinstance(option.const, bytes) else option.as_text()
            if text is None or self.level >= _NESTED_LEVELS or not text.strip():
                continue
            key = ("code", line, hash(text), self.mode)
            if key in self._reported:
                continue
            self._reported.add(key)
            self._fact("python.code", line=line, length=len(text), origins=sorted(option.origins), scope=self.mode)
            try:
                tree = parse(text.strip())
            except FormatError:
                continue
            inner = Flow(NestedSink(self.sink, line), entry=self.mode, level=self.level + 1)
            inner.scope.names.update(self.scope.names)
            inner.module(tree)

    def _fact(self, kind: str, **data: Json) -> None:
        if self.level:
            data["nested"] = True
        self.sink.fact(kind, None, **data)


def _main_guard(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides) and any(isinstance(s, ast.Constant) and s.value == "__main__" for s in sides)


def _as_load(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target
