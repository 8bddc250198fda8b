"""Installers, system packages, disk images, compiled help and byte code of other machines: told by their magic number.

What they hold runs on whoever opens them, and no loader of models reads them. Members of `ar` archives (Debian packages,
static libraries) are handed on. Sources: `ar(5)`, ECMA-119, Microsoft's CAB, LNK (MS-SHLLINK), OneNote (MS-ONESTORE) and
VHD specifications, Apple's UDIF, the Lua, LLVM, Dalvik and SWF file formats.

Fact: `executable.package` kind, what.
"""

from __future__ import annotations

from stannary.formats.embedded_text import note_code
from stannary.formats.interface import Sink, View, clip
from stannary.formats.package_magic import PACKAGES

__all__ = ["probe", "read", "read_ar", "read_blend"]

_ENDS = (b"koly\0\0\0\4", b"conectix")  # of Apple's and Microsoft's disk images, in their last 512 bytes
_MEMBERS = 2000
_FLASH = range(3, 60)
_BLEND = 64 << 20


def probe(view: View) -> bool:
    """Tell a disk image by its end."""
    return view.tail(512).startswith(_ENDS)


def read(view: View, sink: Sink) -> None:
    """Report what it is; a shortcut's words are searched for commands."""
    kind = next((what for at, magic, what in PACKAGES if view.data[at : at + len(magic)] == magic), "disk image")
    if kind == "Flash film" and (len(view) < 9 or view.data[3] not in _FLASH):
        sink.incomplete("unknown binary format")
        return
    sink.fact("executable.package", 0, kind=kind, what=f"{len(view)} bytes")
    if kind == "shortcut":
        note_code(sink, "shortcut", view.head(1 << 16).decode("utf-16-le", "replace"), 0)
    sink.inert(kind)


def read_ar(view: View, sink: Sink) -> None:
    """Read the members of an archive of objects; a Debian package is one."""
    at, count = 8, 0
    while at + 60 <= len(view) and count < _MEMBERS:
        head = view.bytes(at, 60)
        name, size = head[:16].decode("latin-1").strip().rstrip("/"), head[48:58].strip()
        if head[58:] != b"`\n" or not size.isdigit():
            sink.incomplete("a member of an archive has no header", at)
            return
        if count == 0 and name == "debian-binary":
            sink.fact("executable.package", 0, kind="Debian package", what=f"{len(view)} bytes")
        length = min(int(size), len(view) - at - 60)
        if length < int(size):
            sink.incomplete(f"the member {clip(name, 80)} of an archive is cut", at)
        if name not in {"", "/"} and not name.startswith("__.SYMDEF"):
            sink.child(clip(name, 80), view.data[at + 60 : at + 60 + length], offset=at + 60)
        at += 60 + length + (length & 1)
        count += 1
        sink.budget.take_member()
    if at < len(view):
        why = "is cut" if count < _MEMBERS else f"has more than {_MEMBERS} members; the rest is not read"
        sink.incomplete(f"an archive of objects {why}", at)


def read_blend(view: View, sink: Sink) -> None:
    """Search a Blender file for Python: its text blocks can be registered to run when the file is opened."""
    if len(view) > _BLEND:
        sink.incomplete(f"a Blender file of {len(view)} bytes was searched in part")
    elif b"ENDB" not in view.tail(1 << 16):
        sink.incomplete("a Blender file without its end")
    note_code(sink, "text block", view.head(_BLEND).decode("latin-1")[: 4 << 20])
    sink.inert("blender: a scene")
