"""Hostile pickle streams: several in a row, broken after the payload, lying frames, sizes and numbers, bombs.

The large ones are generated when they are asked for.
"""

from __future__ import annotations

import struct

from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.pickle_assembler import Assembler, call

__all__ = ["benign"]

_MULTI = "multi-stream / torch legacy tail"
_BROKEN = "broken stream after payload"
_FRAMES = "frame divergence"
_BOMB = "resource exhaustion"
_PAD = "padding"
_NAMES = "pickle renamed to other ext"
_MISC = "odd opcodes and numbers"
_BENIGN = "benign pickles"


def _a(protocol: int | None = 4) -> Assembler:
    return Assembler(protocol)


def benign(protocol: int | None = 4) -> bytes:
    """Return a plain dictionary of numbers and strings."""
    return _a(protocol).push({"layer.weight": [0.5, 1.5, -2.0], "epoch": 7, "name": "stannary", "done": True, "none": None}).stop()


# Several streams, payload in a later one

register("pickle.multi.after_stop", _MULTI, benign() + PAYLOAD)
register("pickle.multi.before_model", _MULTI, PAYLOAD + benign())
register("pickle.multi.third", _MULTI, benign(2) + benign(3) + PAYLOAD)
register("pickle.multi.protocol0_tail", _MULTI, benign() + call("os", "system", ECHO, protocol=None))
register("pickle.multi.after_padding", _MULTI, benign() + bytes(64) + PAYLOAD, malicious=None)
register("pickle.multi.after_newlines", _MULTI, benign() + b"\n\n" + PAYLOAD, malicious=None)
register("pickle.multi.after_text", _MULTI, benign() + b"# weights follow\n" + PAYLOAD, malicious=None)
register("pickle.multi.after_ten_numbers", _MULTI, b"".join(_a().push(i).stop() for i in range(10)) + PAYLOAD)
register("pickle.multi.memo_of_former", _MULTI, _a().push("os").op("MEMOIZE").push("system").op("MEMOIZE").push(0).stop() + _a().op("BINGET", 0).op("BINGET", 1).op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.multi.five_numbers", _MULTI, _a(2).push(0x1950A86A20F9469CFC6C).stop() + _a(2).push(1001).stop() + _a(2).push({}).stop() + _a(2).push({}).stop() + _a(2).push([]).stop() + PAYLOAD)

# The payload runs, then the stream breaks: the loader raises too late

_RUN = _a(4).call("os", "system", ECHO).content()
_RUN2 = _a(2).call("os", "system", ECHO).content()
for _name, _tail in (
    ("no_stop", b""), ("bad_opcode", b"\xff."), ("bad_opcode_low", b"\x01."), ("cut_string", b"X\xff\xff\x00\x00abc"), ("cut_bytes8", b"\x8e" + struct.pack("<Q", 1 << 40)),
    ("underflow", b"00000."), ("underflow_reduce", b"0R."), ("bad_memo", b"h\xfe."), ("bad_memo_text", b"g999\n."), ("bad_int", b"Iabc\n."), ("bad_float", b"Fxyz\n."),
    ("bad_long", b"Lxyz\n."), ("bad_string", b"Snoquotes\n."), ("bad_utf8", b"\x8c\x02\xff\xfe."), ("bad_proto", b"\x80\xff."), ("proto_high", b"\x80\x06."), ("cut_global", b"cos\nsys"),
    ("negative_length", b"T\xff\xff\xff\xff."), ("negative_long4", b"\x8b\xff\xff\xff\xff."), ("unhashable", b"}]K\x01s."), ("append_none", b"NK\x01a."), ("no_mark", b"t."),
    ("missing_global", b"cstannary_none\nx\n."), ("ext_zero", b"\x82\x00."), ("next_buffer", b"\x97."), ("readonly_buffer", b"N\x98."), ("persid", b"Q."), ("pop_mark_missing", b"1."),
    ("short_frame", b"\x95\x02\x00\x00\x00\x00\x00\x00\x00X"), ("long_frame", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f."), ("null_bytes", bytes(40)), ("random", bytes(range(200, 256)) * 3),
):  # fmt: skip
    register(f"pickle.broken.{_name}", _BROKEN, _RUN + _tail)
register("pickle.broken.unicode_escape", _BROKEN, _RUN2 + b"V\\u12\n.")
register("pickle.broken.before_no_proto", _BROKEN, _RUN2[2:])
register("pickle.broken.build_raises", _BROKEN, _RUN + b"\x8c\x01xb.")
register("pickle.broken.reduce_raises", _BROKEN, _RUN + b"0K\x01)R.")
register("pickle.broken.in_list", _BROKEN, _a(4).ops("EMPTY_LIST", "MARK").call("os", "system", ECHO).content())
register("pickle.broken.in_dict_odd", _BROKEN, _a(4).ops("EMPTY_DICT", "MARK").call("os", "system", ECHO).ops("SETITEMS", "STOP").content())

# Frames: the C and the Python unpickler, and every scanner, read them differently (cpython#154848)

def _framed(content: bytes, length: int, *, proto: int = 4) -> bytes:
    return bytes((0x80, proto, 0x95)) + struct.pack("<Q", length) + content


_CALL = _a(4).call("os", "system", ECHO).op("STOP").body()
register("pickle.frames.short", _FRAMES, _framed(_CALL, 3))
register("pickle.frames.zero", _FRAMES, _framed(_CALL, 0))
register("pickle.frames.long", _FRAMES, _framed(_CALL, len(_CALL) + 1000))
register("pickle.frames.huge", _FRAMES, _framed(_CALL, 1 << 62))
register("pickle.frames.negative", _FRAMES, _framed(_CALL, (1 << 64) - 1))
register("pickle.frames.exact", _FRAMES, _framed(_CALL, len(_CALL)))
register("pickle.frames.nested", _FRAMES, _framed(b"\x95" + struct.pack("<Q", len(_CALL)) + _CALL, 9 + len(_CALL)))
register("pickle.frames.nested_short", _FRAMES, _framed(b"\x95" + struct.pack("<Q", 4) + _CALL, 9 + len(_CALL)))
register("pickle.frames.string_spans", _FRAMES, _framed(b"\x8c\x02o", 3) + b"s\x8c\x06system\x93\x8c\x0decho stannary\x85R.")
register("pickle.frames.global_spans", _FRAMES, _framed(b"cos\nsy", 6) + b"stem\n\x8c\x0decho stannary\x85R.")
register("pickle.frames.line_spans", _FRAMES, _framed(b"(Vos\nVsys", 9) + b"tem\n\x93Vecho stannary\n\x85R.")
# In memory a string, in a file what is in it: the C unpickler drops the first byte of the length with the end of the frame.
_HIDDEN = b"\x00cos\nsystem\n(Vecho stannary\ntR."
register("pickle.frames.torn", _FRAMES, _framed(b"NNX" + struct.pack("<I", len(_HIDDEN)) + _HIDDEN + b".", 4))
register("pickle.frames.in_protocol2", _FRAMES, _framed(_a(2).call("os", "system", ECHO).op("STOP").body(), 9, proto=2))
register("pickle.frames.many", _FRAMES, b"\x80\x04" + b"".join(b"\x95" + struct.pack("<Q", 1) + b"N\x95" + struct.pack("<Q", 1) + b"0" for _ in range(50)) + _CALL)
register("pickle.frames.hides_in_bytes", _FRAMES, _framed(b"C\x40", 2) + _CALL + bytes(80), malicious=None)
register("pickle.frames.stop_inside", _FRAMES, _framed(b"N.", 2) + _CALL)
register("pickle.frames.two_readings", _FRAMES, _framed(b"\x8c\x20" + b"a" * 10, 12) + b"b" * 22 + b"0" + _CALL)

# Numbers and opcodes out of bounds

register("pickle.odd.long4_huge", _MISC, lambda: _a(2).op("LONG4", (1 << 400_000) - 1).op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.long_text", _MISC, lambda: b"L" + b"9" * 4000 + b"L\n0" + _a(None).call("os", "system", ECHO).stop())
register("pickle.odd.long1_empty", _MISC, _a(2).op("LONG1", b"").op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.int_bool", _MISC, _a(0).raw(b"I01\n0I00\n0").call("os", "system", ECHO).stop())
register("pickle.odd.int_spaces", _MISC, _a(0).raw(b"I 5 \n0").call("os", "system", ECHO).stop())
register("pickle.odd.int_underscore", _MISC, _a(0).raw(b"I1_0\n0").call("os", "system", ECHO).stop())
register("pickle.odd.int_hex", _MISC, _a(0).raw(b"I0x10\n0").call("os", "system", ECHO).stop())
register("pickle.odd.float_inf", _MISC, _a(0).raw(b"Finf\n0Fnan\n0F1e999\n0").call("os", "system", ECHO).stop())
register("pickle.odd.float_underscore", _MISC, _a(0).raw(b"F1_0.5\n0").call("os", "system", ECHO).stop())
register("pickle.odd.put_negative", _MISC, _a(0).push("x").raw(b"p-1\n0").call("os", "system", ECHO).stop(), malicious=None)
register("pickle.odd.get_negative", _MISC, _a(0).call("os", "system", ECHO).raw(b"0g-1\n.").content())
register("pickle.odd.put_huge", _MISC, _a(2).push("x").raw(b"p99999999999999999999\n0").call("os", "system", ECHO).stop())
register("pickle.odd.long_binput_max", _MISC, _a(2).push("x").op("LONG_BINPUT", 0xFFFFFFFE).op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.proto_many", _MISC, _a(2).op("PROTO", 4).op("PROTO", 0).op("PROTO", 5).call("os", "system", ECHO).stop())
register("pickle.odd.proto_late", _MISC, _a(None).push(1).op("POP").op("PROTO", 4).call("os", "system", ECHO).stop())
register("pickle.odd.proto_lie", _MISC, b"\x80\x00" + _CALL)
register("pickle.odd.string_escape_end", _MISC, _a(0).op("STRING", b"'a\\\\'").op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.string_spaces", _MISC, _a(0).op("STRING", b" 'a' ").op("POP").call("os", "system", ECHO).stop(), malicious=None)
register("pickle.odd.string_nested_quotes", _MISC, _a(0).op("STRING", b"'it\\'s \\x27cos\\nsystem\\n\\x27'").op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.unicode_newline", _MISC, _a(0).op("UNICODE", b"a\\u000ab\\\\").op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.surrogates", _MISC, _a(4).op("BINUNICODE", b"\xed\xa0\x80").op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.bytearray8", _MISC, _a(5).op("BYTEARRAY8", bytes(300)).op("POP").call("os", "system", ECHO).stop())
register("pickle.odd.marks", _MISC, lambda: _a(2).ops(*["MARK"] * 500).ops(*["POP"] * 500).call("os", "system", ECHO).stop())
register("pickle.odd.dup_mark", _MISC, _a(2).push(1).ops("MARK", "DUP", "POP", "POP").call("os", "system", ECHO).stop())
register("pickle.odd.pop_mark_result", _MISC, _a(2).op("MARK").call("os", "system", ECHO).op("POP_MARK").push({}).stop())
register("pickle.odd.comment_lines", _MISC, b"S'#!/usr/bin/env python'\n0" + _a(None).call("os", "system", ECHO).stop())
register("pickle.odd.like_zip", _MISC, b"PK\x03\x04\n0" + _a(None).call("os", "system", ECHO).stop(), malicious=None)
register("pickle.odd.like_gif", _MISC, b"GIF89a__0" + _a(None).call("os", "system", ECHO).stop())
register("pickle.odd.like_json", _MISC, b"}0" + _a(None).call("os", "system", ECHO).stop(), filename="config.json")
register("pickle.odd.whole_protocols", _MISC, b"".join(call("os", "system", ECHO, protocol=p) for p in (0, 1, 2, 3, 4, 5)))

# Padding and bombs

register("pickle.pad.bytes_64m", _PAD, lambda: _a(4).op("BINBYTES", bytes(64 << 20)).op("POP").call("os", "system", ECHO).stop())
register("pickle.pad.string_8m", _PAD, lambda: _a(2).op("BINUNICODE", b"a" * (8 << 20)).op("POP").call("os", "system", ECHO).stop())
register("pickle.pad.opcodes_12m", _PAD, lambda: b"\x80\x04" + b"N0" * 6_000_000 + _a(4).call("os", "system", ECHO).op("STOP").body())
register("pickle.pad.opcodes_1m", _PAD, lambda: b"\x80\x02" + b"K\x010" * 330_000 + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.pad.list_of_million", _PAD, lambda: b"\x80\x02](" + b"K\x01" * 1_000_000 + b"e0" + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.pad.trailing_zeros", _PAD, lambda: PAYLOAD + bytes(1 << 20))
register("pickle.pad.benign_10k_keys", _PAD, lambda: _a(4).push({f"k{i}": i for i in range(10_000)}).op("POP").call("os", "system", ECHO).stop())


def _laughs(levels: int, width: int) -> bytes:
    out = _a(2).push(["lol"] * width).op("BINPUT", 0).op("POP")
    for level in range(1, levels):
        out.ops("EMPTY_LIST", "MARK")
        for _ in range(width):
            out.op("BINGET", level - 1)
        out.op("APPENDS").op("BINPUT", level).op("POP")
    return out.op("BINGET", levels - 1).call("builtins", "str", 1).op("POP").content()


register("pickle.bomb.laughs", _BOMB, lambda: _laughs(12, 10) + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.laughs_hash", _BOMB, lambda: _tuples(60) + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.nesting_200k", _BOMB, lambda: b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"0" + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.tuples_200k", _BOMB, lambda: b"\x80\x02)" + b"\x85" * 200_000 + b"0" + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.marks_1m", _BOMB, lambda: b"\x80\x02" + b"(" * 1_000_000 + _a(2).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.memo_1m", _BOMB, lambda: b"\x80\x04N" + b"\x94" * 1_000_000 + b"0" + _a(4).call("os", "system", ECHO).op("STOP").body())
register("pickle.bomb.reduce_nested_50k", _BOMB, lambda: b"\x80\x02" + b"ccollections\nOrderedDict\n" * 2 + b")R0" + b"cos\nsystem\n(" * 20_000 + b"tR" * 20_000 + b".")
register("pickle.bomb.repeat", _BOMB, _a(2).call("operator", "mul", "A" * 1000, 1 << 40).stop())
register("pickle.bomb.pow", _BOMB, _a(2).call("builtins", "pow", 10, 1 << 40).stop())
register("pickle.bomb.range_list", _BOMB, _a(2).call("builtins", "list", _a(2).call("builtins", "range", 1 << 50)).stop())
register("pickle.bomb.bytes_size", _BOMB, _a(4).call("builtins", "bytes", 1 << 50).stop())


def _tuples(levels: int) -> bytes:
    out = _a(2).push("x").op("BINPUT", 0).op("POP")
    for level in range(1, levels):
        out.op("BINGET", level - 1).op("BINGET", level - 1).op("TUPLE2").op("BINPUT", level).op("POP")
    return out.ops("EMPTY_DICT").op("BINGET", levels - 1).ops("NONE", "SETITEM", "POP").content()


# The same payload under other names: the content decides

for _extension in ("bin", "pt", "pth", "ckpt", "joblib", "dat", "data", "p", "txt", "json", "md", "jpg", "png", "h5", "onnx", "safetensors", "gguf", "npy", "model", "pkl.bak", "zip", "tar", "gz", "yaml", "weights", "mdl", "csv"):  # fmt: skip
    register(f"pickle.renamed.{_extension.replace('.', '_')}", _NAMES, PAYLOAD, filename=f"model.{_extension}")
register("pickle.renamed.none", _NAMES, PAYLOAD, filename="model")
register("pickle.renamed.protocol0_txt", _NAMES, call("os", "system", ECHO, protocol=None), filename="README.txt")
register("pickle.renamed.protocol0_py", _NAMES, call("os", "system", ECHO, protocol=None), filename="vocab")

# What must be quiet

for _protocol in (None, 0, 1, 2, 3, 4, 5):
    register(f"pickle.benign.dict_{_protocol}", _BENIGN, benign(_protocol), malicious=False)
register("pickle.benign.nested", _BENIGN, _a(4).push({"a": [1, (2, 3), {"b": None}], "c": b"bytes", "d": "text", "e": 1 << 70, "f": -5}).stop(), malicious=False)
register("pickle.benign.ordered", _BENIGN, _a(2).call("collections", "OrderedDict").op("MARK").push("w").push([1.0]).op("SETITEMS").stop(), malicious=False)
register("pickle.benign.defaultdict", _BENIGN, _a(4).call("collections", "defaultdict", Assembler(4).name("builtins", "list")).stop(), malicious=False)
register("pickle.benign.set", _BENIGN, _a(4).ops("EMPTY_SET", "MARK").push(1).push(2).ops("ADDITEMS", "STOP").content(), malicious=False)
register("pickle.benign.datetime", _BENIGN, _a(4).call("datetime", "datetime", b"\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00").stop(), malicious=False)
register("pickle.benign.array_buffer", _BENIGN, _a(4).call("numpy.core.multiarray", "_reconstruct", Assembler(4).name("numpy", "ndarray"), (0,), b"b").push((1, (2,), _a(4).call("numpy", "dtype", "f8", False, True), False, bytes(16))).op("BUILD").stop(), malicious=False)
register("pickle.benign.two_streams", _BENIGN, benign(2) + benign(4), malicious=False)
register("pickle.benign.framed", _BENIGN, _framed(benign()[2:], len(benign()) - 2), malicious=False)

# What must not be called clean

register("pickle.malformed.cut", "malformed", benign()[:-10], malicious=None)
register("pickle.malformed.bad_opcode", "malformed", benign()[:-1] + b"\xff.", malicious=None)
register("pickle.malformed.huge_length", "malformed", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc", malicious=None)
register("pickle.malformed.only_proto", "malformed", b"\x80\x04", malicious=None)
