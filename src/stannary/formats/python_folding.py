"""Pure functions, methods and operators of Python, evaluated on constants.

Every one is bounded in what it may produce (`MAX_TEXT`); nothing outside these tables is run.
"""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import codecs
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from stannary.formats.python_own import below
from stannary.formats.python_values import MAX_TEXT, Value, const, lift, merge_origins, plain, sequence, text_value

__all__ = ["NUMBERS", "element", "elements", "fold_call", "fold_method", "operate"]

_FOLD_ERRORS = (ValueError, TypeError, OverflowError, LookupError, AttributeError, EOFError, OSError, zlib.error, lzma.LZMAError)


def _bounded_zlib(data: bytes, wbits: int = 15, *_: int) -> bytes:
    return zlib.decompressobj(wbits).decompress(data, MAX_TEXT)


def _bounded_gzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data, MAX_TEXT)


def _bounded_bz2(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, MAX_TEXT)


def _bounded_lzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=64 << 20).decompress(data, MAX_TEXT)


_CODECS = frozenset(
    [
        "utf-8",
        "utf8",
        "ascii",
        "latin-1",
        "latin1",
        "utf-16",
        "utf-32",
        "utf-7",
        "rot13",
        "rot_13",
        "rot-13",
        "hex",
        "base64",
        "base_64",
        "unicode_escape",
        "raw_unicode_escape",
        "cp1252",
        "punycode",
        "idna",
        "uu",
        "quopri",
    ]
)


def _codec(data: Any, encoding: str = "utf-8", *_: str) -> Any:  # noqa: ANN401 - str or bytes
    if encoding.lower() not in _CODECS:
        raise ValueError
    return codecs.decode(data, encoding)


def _bytes(value: Any = b"", encoding: str = "utf-8") -> bytes:  # noqa: ANN401 - str, int list or bytes
    if isinstance(value, int):
        raise TypeError
    return value.encode(encoding) if isinstance(value, str) else bytes(value)


def _range(*args: int) -> range:
    result = range(*args)
    if len(result) > 4096:
        raise ValueError
    return result


def _zip(*columns: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*[column[:4096] for column in columns], strict=False))


def _pack(layout: str, *numbers: Any) -> bytes:  # noqa: ANN401 - whatever the layout asks for
    if len(layout) > 64 or struct.calcsize(layout) > MAX_TEXT:
        raise ValueError
    return struct.pack(layout, *numbers)


def _array(code: str, numbers: Sequence[int]) -> bytes:
    return _pack(f"{len(numbers)}{code}", *numbers)


_FOLDS: dict[str, Callable[..., Any]] = {
    "base64.b64decode": lambda data, *_: base64.b64decode(data),
    "base64.standard_b64decode": base64.b64decode,
    "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
    "base64.decodebytes": base64.decodebytes,
    "base64.b32decode": lambda data, *_: base64.b32decode(data),
    "base64.b16decode": lambda data, *_: base64.b16decode(data, casefold=True),
    "base64.a85decode": base64.a85decode,
    "base64.b85decode": base64.b85decode,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_hex": binascii.unhexlify,
    "binascii.a2b_base64": binascii.a2b_base64,
    "bytes.fromhex": bytes.fromhex,
    "bytearray.fromhex": bytes.fromhex,
    "zlib.decompress": _bounded_zlib,
    "gzip.decompress": _bounded_gzip,
    "bz2.decompress": _bounded_bz2,
    "lzma.decompress": _bounded_lzma,
    "codecs.decode": _codec,
    "chr": chr,
    "ord": ord,
    "str": lambda value="", encoding="": _codec(value, encoding) if encoding else str(value),
    "bytes": _bytes,
    "bytearray": _bytes,
    "int": lambda value=0, base=10: int(value, base) if isinstance(value, str) else int(value),
    "len": len,
    "hex": hex,
    "reversed": lambda value: list(reversed(value)),
    "list": list,
    "tuple": list,
    "sorted": sorted,
    "zip": _zip,
    "enumerate": lambda value, first=0: list(enumerate(value[:4096], first)),
    "struct.pack": _pack,
    "array.array": _array,
    "int.to_bytes": int.to_bytes,
    "range": _range,
    "os.path.expanduser": lambda value: value,
    "os.path.expandvars": lambda value: value,
    "os.path.abspath": lambda value: value,
    "os.path.realpath": lambda value: value,
    "os.path.normpath": lambda value: value,
    "shlex.split": str,
    "shlex.join": " ".join,
    "textwrap.dedent": str,
    "urllib.parse.unquote": unquote,
}  # fmt: skip

