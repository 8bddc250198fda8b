"""Raw content of a tensor or an array that is a program, an archive or a pickle instead.

Strict enough for weights: random numbers pass none of these tests in practice, so that what is
reported was put there.
"""

from __future__ import annotations

import re
import struct

from stannary.formats.interface import Sink, clip
from stannary.formats.pickle_glance import glance

__all__ = ["note_payload", "payload_kind"]

_HOST_ELF = re.compile(
    rb"\x7fELF[\x01\x02][\x01\x02]\x01.{9}(?:[\x01-\x04]\x00[\x03\x14\x15\x28\x3e\xb7\xf3]\x00|\x00[\x01-\x04]\x00[\x14\x15\x28\xb7])",
    re.DOTALL,
)
_FIRST = frozenset(b"\x7fMP#c(\x80")


def payload_kind(content: memoryview) -> str:
    """Return elf, pe, zip, script or pickle when content is one from its first byte on, else ''."""
    if len(content) < 8 or content[0] not in _FIRST:
        return ""
    head = bytes(content[:64])
    if _HOST_ELF.match(head):
        return "elf"
    if head[:2] == b"MZ" and len(head) == 64:
        at = struct.unpack_from("<I", head, 60)[0]
        return "pe" if bytes(content[at : at + 4]) == b"PE\0\0" else ""
    if head[:4] == b"PK\x03\x04":
        return "zip" if len(head) > 30 and head[5] == 0 and struct.unpack_from("<H", head, 8)[0] in {0, 8, 12, 14, 93} else ""
    if head[:3] == b"#!/":
        return "script"
    if head[0] in b"c(\x80":
        seen = glance(content)
        return "pickle" if seen.runs and seen.names else ""
    return ""


def note_payload(sink: Sink, name: str, content: memoryview, offset: int) -> bool:
    """Report and hand on content that is a payload; tell whether it was one."""
    kind = payload_kind(content)
    if not kind:
        return False
    sink.fact("weights.payload", offset, name=clip(name, 120), kind=kind, size=len(content))
    sink.child(clip(name, 120), content, offset=offset, hint="pickle" if kind == "pickle" else "")
    return True
