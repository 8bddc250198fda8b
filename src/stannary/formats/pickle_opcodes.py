"""The opcode table: what each opcode of protocols 0-5 does to the symbolic machine.

Reference: CPython `Lib/pickletools.py`; behaviour where it differs from the documentation
follows `Modules/_pickle.c`. The opcodes that `Machine._loop` handles inline are here as well,
for the cases the inline code leaves out.
"""

from __future__ import annotations

import codecs
import re
import struct
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stannary.core.errors import FormatError
from stannary.formats.pickle_telling import notice, slow_keys
from stannary.formats.pickle_values import Map, Opaque

if TYPE_CHECKING:
    from stannary.formats.pickle_machine import Machine

__all__ = ["HANDLERS", "OPCODE_NAMES"]

_WIDE = 512  # members of a list or dict that are kept; globals and calls in the rest are recorded anyway
_KEY_NODES = 4096  # members of a key, counted as often as they occur
_LONG = 4400  # bytes of an integer worth decoding
# A push followed by its POP, repeated: padding no pickler writes, skipped at the speed of `re`.
_PADDING = re.compile(rb"(?:(?:[N\x88\x89\])}\x8f]|K.|M..|J.{4}|G.{8}|\x8c\x00|U\x00|C\x00|\(0?[N\x88\x89]?0)0)+", re.DOTALL)
# Numbers appended one by one, as protocol 0 writes long lists: what is not kept need not be built.
_NUMBERS = re.compile(
    rb"(?:(?:I-?(?:0|[1-9][0-9]{0,17})\n|F-?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:e[+-]?[0-9]{1,3})?\n|K.|M..|J.{4}|G.{8})a)*", re.DOTALL
)
_RUN = 256
_BYTES = [bytes((op,)) for op in range(256)]
_NESTED = b"\x85" * 32
_NESTED_RUN = re.compile(rb"\x85+")


def _bad(m: Machine, op: int) -> None:
    msg = f"0x{op:02x} is not an opcode"
    raise FormatError(msg, m.offset())


def _mark(m: Machine, _op: int) -> None:
    m.marks.append(len(m.stack))


def _stop(m: Machine, _op: int) -> None:
    m.stopped = True
    m.result = m.stack.pop()


def _pop(m: Machine, _op: int) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()
    run = _PADDING.match(m.buf, m.pos)
    if run:
        m.pos = run.end()


def _pop_mark(m: Machine, _op: int) -> None:
    m.pop_mark()


def _dup(m: Machine, _op: int) -> None:
    m.stack.append(m.stack[-1])


def _proto(m: Machine, _op: int) -> None:
    m.proto = m.take(1)[0]
    if m.proto > 5:
        msg = f"protocol {m.proto} does not exist"
        raise FormatError(msg, m.offset())


def _frame(m: Machine, _op: int) -> None:
    m.frame(m.offset(), int.from_bytes(m.take(8), "little"))


# Numbers


def _int(m: Machine, _op: int) -> None:
    line = m.number()
    if line in (b"00", b"01"):
        m.stack.append(line == b"01")
    else:
        m.stack.append(_decimal(line))


def _long(m: Machine, _op: int) -> None:
    m.stack.append(_decimal(m.number().removesuffix(b"L")))


def _decimal(line: bytes) -> Any:  # noqa: ANN401 - symbolic
    if len(line) > _LONG:
        return Opaque("long integer")
    return int(line, 8 if line[:1] == b"0" and line.isdigit() else 0)  # strtol's octal


def _binint(m: Machine, _op: int) -> None:
    m.stack.append(int.from_bytes(m.take(4), "little", signed=True))


def _binint1(m: Machine, _op: int) -> None:
    m.stack.append(m.take(1)[0])


def _binint2(m: Machine, _op: int) -> None:
    m.stack.append(int.from_bytes(m.take(2), "little"))


def _long1(m: Machine, op: int) -> None:
    length = m.take(1)[0] if op == 0x8A else int.from_bytes(m.take(4), "little", signed=True)
    if length < 0:
        msg = "integer of negative length"
        raise FormatError(msg, m.offset())
    if length > _LONG:
        m.skip(length)
        m.stack.append(Opaque("long integer"))
    else:
        m.stack.append(int.from_bytes(m.take(length), "little", signed=True))


