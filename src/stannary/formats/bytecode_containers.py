"""What instructions that build, fill, take apart and match containers and texts do to a stack of expressions."""

from __future__ import annotations

import ast

from stannary.formats.bytecode import Instruction
from stannary.formats.bytecode_nodes import OTHER, Expr, load
from stannary.formats.bytecode_ops import Stack

__all__ = ["Containers"]

_WIDEST = 4096


class Containers(Stack):
    """Displays, unpacking, formatted text, structural matching."""

    def _o_build_tuple(self, ins: Instruction) -> None:
        self.push(ast.Tuple(self.take(ins.arg), ast.Load(), **self.place))

    def _o_build_list(self, ins: Instruction) -> None:
        self.push(ast.List(self.take(ins.arg), ast.Load(), **self.place))

    def _o_build_set(self, ins: Instruction) -> None:
        self.push(ast.Set(self.take(ins.arg), **self.place))

    def _o_build_map(self, ins: Instruction) -> None:
        items = self.take(2 * ins.arg)
        keys: list[Expr | None] = list(items[::2])
        self.push(ast.Dict(keys, items[1::2], **self.place))

    def _o_build_const_key_map(self, ins: Instruction) -> None:
        keys = self.pop()
        values = self.take(ins.arg)
        names: list[Expr | None] = list(keys.elts) if isinstance(keys, ast.Tuple) else []
        if len(names) != len(values):
            self.breaks("a dict of other keys than values")
            names = [OTHER] * len(values)
        self.push(ast.Dict(names, values, **self.place))

    def _o_build_string(self, ins: Instruction) -> None:
        self.push(ast.JoinedStr(self.take(ins.arg), **self.place))

    def _o_build_template(self, _: Instruction) -> None:
        self.push(ast.Tuple(self.take(2), ast.Load(), **self.place))

    def _o_build_interpolation(self, ins: Instruction) -> None:
        if ins.arg & 1:
            self.pop()
        value = self.take(2)[0]
        self.push(ast.JoinedStr([ast.FormattedValue(value, -1, None, **self.place)], **self.place))

    def _o_format_simple(self, _: Instruction) -> None:
        self.push(ast.JoinedStr([ast.FormattedValue(self.pop(), -1, None, **self.place)], **self.place))

    def _o_format_with_spec(self, ins: Instruction) -> None:
        self.expression(self.pop())
        self._o_format_simple(ins)

    def _o_format_value(self, ins: Instruction) -> None:
        if ins.arg & 4:
            self.expression(self.pop())
        self._o_format_simple(ins)

    # Filling

    def _o_list_append(self, ins: Instruction) -> None:
        value = self.pop()
        owner = self.peek(ins.arg)
        method = ast.Attribute(owner, "append", ast.Load(), **self.place)
        self.emit(ast.Expr(ast.Call(method, [value], [], **self.place), **self.place))

    _o_set_add = _o_list_append

    def _o_map_add(self, ins: Instruction) -> None:
        first, second = self.take(2) if len(self.stack) > 1 else (OTHER, self.pop())
        key, value = (first, second) if self.numbers.version >= (3, 8) else (second, first)
        self._fill(self.peek(ins.arg), key, value)

    def _fill(self, owner: Expr, key: Expr, value: Expr) -> None:
        self.emit(ast.Assign([ast.Subscript(owner, key, ast.Store(), **self.place)], value, **self.place))

    def _o_list_extend(self, ins: Instruction) -> None:
        value = self.pop()
        self.extend_at(ins.arg, value)

    _o_set_update = _o_list_extend

    def extend_at(self, depth: int, value: Expr) -> None:
        """Add all of a value to the list at a depth of the stack."""
        if not 0 < depth <= len(self.stack):
            self.breaks("the stack runs empty")
            return
        owner = self.stack[-depth]
        if isinstance(owner, (ast.List, ast.Set)) and not owner.elts and isinstance(value, (ast.ListComp, ast.Tuple)):
            self.stack[-depth] = value if isinstance(value, ast.ListComp) else ast.List(value.elts, ast.Load(), **self.place)
            return
        if isinstance(owner, (ast.List, ast.Set)):
            added = value.elts if isinstance(value, ast.Tuple) else [ast.Starred(value, ast.Load(), **self.place)]
            self.stack[-depth] = ast.List([*owner.elts, *added], ast.Load(), **self.place)
            return
        both = ast.BinOp(owner, ast.Add(), value, **self.place)
        self.stack[-depth] = both if self.inline else self.temporary(both)

    def _o_dict_update(self, ins: Instruction) -> None:
        value = self.pop()
        if not 0 < ins.arg <= len(self.stack):
            self.breaks("the stack runs empty")
            return
        owner = self.stack[-ins.arg]
        if isinstance(owner, ast.Dict) and isinstance(value, ast.Dict):
            self.stack[-ins.arg] = ast.Dict([*owner.keys, *value.keys], [*owner.values, *value.values], **self.place)
        elif isinstance(owner, ast.Dict) and not owner.keys:
            self.stack[-ins.arg] = value
        else:
            self.stack[-ins.arg] = self.temporary(ast.BoolOp(ast.Or(), [owner, value], **self.place))

    _o_dict_merge = _o_dict_update

    def _joined(self, ins: Instruction) -> None:
        parts: list[Expr] = []
        for value in self.take(ins.arg):
            if isinstance(value, (ast.Tuple, ast.List)):
                parts += value.elts
            else:
                parts.append(ast.Starred(value, ast.Load(), **self.place))
        self.push(ast.Tuple(parts, ast.Load(), **self.place))

    def _o_build_tuple_unpack(self, ins: Instruction) -> None:
        self._joined(ins)

    _o_build_list_unpack = _o_build_set_unpack = _o_build_tuple_unpack_with_call = _o_build_tuple_unpack

    def _o_build_map_unpack(self, ins: Instruction) -> None:
        keys: list[Expr | None] = []
        values: list[Expr] = []
        for value in self.take(ins.arg & 0xFF):
            keys += value.keys if isinstance(value, ast.Dict) else [None]
            values += value.values if isinstance(value, ast.Dict) else [value]
        self.push(ast.Dict([OTHER if k is None else k for k in keys], values, **self.place))

    _o_build_map_unpack_with_call = _o_build_map_unpack

    # Taking apart

    def _o_unpack_sequence(self, ins: Instruction) -> None:
        self._unpack(ins.arg, -1)

    def _o_unpack_ex(self, ins: Instruction) -> None:
        before = ins.arg & 0xFF
        self._unpack(before + (ins.arg >> 8) + 1, before)

    def _unpack(self, count: int, starred: int) -> None:
        value = self.pop()
        if count > _WIDEST:
            self.breaks("too many values to unpack")
            return
        source = self.temporary(value)
        names = [f"\0{self.at}item{index}" for index in range(count)]
        targets: list[Expr] = [ast.Name(name, ast.Store(), **self.place) for name in names]
        if starred >= 0:
            targets[starred] = ast.Starred(targets[starred], ast.Store(), **self.place)
        self.emit(ast.Assign([ast.Tuple(targets, ast.Store(), **self.place)], source, **self.place))
        self.stack += [load(name, self.place) for name in reversed(names)]

    # Matching

    def _o_get_len(self, _: Instruction) -> None:
        self.stack.append(OTHER)

    _o_match_mapping = _o_match_sequence = _o_get_len

    def _o_match_keys(self, _: Instruction) -> None:
        subject = self.peek(2)
        self.stack.append(subject)
        if self.numbers.version < (3, 11):
            self.stack.append(OTHER)

    def _o_match_class(self, _: Instruction) -> None:
        _names, kind, subject = self.pop(), self.pop(), self.pop()
        self.expression(kind)
        self.stack.append(self.temporary(subject))
        if self.numbers.version < (3, 11):
            self.stack.append(OTHER)

    def _o_copy_dict_without_keys(self, _: Instruction) -> None:
        self.pop()
        self.stack.append(self.peek(1))
