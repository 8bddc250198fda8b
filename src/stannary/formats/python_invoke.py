"""Names of Python source followed to what they refer to, and what calling them means.

`getattr`, `__import__`, `sys.modules`, `globals()`, `__dict__`, `setattr`, `functools.partial`, `map` and the
like are understood; functions and classes of the file itself are entered; outside names are reported.
"""

from __future__ import annotations

import ast
from abc import abstractmethod

from stannary.formats.python_folding import fold_call
from stannary.formats.python_own import NAMES, named, of_call, of_member
from stannary.formats.python_values import UNKNOWN, Scope, Value, const, merge_origins, sequence
from stannary.formats.python_visitors import VISITOR, asks, is_request

__all__ = ["MAX_NAME", "NAMESPACES", "SELF", "Invocations", "origin_of"]

_IMPORTERS = frozenset(
    {"__import__", "importlib.import_module", "importlib.__import__", "pydoc.locate", "pkgutil.resolve_name", "imp.load_module"}
)
NAMESPACES = frozenset({"globals()", "locals()", "vars()"})
_HOME = {"HOME": "~", "USERPROFILE": "~", "TMPDIR": "/tmp", "TEMP": "/tmp"}  # noqa: S108 - a text, never opened
_COMPUTED = {"pathlib.Path.home": "~", "tempfile.gettempdir": "/tmp", "os.getcwd": ".", "pathlib.Path.cwd": "."}  # noqa: S108 - texts
_SAME_BYTES = frozenset({"io.BytesIO", "io.BufferedReader", "gzip.decompress", "zlib.decompress", "gzip.open"})
_PATHS = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath"})
# What keeps a function to be called later: configurations made of Python keep them so, and `instantiate` calls them.
_PARTIAL = frozenset({
    "functools.partial", "detectron2.config.LazyCall", "detectron2.config.lazy.LazyCall", "hydra_zen.builds", "hydra_zen.just",
    "hydra_zen.zen", "fiddle.Config", "fiddle.Partial", "nemo_run.Config", "nemo_run.Partial",
})  # fmt: skip
SELF = "<this module>"
MAX_NAME = 160
_INNER = frozenset({"__globals__", "__builtins__", "func_globals"})  # of a function, its module's names
_FRAMES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame", "f_builtins", "f_globals"})  # of whatever holds a frame


