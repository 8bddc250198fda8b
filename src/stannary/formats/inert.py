"""Content that is recognised and that no model loader runs: pictures, documents, plain weights.

Formats: PNG (W3C), JPEG (ITU T.81), GIF89a, PDF (ISO 32000), RIFF. A picture is walked to its own end; what a polyglot
puts behind it is handed on.
"""

from __future__ import annotations

import re

from stannary.core.errors import Truncated
from stannary.formats import pdf
from stannary.formats.interface import Sink, View
from stannary.formats.tensorrt import host_programs

__all__ = ["read_media", "read_unsupported", "read_weights"]

_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG markers without a length
_MAX_SEARCH = 256 << 20
_MAX_STEPS = 200_000
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_media(view: View, sink: Sink) -> None:
    """Find the end of a picture or document and hand on what lies behind it; report what a PDF would run."""
    head = view.head(12)
    try:
        if head.startswith(b"\x89PNG"):
            kind, end = "png", _png_end(view)
        elif head.startswith(b"\xff\xd8\xff"):
            kind, end = "jpeg", _jpeg_end(view)
        elif head.startswith(b"GIF8"):
            kind, end = "gif", _gif_end(view)
        elif head.startswith(b"%PDF-"):
            kind, end = "pdf", _pdf_end(view, sink)
        elif head.startswith(b"RIFF"):
            size = int.from_bytes(head[4:8], "little")
            kind, end = "riff", 8 + size + (size & 1)
        else:
            kind, end = "media", len(view)
    except Truncated as exc:
        kind, end = "broken picture", len(view)
        # Cameras and editors leave odd JPEGs behind; the last end marker will do for them.
        last = bytes(view.data[-(1 << 20) :]).rfind(b"\xff\xd9") if head.startswith(b"\xff\xd8") else -1
        if last < 0:
            sink.incomplete(f"the picture has no end: {exc.message}", exc.offset)
        else:
            end = max(0, len(view) - (1 << 20)) + last + 2
    sink.inert(f"{kind}: a picture, a recording, a font, or a document")
    if end < len(view):
        _tail(view, kind, end, sink)


def read_weights(view: View, sink: Sink) -> None:
    """Recognise a weight format whose loaders run nothing of it; hand on a program for the host that is in it."""
    for at, _machine in host_programs(View(view.data[:_MAX_SEARCH], view.name), 4):
        sink.child(f"program@{at}", view.data[at:], offset=at)
    sink.fact("inert.weights", 0, magic=view.head(7).decode("latin-1"))
    sink.inert("weights and layer names only")


def read_unsupported(view: View, sink: Sink) -> None:
    """Say that an archive of a kind that is not read holds something."""
    sink.incomplete(f"rar archives are not read ({len(view)} bytes)")
    sink.fact("inert.unsupported", 0, kind="rar")


def _tail(view: View, kind: str, end: int, sink: Sink) -> None:
    from stannary.formats.identify import identify

    rest = view.data[end:]
    if len(rest) <= 1 << 20 and not bytes(rest).strip(b"\0\r\n\t \xff"):
        return
    rows = [row.name for row in identify(View(rest, "tail"))]
    sink.fact("media.trailing", end, kind=kind, size=len(rest), formats=rows[:8], head=bytes(rest[:8]).hex())
    if any(row != "media" for row in rows):
        sink.child("behind", rest, offset=end)


def _png_end(view: View) -> int:
    pos = 8
    for _ in range(_MAX_STEPS):
        length = int.from_bytes(view.bytes(pos, 4), "big")
        kind = view.bytes(pos + 4, 4)
        pos += 12 + length
        if kind == b"IEND":
            return min(pos, len(view))
        if pos > len(view):
            break
    msg = "no end chunk"
    raise Truncated(msg, pos)


def _jpeg_end(view: View) -> int:
    pos = 2
    for _ in range(_MAX_STEPS):
        if view.bytes(pos, 1) != b"\xff":
            msg = "no marker where one is expected"
            raise Truncated(msg, pos)
        marker = view.bytes(pos + 1, 1)[0]
        if marker == 0xFF:
            pos += 1
        elif marker == 0xD9:
            return pos + 2
        elif marker in _NO_LENGTH:
            pos += 2
        else:
            pos += 2 + int.from_bytes(view.bytes(pos + 2, 2), "big")
            if marker == 0xDA:
                pos = _scan_end(view, pos)
    msg = "too many markers"
    raise Truncated(msg, pos)


def _scan_end(view: View, pos: int) -> int:
    """Return the first marker behind entropy-coded data."""
    match = _MARKER.search(view.data, pos)
    if match is None:
        msg = "ends inside a scan"
        raise Truncated(msg, len(view))
    return match.start()


def _gif_end(view: View) -> int:
    flags = view.bytes(10, 1)[0]
    parts = 0
    pos = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    for _ in range(_MAX_STEPS):
        block = view.bytes(pos, 1)[0]
        if block == 0x3B:
            return pos + 1
        if block == 0x2C:
            local = view.bytes(pos + 9, 1)[0]
            pos += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
        elif block == 0x21:
            pos += 2
        else:
            break
        while size := view.bytes(pos, 1)[0]:
            pos += 1 + size
            parts += 1
            if parts > _MAX_STEPS:
                msg = "too many blocks"
                raise Truncated(msg, pos)
        pos += 1
    msg = "no trailer"
    raise Truncated(msg, pos)


def _pdf_end(view: View, sink: Sink) -> int:
    """Return the end of the last `%%EOF`, and report what the document would start."""
    pdf.read_objects(view, sink)
    block = 4 << 20
    last = -1
    for start in range(0, len(view), block):
        hit = bytes(view.data[start : start + block + 32]).rfind(b"%%EOF")
        last = start + hit if hit >= 0 else last
        sink.budget.check_time()
    if last < 0:
        msg = "no end marker"
        raise Truncated(msg, len(view))
    end = last + 5
    while end < len(view) and view.data[end] in b"\r\n \t":
        end += 1
    return end
