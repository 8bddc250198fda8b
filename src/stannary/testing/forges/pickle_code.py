"""Functions and classes that a pickle carries as bytecode: what dill and cloudpickle write, and what hides in it.

The sources in `pickle_code_sources.toml` are compiled, never run: their functions and classes are written the way that
cloudpickle or dill would write them, with the modules that they import among their globals.
"""

from __future__ import annotations

import ast
import itertools
import tomllib
import types
from collections.abc import Iterator
from functools import partial
from importlib import resources
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.pickle_assembler import Assembler

__all__ = ["carried", "code_arguments"]

_CLOUD = "cloudpickle.cloudpickle"
_PLACES = itertools.count(1000)  # of the memo


def _a() -> Assembler:
    return Assembler(4)


def code_arguments(code: types.CodeType, write: Any) -> tuple[Any, ...]:  # noqa: ANN401 - turns code into an assembler
    """Return what `types.CodeType` is given for a code object, nested ones written by `write`."""
    return (
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags,
        code.co_code, tuple(_constant(c, write) for c in code.co_consts), code.co_names, code.co_varnames, "<forge>", code.co_name,
        code.co_qualname, code.co_firstlineno, code.co_linetable, code.co_exceptiontable, code.co_freevars, code.co_cellvars,
    )  # fmt: skip


def _constant(value: Any, write: Any) -> Any:  # noqa: ANN401 - any constant
    if isinstance(value, types.CodeType):
        return write(value)
    if isinstance(value, tuple):
        return tuple(_constant(item, write) for item in value)
    if isinstance(value, frozenset):
        return _a().call("builtins", "frozenset", sorted(value, key=repr))
    return _a().name("builtins", "Ellipsis") if value is ... else value


def carried(source: str, *, dill: bool = False, call: bool = False) -> bytes:
    """Return a pickle of the functions and classes that a source defines; `call`: of an instance of the last class."""
    tree = ast.parse(source)
    whole = compile(source, "<forge>", "exec")
    codes = {c.co_name: c for c in whole.co_consts if isinstance(c, types.CodeType)}
    modules = _globals(tree, dill=dill)
    made: dict[str, Assembler] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            made[node.name] = _function(codes[node.name], {**modules, **made}, dill=dill)
        elif isinstance(node, ast.ClassDef):
            bases = [made[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in made]
            made[node.name] = _class(node, codes[node.name], {**modules}, bases, dill=dill)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
            made[node.targets[0].id] = _function(codes["<lambda>"], {**modules, **made}, dill=dill)
    last = list(made.values())[-1]
    if call:
        last = _a().push(last).op("EMPTY_TUPLE").op("NEWOBJ").push({"m": 1}).op("BUILD")
    return _a().push({"object": last}).stop()


def _globals(tree: ast.Module, *, dill: bool) -> dict[str, Any]:
    importer = ("dill._dill", "_import_module") if dill else (_CLOUD, "subimport")
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = _a().call(*importer, alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: _a().name(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value.value
    return found


def _code(code: types.CodeType, *, dill: bool) -> Assembler:
    def write(nested: types.CodeType) -> Assembler:
        return _code(nested, dill=dill)

    arguments = code_arguments(code, write)
    if dill:
        return _a().call("dill._dill", "_create_code", b"", *arguments)
    return _a().push(_a().call(_CLOUD, "_builtin_type", "CodeType")).reduce(*arguments)


def _function(code: types.CodeType, names: dict[str, Any], *, dill: bool) -> Assembler:
    used = {name for part in _all(code) for name in part.co_names}
    kept = {name: value for name, value in names.items() if name in used}
    cells = tuple(
        _a().call("dill._dill" if dill else _CLOUD, "_create_cell" if dill else "_make_cell", None) for _ in code.co_freevars
    )
    if dill:
        names = {"__name__": "__main__", **kept}
        return _a().call("dill._dill", "_create_function", _code(code, dill=True), names, code.co_name, None, cells)
    made = _a().call(_CLOUD, "_make_function", _code(code, dill=False), {"__name__": "__main__"}, code.co_name, None, cells)
    state = {
        "__globals__": kept,
        "__name__": code.co_name,
        "__module__": "__main__",
        "__defaults__": None,
        "__closure__": cells or None,
    }
    return _filled(made, "_function_setstate", ({}, state))


def _class(node: ast.ClassDef, code: types.CodeType, names: dict[str, Any], bases: list[Assembler], *, dill: bool) -> Assembler:
    members: dict[str, Any] = {"__module__": "__main__"}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            members[inner.co_name] = _function(inner, names, dill=dill)
    parents = tuple(bases) or (_a().name("builtins", "object"),)
    if dill:
        kind = _a().call("dill._dill", "_load_type", "type")
        return _a().call("dill._dill", "_create_type", kind, node.name, parents, members)
    kind = _a().call(_CLOUD, "_builtin_type", "type")
    made = _a().call(_CLOUD, "_make_skeleton_class", kind, node.name, parents, {"__module__": "__main__"}, "0" * 32, None)
    return _filled(made, "_class_setstate", (members, {}))


def _filled(made: Assembler, setter: str, state: Any) -> Assembler:  # noqa: ANN401 - any state
    """Return something that is filled after it was made: the setter is called, its result dropped, the thing itself stays."""
    place = next(_PLACES)
    both = _a().push(made).op("LONG_BINPUT", place).name(_CLOUD, setter).op("LONG_BINGET", place)
    return both.push(state).ops("TUPLE2", "REDUCE", "POP")


def _all(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _all(value)


def _register() -> None:
    sources = tomllib.loads(resources.files(__package__).joinpath("pickle_code_sources.toml").read_text(encoding="utf-8"))
    for group, malicious in (("malicious", True), ("loading", True), ("benign", False)):
        for number, (name, source) in enumerate(sources[group].items()):
            for dill in (False, True) if number % 2 == 0 else (number % 4 == 1,):
                forge(
                    f"pickle_code.{name}" + ("_dill" if dill else ""),
                    filename="model.pkl",
                    family="code in pickles",
                    malicious=malicious,
                )(partial(carried, source, dill=dill, call=group == "loading"))


_register()