def _float(m: Machine, _op: int) -> None:
    m.stack.append(float(m.number()))


def _binfloat(m: Machine, _op: int) -> None:
    m.stack.append(struct.unpack(">d", m.take(8))[0])


# Strings and bytes


def _string(m: Machine, _op: int) -> None:
    line = m.line().strip()  # as Python 2 did
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        msg = "STRING argument is not quoted"
        raise FormatError(msg, m.offset())
    raw = line[1:-1]
    if b"\\" in raw:
        with warnings.catch_warnings():  # of escapes that Python no longer has
            warnings.simplefilter("ignore")
            raw = codecs.escape_decode(raw)[0]
    m.push_text(raw.decode("latin-1"))


def _unicode(m: Machine, _op: int) -> None:
    m.push_text(m.line().decode("raw-unicode-escape"))


def _sized(kind: str, width: int, *, signed: bool = False) -> Callable[[Machine, int], None]:
    def handler(m: Machine, _op: int) -> None:
        length = int.from_bytes(m.take(width), "little", signed=signed)
        if length < 0:
            msg = "string of negative length"
            raise FormatError(msg, m.offset())
        m.long_value(kind, length)
        if kind == "str8" and isinstance(m.stack[-1], bytes):
            m.stack[-1] = m.stack[-1].decode("latin-1")

    return handler


def _buffer(m: Machine, op: int) -> None:
    if op == 0x97:
        m.stack.append(Opaque("out-of-band buffer"))


# Containers


def _constant(m: Machine, op: int) -> None:
    m.stack.append(None if op == 0x4E else op == 0x88)


def _empty_list(m: Machine, op: int) -> None:
    m.stack.append([])
    if m.buf.startswith(_BYTES[op], m.pos):
        _same_again(m, op)


def _empty_dict(m: Machine, op: int) -> None:
    m.stack.append(Map())
    if m.buf.startswith(_BYTES[op], m.pos):
        _same_again(m, op)


def _empty_tuple(m: Machine, op: int) -> None:
    m.stack.append(())
    if m.buf.startswith(_BYTES[op], m.pos):
        _same_again(m, op)


def _same_again(m: Machine, op: int) -> None:
    """Take a long run of one pushing opcode at once: padding, since no model nests nothing so often."""
    if m.buf.startswith(_BYTES[op] * _RUN, m.pos):
        end = len(m.buf) - len(m.buf[m.pos :].lstrip(_BYTES[op]))
        m.stack.extend([m.stack[-1]] * (end - m.pos))
        m.pos = end


def _list(m: Machine, _op: int) -> None:
    m.stack.append(m.pop_mark()[:_WIDE])


