"""What each instruction does to a stack of expressions. Names, arithmetic, containers; `bytecode_calls` has calls and control."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stannary.formats.bytecode import Code, Instruction, Table
from stannary.formats.bytecode_nodes import LOCAL, NULL, OTHER, Body, Expr, constant, load

if TYPE_CHECKING:
    from stannary.formats.bytecode_lift import Lifted

__all__ = ["Stack"]

_OPERATORS: dict[str, type[ast.operator]] = {
    "+": ast.Add, "&": ast.BitAnd, "//": ast.FloorDiv, "<<": ast.LShift, "@": ast.MatMult, "*": ast.Mult, "%": ast.Mod, "|":
    ast.BitOr,
    "**": ast.Pow, ">>": ast.RShift, "-": ast.Sub, "/": ast.Div, "^": ast.BitXor,
}  # fmt: skip
_NAMED = {
    "ADD": "+", "AND": "&", "FLOOR_DIVIDE": "//", "LSHIFT": "<<", "MATRIX_MULTIPLY": "@", "MULTIPLY": "*", "MODULO": "%", "OR": "|",
    "POWER": "**", "RSHIFT": ">>", "SUBTRACT": "-", "TRUE_DIVIDE": "/", "XOR": "^",
}  # fmt: skip
_UNARY: dict[str, type[ast.unaryop]] = {"NEGATIVE": ast.USub, "INVERT": ast.Invert, "NOT": ast.Not, "POSITIVE": ast.UAdd}
_CELLS_ARE_FAST = (3, 11)
_NULL_LAST = (3, 13)
_LONGEST = 40  # operations until what is on the stack gets names


class Stack:
    """The stack of one code object, and the instructions that only move, combine and name things."""

    at: int
    stack: list[Expr]

    def __init__(self, code: Code, numbers: Table) -> None:
        self.code = code
        self.numbers = numbers
        self.place: dict[str, Any] = {"lineno": max(code.line, 1), "col_offset": 0}
        self.stack = []
        self.at = 0
        self.grown = 0
        self.inline = False  # whether calls stay expressions: in comprehensions
        self.keywords: tuple[Any, ...] = ()
        self.modules: dict[str, str] = {}
        self.stored: set[str] = set()
        self.fast = code.fast
        self.derefs = (*code.cells, *code.free)

    @abstractmethod
    def emit(self, statement: ast.stmt) -> None:
        """Add a statement."""

    @abstractmethod
    def temporary(self, value: Expr) -> Expr:
        """Give a value a name."""

    @abstractmethod
    def settle(self) -> None:
        """Give a name to everything on the stack that has none."""

    @abstractmethod
    def breaks(self, what: str) -> None:
        """Note something that no compiler writes."""

    @abstractmethod
    def nested(self, code: Code) -> Lifted:
        """Lift code inside this code."""

    @abstractmethod
    def jump(self, ins: Instruction, stack: list[Expr], *, weak: bool = False) -> None:
        """Go to where an instruction may jump, with this stack."""

    def step(self, ins: Instruction) -> None:
        """Do one instruction."""
        method = _cached(type(self), ins.name)
        if method is None:
            self.breaks(f"unread opcode {ins.name}")
            return
        method(self, ins)

    # The stack

    def pop(self) -> Expr:
        """Take the top; running empty is noted."""
        if not self.stack:
            self.breaks("the stack runs empty")
            return OTHER
        return self.stack.pop()

    def take(self, count: int) -> list[Expr]:
        """Take the topmost values, lowest first."""
        if count > len(self.stack):
            self.breaks("the stack runs empty")
            count = len(self.stack)
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def push(self, value: Expr) -> None:
        """Put a combined value on the stack."""
        self.stack.append(value)
        self.grown += 1
        if self.grown > _LONGEST and not self.inline:
            self.settle()

    def peek(self, depth: int) -> Expr:
        """Return the value at a depth, 1 being the top, named so that it can be there twice."""
        if not 0 < depth <= len(self.stack):
            self.breaks("the stack runs empty")
            return OTHER
        self.stack[-depth] = self.temporary(self.stack[-depth])
        return self.stack[-depth]

    def expression(self, value: Expr) -> None:
        """Evaluate a value for what it does."""
        if not isinstance(value, (ast.Name, ast.Constant)) and value is not OTHER:
            self.emit(ast.Expr(value, **self.place))

    def item(self, values: tuple[Any, ...], index: int) -> Any:  # noqa: ANN401 - a constant, or a name
        """Return what an index of the code object refers to; what is beyond the end is noted."""
        if 0 <= index < len(values):
            return values[index]
        self.breaks("an index beyond the code object's own tables")
        return ...

    def name(self, index: int) -> str:
        """Return one of the code's global and attribute names."""
        found = self.item(self.code.names, index)
        return found if isinstance(found, str) else "?"

    def local(self, index: int) -> str:
        """Return the identifier of a local slot."""
        found = self.item(self.fast, index)
        return f"{LOCAL}{found}" if isinstance(found, str) else f"{LOCAL}?"

    def deref(self, index: int) -> str:
        """Return the identifier of a cell."""
        if self.numbers.version >= _CELLS_ARE_FAST:
            return self.local(index)
        found = self.item(self.derefs, index)
        return f"{LOCAL}{found}" if isinstance(found, str) else f"{LOCAL}?"

    def store(self, name: str, value: Expr) -> None:
        """Assign to a name."""
        self.stored.add(name)
        self.emit(ast.Assign([ast.Name(name, ast.Store(), **self.place)], value, **self.place))

    def constant(self, index: int) -> Any:  # noqa: ANN401 - any constant
        """Return one of the code's constants."""
        return self.item(self.code.consts, index)

    # Families

    def arithmetic(self, symbol: str) -> None:
        """Combine two values, in place or not; 3.14 subscribes the same way."""
        left, right = self.take(2) if len(self.stack) > 1 else (OTHER, self.pop())
        if symbol == "[]":
            self.push(ast.Subscript(left, right, ast.Load(), **self.place))
            return
        operator = _OPERATORS.get(symbol.removesuffix("="))
        if operator is None:
            self.breaks(f"operator {symbol}")
            return
        self.push(ast.BinOp(left, operator(), right, **self.place))

    def _o_binary_op(self, ins: Instruction) -> None:
        self.arithmetic(str(self.item(self.numbers.operators, ins.arg)))

    def _o_compare_op(self, _: Instruction) -> None:
        left, right = self.take(2) if len(self.stack) > 1 else (OTHER, self.pop())
        self.push(ast.Compare(left, [ast.Eq()], [right], **self.place))

    _o_contains_op = _o_is_op = _o_compare_op

    # Constants, names

    def _o_load_const(self, ins: Instruction) -> None:
        value = self.constant(ins.arg)
        self.stack.append(Body(value, self.place) if isinstance(value, Code) else constant(value, self.place))

    def _o_load_small_int(self, ins: Instruction) -> None:
        self.stack.append(constant(ins.arg, self.place))

    def _o_load_common_constant(self, ins: Instruction) -> None:
        self.stack.append(load(str(self.item(self.numbers.common, ins.arg)), self.place))

    def _o_load_assertion_error(self, _: Instruction) -> None:
        self.stack.append(load("AssertionError", self.place))

    def _o_load_fast(self, ins: Instruction) -> None:
        self.stack.append(load(self.local(ins.arg), self.place))

    _o_load_fast_check = _o_load_fast_borrow = _o_load_fast_and_clear = _o_load_fast

    def _o_load_fast_load_fast(self, ins: Instruction) -> None:
        self.stack += [load(self.local(ins.arg >> 4), self.place), load(self.local(ins.arg & 15), self.place)]

    _o_load_fast_borrow_load_fast_borrow = _o_load_fast_load_fast

    def _o_store_fast(self, ins: Instruction) -> None:
        self.store(self.local(ins.arg), self.pop())

    def _o_store_fast_store_fast(self, ins: Instruction) -> None:
        self.store(self.local(ins.arg >> 4), self.pop())
        self.store(self.local(ins.arg & 15), self.pop())

    def _o_store_fast_load_fast(self, ins: Instruction) -> None:
        self.store(self.local(ins.arg >> 4), self.pop())
        self.stack.append(load(self.local(ins.arg & 15), self.place))

    def _o_load_deref(self, ins: Instruction) -> None:
        self.stack.append(load(self.deref(ins.arg), self.place))

    _o_load_closure = _o_load_deref

    def _o_load_classderef(self, ins: Instruction) -> None:
        name = self.deref(ins.arg)
        value: Expr = load(name, self.place)
        if name.removeprefix(LOCAL) in self.stored:  # the class's own name first, then the cell
            value = ast.BoolOp(ast.Or(), [load(name.removeprefix(LOCAL), self.place), value], **self.place)
        self.stack.append(value)

    def _o_load_from_dict_or_deref(self, ins: Instruction) -> None:
        self.pop()
        self._o_load_classderef(ins)

    def _o_store_deref(self, ins: Instruction) -> None:
        self.store(self.deref(ins.arg), self.pop())

    def _o_load_name(self, ins: Instruction) -> None:
        self.stack.append(load(self.name(ins.arg), self.place))

    def _o_load_from_dict_or_globals(self, ins: Instruction) -> None:
        self.pop()
        self._o_load_name(ins)

    def _o_load_global(self, ins: Instruction) -> None:
        if self.numbers.version < _CELLS_ARE_FAST:
            self._o_load_name(ins)
            return
        value = load(self.name(ins.arg >> 1), self.place)
        self.called(value, NULL, gap=bool(ins.arg & 1))

    def called(self, value: Expr, gap_value: Expr, *, gap: bool) -> None:
        """Push something to be called, with the gap that calls need where this version wants it."""
        if not gap:
            self.push(value)
        elif self.numbers.version >= _NULL_LAST:
            self.stack += [value, gap_value]
        else:
            self.stack += [gap_value, value]

    def _o_store_name(self, ins: Instruction) -> None:
        self.store(self.name(ins.arg), self.pop())

    _o_store_global = _o_store_name

    def _o_load_locals(self, _: Instruction) -> None:
        self.stack.append(ast.Call(load("locals", self.place), [], [], **self.place))

    # Attributes, items

    def _o_store_attr(self, ins: Instruction) -> None:
        value, owner = self.take(2) if len(self.stack) > 1 else (OTHER, self.pop())
        self.emit(ast.Assign([ast.Attribute(owner, self.name(ins.arg), ast.Store(), **self.place)], value, **self.place))

    def _o_delete_attr(self, _: Instruction) -> None:
        self.expression(self.pop())

    def _o_binary_subscr(self, _: Instruction) -> None:
        self.arithmetic("[]")

    def _o_binary_slice(self, _: Instruction) -> None:
        owner, start, stop = self._three()
        self.push(ast.Subscript(owner, self._slice([start, stop]), ast.Load(), **self.place))

    def _o_store_slice(self, _: Instruction) -> None:
        owner, start, stop = self._three()
        self._set(owner, self._slice([start, stop]), self.pop())

    def _o_store_subscr(self, _: Instruction) -> None:
        value, owner, key = self._three()
        self._set(owner, key, value)

    def _o_delete_subscr(self, _: Instruction) -> None:
        self.expression(self.pop())
        self.expression(self.pop())

    def _o_build_slice(self, ins: Instruction) -> None:
        self.push(self._slice(self.take(ins.arg if ins.arg in {2, 3} else 2)))

    def _three(self) -> tuple[Expr, Expr, Expr]:
        last = self.pop()
        middle = self.pop()
        return self.pop(), middle, last

    def _slice(self, bounds: list[Expr]) -> ast.Slice:
        parts = [None if isinstance(b, ast.Constant) and b.value is None else b for b in bounds]
        parts += [None] * (3 - len(parts))
        return ast.Slice(*parts, **self.place)

    def _set(self, owner: Expr, key: Expr, value: Expr) -> None:
        owner = self.temporary(owner)
        self.emit(ast.Assign([ast.Subscript(owner, key, ast.Store(), **self.place)], value, **self.place))

    # Moving

    def _o_pop_top(self, _: Instruction) -> None:
        self.expression(self.pop())

    _o_print_expr = _o_pop_iter = _o_store_annotation = _o_pop_top

    def _o_end_for(self, _: Instruction) -> None:
        self.take(2 if self.numbers.version == (3, 12) else 1)

    def _o_copy(self, ins: Instruction) -> None:
        self.stack.append(self.peek(ins.arg))

    def _o_dup_top(self, _: Instruction) -> None:
        self.stack.append(self.peek(1))

    def _o_dup_top_two(self, _: Instruction) -> None:
        self.stack += [self.peek(2), self.peek(1)]

    def _o_swap(self, ins: Instruction) -> None:
        if not 0 < ins.arg <= len(self.stack):
            self.breaks("the stack runs empty")
        else:
            self.stack[-1], self.stack[-ins.arg] = self.stack[-ins.arg], self.stack[-1]

    def _rotate(self, count: int) -> None:
        if not 0 < count <= len(self.stack):
            self.breaks("the stack runs empty")
        else:
            self.stack.insert(len(self.stack) - count, self.stack.pop())

    def _o_rot_two(self, _: Instruction) -> None:
        self._rotate(2)

    def _o_rot_three(self, _: Instruction) -> None:
        self._rotate(3)

    def _o_rot_four(self, _: Instruction) -> None:
        self._rotate(4)

    def _o_rot_n(self, ins: Instruction) -> None:
        self._rotate(ins.arg)

    def _o_nop(self, _: Instruction) -> None:
        """Do nothing that a name or a call could come of."""

    _o_resume = _o_precall = _o_copy_free_vars = _o_make_cell = _o_not_taken = _o_to_bool = _o_nop
    _o_pop_block = _o_setup_annotations = _o_delete_fast = _o_delete_deref = _o_delete_name = _o_delete_global = _o_nop
    _o_async_gen_wrap = _o_get_iter = _o_get_yield_from_iter = _o_list_to_tuple = _o_convert_value = _o_nop


def _family(cls: type[Stack], name: str) -> Callable[[Any, Instruction], None] | None:
    method = getattr(cls, "_o_" + name.lower(), None)
    if method is not None:
        return method  # type: ignore[no-any-return]
    kind, _, rest = name.partition("_")
    if kind in {"BINARY", "INPLACE"} and rest in _NAMED:
        return lambda self, _ins, symbol=_NAMED[rest]: self.arithmetic(symbol)  # type: ignore[misc]
    if kind == "UNARY" and rest in _UNARY:
        return lambda self, _ins, op=_UNARY[rest]: self.push(ast.UnaryOp(op(), self.pop(), **self.place))  # type: ignore[misc]
    return None


_METHODS: dict[tuple[type[Stack], str], Callable[[Any, Instruction], None] | None] = {}


def _cached(cls: type[Stack], name: str) -> Callable[[Any, Instruction], None] | None:
    key = (cls, name)
    if key not in _METHODS:
        _METHODS[key] = _family(cls, name)
    return _METHODS[key]
