"""Bytecode read back as syntax: a stack of expressions instead of a stack of values.

The tree is not the source that was compiled; it makes the same calls with the same arguments, in the order of
the code, and that is what `bytecode_flow.Flow` follows. Branches become `if` statements without a condition, what
two paths leave on the stack becomes `a or b`, and everything that is used twice gets a name of its own. The
names of locals, cells and temporaries begin with `LOCAL`, which no identifier can, so that they never meet a global.

What does not add up - a stack that runs empty, a constant that is not there - is listed in `Lifted.broken`.
"""

from __future__ import annotations

import ast
import heapq
import itertools
from typing import Any, NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.bytecode import Code, Handler, Instruction, Table, decode, handlers
from stannary.formats.bytecode_calls import Operations
from stannary.formats.bytecode_nodes import LOCAL, OTHER, Expr, Function, Marker, is_plain, load

__all__ = ["OTHER_VERSION", "Lifted", "Lifter", "Work"]

_JUMPS = frozenset({"JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "CONTINUE_LOOP"})
_ENDS = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "BREAK_LOOP", "INTERPRETER_EXIT"}) | _JUMPS
_TABLED = (3, 11)
_MAX_EXPRESSION = 64
_MAX_ALTERNATIVES = 8
OTHER_VERSION = "not written for this version"
_GENERATOR = 0x20
_DEEPEST_STACK = 4096


class Work:
    """What is left to spend on all the code of one file, and the numbering of temporaries."""

    def __init__(self, instructions: int, nested: int = 48) -> None:
        self.left = instructions
        self.nested = nested
        self.counter = itertools.count()


class Lifted(NamedTuple):
    """The statements of one code object, `broken` being what did not add up."""

    body: list[ast.stmt]
    broken: list[str]


