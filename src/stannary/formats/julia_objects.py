"""Objects that Julia kept: `Serialization`'s streams, BSON.jl's documents, and the types of JLD2 files.

Reading makes whatever type is named, by that type's own constructor or `rconvert`, and gets functions by their names. The
names tell. Sources: Julia `stdlib/Serialization`; BSON.jl `src/read.jl` (`raise_recursive`, `tags`); JLD2
`src/data/specialcased_types.jl`.

Fact: `serial.object` language (`Julia`, or `JLD2`), classes: dotted names, in order.
"""

from __future__ import annotations

import re

from stannary.core.errors import FormatError
from stannary.formats.interface import Sink, View, clip

__all__ = ["probe_bson", "read_bson", "read_jld", "read_jls"]

_LIMIT = 16 << 20
_MOST = 1000
_HEADER = 512
_STRING = re.compile(rb"\x02([^\0]{1,60})\0(....)", re.DOTALL)
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*!?")
_DOTTED = re.compile(rb"\b(?:Base|Core|Main|Libdl|Downloads|Sockets|[A-Z]\w{1,40})(?:\.[A-Za-z_]\w*!?){1,6}")
_MODULES = frozenset({"Base", "Core", "Main", "Libdl", "Downloads", "Libc", "Filesystem", "Sockets"})


def _report(view: View, language: str, names: list[str], sink: Sink) -> None:
    classes = list(dict.fromkeys(names))
    sink.fact("serial.object", 0, language=language, classes=[clip(name, 120) for name in classes[:_MOST]])
    if len(classes) > _MOST:
        sink.incomplete(f"objects of Julia of {len(classes)} types: only {_MOST} were looked at")
    if len(view) > _LIMIT:
        sink.incomplete(f"objects of Julia of {len(view)} bytes: only the first {_LIMIT} were searched")


def probe_bson(view: View) -> bool:
    """Tell whether a document of that very length has one of BSON.jl's tags."""
    head = view.head(1 << 16)
    return len(view) >= 16 and int.from_bytes(head[:4], "little") == len(view) and b"\x02tag\0" in head


def read_bson(view: View, sink: Sink) -> None:
    """Report the types that a document names. Raises FormatError for what is no BSON."""
    raw = view.head(_LIMIT)
    if len(raw) < 5 or not raw[4] <= 0x13:
        msg = "not a BSON document"
        raise FormatError(msg, 0)
    names: list[str] = []
    path: list[str] = []
    tagged = False
    for match in _STRING.finditer(raw):
        key, length = match[1], int.from_bytes(match[2], "little")
        value = raw[match.end() : match.end() + max(0, length - 1)]
        if length < 1 or len(value) != length - 1:
            continue
        tagged = tagged or key == b"tag"
        # A type's name is an array: 0 the module, 1 what is in it.
        if key == b"0" or not key.isdigit():
            names += [".".join(path)] if len(path) > 1 else []
            path = []
        if key.isdigit() and _WORD.fullmatch(value):
            path.append(value.decode("ascii"))
    names += [".".join(path)] if len(path) > 1 else []
    if tagged:
        _report(view, "Julia", names, sink)
    elif int.from_bytes(raw[:4], "little") != len(view):
        msg = f"a BSON document of {int.from_bytes(raw[:4], 'little')} bytes in a file of {len(view)}"
        raise FormatError(msg, 0)
    sink.inert("BSON")


def read_jls(view: View, sink: Sink) -> None:
    """Report the names in a stream of `serialize`: symbols stand behind their length; a module before what is in it."""
    raw = view.head(_LIMIT)
    names: list[str] = []
    module = ""
    at = 4
    while at < len(raw):
        length = raw[at]
        word = raw[at + 1 : at + 1 + length]
        if not 1 < length < 64 or len(word) != length or not _WORD.fullmatch(word):
            at += 1
            continue
        text = word.decode("ascii")
        names.append(f"{module}.{text}" if module and text not in _MODULES else text)
        module = text if text in _MODULES else module
        at += 1 + length
    _report(view, "Julia", names, sink)
    sink.inert("objects of Julia")


def read_jld(view: View, sink: Sink) -> None:
    """Report the types that a JLD2 file names; what it is else, HDF5's reader says. Raises FormatError when that is not there."""
    names = [match[0].decode("ascii") for match in _DOTTED.finditer(view.head(_LIMIT))]
    if len(view) <= _HEADER and not names:  # the block in front of the HDF5, which its reader hands on
        sink.inert("the header of a JLD2 file")
        return
    if not any(bytes(view.data[at : at + 4]) == b"\x89HDF" for at in (_HEADER, 1024, 2048)):
        msg = "a file of Julia without the HDF5 behind its header"
        raise FormatError(msg, _HEADER)
    _report(view, "JLD2", names, sink)