_METHODS = frozenset(
    [
        "join",
        "replace",
        "lower",
        "upper",
        "strip",
        "lstrip",
        "rstrip",
        "encode",
        "decode",
        "split",
        "rsplit",
        "splitlines",
        "swapcase",
        "title",
        "removeprefix",
        "removesuffix",
        "capitalize",
        "hex",
        "casefold",
        "format",
        "tobytes",
    ]
)
# Where code comes from that was written as numbers.
NUMBERS = "numbers"
_FROM_NUMBERS = frozenset({"bytes", "bytearray", "struct.pack", "array.array", "int.to_bytes"})
_FEWEST = 4  # chr(10) among a text's lines is no disguise


def fold_call(name: str, args: Sequence[Value], origins: frozenset[str]) -> Value | None:
    """Evaluate a pure function on constants; None when it is not one, or fails."""
    function = _FOLDS.get(name)
    if function is None or (len(args) > 4 and name not in {"struct.pack", "zip"}):
        return None
    if name in _FROM_NUMBERS and args and (len(args[0].items or ()) >= _FEWEST or name not in {"bytes", "bytearray"}):
        origins |= {NUMBERS}
    try:
        return lift(function(*[plain(arg) for arg in args]), origins)
    except _FOLD_ERRORS:
        return None


def fold_method(receiver: Value, method: str, args: Sequence[Value], origins: frozenset[str]) -> Value | None:  # noqa: PLR0911 - one a kind of receiver
    """Evaluate a string or bytes method on constants; None when it is not one, or fails."""
    if method == "to_bytes" and isinstance(receiver.const, int):
        return fold_call("int.to_bytes", (receiver, *args), origins)
    if method not in _METHODS or len(args) > 8:
        return None
    if method == "join" and receiver.known and isinstance(receiver.const, str) and len(args) == 1:
        joined = _join(receiver.const, args[0], origins)
        if joined is not None:
            return joined
    if method == "format" and receiver.as_text() is not None:
        return text_value(_fill(receiver.as_text() or "", args), origins, exact=receiver.known and all(a.known for a in args))
    if receiver.text is not None and method in {"strip", "lstrip", "rstrip", "encode", "decode", "split"}:
        return text_value(receiver.text, origins, exact=False)
    if not receiver.known or not isinstance(receiver.const, (str, bytes)):
        return None
    if method == "tobytes":
        return receiver
    try:
        constants = [plain(arg) for arg in args]
        if method in {"encode", "decode"} and args and str(constants[0]).lower() not in _CODECS:
            return None
        if method == "replace" and (len(receiver.const) + 1) * (len(constants[1]) + 1) > 16 * MAX_TEXT:
            return None
        return lift(getattr(receiver.const, method)(*constants), origins)
    except _FOLD_ERRORS:
        return None


def _join(separator: str, value: Value, origins: frozenset[str]) -> Value | None:
    if value.items is None:
        return (
            const(separator.join(value.const), origins)
            if value.known and isinstance(value.const, str) and len(value.const) < 4096
            else None
        )
    if (len(separator) + 64) * len(value.items) > 16 * MAX_TEXT:
        return None
    texts = [item.as_text() for item in value.items]
    exact = all(item.known for item in value.items)
    if len(texts) >= _FEWEST and all("chr" in item.origins for item in value.items):
        origins |= {NUMBERS}
    return text_value(separator.join("{}" if t is None else t for t in texts), origins, exact=exact)


