r"""Rich text: fields, templates and embedded objects, which a word processor runs or fetches when it opens the document.

Source: Microsoft's RTF 1.9.1, MS-OLEDS 2.2 (the header of an object in `\objdata`).

Fact: `rtf.active` what (object, template, field), value. The content of an object is read as a compound file or program.
"""

from __future__ import annotations

import re

from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_LIMIT = 32 << 20
_TEMPLATE = re.compile(rb"\\\*\s*\\template\s+([^{}\\]*(?:\\[^{}a-z][^{}\\]*|\\\\[^{}\\]*)*)", re.IGNORECASE)
_FIELD = re.compile(
    rb"\\fldinst\b[^a-zA-Z]{0,40}(?:\\[a-z]+-?\d*\s?|[{}\s])*\s*(DDE(?:AUTO)?\b|(?:INCLUDEPICTURE|INCLUDETEXT|LINK|IMPORT)\b[^{}]{0,40}(?:https?:|\\\\\\\\|file:))([^{}]{0,200})",
    re.IGNORECASE,
)
_OBJECT = re.compile(rb"\\(objdata|objupdate|objautlink|objocx|objclass)\b\s*([^{}\\]{0,80})")
_DATA = re.compile(rb"\\objdata\b[^0-9a-fA-F{}]*")
_CLASSES = re.compile(
    rb"Equation|Package|OTKLOADR|htmlfile|scriptlet|Shell\.Explorer|MSComctl|Forms\.|ScriptBridge|Word\.Document\.\d+m|PBrush\x00?!",
    re.IGNORECASE,
)
_CFB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC = (_CFB, b"PK\x03\x04", b"MZ", b"{\\rt")
_OBJECTS = 200
_LOCAL = re.compile(r"(?:file:/{3})?[A-Za-z]:[\\/]|[\w .-]+\Z")


def read(view: View, sink: Sink) -> None:
    """Report what of a document in rich text is active; its text is read as text by another."""
    raw = view.head(_LIMIT)
    if len(view) > _LIMIT:
        sink.incomplete(f"rich text of {len(view)} bytes: only the first {_LIMIT} were searched")
    for match in _TEMPLATE.finditer(raw):
        target = match[1].decode("latin-1").replace("\\\\", "\\").strip()
        if target and not _LOCAL.match(target):
            sink.fact("rtf.active", match.start(), what="template", value=clip(target))
    for match in _FIELD.finditer(raw):
        sink.fact("rtf.active", match.start(), what="field", value=clip((match[1] + match[2]).decode("latin-1").strip()))
    for match in _OBJECT.finditer(raw):
        if match[1] in {b"objupdate", b"objautlink", b"objocx"} or (match[1] == b"objclass" and _CLASSES.search(match[2])):
            sink.fact(
                "rtf.active", match.start(), what="object", value=clip((match[1] + b" " + match[2]).decode("latin-1").strip())
            )
    for count, match in enumerate(_DATA.finditer(raw)):
        if count >= _OBJECTS:
            sink.incomplete(f"more than {_OBJECTS} objects in rich text")
            break
        _object(raw, match.end(), sink)
    if not raw.rstrip(b"\0\r\n\t ").endswith(b"}"):
        sink.incomplete("rich text without its end")
    sink.inert("rich text")


def _object(raw: bytes, at: int, sink: Sink) -> None:
    """Read one object: hexadecimal, with control words and groups that a parser skips."""
    end = at
    depth = 0
    while end < len(raw):
        byte = raw[end]
        depth += (byte == 0x7B) - (byte == 0x7D)
        if depth < 0:
            break
        end += 1
    digits = re.sub(rb"\\[a-zA-Z]+-?\d*\s?|\\'..|[^0-9a-fA-F]", b"", raw[at:end])
    content = bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))
    if found := _CLASSES.search(content[:200]):
        sink.fact("rtf.active", at, what="object", value=clip(found[0].decode("latin-1")))
    starts = [start for magic in _MAGIC if 0 <= (start := content.find(magic)) < 512]
    if starts:
        sink.child(f"object@{at}", content[min(starts) :], offset=at)
