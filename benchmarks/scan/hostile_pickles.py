"""Pickles that make a reader work: every one of them would run `echo` in a loader that comes to its end."""

# ruff: noqa: PLR0915 - a table

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

MB = 1 << 20
PAYLOAD = b"cposix\nsystem\n\x8c\x0aecho hello\x85R."
HEAD = b"\x80\x04"
M61 = (1 << 61) - 1  # CPython hashes its multiples to 0


def _again(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return HEAD + before + piece * ((size - len(before) - len(after)) // len(piece)) + after + PAYLOAD


def _numbered(one: Callable[[int], bytes], size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    parts, total, number = [HEAD, before], 0, 0
    while total < size - 200:
        part = one(number)
        parts.append(part)
        total += len(part)
        number += 1
    return b"".join([*parts, after, PAYLOAD])


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"\x8c" + bytes((len(raw),)) + raw


_LIST = b"ccollections\nOrderedDict\nq\x00"
_OBJ = _LIST + b")R"


def pickles(size: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield names and contents of at most `size` bytes."""
    u32 = struct.Struct("<I").pack
    yield "calls", lambda: _again(b"h\x00)R0", size, _LIST)
    yield "calls_kept", lambda: _again(b"h\x00)R", size, _LIST)
    yield "calls_chained", lambda: _again(b")R", size, _LIST)
    yield "calls_memo", lambda: _again(b"h\x00)R\x94", size, _LIST)
    yield "calls_told_apart", lambda: _numbered(lambda n: b"h\x00" + _text(f"a{n}") + b"\x85R0", size, _LIST)
    yield "calls_unknown", lambda: _numbered(lambda n: b"cm\nf%d\n)R0" % n, size)
    yield "calls_codecs", lambda: _again(b"h\x00X\x02\x00\x00\x00\xc3\xa9\x8c\x06latin1\x86R0", size, b"c_codecs\nencode\nq\x00")
    yield "calls_getattr", lambda: _again(b"h\x00cos\npath\n\x8c\x04join\x86R0", size, b"cbuiltins\ngetattr\nq\x00")
    yield "newobj", lambda: _again(b"h\x00)\x810", size, _LIST)
    yield "newobj_ex", lambda: _again(b"h\x00)}\x920", size, _LIST)
    yield "build", lambda: _again(b"}b", size, _OBJ)
    yield "build_state", lambda: _again(b"}\x8c\x04__a_h\x00sb", size, _OBJ)
    yield "inst", lambda: _again(b"(imod\nname\n0", size)
    yield "obj", lambda: _again(b"(h\x00o0", size, _LIST)
    yield "append_to_object", lambda: _again(b"Na", size, _OBJ)
    yield "setitem_on_object", lambda: _again(b"NNs", size, _OBJ)
    yield "setitem_special", lambda: _numbered(lambda n: _text(f"__a{n}__") + b"Ns", size, _OBJ)
    yield "persid", lambda: _numbered(lambda n: b"P%d\n0" % n, size)
    yield "ext", lambda: _numbered(lambda n: b"\x84" + u32(1 + n) + b"0", size)
    yield "globals", lambda: _numbered(lambda n: b"cm%d\nn\n0" % n, size)
    yield "stack_globals", lambda: _numbered(lambda n: _text(f"m{n}") + _text("n") + b"\x930", size)
    yield "computed_names", lambda: _again(b"h\x00)Rh\x00)R\x930", size, _LIST)
    yield "dict", lambda: _numbered(lambda n: _text(f"k{n}") + b"\x94K\x01s", size, b"}")
    yield (
        "dict_batches",
        lambda: _numbered(lambda n: (b"u(" if n % 1000 == 0 else b"") + _text(f"key{n}") + b"\x94K\x01", size, b"}(", b"u"),
    )
    yield "dict_text", lambda: _numbered(lambda n: b"V%d\np%d\nI1\ns" % (n, n), size, b"(dp0\n")
    yield "list_of_ints", lambda: _again(b"J\x01\x02\x03\x04" * 1000 + b"e(", size, b"](", b"e")
    yield "list_of_floats", lambda: _again(b"G\x3f\xf0\0\0\0\0\0\0" * 1000 + b"e(", size, b"](", b"e")
    yield "list_of_tuples", lambda: _again(b"K\x01K\x02\x86" * 1000 + b"e(", size, b"](", b"e")
    yield "list_of_text_numbers", lambda: _again(b"I12\nF1.5\nL123L\n", size, b"(")
    yield "lists_kept", lambda: _again(b"]q\x01" * 200 + b"(", size)
    yield "lists_memo", lambda: _again(b"]\x94", size)
    yield "dicts_memo", lambda: _again(b"}\x94", size)
    yield "nested_lists", lambda: HEAD + b"]" * (size // 2) + b"a" * (size // 2 - 2) + PAYLOAD
    yield "nested_mixed", lambda: _again(b"(]}K\x00h\x00" + b"\x85\x85(", size, b"]q\x00")
    yield "nested_dicts", lambda: HEAD + b"}K\x00" * (size // 5) + b"s" * (size // 5 - 2) + PAYLOAD
    yield "nested_tuples", lambda: _again(b"\x85\x86"[:1] + b"2\x86", size, b"N")
    yield "marks", lambda: HEAD + b"(" * (size - 40) + PAYLOAD
    yield "marks_tuple", lambda: _again(b"(t", size)
    yield "marks_kept", lambda: HEAD + b"(N" * (size // 4) + b"t" * (size // 4) + PAYLOAD
    yield "dup", lambda: HEAD + b"N" + b"2" * (size - 40) + PAYLOAD
    yield "memo_holes", lambda: _numbered(lambda n: b"r" + u32(n * 60000 % (1 << 32)), size, b"N")
    yield "memo_sparse", lambda: _numbered(lambda n: b"Nr" + u32((n * 2654435761) % (1 << 32)), size)
    yield "memo_put_get", lambda: _again(b"q\x01h\x01", size, b"N")
    yield (
        "memo_bomb",
        lambda: HEAD + b"]q\x00" + b"".join(b"(" + bytes((0x68, n)) * 8 + b"tq" + bytes((n + 1,)) for n in range(200)) + PAYLOAD,
    )
    yield "keys", lambda: _numbered(lambda _: b"(" + b"h\x00" * 200 + b"tNs", size, b"Nq\x00}")
    yield "keys_alike", lambda: _numbered(lambda n: b"\x8a\x0b" + (n * M61).to_bytes(11, "little") + b"N", size, b"}(", b"u")
    yield "keys_alike_1m", lambda: _numbered(lambda n: b"\x8a\x0b" + (n * M61).to_bytes(11, "little") + b"N", MB, b"}(", b"u")
    yield "set_alike", lambda: _numbered(lambda n: b"\x8a\x0b" + (n * M61).to_bytes(11, "little"), MB, b"\x8f(", b"\x90")
    yield "keys_huge", lambda: _again(b"h\x00N", 4 * MB, b"\x8b" + u32(MB) + b"\x01" * MB + b"q\x00}(", b"u")
    yield "frozensets", lambda: _again(b"(K\x01K\x02K\x03\x910", size)
    yield "ints_huge", lambda: _again(b"\x8b" + u32(4300) + b"\x7f" * 4300 + b"0", size)
    yield "ints_text_huge", lambda: _again(b"L" + b"9" * 4200 + b"L\n0", size)
    yield "floats_text", lambda: _again(b"F1e308\n0", size)
    yield "strings_escaped", lambda: _again(b"S'" + b"\\x41" * 200 + b"'\n0", size)
    yield "strings_unicode", lambda: _again(b"V" + b"\\u0041" * 200 + b"\n0", size)
    yield "line_without_end", lambda: HEAD + b"V" + b"a" * (size - 10)
    yield "long_text", lambda: _again(b"X" + u32(5000) + b"a" * 5000 + b"0", size)
    yield "text_base64", lambda: _again(b"X" + u32(60) + b"gASV" + b"A" * 56 + b"0", size)
    yield "bytes_pickles", lambda: _again(b"C\x1e" + (b"\x80\x04" + PAYLOAD[:-1])[:29] + b".0", size)
    yield "bytes_given", lambda: _again(b"h\x00C\x1e" + b"(" * 30 + b"\x85R0", size, b"cm\nload\nq\x00")
    yield "bytes_zips", lambda: _again(b"C\x30PK\x03\x04" + b"\0" * 44 + b"0", size)
    yield "bytes_zlib", lambda: _again(b"C\x20\x78\x9c" + b"\x03\0" * 15 + b"0", size)
    yield "padding_noise", lambda: _numbered(lambda n: b"K\x01K\x020" + b"M\x01\x02" * (n % 7) + b"0" * (n % 7 + 1), size)
    yield "frames", lambda: _again(b"\x95\x01\0\0\0\0\0\0\0N0", size)
    yield "protos", lambda: _again(b"\x80\x04\x80\x03", size)
    yield "pops", lambda: HEAD + b"(N" * (size // 4) + b"0" * (size // 2 - 40) + PAYLOAD
    yield "buffers", lambda: _again(b"\x970", size)
    yield "streams", lambda: (HEAD + b"N.") * 4000 + HEAD + PAYLOAD
    yield "streams_gap", lambda: (HEAD + b"N." + b"\xff" * 60000) * (size // 60004) + HEAD + PAYLOAD
    yield "streams_gap_proto", lambda: HEAD + b"N." + b"\x80\x04]" * ((size - 100) // 3) + HEAD + PAYLOAD
    yield "streams_zeros", lambda: HEAD + b"N." + b"\0" * (size - 200) + HEAD + PAYLOAD
    yield (
        "torch_legacy",
        lambda: HEAD + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + HEAD + b"M\xe9\x03." + _again(b"}b", size // 2, _OBJ),
    )
    yield "trailing", lambda: HEAD + b"N." + b"\xfe" * (size - 10)
    yield (
        "numpy_objects",
        lambda: (
            b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(127)
            + b"\n"
            + _again(b")R", size, _LIST)
        ),
    )
    yield (
        "joblib_arrays",
        lambda: _again(
            b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(\x8c\x08subclassccollections\nOrderedDict\n"
            b"\x8c\x05shapeK\x00\x85\x8c\x05order\x8c\x01C\x8c\x05dtypecnumpy\ndtype\n\x8c\x02f8\x85R\x8c\x0aallow_mmap\x88ub0",
            size,
        ),
    )
    yield "setstate_partial", lambda: _again(b"cfunctools\npartial\ncbuiltins\nlen\n\x85R(cbuiltins\nlen\n)}Ntb0", size)
    yield (
        "code_objects",
        lambda: _again(b"ctypes\nCodeType\n(K\0K\0K\0K\0K\0K\0C\x01d)(\x8c\x01at)\x8c\x01f\x8c\x01gK\1C\0tR0", size),
    )