def _frozenset(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    slow_keys(m, items)
    m.stack.append(items[:_WIDE])


def _tuple(m: Machine, _op: int) -> None:
    m.stack.append(tuple(m.pop_mark()))


def _tuple_n(m: Machine, op: int) -> None:
    count = op - 0x84
    if m.buf.startswith(_NESTED, m.pos) and op == 0x85:
        m.pos = _NESTED_RUN.match(m.buf, m.pos).end()  # type: ignore[union-attr]
        m.stack[-1] = Opaque("deep nesting")
        return
    items = tuple(m.stack[-count:])
    if len(items) < count:
        msg = "stack underflow"
        raise FormatError(msg, m.offset())
    m.stack[-count:] = [items]


def _dict(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    m.stack.append(Map())
    _extend(m, m.stack[-1], items, "DICT")


def _append(m: Machine, _op: int) -> None:
    value = m.stack.pop()
    target = m.stack[-1]
    if type(target) is list and len(target) >= _WIDE:
        m.pos = _NUMBERS.match(m.buf, m.pos, max(m.pos, m.edge - m.base)).end()  # type: ignore[union-attr] # it matches nothing too
        return
    _extend(m, target, [value], "APPEND")


def _appends(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    _extend(m, m.stack[-1], items, "APPENDS")


def _additems(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    slow_keys(m, items)
    _extend(m, m.stack[-1], items, "ADDITEMS")


def _setitem(m: Machine, _op: int) -> None:
    value = m.stack.pop()
    key = m.stack.pop()
    _extend(m, m.stack[-1], [key, value], "SETITEM")


def _setitems(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    _extend(m, m.stack[-1], items, "SETITEMS")


def _extend(m: Machine, target: Any, items: list[Any], how: str) -> None:  # noqa: ANN401 - symbolic
    if type(target) is list:
        room = _WIDE - len(target)
        if room > 0:
            target.extend(items[:room])
    elif type(target) is Map:
        notice(m, items)
        room = 2 * _WIDE - len(target.items)
        if len(items) <= room:
            target.items += items
        else:
            target.items += items[: max(0, room)]
            target.cut = True
            for at in range(max(0, room), len(items) - 1, 2):
                if type(items[at]) is str and items[at].startswith("__") and len(target.items) < _KEY_NODES:
                    target.items += items[at : at + 2]
    else:
        if how.startswith("SETITEM"):
            notice(m, items)
        m.recorder.mutate(target, items, how, m.offset())


# Memo


def _put(m: Machine, op: int) -> None:
    m.put(int(m.number()) if op == 0x70 else int.from_bytes(m.take(1 if op == 0x71 else 4), "little"))


def _get(m: Machine, op: int) -> None:
    m.stack.append(m.get(int(m.number()) if op == 0x67 else int.from_bytes(m.take(1 if op == 0x68 else 4), "little")))


def _memoize(m: Machine, _op: int) -> None:
    m.memoize()


# Names, calls, state


def _global(m: Machine, _op: int) -> None:
    buf, start = m.buf, m.pos
    middle = buf.find(b"\n", start)
    end = buf.find(b"\n", middle + 1)
    raw = (buf[start:middle], buf[middle + 1 : end]) if 0 <= middle < end else (m.line(), m.line())  # in the window, or not
    m.pos = end + 1 if 0 <= middle < end else m.pos
    module, name = raw[0].decode("utf-8", "backslashreplace"), raw[1].decode("utf-8", "backslashreplace")
    m.stack.append(m.recorder.find(module, name, "GLOBAL", m.base + m.pos - 1, m.proto))


def _stack_global(m: Machine, _op: int) -> None:
    name = m.stack.pop()
    m.stack.append(m.recorder.find(m.stack.pop(), name, "STACK_GLOBAL", m.base + m.pos - 1, m.proto))


def _extension(m: Machine, op: int) -> None:
    code = int.from_bytes(m.take({0x82: 1, 0x83: 2}.get(op, 4)), "little", signed=op == 0x84)
    m.stack.append(m.recorder.extension(code, m.offset(), m.proto))


def _inst(m: Machine, _op: int) -> None:
    module = m.line().decode("utf-8", "backslashreplace")
    name = m.line().decode("utf-8", "backslashreplace")
    args = tuple(m.pop_mark())
    found = m.recorder.find(module, name, "INST", m.offset(), m.proto)
    m.stack.append(m.recorder.call(m, found, args, "INST"))


def _obj(m: Machine, _op: int) -> None:
    items = m.pop_mark()
    m.stack.append(m.recorder.call(m, items[0], tuple(items[1:]), "OBJ"))


def _reduce(m: Machine, _op: int) -> None:
    args = m.stack.pop()
    m.stack.append(m.recorder.call(m, m.stack.pop(), args, "REDUCE"))


def _newobj(m: Machine, _op: int) -> None:
    args = m.stack.pop()
    m.stack.append(m.recorder.call(m, m.stack.pop(), args, "NEWOBJ"))


def _newobj_ex(m: Machine, _op: int) -> None:
    keywords = m.stack.pop()
    args = m.stack.pop()
    if not isinstance(keywords, Map) or keywords.items:
        args = (args, keywords)
    m.stack.append(m.recorder.call(m, m.stack.pop(), args, "NEWOBJ_EX"))


def _build(m: Machine, _op: int) -> None:
    state = m.stack.pop()
    m.recorder.build(m, m.stack[-1], state)


def _persid(m: Machine, op: int) -> None:
    value: Any = m.line().decode("utf-8", "backslashreplace") if op == 0x50 else m.stack.pop()
    m.stack.append(m.recorder.persistent(value, m.offset()))


_TABLE: dict[int, tuple[str, Callable[[Machine, int], None]]] = {
    0x28: ("MARK", _mark), 0x2E: ("STOP", _stop), 0x30: ("POP", _pop), 0x31: ("POP_MARK", _pop_mark),
    0x32: ("DUP", _dup), 0x46: ("FLOAT", _float), 0x47: ("BINFLOAT", _binfloat), 0x49: ("INT", _int),
    0x4A: ("BININT", _binint), 0x4B: ("BININT1", _binint1), 0x4C: ("LONG", _long), 0x4D: ("BININT2", _binint2),
    0x4E: ("NONE", _constant), 0x50: ("PERSID", _persid), 0x51: ("BINPERSID", _persid), 0x52: ("REDUCE", _reduce),
    0x53: ("STRING", _string), 0x54: ("BINSTRING", _sized("str8", 4, signed=True)),
    0x55: ("SHORT_BINSTRING", _sized("str8", 1)), 0x56: ("UNICODE", _unicode), 0x58: ("BINUNICODE", _sized("text", 4)),
    0x61: ("APPEND", _append), 0x62: ("BUILD", _build), 0x63: ("GLOBAL", _global), 0x64: ("DICT", _dict),
    0x7D: ("EMPTY_DICT", _empty_dict), 0x65: ("APPENDS", _appends), 0x67: ("GET", _get), 0x68: ("BINGET", _get),
    0x69: ("INST", _inst), 0x6A: ("LONG_BINGET", _get), 0x6C: ("LIST", _list), 0x5D: ("EMPTY_LIST", _empty_list),
    0x6F: ("OBJ", _obj), 0x70: ("PUT", _put), 0x71: ("BINPUT", _put), 0x72: ("LONG_BINPUT", _put),
    0x73: ("SETITEM", _setitem), 0x74: ("TUPLE", _tuple), 0x29: ("EMPTY_TUPLE", _empty_tuple),
    0x75: ("SETITEMS", _setitems), 0x80: ("PROTO", _proto), 0x81: ("NEWOBJ", _newobj), 0x82: ("EXT1", _extension),
    0x83: ("EXT2", _extension), 0x84: ("EXT4", _extension), 0x85: ("TUPLE1", _tuple_n), 0x86: ("TUPLE2", _tuple_n),
    0x87: ("TUPLE3", _tuple_n), 0x88: ("NEWTRUE", _constant), 0x89: ("NEWFALSE", _constant), 0x8A: ("LONG1", _long1),
    0x8B: ("LONG4", _long1), 0x42: ("BINBYTES", _sized("bytes", 4)), 0x43: ("SHORT_BINBYTES", _sized("bytes", 1)),
    0x8C: ("SHORT_BINUNICODE", _sized("text", 1)), 0x8D: ("BINUNICODE8", _sized("text", 8)),
    0x8E: ("BINBYTES8", _sized("bytes", 8)), 0x8F: ("EMPTY_SET", _empty_list), 0x90: ("ADDITEMS", _additems),
    0x91: ("FROZENSET", _frozenset), 0x92: ("NEWOBJ_EX", _newobj_ex), 0x93: ("STACK_GLOBAL", _stack_global),
    0x94: ("MEMOIZE", _memoize), 0x95: ("FRAME", _frame), 0x96: ("BYTEARRAY8", _sized("bytes", 8)),
    0x97: ("NEXT_BUFFER", _buffer), 0x98: ("READONLY_BUFFER", _buffer),
}  # fmt: skip

HANDLERS: list[Callable[[Machine, int], None]] = [_TABLE[op][1] if op in _TABLE else _bad for op in range(256)]
OPCODE_NAMES: dict[int, str] = {op: name for op, (name, _) in _TABLE.items()}
