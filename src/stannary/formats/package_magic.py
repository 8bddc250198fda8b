"""How installers, packages, disk images and byte code begin: read by `identify` without the reader (`packages`)."""

from __future__ import annotations

__all__ = ["PACKAGES"]

_LNK = bytes.fromhex("4c0000000114020000000000c000000000000046")
_NOTE = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3")
PACKAGES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xed\xab\xee\xdb", "rpm package"),
    (0, b"MSCF\0\0\0\0", "cabinet"),
    (0, b"ITSF\x03\0\0\0", "compiled help"),
    (0, b"FWS", "Flash film"),
    (0, b"CWS", "Flash film"),
    (0, b"ZWS", "Flash film"),
    (0, b"dex\n0", "Dalvik code"),
    (0, b"\x1bLua", "Lua byte code"),
    (0, b"\x1bLJ", "LuaJIT byte code"),
    (0, b"BC\xc0\xde", "LLVM code"),
    (0, b"\xde\xc0\x17\x0b", "LLVM code"),
    (0, b"xar!\0\x1c", "macOS package"),
    (0, b"hsqs", "disk image"),
    (0, b"vhdxfile", "disk image"),
    (0, b"KDMV", "disk image"),
    (0, b"QFI\xfb", "disk image"),
    (0, b"conectix", "disk image"),
    (32769, b"CD001", "disk image"),
    (0, _LNK, "shortcut"),
    (0, _NOTE, "OneNote section"),
)
