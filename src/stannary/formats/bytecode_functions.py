"""What instructions that make functions and classes, and import modules, do to a stack of expressions."""

from __future__ import annotations

import ast
from typing import Any

from stannary.formats.bytecode import Code, Instruction
from stannary.formats.bytecode_containers import Containers
from stannary.formats.bytecode_nodes import LOCAL, OTHER, Body, Expr, Function, Marker, constant, load

__all__ = ["CLASS", "Functions", "define"]

CLASS = Marker("class")
_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Functions(Containers):
    """Functions with their defaults, classes with their bodies, modules with their names."""

    functions: dict[str, ast.FunctionDef]

    # Functions and classes

    def _o_make_function(self, ins: Instruction) -> None:
        if self.numbers.version < (3, 11):
            self.pop()
        made = self.pop()
        code = made.code if isinstance(made, Body) else None
        if code is None:
            self.breaks("a function of something that is no code")
            self.stack.append(OTHER)
            return
        function = Function(define(code, self.nested(code).body), self.place)
        if self.numbers.version < (3, 13):
            for flag in (0x08, 0x04, 0x02, 0x01):
                if ins.arg & flag:
                    self._complete(function.node, flag, self.pop())
        self.stack.append(function if self.numbers.version >= (3, 13) or self.inline else self.temporary(function))

    def _o_set_function_attribute(self, ins: Instruction) -> None:
        function, value = self.pop(), self.pop()
        node = self.functions.get(function.id) if isinstance(function, ast.Name) else getattr(function, "node", None)
        if isinstance(node, ast.FunctionDef):
            self._complete(node, ins.arg, value)
        self.stack.append(function)

    def _complete(self, node: ast.FunctionDef, flag: int, value: Expr) -> None:
        if flag == 0x01:
            items = value.elts if isinstance(value, ast.Tuple) else []
            node.args.defaults = [self.temporary(item) for item in items][-len(node.args.args) or 1 :]
        elif flag == 0x02 and isinstance(value, ast.Dict):
            given = {
                k.value: self.temporary(v) for k, v in zip(value.keys, value.values, strict=True) if isinstance(k, ast.Constant)
            }
            node.args.kw_defaults = [given.get(a.arg.removeprefix(LOCAL)) for a in node.args.kwonlyargs]

    def _o_load_build_class(self, _: Instruction) -> None:
        self.stack.append(CLASS)

    def define_class(self, args: list[Expr], keywords: list[ast.keyword]) -> None:
        """`__build_class__(function, name, *bases, **keywords)`."""
        body = args[0] if args else OTHER
        node = self.functions.get(body.id) if isinstance(body, ast.Name) else body.node if isinstance(body, Function) else None
        if node is None:
            self.breaks("a class without a body")
            self.stack.append(OTHER)
            return
        name = f"{LOCAL}{self.at}{LOCAL}{node.name}"
        self.emit(ast.ClassDef(name, args[2:], keywords, without_returns(node.body), [], **self.place))
        self.stack.append(load(name, self.place))

    # Imports

    def _o_import_name(self, ins: Instruction) -> None:
        level, wanted = self.take(2) if len(self.stack) > 1 else (OTHER, OTHER)
        module = self.name(ins.arg)
        dots = level.value if isinstance(level, ast.Constant) and isinstance(level.value, int) and 0 <= level.value < 32 else 0
        whole = not (isinstance(wanted, ast.Constant) and wanted.value is None)
        result = self.temporary(
            ast.Call(load(LOCAL + "import", self.place), [constant("." * dots + module, self.place)], [], **self.place)
        )
        if isinstance(result, ast.Name):
            self.modules[result.id] = "." * dots + module
        if not whole and "." in module and not dots:
            result = self.temporary(
                ast.Call(load(LOCAL + "import", self.place), [constant(module.partition(".")[0], self.place)], [], **self.place)
            )
        self.stack.append(result)

    def _o_import_from(self, ins: Instruction) -> None:
        self.stack.append(ast.Attribute(self.peek(1), self.name(ins.arg), ast.Load(), **self.place))

    def _o_import_star(self, _: Instruction) -> None:
        value = self.pop()
        module = self.modules.get(value.id, "") if isinstance(value, ast.Name) else ""
        self.emit(ast.ImportFrom(module, [ast.alias("*", None)], 0, **self.place))


def define(code: Code, body: list[ast.stmt]) -> ast.FunctionDef:
    """Return the definition of a function with the parameters of a code object, none of them with a default."""
    place: dict[str, Any] = {"lineno": max(code.line, 1), "col_offset": 0}
    names = [ast.arg(LOCAL + name, **place) for name in code.locals]
    count, kwonly = max(code.args, 0), max(code.kwonly, 0)
    rest = names[count + kwonly :]
    star = rest.pop(0) if code.flags & _VARARGS and rest else None
    stars = rest.pop(0) if code.flags & _VARKEYWORDS and rest else None
    only = names[count : count + kwonly]
    arguments = ast.arguments([], names[:count], star, only, [None] * len(only), stars, [])
    return ast.FunctionDef(code.name or "?", arguments, body, [], **place)


def without_returns(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the body of a class: what its code returns is for the interpreter alone."""
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.If):
            inner = without_returns(statement.body)
            kept += [ast.If(statement.test, inner, [], lineno=statement.lineno, col_offset=0)] if inner else []
        elif not isinstance(statement, ast.Return):
            kept.append(statement)
    return kept