def _fill(template: str, args: Sequence[Value]) -> str:
    for index, arg in enumerate(args):
        shown = arg.as_text()
        if shown is not None:
            template = template.replace(f"{{{index}}}", shown).replace("{}", shown, 1)
    return template


def elements(value: Value) -> tuple[Value, ...] | None:
    """Return the elements of a display or a short constant string, or None."""
    if value.items is not None:
        return value.items
    if value.known and isinstance(value.const, (str, bytes)) and len(value.const) <= 4096:
        return tuple(const(element) for element in value.const)
    return None


def element(base: Value, index: object, origins: frozenset[str]) -> Value:
    """Return one element of a display, by position or key."""
    items = base.items or ()
    if base.keys:
        for key, item in zip(base.keys, items, strict=False):
            if key == index:
                return item
        return Value("", origins)
    if isinstance(index, int) and -len(items) <= index < len(items):
        return items[index]
    return Value("", origins)


def operate(op: ast.operator, left: Value, right: Value) -> Value:
    """Return the value of a binary operation, folded where both sides are constants."""
    origins = merge_origins((left, right))
    if isinstance(op, ast.Add) and left.items is not None and right.items is not None:
        return sequence((*left.items, *right.items)[:65_536])
    if isinstance(op, ast.Div) and (left.text is not None or left.subject or left.own or left.name.startswith("pathlib.")):
        result = text_value(f"{left.as_text() or left.subject}/{right.as_text() or '{}'}", origins, exact=False)
        result.name, result.subject = left.name or "pathlib.Path()", result.text or ""
        result.own = below(left.own, right.as_text() or "")
        return result
    if isinstance(op, ast.Mod) and left.known and isinstance(left.const, str):
        return _percent(left.const, right, origins)
    if left.known and right.known:
        try:
            return _arithmetic(op, left.const, right.const, origins)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            return Value("", origins)
    if isinstance(op, ast.Add):
        a, b = left.as_text(), right.as_text()
        if a is not None or b is not None:
            return text_value(f"{'{}' if a is None else a}{'{}' if b is None else b}", origins, exact=False)
    return Value("", origins)


def _percent(template: str, right: Value, origins: frozenset[str]) -> Value:
    """Fill a template of the `%` operator as far as what it is filled with is known."""
    items = right.items or (right,)
    if template.count("%c") >= _FEWEST:
        origins |= {NUMBERS}
    places = iter(items)

    def fill(place: re.Match[str]) -> str:
        item = next(places, None)
        if item is not None and place[0] == "%c" and item.known and isinstance(item.const, int) and 0 <= item.const < 0x110000:
            return chr(item.const)
        return (item.as_text() if item is not None else None) or "{}"

    filled = re.sub(r"%[srdc]", fill, template)
    return text_value(filled, origins, exact=right.known or (bool(right.items) and all(item.known for item in items)))


def _arithmetic(op: ast.operator, a: object, b: object, origins: frozenset[str]) -> Value:  # noqa: C901, PLR0911 - a table of operators
    if isinstance(op, ast.Add):
        return lift(a + b, origins)  # type: ignore[operator]
    if isinstance(op, ast.Mult):
        count = a if isinstance(a, int) else b
        body = b if isinstance(a, int) else a
        if isinstance(body, (str, bytes)) and isinstance(count, int) and len(body) * count > 1 << 20:
            raise ValueError
        return lift(a * b, origins)  # type: ignore[operator]
    if isinstance(a, int) and isinstance(b, int):
        match op:
            case ast.Sub():
                return lift(a - b, origins)
            case ast.BitXor():
                return lift(a ^ b, origins)
            case ast.BitAnd():
                return lift(a & b, origins)
            case ast.BitOr():
                return lift(a | b, origins)
            case ast.Mod():
                return lift(a % b, origins)
            case ast.FloorDiv():
                return lift(a // b, origins)
            case ast.RShift():
                return lift(a >> min(b, 4096), origins)
            case ast.LShift():
                return lift(a << min(b, 64), origins)
    raise ValueError