class Lifter(Operations):
    """Lifts one code object. `work` is shared with the code inside it."""

    def __init__(self, code: Code, numbers: Table, work: Work, depth: int = 0) -> None:
        super().__init__(code, numbers)
        self.work = work
        self.depth = depth
        self.out: list[tuple[object, ast.stmt]] = []
        self.broken: list[str] = []
        self.states: dict[int, list[Expr]] = {}
        self.weak: set[int] = set()
        self.heap: list[int] = []
        self.visited: set[int] = set()
        self.cover = 0
        self.guard: tuple[Expr, int] | None = None
        self.caught: dict[int, list[Handler]] = {}
        self.functions: dict[str, ast.FunctionDef] = {}

    # What operations ask for

    def emit(self, statement: ast.stmt) -> None:
        """Add a statement, in the branch that the current instruction is in."""
        place: object = None
        if self.guard is not None and self.at < self.guard[1]:
            place = self.guard[0]
        elif self.at < self.cover:
            place = True
        self.out.append((place, statement))

    def temporary(self, value: Expr) -> Expr:
        """Give a value a name, so that using it twice does not mean it twice."""
        if is_plain(value):
            return value
        name = f"{LOCAL}{next(self.work.counter)}"
        if isinstance(value, Function):
            self.functions[name] = value.node
        self.emit(ast.Assign([ast.Name(name, ast.Store(), **self.place)], value, **self.place))
        return load(name, self.place)

    def settle(self) -> None:
        """Give a name to everything on the stack that has none."""
        self.grown = 0
        self.work.left -= len(self.stack) >> 3
        self.stack = [self.temporary(value) for value in self.stack]

    def breaks(self, what: str) -> None:
        """Note something that no compiler writes."""
        if len(self.broken) < 8:
            self.broken.append(f"{what} at {self.at} of {self.code.name}")

    def nested(self, code: Code) -> Lifted:
        """Lift code inside this code."""
        if self.depth >= self.work.nested:
            self.breaks("functions nested too deeply")
            return Lifted([ast.Pass(**self.place)], [])
        inner = Lifter(code, self.numbers, self.work, self.depth + 1).lift()
        self.broken += inner.broken[: 8 - len(self.broken)]
        return inner

    # The walk

    def lift(self) -> Lifted:
        """Return the statements of the code. Everything that did not add up is in `broken`, never raised."""
        try:
            instructions = decode(self.code.code, self.numbers)
            rows = handlers(self.code.exceptions) if self.numbers.version >= _TABLED else []
        except FormatError as exc:
            return Lifted([ast.Pass(**self.place)], [f"{OTHER_VERSION}: {exc.message} at {exc.offset} of {self.code.name}"])
        self.work.left -= len(instructions)
        if self.work.left < 0:
            return Lifted([ast.Pass(**self.place)], ["more code than is read"])
        self.index = {ins.offset: position for position, ins in enumerate(instructions)}
        self.instructions = instructions
        self.targets = {ins.target for ins in instructions if ins.target >= 0} | {row.target for row in rows}
        for row in rows:
            self.caught.setdefault(row.start, []).append(row)
        self._reach(0, [])
        self._walk()
        for row in rows:  # of instructions that were reached from elsewhere than the start of the range
            if row.target not in self.visited:
                self.stack = []
                self._handler(row)
                self._walk()
        if self.work.left < 0:
            self.breaks("more code than is read")
        body = _grouped(self.out, self.place)
        return Lifted(body or [ast.Pass(**self.place)], self.broken)

    def _walk(self) -> None:
        while self.heap:
            self._block(heapq.heappop(self.heap))

    def _reach(self, offset: int, stack: list[Expr], *, weak: bool = False) -> None:
        """Note that control may come to `offset` with this stack; `weak`: only if nothing else comes there."""
        if offset in self.visited:
            return
        if offset not in self.index:
            self.breaks("a jump to where no instruction is")
            return
        self.work.left -= len(stack) >> 3
        known = self.states.get(offset)
        if known is None or (offset in self.weak and not weak):
            self.weak.discard(offset)
            if weak:
                self.weak.add(offset)
            if known is None:
                heapq.heappush(self.heap, offset)
            self.states[offset] = list(stack)
        elif not weak and len(known) == len(stack):
            for place, (old, new) in enumerate(zip(known, stack, strict=True)):
                if old is not new:
                    known[place] = _either(old, new, self.place)
        elif not weak and self.numbers.version >= _TABLED:
            self.breaks("paths meet with different stacks")

    def _block(self, offset: int) -> None:
        """Read from one instruction on until control is elsewhere, or meets another path."""
        if offset in self.visited:
            return
        self.stack = self.states.pop(offset)
        self.at = offset
        if offset in self.weak:  # a handler: only exceptions come here
            self.cover = max(self.cover, len(self.code.code))
        self.settle()
        position = self.index[offset]
        while position >= 0 and self.work.left >= 0:
            ins = self.instructions[position]
            self.at = ins.offset
            self.visited.add(ins.offset)
            for row in self.caught.get(ins.offset, ()):
                self._handler(row)
            after = self.comprehension(position) if ins.name == "FOR_ITER" else 0
            position = self._beyond(after) if after else self._after(ins, position)

    def _beyond(self, position: int) -> int:
        return -1 if self.instructions[position].offset in self.visited else position

    def _after(self, ins: Instruction, position: int) -> int:
        """Do one instruction; return the position of the next one of the block, -1 when control is elsewhere."""
        self.step(ins)
        if ins.target > ins.offset and ins.name != "SETUP_LOOP":
            self.cover = max(self.cover, ins.target)
        if ins.name in _ENDS:
            if ins.name in _JUMPS:
                self._reach(ins.target, self.stack)
            return -1
        if position + 1 >= len(self.instructions):
            self.breaks("code that runs on behind its end")
            return -1
        follow = self.instructions[position + 1].offset
        if follow in self.targets or follow in self.states:
            self._reach(follow, self.stack)
            return -1
        return self._beyond(position + 1)

    def _handler(self, row: Handler) -> None:
        kept = self.stack[: row.depth]
        kept += [OTHER] * min(row.depth - len(kept) + row.lasti + 1, _DEEPEST_STACK)
        self._reach(row.target, kept, weak=True)

    def jump(self, ins: Instruction, stack: list[Expr], *, weak: bool = False) -> None:
        """Go to where an instruction may jump, with this stack."""
        self._reach(ins.target, stack, weak=weak)

    # Comprehensions: a loop that does nothing but fill one list

    def comprehension(self, position: int) -> int:
        """Read a loop of one expression as a comprehension; return the position behind it, 0 when it is none."""
        loop = self.instructions[position]
        end = self.index.get(loop.target, 0)
        if not position < end <= position + _MAX_EXPRESSION or not self.stack:
            return 0
        body = self.instructions[position + 1 : end]
        closes = [ins for ins in body if ins.name in {"LIST_APPEND", "SET_ADD", "YIELD_VALUE"}]
        if len(closes) != 1:
            return 0
        cut = body.index(closes[0]) + 1
        inside, behind = body[:cut], {ins.name for ins in body[cut:]}
        if any(ins.target >= 0 for ins in inside) or behind - {"JUMP_BACKWARD", "JUMP_ABSOLUTE", "RESUME", "POP_TOP"}:
            return 0
        self.work.left -= 1 + (len(self.fast) >> 3)
        if not any(ins.target == loop.offset for ins in body) or any(ins.offset in self.targets for ins in inside):
            return 0
        if closes[0].name == "YIELD_VALUE" and not (self.code.name == "<genexpr>" and self.code.flags & _GENERATOR):
            return 0
        element = self._element(inside)
        if element is None:
            return 0
        source = self.stack[-1]
        whole = ast.ListComp(element[1], [ast.comprehension(element[0], source, [], 0)], **self.place)
        self.visited.update(ins.offset for ins in body)
        if closes[0].name == "YIELD_VALUE":
            self.emit(ast.Return(whole, **self.place))
        else:
            self.extend_at(closes[0].arg, whole)
        self.stack.append(OTHER)
        self._reach(loop.target, self.stack if self.numbers.version >= (3, 12) else self.stack[:-2])
        return end if self.states.get(loop.target) is None else self._again(end)

    def _again(self, position: int) -> int:
        offset = self.instructions[position].offset
        self.stack = self.states.pop(offset)
        return position

    def _element(self, inside: list[Instruction]) -> tuple[Expr, Expr] | None:
        """Return (target, element) of the loop's body, None when it does anything else."""
        trial = _Element(self)
        trial.stack = [OTHER, trial.one]
        for ins in inside[:-1]:
            trial.at = ins.offset
            trial.step(ins)
            if trial.spoiled:
                return None
        if trial.target is None or len(trial.stack) != 2 or trial.broken:
            return None
        return trial.target, trial.stack[-1]


