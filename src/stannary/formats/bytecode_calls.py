"""What instructions that call, build, import, jump and catch do to a stack of expressions."""

from __future__ import annotations

import ast
from typing import Any

from stannary.formats.bytecode import Code, Instruction
from stannary.formats.bytecode_containers import Containers
from stannary.formats.bytecode_nodes import LOCAL, NULL, OTHER, Expr, Function, Marker, constant, load

__all__ = ["Operations", "define"]

_SELF = Marker("self")
_EXIT = Marker("exit")
_ENTER = Marker("enter")
_CLASS = Marker("class")
_VARARGS, _VARKEYWORDS = 0x04, 0x08
_OLD_EXCEPTION = 6  # values that an exception puts on the stack until 3.10


class Operations(Containers):
    """Calls, functions, classes, imports, jumps, context managers, exceptions, coroutines."""

    guard: tuple[Expr, int] | None
    functions: dict[str, ast.FunctionDef]

    # Calls

    def invoke(self, function: Expr, args: list[Expr], keywords: list[ast.keyword]) -> None:
        """Call something. The result gets a name at once: calls happen once, and in this order."""
        if function is _EXIT or function is OTHER:
            for arg in args:
                self.expression(arg)
            self.stack.append(OTHER)
        elif function is _ENTER:
            self.stack.append(args[0] if args else OTHER)
        elif function is _CLASS:
            self._class(args, keywords)
        elif isinstance(function, Marker) and not self.inline:
            self.breaks("a call of nothing")
            self.stack.append(OTHER)
        else:
            call = ast.Call(function, args, keywords, **self.place)
            self.push(call if self.inline else self.temporary(call))

    def _pair(self, args: list[Expr], keywords: list[ast.keyword]) -> None:
        """Call what stands below the arguments: a callable and a gap, in either order, or a method and its owner."""
        second, first = self.pop(), self.pop()
        if first is NULL:
            first, second = second, NULL
        if second is not NULL and second is not _SELF:
            args = [second, *args]
        self.invoke(first, args, keywords)

    def _keywords(self, names: Any, args: list[Expr]) -> tuple[list[Expr], list[ast.keyword]]:  # noqa: ANN401 - a constant
        if isinstance(names, ast.Tuple):
            names = [n.value for n in names.elts if isinstance(n, ast.Constant)]
        if not isinstance(names, (tuple, list)) or len(names) > len(args):
            self.breaks("names of keywords that are none")
            return args, []
        cut = len(args) - len(names)
        return args[:cut], [ast.keyword(str(n), v, **self.place) for n, v in zip(names, args[cut:], strict=True)]

    def o_push_null(self, _: Instruction) -> None:
        self.stack.append(NULL)

    def o_kw_names(self, ins: Instruction) -> None:
        names = self.constant(ins.arg)
        self.keywords = names if isinstance(names, tuple) else ()

    def o_call(self, ins: Instruction) -> None:
        names, self.keywords = self.keywords, ()
        self._pair(*self._keywords(names, self.take(ins.arg)))

    def o_call_kw(self, ins: Instruction) -> None:
        names = self.pop()
        self._pair(*self._keywords(names, self.take(ins.arg)))

    def o_call_function(self, ins: Instruction) -> None:
        args = self.take(ins.arg)
        self.invoke(self.pop(), args, [])

    def o_call_function_kw(self, ins: Instruction) -> None:
        names = self.pop()
        args, keywords = self._keywords(names, self.take(ins.arg))
        self.invoke(self.pop(), args, keywords)

    def o_call_method(self, ins: Instruction) -> None:
        args = self.take(ins.arg)
        self._pair(args, [])

    def o_call_function_ex(self, ins: Instruction) -> None:
        version = self.numbers.version
        named = self.pop() if ins.arg & 1 or version >= (3, 14) else NULL
        given = self.pop()
        args = list(given.elts) if isinstance(given, (ast.Tuple, ast.List)) else [ast.Starred(given, ast.Load(), **self.place)]
        keywords: list[ast.keyword] = []
        if isinstance(named, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in named.keys):
            keywords = [
                ast.keyword(k.value, v, **self.place) for k, v in zip(named.keys, named.values, strict=True) if isinstance(k, ast.Constant)
            ]
        elif named is not NULL:
            keywords = [ast.keyword(None, named, **self.place)]
        if version >= (3, 11):
            self._pair(args, keywords)
        else:
            self.invoke(self.pop(), args, keywords)

    def o_call_intrinsic_1(self, ins: Instruction) -> None:
        if ins.arg == 2:  # noqa: PLR2004 - INTRINSIC_IMPORT_STAR since 3.12
            self.o_import_star(ins)
            self.stack.append(OTHER)

    def o_call_intrinsic_2(self, _: Instruction) -> None:
        self.expression(self.pop())

    def o_load_method(self, ins: Instruction) -> None:
        self.stack += [self._attribute(self.pop(), ins.arg), _SELF]

    def o_load_attr(self, ins: Instruction) -> None:
        if self.numbers.version < (3, 12):
            self.push(self._attribute(self.pop(), ins.arg))
            return
        value = self._attribute(self.pop(), ins.arg >> 1)
        if ins.arg & 1:
            self.stack += [value, _SELF]
        else:
            self.push(value)

    def o_load_super_attr(self, ins: Instruction) -> None:
        owner = ast.Call(load("super", self.place), self.take(3)[1:], [], **self.place)
        value = self._attribute(owner, ins.arg >> 2)
        if ins.arg & 1:
            self.stack += [value, _SELF]
        else:
            self.push(value)

    def o_load_special(self, ins: Instruction) -> None:
        method = str(self.item(self.numbers.special, ins.arg))
        owner = self.pop()
        self.stack += [_ENTER if "enter" in method else _EXIT, owner]

    def _attribute(self, owner: Expr, index: int) -> Expr:
        return ast.Attribute(owner, self.name(index), ast.Load(), **self.place)

    # Functions and classes

    def o_make_function(self, ins: Instruction) -> None:
        if self.numbers.version < (3, 11):
            self.pop()
        made = self.pop()
        code = made.value if isinstance(made, ast.Constant) else None
        if not isinstance(code, Code):
            self.breaks("a function of something that is no code")
            self.stack.append(OTHER)
            return
        function = Function(define(code, self.nested(code).body), self.place)
        if self.numbers.version < (3, 13):
            for flag in (0x08, 0x04, 0x02, 0x01):
                if ins.arg & flag:
                    self._complete(function.node, flag, self.pop())
        self.stack.append(function if self.numbers.version >= (3, 13) or self.inline else self.temporary(function))

    def o_set_function_attribute(self, ins: Instruction) -> None:
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
            given = {k.value: self.temporary(v) for k, v in zip(value.keys, value.values, strict=True) if isinstance(k, ast.Constant)}
            node.args.kw_defaults = [given.get(a.arg.removeprefix(LOCAL)) for a in node.args.kwonlyargs]

    def o_load_build_class(self, _: Instruction) -> None:
        self.stack.append(_CLASS)

    def _class(self, args: list[Expr], keywords: list[ast.keyword]) -> None:
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

    def o_import_name(self, ins: Instruction) -> None:
        level, wanted = self.take(2) if len(self.stack) > 1 else (OTHER, OTHER)
        module = self.name(ins.arg)
        dots = level.value if isinstance(level, ast.Constant) and isinstance(level.value, int) and 0 <= level.value < 32 else 0
        whole = not (isinstance(wanted, ast.Constant) and wanted.value is None)
        result = self.temporary(ast.Call(load(LOCAL + "import", self.place), [constant("." * dots + module, self.place)], [], **self.place))
        if isinstance(result, ast.Name):
            self.modules[result.id] = "." * dots + module
        if not whole and "." in module and not dots:
            result = self.temporary(
                ast.Call(load(LOCAL + "import", self.place), [constant(module.partition(".")[0], self.place)], [], **self.place)
            )
        self.stack.append(result)

    def o_import_from(self, ins: Instruction) -> None:
        self.stack.append(ast.Attribute(self.peek(1), self.name(ins.arg), ast.Load(), **self.place))

    def o_import_star(self, _: Instruction) -> None:
        value = self.pop()
        module = self.modules.get(value.id, "") if isinstance(value, ast.Name) else ""
        self.emit(ast.ImportFrom(module, [ast.alias("*", None)], 0, **self.place))

    # Jumps

    def o_jump_forward(self, _: Instruction) -> None:
        """Control is all that moves."""

    o_jump_absolute = o_jump_backward = o_jump_backward_no_interrupt = o_continue_loop = o_break_loop = o_jump_forward

    def o_pop_jump_if_false(self, ins: Instruction) -> None:
        test = self.pop()
        if ins.target > ins.offset and _is_guard(test):
            self.guard = (test, ins.target)
        else:
            self.expression(test)
        self.jump(ins, self.stack)

    o_pop_jump_if_true = o_pop_jump_if_none = o_pop_jump_if_not_none = o_pop_jump_if_false
    o_pop_jump_forward_if_false = o_pop_jump_forward_if_true = o_pop_jump_if_false
    o_pop_jump_forward_if_none = o_pop_jump_forward_if_not_none = o_pop_jump_if_false
    o_pop_jump_backward_if_false = o_pop_jump_backward_if_true = o_pop_jump_if_false
    o_pop_jump_backward_if_none = o_pop_jump_backward_if_not_none = o_pop_jump_if_false

    def o_jump_if_false_or_pop(self, ins: Instruction) -> None:
        self.peek(1)
        self.jump(ins, self.stack)
        self.pop()

    o_jump_if_true_or_pop = o_jump_if_false_or_pop

    def o_jump_if_not_exc_match(self, ins: Instruction) -> None:
        for value in self.take(2):
            self.expression(value)
        self.jump(ins, self.stack)

    def o_for_iter(self, ins: Instruction) -> None:
        source = self.peek(1)
        name = f"{LOCAL}{ins.offset}for"
        target = ast.Name(name, ast.Store(), **self.place)
        self.emit(ast.For(target, source, [], [], **self.place))
        self.jump(ins, [*self.stack, OTHER] if self.numbers.version >= (3, 12) else self.stack[:-1])
        self.stack.append(load(name, self.place))

    def o_return_value(self, _: Instruction) -> None:
        value = self.pop()
        if self.code.name == "<genexpr>":
            self.expression(value)
        else:
            self.emit(ast.Return(value, **self.place))

    def o_return_const(self, ins: Instruction) -> None:
        self.o_load_const(ins)
        self.o_return_value(ins)

    def o_interpreter_exit(self, _: Instruction) -> None:
        self.expression(self.pop())

    # Context managers

    def o_before_with(self, _: Instruction) -> None:
        manager = self.temporary(self.pop())
        self.stack += [_EXIT, manager]

    o_before_async_with = o_before_with

    def o_setup_with(self, ins: Instruction) -> None:
        manager = self.temporary(self.pop())
        self.stack.append(_EXIT)
        self.jump(ins, [*self.stack, *[OTHER] * _OLD_EXCEPTION], weak=True)
        self.stack.append(manager)

    def o_setup_async_with(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack[:-1], *[OTHER] * _OLD_EXCEPTION], weak=True)

    def o_with_except_start(self, _: Instruction) -> None:
        self.stack.append(OTHER)

    def o_with_cleanup_start(self, _: Instruction) -> None:
        self.take(2)
        self.stack += [OTHER] * 3

    def o_with_cleanup_finish(self, _: Instruction) -> None:
        self.take(2)

    # Exceptions

    def o_setup_finally(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack, *[OTHER] * _OLD_EXCEPTION], weak=True)

    o_setup_except = o_setup_finally

    def o_setup_loop(self, ins: Instruction) -> None:
        self.jump(ins, self.stack)

    def o_call_finally(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack, OTHER])

    def o_begin_finally(self, _: Instruction) -> None:
        self.stack.append(OTHER)

    o_push_exc_info = o_return_generator = o_begin_finally

    def o_end_finally(self, _: Instruction) -> None:
        if self.stack:
            self.stack.pop()

    def o_pop_finally(self, ins: Instruction) -> None:
        kept = self.pop() if ins.arg else None
        self.o_end_finally(ins)
        if kept is not None:
            self.stack.append(kept)

    def o_pop_except(self, _: Instruction) -> None:
        self.take(min(1 if self.numbers.version >= (3, 11) else 3, len(self.stack)))

    def o_check_exc_match(self, _: Instruction) -> None:
        self.expression(self.pop())
        self.stack.append(OTHER)

    o_check_eg_match = o_check_exc_match

    def o_prep_reraise_star(self, _: Instruction) -> None:
        self.take(2)
        self.stack.append(OTHER)

    def o_raise_varargs(self, ins: Instruction) -> None:
        for value in self.take(min(ins.arg, 2)):
            self.expression(value)

    def o_reraise(self, _: Instruction) -> None:
        """What is raised again was evaluated before."""

    def o_cleanup_throw(self, _: Instruction) -> None:
        self.take(3)
        self.stack += [OTHER, OTHER]

    def o_end_async_for(self, _: Instruction) -> None:
        self.take(min(2 if self.numbers.version >= (3, 11) else 7, len(self.stack)))

    # Coroutines and generators

    def o_yield_value(self, _: Instruction) -> None:
        self.expression(ast.Yield(self.pop(), **self.place))
        self.stack.append(OTHER)

    def o_yield_from(self, _: Instruction) -> None:
        self.pop()
        self.push(ast.Await(self.pop(), **self.place))

    def o_get_awaitable(self, _: Instruction) -> None:
        """The awaited value is evaluated where it is sent to."""

    o_get_aiter = o_get_awaitable

    def o_get_anext(self, _: Instruction) -> None:
        self.stack.append(self.peek(1))

    def o_send(self, ins: Instruction) -> None:
        self.pop()
        receiver = self.peek(1)
        rest = self.stack if self.numbers.version >= (3, 12) else self.stack[:-1]
        self.jump(ins, [*rest, receiver])
        self.stack.append(receiver)

    def o_end_send(self, _: Instruction) -> None:
        value = self.pop()
        self.pop()
        self.stack.append(value)

    o_gen_start = o_get_aiter


def define(code: Code, body: list[ast.stmt]) -> ast.FunctionDef:
    """Return the definition of a function with the parameters of a code object, none of them with a default."""
    place = {"lineno": max(code.line, 1), "col_offset": 0}
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


def _is_guard(test: Expr) -> bool:
    """Tell whether a test is `__name__ == "__main__"`."""
    if not isinstance(test, ast.Compare):
        return False
    sides = (test.left, test.comparators[0])
    named = any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides)
    return named and any(isinstance(s, ast.Constant) and s.value == "__main__" for s in sides)
