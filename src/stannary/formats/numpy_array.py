"""NumPy `.npy` arrays: the header as data, an object array's pickle, and what lies behind the values.

Facts:
- `numpy.array`: version, dtype, shape, objects (holds a pickle), bytes (of values).
- `numpy.header`: problem (`expression`: not a plain literal; `keys`; `shape`; `dtype`; `long`), text.
- `numpy.trailing`: size, head (hex): bytes behind the values that are not another array.

Source: NEP 1 and `numpy/lib/_format_impl.py`. The header is a Python literal that numpy reads with
`ast.literal_eval` (and `eval` before 1.0): here it is parsed as one, never evaluated.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded_payload import note_payload
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_MAX_HEADER = 1 << 20  # numpy itself refuses more than 10,000 characters unless told to trust the file
_TRUSTED_HEADER = 10_000
_DEPTH = 64
_SIMPLE = re.compile(r"^[<>|=]?([?bBhHiIulLqQefdgFDGSaUVOmMcpP])(\d*)(\[.*\])?$")
_SIZES = {
    "?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "u": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "e": 2, "f": 4, "d": 8,
    "g": 16, "F": 8, "D": 16, "G": 32, "c": 1, "p": 8, "P": 8, "m": 8, "M": 8, "O": 8,
}  # fmt: skip
_LONG = re.compile(r"\b(\d+)L\b")


def read(view: View, sink: Sink) -> None:
    """Read one array; what follows it is handed on (numpy itself writes several into one file)."""
    version, text, start = _header(view)
    if len(text) > _TRUSTED_HEADER:
        sink.fact("numpy.header", 0, problem="long", text=clip(text))
    fields = _fields(text, sink)
    if fields is None:
        # numpy refuses the header; other loaders may not, so the rest is read as whatever it is.
        sink.incomplete("numpy: the header is not a plain literal", 0)
        sink.child("(behind the header)", view.data[start:], offset=start, hint="pickle" if "O" in text else "")
        return
    descr, shape = fields.get("descr"), fields.get("shape")
    count = _count(shape)
    size, objects = _itemsize(descr, 0)
    if count is None or (size is None and not objects):
        sink.fact("numpy.header", 0, problem="shape" if count is None else "dtype", text=clip(text))
        sink.incomplete("numpy: the header has no usable shape or dtype", 0)
        sink.child("(behind the header)", view.data[start:], offset=start)
        return
    total = 0 if objects else count * (size or 0)
    sink.fact("numpy.array", 0, version=version, dtype=clip(str(descr)), shape=_shown(shape), objects=objects, bytes=total)
    if objects:
        if start >= len(view):
            raise Truncated("numpy: an object array without its pickle", start)  # noqa: EM101, TRY003 - one place
        sink.child("(objects)", view.data[start:], offset=start, hint="pickle")
        return
    end = start + total
    if end > len(view):
        msg = f"numpy: {total} bytes of values announced, {len(view) - start} are there"
        raise Truncated(msg, start)
    if total:
        note_payload(sink, "values", view.data[start:end], start)
    _trailing(view, sink, end)


def _header(view: View) -> tuple[str, str, int]:
    major, minor = view.bytes(6, 2)
    if major not in (1, 2, 3):
        msg = f"numpy format version {major}.{minor} is not known"
        raise FormatError(msg, 6)
    width = 2 if major == 1 else 4
    length = int.from_bytes(view.bytes(8, width), "little")
    if length > _MAX_HEADER:
        msg = f"numpy header of {length} bytes"
        raise FormatError(msg, 8)
    raw = view.bytes(8 + width, length)
    return f"{major}.{minor}", raw.decode("utf-8" if major > 2 else "latin-1", "replace"), 8 + width + length


def _fields(text: str, sink: Sink) -> dict[str, Any] | None:
    """Return the header's dictionary, or None when it is not a literal one with the three keys."""
    if _nesting(text) <= _DEPTH:
        for candidate in (text, _LONG.sub(r"\1", text)):  # Python 2 wrote 10L
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SyntaxWarning)
                    value = ast.literal_eval(candidate.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
            if isinstance(value, dict) and {"descr", "fortran_order", "shape"} <= set(map(str, value)):
                if len(value) != 3:
                    sink.fact("numpy.header", 0, problem="keys", text=clip(text))
                return value
            sink.fact("numpy.header", 0, problem="keys", text=clip(text))
            return None
    sink.fact("numpy.header", 0, problem="expression", text=clip(text))
    return None


def _nesting(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


def _count(shape: object) -> int | None:
    if not isinstance(shape, tuple) or len(shape) > 64:
        return None
    count = 1
    for side in shape:
        if not isinstance(side, int) or side < 0 or side > 1 << 62:
            return None
        count *= side
    return count


def _itemsize(descr: object, depth: int) -> tuple[int | None, bool]:
    """Return the size of one element in bytes (None: not understood) and whether it holds Python objects."""
    if isinstance(descr, str):
        return _simple(descr)
    if depth > 16:
        return None, False
    if isinstance(descr, tuple) and len(descr) >= 2:
        size, objects = _itemsize(descr[0], depth + 1)
        count = _count(descr[1] if isinstance(descr[1], tuple) else (descr[1],)) if not isinstance(descr[1], dict) else 1
        return (None if size is None or count is None else size * count), objects
    if not isinstance(descr, list):
        return None, False
    total: int | None = 0
    any_object = False
    for field in descr:
        if not isinstance(field, tuple) or not 2 <= len(field) <= 3:
            return None, any_object
        size, objects = _itemsize(field[1], depth + 1)
        any_object = any_object or objects
        shape = field[2] if len(field) == 3 else ()
        count = _count(shape if isinstance(shape, tuple) else (shape,))
        total = None if total is None or size is None or count is None else total + size * count
    return total, any_object


def _simple(descr: str) -> tuple[int | None, bool]:
    match = _SIMPLE.match(descr)
    if match is None:
        names = {"object": (8, True), "float": (8, False), "int": (8, False), "bool": (1, False)}
        return names.get(descr, (None, "O" in descr and "bo" not in descr))
    code, width = match[1], match[2]
    if code == "O":
        return 8, True
    if code == "U":
        return 4 * int(width or 0), False
    if code in "SaV":
        return int(width or 0), False
    return (int(width) if width else _SIZES[code]), False


def _shown(shape: object) -> list[int]:
    return [min(int(side), 1 << 53) for side in shape][:64] if isinstance(shape, tuple) else []


def _trailing(view: View, sink: Sink, end: int) -> None:
    rest = view.data[end:]
    if not len(rest):
        return
    head = bytes(rest[:4096])
    if len(rest) <= 4096 and not head.strip(b"\x00"):
        return
    if head[:6] != b"\x93NUMPY":
        sink.fact("numpy.trailing", end, size=len(rest), head=head[:16].hex())
    sink.child("(behind the values)", rest, offset=end)