class _Element(Lifter):
    """Reads the body of a comprehension: one target is assigned, one expression is left."""

    def __init__(self, outer: Lifter) -> None:
        super().__init__(outer.code, outer.numbers, outer.work, outer.depth)
        self.one = Marker("item")
        self.target: Expr | None = None
        self.spoiled = False
        self.inline = True

    def emit(self, statement: ast.stmt) -> None:
        """Take the assignment of the target; anything else is no comprehension."""
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], (ast.Name, ast.Tuple)):
            if statement.value is self.one and self.target is None:
                self.target = statement.targets[0]
                return
            if isinstance(self.target, ast.Tuple) and isinstance(statement.value, ast.Name):
                for place, element in enumerate(self.target.elts):
                    if isinstance(element, ast.Name) and element.id == statement.value.id:
                        self.target.elts[place] = statement.targets[0]
                        return
        self.spoiled = True

    def jump(self, _ins: Instruction, _stack: list[Expr], *, weak: bool = False) -> None:  # noqa: ARG002 - as the walk calls it
        """No comprehension jumps."""
        self.spoiled = True

    def nested(self, _code: Code) -> Lifted:
        """Code in a comprehension's element is read by the slower way."""
        self.spoiled = True
        return Lifted([ast.Pass(**self.place)], [])


def _either(old: Expr, new: Expr, place: dict[str, Any]) -> Expr:
    """Return an expression that may be either; it is given a name where it is used."""
    parts = [*(old.values if isinstance(old, ast.BoolOp) else [old]), new]
    if isinstance(old, Marker) or isinstance(new, Marker):
        return old
    if isinstance(old, ast.Name) and isinstance(new, ast.Name) and old.id == new.id:
        return old
    if len(parts) > _MAX_ALTERNATIVES:
        return old
    return ast.BoolOp(ast.Or(), parts, **place)


def _grouped(out: list[tuple[object, ast.stmt]], place: dict[str, Any]) -> list[ast.stmt]:
    """Put statements that run only in some cases into `if`s."""
    body: list[ast.stmt] = []
    for key, group in itertools.groupby(out, key=lambda pair: id(pair[0]) if isinstance(pair[0], ast.expr) else pair[0]):
        pairs = list(group)
        statements = [statement for _, statement in pairs]
        if key is None:
            body += statements
        else:
            test = pairs[0][0] if isinstance(pairs[0][0], ast.expr) else ast.Constant(value=True, **place)
            body.append(ast.If(test, statements, [], **place))
    return body
