"""A small assembler for pickle streams: every opcode of protocols 0 to 5, in any order, right or wrong.

The forges write with it what no pickler would. Nothing here loads anything.

    Assembler(4).call("os", "system", "echo stannary").stop()

`op` writes one opcode with its argument; `push` writes a value the usual way for the protocol;
everything returns the assembler, and `stop()` the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["OPCODES", "Assembler", "call", "reduce_with"]


def _none(_: Any) -> bytes:  # noqa: ANN401 - an argument table
    return b""


def _line(value: Any) -> bytes:  # noqa: ANN401 - an argument table
    return (value if isinstance(value, bytes) else str(value).encode("utf-8")) + b"\n"


def _two_lines(value: Any) -> bytes:  # noqa: ANN401 - an argument table
    module, name = value
    return _line(module) + _line(name)


def _packed(form: str) -> Callable[[Any], bytes]:
    return lambda value: struct.pack(form, value)


def _counted(form: str) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:  # noqa: ANN401 - an argument table
        raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
        return struct.pack(form, len(raw)) + raw

    return encode


def _long(form: str) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:  # noqa: ANN401 - an argument table
        raw = value if isinstance(value, bytes) else value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
        return struct.pack(form, len(raw)) + raw

    return encode


OPCODES: Final[Mapping[str, tuple[bytes, Callable[[Any], bytes]]]] = {
    "MARK": (b"(", _none), "STOP": (b".", _none), "POP": (b"0", _none), "POP_MARK": (b"1", _none), "DUP": (b"2", _none),
    "FLOAT": (b"F", _line), "INT": (b"I", _line), "BININT": (b"J", _packed("<i")), "BININT1": (b"K", _packed("<B")),
    "LONG": (b"L", _line), "BININT2": (b"M", _packed("<H")), "NONE": (b"N", _none), "PERSID": (b"P", _line),
    "BINPERSID": (b"Q", _none), "REDUCE": (b"R", _none), "STRING": (b"S", _line), "BINSTRING": (b"T", _counted("<i")),
    "SHORT_BINSTRING": (b"U", _counted("<B")), "UNICODE": (b"V", _line), "BINUNICODE": (b"X", _counted("<I")),
    "APPEND": (b"a", _none), "BUILD": (b"b", _none), "GLOBAL": (b"c", _two_lines), "DICT": (b"d", _none),
    "EMPTY_DICT": (b"}", _none), "APPENDS": (b"e", _none), "GET": (b"g", _line), "BINGET": (b"h", _packed("<B")),
    "INST": (b"i", _two_lines), "LONG_BINGET": (b"j", _packed("<I")), "LIST": (b"l", _none), "EMPTY_LIST": (b"]", _none),
    "OBJ": (b"o", _none), "PUT": (b"p", _line), "BINPUT": (b"q", _packed("<B")), "LONG_BINPUT": (b"r", _packed("<I")),
    "SETITEM": (b"s", _none), "TUPLE": (b"t", _none), "EMPTY_TUPLE": (b")", _none), "SETITEMS": (b"u", _none),
    "BINFLOAT": (b"G", _packed(">d")),
    # 2
    "PROTO": (b"\x80", _packed("<B")), "NEWOBJ": (b"\x81", _none), "EXT1": (b"\x82", _packed("<B")),
    "EXT2": (b"\x83", _packed("<H")),
    "EXT4": (b"\x84", _packed("<i")), "TUPLE1": (b"\x85", _none), "TUPLE2": (b"\x86", _none), "TUPLE3": (b"\x87", _none),
    "NEWTRUE": (b"\x88", _none), "NEWFALSE": (b"\x89", _none), "LONG1": (b"\x8a", _long("<B")), "LONG4": (b"\x8b", _long("<i")),
    # 3
    "BINBYTES": (b"B", _counted("<I")), "SHORT_BINBYTES": (b"C", _counted("<B")),
    # 4
    "SHORT_BINUNICODE": (b"\x8c", _counted("<B")), "BINUNICODE8": (b"\x8d", _counted("<Q")), "BINBYTES8": (b"\x8e", _counted("<Q")),
    "EMPTY_SET": (b"\x8f", _none), "ADDITEMS": (b"\x90", _none), "FROZENSET": (b"\x91", _none), "NEWOBJ_EX": (b"\x92", _none),
    "STACK_GLOBAL": (b"\x93", _none), "MEMOIZE": (b"\x94", _none), "FRAME": (b"\x95", _packed("<Q")),
    # 5
    "BYTEARRAY8": (b"\x96", _counted("<Q")), "NEXT_BUFFER": (b"\x97", _none), "READONLY_BUFFER": (b"\x98", _none),
}  # fmt: skip


class Assembler:
    """Writes one stream. `protocol` None leaves the PROTO opcode out and writes protocol 0 values."""

    def __init__(self, protocol: int | None = 2) -> None:
        self._out = bytearray()
        self._protocol = protocol or 0
        if protocol is not None:
            self.op("PROTO", protocol)

    def __len__(self) -> int:
        return len(self._out)

    def op(self, name: str, value: Any = None) -> Assembler:  # noqa: ANN401 - every opcode has its own argument
        """Write one opcode. Raises KeyError and struct.error."""
        code, encode = OPCODES[name]
        self._out += code + encode(value)
        return self

    def ops(self, *names: str) -> Assembler:
        """Write opcodes that take no argument."""
        for name in names:
            self.op(name)
        return self

    def raw(self, content: bytes) -> Assembler:
        """Write bytes as they are."""
        self._out += content
        return self

    def push(self, value: Any) -> Assembler:  # noqa: ANN401, C901, PLR0911, PLR0912 - one branch a type
        """Write a value: None, bool, int, float, str, bytes, tuple, list, dict, or an `Assembler` to be inlined."""
        if isinstance(value, Assembler):
            return self.raw(value.body())
        if value is None:
            return self.op("NONE")
        if isinstance(value, bool):
            if self._protocol >= 2:  # noqa: PLR2004 - from 2
                return self.op("NEWTRUE" if value else "NEWFALSE")
            return self.op("INT", "01" if value else "00")
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return self.op("BINFLOAT", value) if self._protocol else self.op("FLOAT", repr(value))
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value))
        if isinstance(value, tuple):
            return self.tuple(value)
        if isinstance(value, Mapping):
            self.op("EMPTY_DICT" if self._protocol else "MARK")
            if self._protocol:
                self.op("MARK")
            for key, item in value.items():
                self.push(key).push(item)
            return self.op("SETITEMS" if self._protocol else "DICT")
        if isinstance(value, Sequence):
            if not self._protocol:
                self.op("MARK")
            else:
                self.ops("EMPTY_LIST", "MARK")
            for item in value:
                self.push(item)
            return self.op("APPENDS" if self._protocol else "LIST")
        msg = f"no way to write {type(value).__name__}"
        raise TypeError(msg)

    def _integer(self, value: int) -> Assembler:
        if not self._protocol:
            return self.op("INT", value)
        if 0 <= value < 256:  # noqa: PLR2004 - one byte
            return self.op("BININT1", value)
        if -(1 << 31) <= value < 1 << 31:
            return self.op("BININT", value)
        return self.op("LONG1", value) if self._protocol >= 2 else self.op("LONG", f"{value}L")  # noqa: PLR2004 - from 2

    def _bytes(self, value: bytes) -> Assembler:
        if self._protocol >= 3:  # noqa: PLR2004 - from 3
            return self.op("SHORT_BINBYTES" if len(value) < 256 else "BINBYTES", value)  # noqa: PLR2004 - one byte of length
        # What Python 3 writes for bytes below protocol 3.
        return self.name("_codecs", "encode", stack=False).tuple((value.decode("latin-1"), "latin1")).op("REDUCE")

    def text(self, value: str) -> Assembler:
        """Write a string."""
        if self._protocol >= 4 and len(value.encode("utf-8", "surrogatepass")) < 256:  # noqa: PLR2004 - from 4
            return self.op("SHORT_BINUNICODE", value)
        if self._protocol:
            return self.op("BINUNICODE", value)
        return self.op("UNICODE", value.encode("raw_unicode_escape").replace(b"\n", b"\\u000a"))

    def tuple(self, items: Sequence[Any]) -> Assembler:
        """Write a tuple."""
        if self._protocol >= 2 and 0 < len(items) <= 3:  # noqa: PLR2004 - TUPLE1 to TUPLE3
            for item in items:
                self.push(item)
            return self.op(f"TUPLE{len(items)}")
        if not items and self._protocol:
            return self.op("EMPTY_TUPLE")
        self.op("MARK")
        for item in items:
            self.push(item)
        return self.op("TUPLE")

    def name(self, module: str, name: str, *, stack: bool | None = None) -> Assembler:
        """Write a global: GLOBAL, or STACK_GLOBAL from protocol 4 (or as `stack` says)."""
        if stack is None:
            stack = self._protocol >= 4  # noqa: PLR2004 - from 4
        if stack:
            return self.push(module).push(name).op("STACK_GLOBAL")
        return self.op("GLOBAL", (module, name))

    def call(self, module: str, name: str, *args: Any) -> Assembler:  # noqa: ANN401 - any values
        """Write a global and REDUCE it with arguments."""
        return self.name(module, name).tuple(args).op("REDUCE")

    def reduce(self, *args: Any) -> Assembler:  # noqa: ANN401 - any values
        """REDUCE what is on the stack with arguments."""
        return self.tuple(args).op("REDUCE")

    def body(self) -> bytes:
        """Return what was written, without a leading PROTO."""
        out = bytes(self._out)
        return out[2:] if out[:1] == b"\x80" else out

    def content(self) -> bytes:
        """Return what was written."""
        return bytes(self._out)

    def stop(self) -> bytes:
        """Write STOP and return the stream."""
        return self.op("STOP").content()


def call(module: str, name: str, *args: Any, protocol: int | None = 2) -> bytes:  # noqa: ANN401 - any values
    """Return a stream that is one call."""
    return Assembler(protocol).call(module, name, *args).stop()


def reduce_with(protocol: int | None, build: Callable[[Assembler], Assembler], *args: Any) -> bytes:  # noqa: ANN401 - any values
    """Return a stream that calls what `build` leaves on the stack."""
    return build(Assembler(protocol)).reduce(*args).stop()
