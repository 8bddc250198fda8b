"""Statements of Python source read symbolically, and the facts that come of it.

`python.call`: a call of an outside name that touches processes, files, the network, code or
serialisation (`python_names`). Fields: name (dotted, `f()` for a result), line, scope (`import`:
runs when the file is imported or executed; `main`: under the `__main__` guard; `function`:
elsewhere), function (its enclosing function), args (folded, `{}` or `<name>` for what is not
known), keywords, origins (outside names the arguments' data came through), refs (outside
callables handed over), paths (of files that arguments were read from), of (path or command of the
object that the method belongs to),
dynamic (the name was assembled at run time), absent (model files and modules, named by constants, that are
neither beside this file nor written by it), nested (inside code given as a string), sent (`text`: the first argument comes
from a visitor of a page; `file`: the call runs a file that was written from what one sent), own (what the object and its first
arguments are of this source's own: `file`, `folder`, `sources`).
`python.reduce`: a `__reduce__` that returns a callable of an outside name. Fields: class, callee, args, line.
`python.inner`: an attribute that leads into the interpreter. Fields: attribute, of, line.
`python.class`: name, bases, methods, bound (special methods that are functions of others), line.
`python.code`: constant text that is executed. Fields: line, length, origins.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.interface import Sink
from stannary.formats.python_names import RUNNERS, NestedSink, is_reported, parse
from stannary.formats.python_own import MODULE, SOURCES
from stannary.formats.python_statements import Statements
from stannary.formats.python_values import UNKNOWN, Scope, Value, const, merge_origins, sequence
from stannary.formats.python_visitors import VISITOR, is_framework, sent

__all__ = ["Flow"]

_UNPICKLERS = frozenset({"pickle.loads", "_pickle.loads", "cPickle.loads", "dill.loads", "cloudpickle.loads"})
_INTERPRETERS = ("python", "python3", "sys.executable", "python.exe")
_INLINE = re.compile(r"\bpython[\d.]*\s+(?:-\w\s+)*-c\s+([\"'])(.*?)\1(?:\s|$)", re.DOTALL)
# A file of a folder's own: what is elsewhere in the tree is not known here.
_MODEL_FILE = re.compile(r"[\w.-]+\.(?:pt|pth|pkl|pickle|joblib|bin|ckpt|pt2|model|dill|th|npy|npz|ya?ml)")
_MAKERS = frozenset({
    "save", "dump", "savez", "savetxt", "to_pickle", "save_model", "save_checkpoint", "urlretrieve", "download",
    "download_url_to_file", "write_bytes", "copy", "copyfile", "move", "retrieve", "get_file", "hf_hub_download", "cached_download",
})  # fmt: skip
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_EXECUTORS = frozenset(
    {"exec", "eval", "compile", "execfile", "code.InteractiveInterpreter().runsource", "timeit.timeit", "cProfile.run"}
)
# A module that another one imports, as in `shutil.os.system`; asyncio has a `subprocess` of its own.
_THROUGH = re.compile(r"(?!asyncio\.)(?:[A-Za-z_]\w*\.)+((?:os|subprocess|posix|pty|builtins)\.[a-z_]\w*)")
_NESTED_LEVELS = 4
_INLINE_LEVELS = 8
_INLINE_CALLS = 600
_HANDLERS = 200
_WRITERS = frozenset({"write", "writelines", "write_text", "write_bytes"})
_TEXT = 400


class Flow(Statements):
    """Reads one module and reports to a sink."""

    def __init__(self, sink: Sink, *, entry: str = "import", level: int = 0) -> None:
        super().__init__(entry)
        self.sink = sink
        self.level = level
        self._calls = _INLINE_CALLS
        self._active: list[int] = []
        self._reached: set[int] = set()
        self._memo: dict[tuple[object, ...], Value] = {}
        self._reported: set[tuple[object, ...]] = set()
        self._sent: set[str] = set()  # program files written from what a visitor sent
        self._made: dict[str, str] = {}  # files that the program writes or fetches, and by what

    def module(self, tree: ast.Module) -> None:
        """Read the module's body as it runs, then the functions it never calls."""
        described = ast.get_docstring(tree, clean=False)
        if described is not None:
            self.scope.names.setdefault("__doc__", const(described))
        self.body(tree.body)
        entry, self.mode = self.mode, "function"
        for handler in self.handlers[:_HANDLERS]:
            self._run(handler, sent(handler), {})
        while self.pending:
            key, value = self.pending.popitem()
            if key not in self._reached:
                self._run(value, [], {})
        self.mode = entry

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
            self._operators(value, instance)
            return instance
        return self._run(value, args, keywords)

    def _operators(self, value: Value, instance: Value) -> None:
        """Read the methods that Python calls by itself on an instance: operators, context managers, properties."""
        if self.mode == "function" or value.scope is None:
            return
        for name, member in list(value.scope.names.items()):
            node = member.node
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            implicit = name.startswith("__") and name not in {"__init__", "__new__", "__reduce__", "__reduce_ex__"}
            if implicit or any(isinstance(d, ast.Name) and d.id in {"property", "cached_property"} for d in node.decorator_list):
                bound = member.copy()
                bound.owner = instance
                self._run(bound, [], {})

    def _run(self, value: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
        node = value.node
        if node is None or isinstance(node, ast.ClassDef) or id(node) in self._active:
            return UNKNOWN
        key = (
            id(node),
            self.mode,
            tuple(a.shown(120) for a in args),
            tuple(sorted((k, v.shown(120)) for k, v in keywords.items())),
        )
        if key in self._memo:
            return self._memo[key]
        if len(self._active) >= _INLINE_LEVELS or (self._calls <= 0 and self.mode != "function"):
            return UNKNOWN
        self._calls -= 1
        if self.mode != "function":
            self._reached.add(id(node))
        outer, name, returns, branch = self.scope, self.function, self.returns, self.branch
        home = value.scope
        owner = (
            home.label
            if home is not None and not home.label.startswith("<") and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            else ""
        )
        parent = home.parent if owner and home is not None else home
        own_name = getattr(node, "name", "lambda")
        self.scope = Scope("<function>", parent)
        self.function = f"{owner}.{own_name}" if owner else own_name
        self.returns, self.branch = [], 0
        self._active.append(id(node))
        try:
            self._parameters(node, value, args, keywords, home if owner else None)
            if isinstance(node, ast.Lambda):
                result = self.eval(node.body)
            else:
                self.body(node.body)
                result = UNKNOWN
                for returned in self.returns:
                    result = result.either(returned)
        finally:
            self._active.pop()
            self.scope, self.function, self.returns, self.branch = outer, name, returns, branch
        self._memo[key] = result
        return result

    def _parameters(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        value: Value,
        args: list[Value],
        keywords: dict[str, Value],
        home: Scope | None,
    ) -> None:
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        local = self.scope.names
        static = isinstance(node, ast.FunctionDef) and any(
            isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list
        )
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
            local[node.args.vararg.arg] = sequence(args[len(names) :])
        if node.args.kwarg is not None:
            local[node.args.kwarg.arg] = sequence(list(keywords.values()), tuple(keywords))

    # Reports

    def called(self, value: Value, args: list[Value], keywords: dict[str, Value], origins: frozenset[str]) -> None:
        """Report a call of an outside name."""
        name, line = value.name, self.line
        through = _THROUGH.fullmatch(name)
        if through is not None:  # a module that is reached by way of another one that imports it
            name, value = through[1], value.copy()
            value.name, value.dynamic = name, True
        handed = [*args, *keywords.values()]
        self._makes(name, handed)
        if name.rpartition(".")[2] in _WRITERS and args and VISITOR in args[0].origins:
            holder = name.partition("(")[0]
            self._sent |= {value.subject or (holder if holder.startswith("tempfile.") else "")} - {""}
        origins |= {self._made[a.text_of()] for a in args[:2] if a.text_of() in self._made}
        if is_framework(name):
            self.handlers += [v for v in handed if isinstance(v.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))]
        if self.mode != "function" and name.rpartition(".")[2] in RUNNERS:
            for item in handed:
                if isinstance(item.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                    self._run(item, [], {})
                    self.line = line
        trusts = "trust_remote_code" in keywords and keywords["trust_remote_code"].const is True
        # What mmengine and its like build by a name: dict(type="os.system").
        built = name == "dict" and "type" in keywords and is_reported(str(keywords["type"].const))
        refs = sorted(
            {
                o.name
                for item in handed
                for v in (item, *(item.items or ())[:8])
                for o in v.options()
                if o.name and "(" not in o.name and is_reported(o.name) and o.node is None
            }
        )
        if not (is_reported(name) or trusts or built or (refs and name)):
            return
        if name in _EXECUTORS and args:
            self._nested(args[0], line)
            self.line = line
        self._given_code(name, args)
        self.line = line
        shown = [a.shown(_TEXT) for a in args[:8]]
        key = (line, name, self.mode, tuple(shown))
        if key in self._reported:
            return
        self._reported.add(key)
        self.report(
            "python.call", name=name, line=line, scope=self.mode, function=self.function, args=shown,
            keywords={k: v.shown(_TEXT) for k, v in list(keywords.items())[:12]}, origins=sorted(origins - {name})[:16],
            paths=[a.subject[:_TEXT] for a in args[:8] if a.subject], refs=refs[:8], of=value.subject[:_TEXT],
            dynamic=value.dynamic, absent=self._absent(name, args[:2]), sent=self._of_visitor(args),
            own=_owned(value, handed, self.sink.siblings),
        )  # fmt: skip

    def _of_visitor(self, args: list[Value]) -> str:
        """Return `text` when the first argument is a visitor's, `file` when it is a program that was written from such text."""
        first = args[0] if args else UNKNOWN
        if VISITOR in first.origins and not (first.items and self._sent):
            return "text"
        program = next((i for i in (first.items or ())[1:4] if not i.text_of().startswith("-")), first)
        words = (first.as_text() or "").split()[1:2]
        return "file" if self._sent & {program.text_of(), *words, *program.origins} else "text" if VISITOR in first.origins else ""

    def _makes(self, name: str, handed: list[Value]) -> None:
        """Remember the model files that a call writes."""
        writes = name.rpartition(".")[2] in _MAKERS
        if name in {"open", "io.open"}:
            writes = any(str(v.const)[:1] in {"w", "x", "a"} for v in handed[1:] if v.known)
        for value in handed if writes else ():
            if _MODEL_FILE.fullmatch(text := value.text_of()):
                self._made[text] = name

    def _absent(self, name: str, args: list[Value]) -> list[Json]:
        """Return the model file or the module, named by a constant, that is not beside this file."""
        beside = self.sink.siblings
        found: list[Json] = []
        for arg in args:
            text = arg.text_of()
            root = text.partition(".")[0]
            if name == "runpy.run_module":
                absent = _MODULE.fullmatch(text) and root not in sys.stdlib_module_names and beside.isdisjoint({root, f"{root}.py"})
            else:
                absent = _MODEL_FILE.fullmatch(text) and text not in beside and text not in self._made
            if absent:
                found.append(text)
        return found

    def _given_code(self, name: str, args: list[Value]) -> None:
        """Read code handed to another interpreter, and pickles given as constants."""
        first = args[0] if args else UNKNOWN
        if name in _UNPICKLERS and first.known and isinstance(first.const, bytes):
            self.sink.child(f"line {self.line}.pkl", first.const, hint="pickle")
        items = first.items or tuple(args)
        for flag, code in itertools.pairwise(items):
            if flag.known and flag.const == "-c" and items[0].shown().rstrip(">").endswith(_INTERPRETERS):
                self._nested(code, self.line)
        inline = _INLINE.search(first.as_text() or "")
        if inline:
            self._nested(const(inline[2]), self.line)

    def seen(self, attribute: str, value: Value) -> None:
        """Report an attribute that leads into the interpreter's own structures."""
        if attribute in {
            "__subclasses__",
            "__globals__",
            "__builtins__",
            "__bases__",
            "__mro__",
            "__base__",
            "__getattribute__",
            "__loader__",
        }:
            self.report("python.inner", attribute=attribute, of=value.name[-80:], line=self.line, scope=self.mode)

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
            self.report("python.code", line=line, length=len(text), origins=sorted(option.origins), scope=self.mode)
            try:
                tree = parse(text.strip())
            except FormatError:
                continue
            inner = Flow(NestedSink(self.sink, line), entry=self.mode, level=self.level + 1)
            inner.scope.names.update(self.scope.names)
            inner.module(tree)

    def report(self, kind: str, **data: Json) -> None:
        """Report a fact, marked when it comes from code within a string."""
        if self.level:
            data["nested"] = True
        self.sink.fact(kind, None, **data)


def _owned(value: Value, handed: list[Value], beside: frozenset[str]) -> list[Json]:
    """Return what the receiver and the first arguments are of the source's own; nothing when none is."""
    receiver = "" if value.own == MODULE else value.own
    own: list[Json] = [receiver or _beside(value.subject, beside) if "(" in value.name else receiver]
    for item in handed[:4]:
        found = next((o.own for o in (item, *(item.items or ())[:8]) if o.own and o.own != MODULE), "")
        own.append(found or _beside(item.text_of(), beside))
    return own if any(own) else []


def _beside(path: str, beside: frozenset[str]) -> str:
    """Tell whether a path names a source that lies beside this one."""
    return SOURCES if path.endswith(".py") and path.removeprefix("./") in beside else ""