class Invocations:
    """Resolves members and calls; what expressions are is `Expressions`' business, what functions do is `Flow`'s."""

    def __init__(self) -> None:
        self.scope = Scope("<module>")
        self.stars: list[str] = []
        self.line = 0
        self.patches: dict[str, Value] = {}  # attributes of outside modules that the file sets

    @abstractmethod
    def enter(self, value: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
        """Read the body of a function or class of this file as called here."""

    @abstractmethod
    def called(self, value: Value, args: list[Value], keywords: dict[str, Value], origins: frozenset[str]) -> None:
        """Report a call of an outside name."""

    @abstractmethod
    def seen(self, attribute: str, value: Value) -> None:
        """Report an attribute that leads into the interpreter's own structures."""

    def _named_item(self, base: Value, key: str, origins: frozenset[str]) -> Value:
        if base.name == "os.environ":
            name = f"os.environ[{key}]"
            if key in _HOME:
                return const(_HOME[key], frozenset({name}))
            return Value(name, (origins - {"os.environ"}) | {name})
        holder = base.name.removesuffix(".__dict__").removesuffix("()")
        if base.name == "sys.modules":
            result = Value(key, origins)
        elif base.name in NAMESPACES or base.name == "__builtins__":
            found = self.scope.find(key)
            result = found.copy() if found is not None else named(key) if key in NAMES else Value(key, origins)
        elif base.name.endswith((".f_builtins", ".f_globals")):
            result = Value(key, origins)
        elif base.name.endswith("__dict__"):
            return self._member(_base_named(base, holder), key, dynamic=True)
        else:
            return Value(f"{base.name}[]"[:MAX_NAME], origins)
        result.dynamic = True
        return result

    def _members(self, base: Value, node: ast.Attribute) -> Value:
        if node.attr.startswith("__"):
            self.line = node.lineno
            self.seen(node.attr, base)
        result = self._member(base.single(), node.attr)
        for other in base.others:
            result = self._member(other, node.attr).either(result)
        return result

    def _member(self, base: Value, attribute: str, *, dynamic: bool = False) -> Value:
        holder = base if isinstance(base.node, ast.ClassDef) else base.owner if base.node is None else None
        if holder is not None and holder.scope is not None:
            found = holder.scope.names.get(attribute)
            if found is not None:
                if isinstance(found.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found = found.copy()
                    found.owner = base
                return found
        if base.name == SELF:
            return self.scope.find(attribute) or (named(attribute) if attribute in NAMES else UNKNOWN)
        if attribute == "__doc__" and isinstance(base.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return const(ast.get_docstring(base.node, clean=False) or "")
        if not base.name:
            return _nameless(base, attribute)
        name = attribute if base.name in {"builtins", "__builtins__"} and attribute != "__dict__" else f"{base.name}.{attribute}"
        if name in self.patches:
            return self.patches[name]
        result = Value(name[:MAX_NAME], base.origins | origin_of(name))
        result.subject = base.subject
        result.own = of_member(base.own, name, attribute)
        result.dynamic = dynamic or base.dynamic
        return result

    def _invoke(self, target: Value, args: list[Value], keywords: dict[str, Value], origins: frozenset[str]) -> Value:
        called = target if target.node is not None else self._special_method(target, "__call__")
        if called is not None:
            return self.enter(called, args, keywords)
        origins = origins | merge_origins((*args, *keywords.values()))
        name = target.name
        if not name and "gc.get_objects" in origins:
            self.called(Value("gc.get_objects()[]"), args, keywords, origins)
        if not name:
            return Value("", origins)
        special = self._special(name, args, target)
        if special is not None:
            return special
        self.called(target, args, keywords, origins)
        folded = fold_call(name, args, origins | {name})
        if folded is not None:
            return folded
        result = Value(f"{name}()"[:MAX_NAME], frozenset(list(origins)[:24]) | {name} | ({VISITOR} if asks(name) else set()))
        result.dynamic = target.dynamic
        result.own = of_call(name, [a.own for a in args], args[-1].as_text() or "" if args else "", target.own)
        result.subject = target.subject
        shown = args[0].as_text() if args else None
        if not result.subject and shown is not None and VISITOR not in result.origins - origins:
            result.subject = shown[:400]
        elif not result.subject and args and name in _SAME_BYTES:
            result.subject = args[0].subject  # the same bytes, in another form
        if name in _PATHS or name in _COMPUTED or name == "os.path.join":
            parts = [a.as_text() or a.subject or "{}" for a in args]
            result.text = _COMPUTED.get(name) or "/".join(parts)
            result.subject = result.text
        elif name.endswith(".joinpath") and target.subject:
            result.text = result.subject = "/".join([target.subject, *(a.as_text() or a.subject or "{}" for a in args)])
        return result

    def _special_method(self, value: Value, name: str) -> Value | None:
        """Return a method of an instance of a class of this file that an operator or a call would use."""
        if value.node is not None or value.owner is None:
            return None
        found = self._member(value, name)
        return found if found.node is not None else None

    def _special(self, name: str, args: list[Value], target: Value) -> Value | None:
        first = args[0] if args else UNKNOWN
        second = args[1] if len(args) > 1 else UNKNOWN
        if name in _IMPORTERS and first.known and isinstance(first.const, str):
            self.called(target, args, {}, first.origins)
            result = Value(first.const.replace(":", "."), first.origins)
            result.dynamic = True
            return result
        if name == "getattr" and (first.name or first.owner or first.node):
            if second.known and isinstance(second.const, str):
                result = self._member(first, second.const, dynamic=True)
            else:
                result = Value(f"{first.name}.<?>", merge_origins(args))
            result.dynamic = True
            self.called(target, args, {}, merge_origins(args))
            return result
        if name in {"os.getenv", "os.environ.get", "os.environ.setdefault"} and first.known:
            key = str(first.const)
            if name == "os.environ.setdefault":
                self.called(target, args, {}, merge_origins(args))
            return const(_HOME[key]) if key in _HOME else Value(f"os.environ[{key}]", frozenset({f"os.environ[{key}]"}))
        if name.endswith(".__getattribute__"):
            holder, wanted = (first, second) if name in {"object.__getattribute__", "type.__getattribute__"} else (target, first)
            if wanted.known and isinstance(wanted.const, str):
                base = holder if holder is first else _base_named(target, name.removesuffix(".__getattribute__"))
                return self._member(base, wanted.const, dynamic=True)
        if name == "setattr" and len(args) == 3 and first.name and second.known:
            patched = str(second.const) if first.name == "builtins" else f"{first.name}.{second.const}"
            self.patches[patched] = args[2]
            return UNKNOWN
        if name in {"globals", "locals"}:
            return Value(f"{name}()")
        if name == "vars":
            return Value(f"{first.name}.__dict__") if first.name else Value("vars()")
        return self._functional(name, args)

    def _functional(self, name: str, args: list[Value]) -> Value | None:
        first = args[0] if args else UNKNOWN
        second = args[1] if len(args) > 1 else UNKNOWN
        if name == "operator.attrgetter" and first.known:
            return Value(f"operator.attrgetter({first.const})")
        if name.startswith("operator.attrgetter(") and first.name:
            return self._member(first, name[20:-1], dynamic=True)
        if name == "operator.methodcaller" and first.known:
            return Value(f"operator.methodcaller({first.const})")
        if name.startswith("operator.methodcaller(") and first.name:
            return self._invoke(self._member(first, name[22:-1], dynamic=True), [], {}, first.origins)
        if name == "map" and second.items is not None and len(second.items) <= 4096:
            line = self.line
            results = [self._invoke(first, [item], {}, first.origins) for item in second.items]
            self.line = line
            value = sequence(results)
            value.origins |= {first.name} if first.name else frozenset()
            return value
        if name == "functools.reduce" and second.items:
            result = second.items[0] if len(args) < 3 else args[2]
            for item in second.items[1 if len(args) < 3 else 0 : 64]:
                result = self._invoke(first, [result, item], {}, first.origins)
            return result
        if name in _PARTIAL and (first.name or first.node):
            result = first.copy()
            if args[1:] or name == "functools.partial":  # the others are given what they are called with later
                self._invoke(first, args[1:], {}, merge_origins(args))
            return result
        return None


def origin_of(name: str) -> frozenset[str]:
    """Return where data comes from by a name alone: the environment, or whoever sends a request."""
    if name == "os.environ":
        return frozenset({name})
    return frozenset({VISITOR}) if is_request(name) else frozenset()


def _nameless(base: Value, attribute: str) -> Value:
    """Return a member of something that has no name: of a function its module's names, of a frame what it runs with."""
    if base.node is not None and attribute in _INNER:
        return Value(f"<function>.{attribute}", base.origins)
    result = Value(f"<frame>.{attribute}" if base.node is None and attribute in _FRAMES else "", base.origins)
    result.own = of_member(base.own, "", attribute)
    return result


def _base_named(base: Value, name: str) -> Value:
    """Return a copy of `base` under another name."""
    result = base.copy()
    result.name = name
    return result
