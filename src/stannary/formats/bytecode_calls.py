"""What instructions that call, build, import, jump and catch do to a stack of expressions."""

from __future__ import annotations

import ast
from typing import Any

from stannary.formats.bytecode import Instruction
from stannary.formats.bytecode_functions import CLASS, Functions
from stannary.formats.bytecode_nodes import LOCAL, NULL, OTHER, Expr, Marker, load

__all__ = ["Operations"]

_SELF = Marker("self")
_EXIT = Marker("exit")
_ENTER = Marker("enter")
_OLD_EXCEPTION = 6  # values that an exception puts on the stack until 3.10


class Operations(Functions):
    """Calls, functions, classes, imports, jumps, context managers, exceptions, coroutines."""

    guard: tuple[Expr, int] | None

    # Calls

    def invoke(self, function: Expr, args: list[Expr], keywords: list[ast.keyword]) -> None:
        """Call something. The result gets a name at once: calls happen once, and in this order."""
        if function is _EXIT or function is OTHER:
            for arg in args:
                self.expression(arg)
            self.stack.append(OTHER)
        elif function is _ENTER:
            self.stack.append(args[0] if args else OTHER)
        elif function is CLASS:
            self.define_class(args, keywords)
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

    def _o_push_null(self, _: Instruction) -> None:
        self.stack.append(NULL)

    def _o_kw_names(self, ins: Instruction) -> None:
        names = self.constant(ins.arg)
        self.keywords = names if isinstance(names, tuple) else ()

    def _o_call(self, ins: Instruction) -> None:
        names, self.keywords = self.keywords, ()
        self._pair(*self._keywords(names, self.take(ins.arg)))

    def _o_call_kw(self, ins: Instruction) -> None:
        names = self.pop()
        self._pair(*self._keywords(names, self.take(ins.arg)))

    def _o_call_function(self, ins: Instruction) -> None:
        args = self.take(ins.arg)
        self.invoke(self.pop(), args, [])

    def _o_call_function_kw(self, ins: Instruction) -> None:
        names = self.pop()
        args, keywords = self._keywords(names, self.take(ins.arg))
        self.invoke(self.pop(), args, keywords)

    def _o_call_method(self, ins: Instruction) -> None:
        args = self.take(ins.arg)
        self._pair(args, [])

    def _o_call_function_ex(self, ins: Instruction) -> None:
        version = self.numbers.version
        named = self.pop() if ins.arg & 1 or version >= (3, 14) else NULL
        given = self.pop()
        args: list[Expr] = (
            list(given.elts) if isinstance(given, (ast.Tuple, ast.List)) else [ast.Starred(given, ast.Load(), **self.place)]
        )
        keywords: list[ast.keyword] = []
        if isinstance(named, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in named.keys):
            keywords = [
                ast.keyword(str(k.value), v, **self.place)
                for k, v in zip(named.keys, named.values, strict=True)
                if isinstance(k, ast.Constant)
            ]
        elif named is not NULL:
            keywords = [ast.keyword(None, named, **self.place)]
        if version >= (3, 11):
            self._pair(args, keywords)
        else:
            self.invoke(self.pop(), args, keywords)

    def _o_call_intrinsic_1(self, ins: Instruction) -> None:
        if ins.arg == 2:
            self._o_import_star(ins)
            self.stack.append(OTHER)

    def _o_call_intrinsic_2(self, _: Instruction) -> None:
        self.expression(self.pop())

    def _o_load_method(self, ins: Instruction) -> None:
        self.stack += [self._attribute(self.pop(), ins.arg), _SELF]

    def _o_load_attr(self, ins: Instruction) -> None:
        if self.numbers.version < (3, 12):
            self.push(self._attribute(self.pop(), ins.arg))
            return
        value = self._attribute(self.pop(), ins.arg >> 1)
        if ins.arg & 1:
            self.stack += [value, _SELF]
        else:
            self.push(value)

    def _o_load_super_attr(self, ins: Instruction) -> None:
        owner = ast.Call(load("super", self.place), self.take(3)[1:], [], **self.place)
        value = self._attribute(owner, ins.arg >> 2)
        if ins.arg & 1:
            self.stack += [value, _SELF]
        else:
            self.push(value)

    def _o_load_special(self, ins: Instruction) -> None:
        method = str(self.item(self.numbers.special, ins.arg))
        owner = self.pop()
        self.stack += [_ENTER if "enter" in method else _EXIT, owner]

    def _attribute(self, owner: Expr, index: int) -> Expr:
        return ast.Attribute(owner, self.name(index), ast.Load(), **self.place)

    # Jumps

    def _o_jump_forward(self, _: Instruction) -> None:
        """Control is all that moves."""

    _o_jump_absolute = _o_jump_backward = _o_jump_backward_no_interrupt = _o_continue_loop = _o_break_loop = _o_jump_forward

    def _o_pop_jump_if_false(self, ins: Instruction) -> None:
        test = self.pop()
        if ins.target > ins.offset and _is_guard(test):
            self.guard = (test, ins.target)
        else:
            self.expression(test)
        self.jump(ins, self.stack)

    _o_pop_jump_if_true = _o_pop_jump_if_none = _o_pop_jump_if_not_none = _o_pop_jump_if_false
    _o_pop_jump_forward_if_false = _o_pop_jump_forward_if_true = _o_pop_jump_if_false
    _o_pop_jump_forward_if_none = _o_pop_jump_forward_if_not_none = _o_pop_jump_if_false
    _o_pop_jump_backward_if_false = _o_pop_jump_backward_if_true = _o_pop_jump_if_false
    _o_pop_jump_backward_if_none = _o_pop_jump_backward_if_not_none = _o_pop_jump_if_false

    def _o_jump_if_false_or_pop(self, ins: Instruction) -> None:
        self.peek(1)
        self.jump(ins, self.stack)
        self.pop()

    _o_jump_if_true_or_pop = _o_jump_if_false_or_pop

    def _o_jump_if_not_exc_match(self, ins: Instruction) -> None:
        for value in self.take(2):
            self.expression(value)
        self.jump(ins, self.stack)

    def _o_for_iter(self, ins: Instruction) -> None:
        source = self.peek(1)
        name = f"{LOCAL}{ins.offset}for"
        target = ast.Name(name, ast.Store(), **self.place)
        self.emit(ast.For(target, source, [], [], **self.place))
        self.jump(ins, [*self.stack, OTHER] if self.numbers.version >= (3, 12) else self.stack[:-1])
        self.stack.append(load(name, self.place))

    def _o_return_value(self, _: Instruction) -> None:
        value = self.pop()
        if self.code.name == "<genexpr>":
            self.expression(value)
        else:
            self.emit(ast.Return(value, **self.place))

    def _o_return_const(self, ins: Instruction) -> None:
        self._o_load_const(ins)
        self._o_return_value(ins)

    def _o_interpreter_exit(self, _: Instruction) -> None:
        self.expression(self.pop())

    # Context managers

    def _o_before_with(self, _: Instruction) -> None:
        manager = self.temporary(self.pop())
        self.stack += [_EXIT, manager]

    _o_before_async_with = _o_before_with

    def _o_setup_with(self, ins: Instruction) -> None:
        manager = self.temporary(self.pop())
        self.stack.append(_EXIT)
        self.jump(ins, [*self.stack, *[OTHER] * _OLD_EXCEPTION], weak=True)
        self.stack.append(manager)

    def _o_setup_async_with(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack[:-1], *[OTHER] * _OLD_EXCEPTION], weak=True)

    def _o_with_except_start(self, _: Instruction) -> None:
        self.stack.append(OTHER)

    def _o_with_cleanup_start(self, _: Instruction) -> None:
        self.take(2)
        self.stack += [OTHER] * 3

    def _o_with_cleanup_finish(self, _: Instruction) -> None:
        self.take(2)

    # Exceptions

    def _o_setup_finally(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack, *[OTHER] * _OLD_EXCEPTION], weak=True)

    _o_setup_except = _o_setup_finally

    def _o_setup_loop(self, ins: Instruction) -> None:
        self.jump(ins, self.stack)

    def _o_call_finally(self, ins: Instruction) -> None:
        self.jump(ins, [*self.stack, OTHER])

    def _o_begin_finally(self, _: Instruction) -> None:
        self.stack.append(OTHER)

    _o_push_exc_info = _o_return_generator = _o_begin_finally

    def _o_end_finally(self, _: Instruction) -> None:
        if self.stack:
            self.stack.pop()

    def _o_pop_finally(self, ins: Instruction) -> None:
        kept = self.pop() if ins.arg else None
        self._o_end_finally(ins)
        if kept is not None:
            self.stack.append(kept)

    def _o_pop_except(self, _: Instruction) -> None:
        self.take(min(1 if self.numbers.version >= (3, 11) else 3, len(self.stack)))

    def _o_check_exc_match(self, _: Instruction) -> None:
        self.expression(self.pop())
        self.stack.append(OTHER)

    _o_check_eg_match = _o_check_exc_match

    def _o_prep_reraise_star(self, _: Instruction) -> None:
        self.take(2)
        self.stack.append(OTHER)

    def _o_raise_varargs(self, ins: Instruction) -> None:
        for value in self.take(min(ins.arg, 2)):
            self.expression(value)

    def _o_reraise(self, _: Instruction) -> None:
        """What is raised again was evaluated before."""

    def _o_cleanup_throw(self, _: Instruction) -> None:
        self.take(3)
        self.stack += [OTHER, OTHER]

    def _o_end_async_for(self, _: Instruction) -> None:
        self.take(min(2 if self.numbers.version >= (3, 11) else 7, len(self.stack)))

    # Coroutines and generators

    def _o_yield_value(self, _: Instruction) -> None:
        self.expression(ast.Yield(self.pop(), **self.place))
        self.stack.append(OTHER)

    def _o_yield_from(self, _: Instruction) -> None:
        self.pop()
        self.push(ast.Await(self.pop(), **self.place))

    def _o_get_awaitable(self, _: Instruction) -> None:
        """The awaited value is evaluated where it is sent to."""

    _o_get_aiter = _o_get_awaitable

    def _o_get_anext(self, _: Instruction) -> None:
        self.stack.append(self.peek(1))

    def _o_send(self, ins: Instruction) -> None:
        self.pop()
        receiver = self.peek(1)
        rest = self.stack if self.numbers.version >= (3, 12) else self.stack[:-1]
        self.jump(ins, [*rest, receiver])
        self.stack.append(receiver)

    def _o_end_send(self, _: Instruction) -> None:
        value = self.pop()
        self.pop()
        self.stack.append(value)

    _o_gen_start = _o_get_aiter


def _is_guard(test: Expr) -> bool:
    """Tell whether a test is `__name__ == "__main__"`."""
    if not isinstance(test, ast.Compare):
        return False
    sides = (test.left, test.comparators[0])
    named = any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides)
    return named and any(isinstance(s, ast.Constant) and s.value == "__main__" for s in sides)
