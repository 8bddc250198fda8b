"""PDF documents: the actions that opening one starts, wherever they are written, and the files inside (ISO 32000-1, 7.3 to 7.5).

Objects are found by their words, not by the cross-reference table: readers repair a broken table in many ways. Names are read with
their escapes (`/J#61vaScript`). Streams of objects are inflated and read as well; a script in a stream of its own is found there.

Facts: `media.pdf_action`: name (`JavaScript`, `Launch`, `SubmitForm`, `ImportData`, `GoToR`, `URI`, `RichMedia`, `XFA`), starts
(whether something in the document starts without a click), what (the script, file or address as far as it is plain).
`media.pdf_file`: name: a file that is embedded, or a program or pickle in place of another stream (read as content of its own).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import zlib
from collections.abc import Iterator

from stannary.formats.embedded_payload import payload_kind
from stannary.formats.interface import Sink, View, clip

__all__ = ["read_objects"]

_BLOCK = 4 << 20
_OVERLAP = 1 << 12
_STREAM = re.compile(rb"stream\r?\n")
_HEX_NAME = re.compile(rb"#([0-9A-Fa-f]{2})")
_NAME = re.compile(rb"/[^\s()<>\[\]{}/%]*#[0-9A-Fa-f]{2}[^\s()<>\[\]{}/%]*")
_ACTION = re.compile(
    rb"/S\s*/(JavaScript|Launch|SubmitForm|ImportData|GoTo[RE]|URI|Rendition)\b|/Subtype\s*/(RichMedia)\b|/(XFA)\b"
)
_STARTS = re.compile(rb"/(?:OpenAction|AA)\b|/Names\b[^\n]{0,200}/JavaScript\b|/JavaScript\s*<<|/JavaScript\s+\d+\s+\d+\s+R")
_OPENS_PAGE = re.compile(rb"/OpenAction\s*\[")
_WHAT = re.compile(
    rb"/(?:JS|F|URI|UF)\s*(?:<<[^>]{0,200}?/(?:F|P)\s*)?\(((?:[^()\\]|\\.|\([^()]*\)){0,400})\)"
    rb"|/(?:JS|URI|F)\s*<([0-9A-Fa-f\s]{2,800})>"
)
_LENGTH = re.compile(rb"/Length\s+(\d+)(?!\s+\d+\s+R)")
_FILTER = re.compile(rb"/Filter\s*(?:\[([^\]]{0,200})\]|/(\w+))")
_PLAIN_KINDS = re.compile(
    rb"/Subtype\s*/(?:Image|Form|Type1C|CIDFontType0C|OpenType)\b|/Length1\b|/FontFile|/Type\s*/(?:XRef|Metadata)\b"
)
_SCRIPT = re.compile(
    rb"\b(?:app\.(?:launchURL|openDoc|execMenuItem|mailMsg|alert|setTimeOut|response)"
    rb"|this\.(?:exportDataObject|submitForm|getURL|mailDoc|saveAs|importDataObject)"
    rb"|exportDataObject|util\.printf|Collab\.\w+|media\.newPlayer|SOAP\.|unescape\s*\(|eval\s*\(|XMLHttpRequest|event\.target|xfa\.\w+)|<script\b"
)
_STREAMS = 20_000
_LARGEST = 4 << 20  # bytes of a stream that may hold objects or a script
_ACTIONS = 100


def read_objects(view: View, sink: Sink) -> None:
    """Report the actions of a document, and hand on the files that it carries."""
    scripted: dict[bytes, int] = {}
    starts = False
    for start in range(0, len(view), _BLOCK):
        part = _named(bytes(view.data[start : start + _BLOCK + _OVERLAP]))
        starts = starts or _STARTS.search(_OPENS_PAGE.sub(b"", part)) is not None
        _actions(part, start, scripted)
        sink.budget.check_time()
    scripts: list[bytes] = []
    for at, header, content in _streams(view, sink):
        if b"/EmbeddedFile" in header or payload_kind(memoryview(content)):
            sink.fact("media.pdf_file", at, name="embedded")
            sink.child(f"embedded@{at}", content, offset=at)
            continue
        plain = _named(content)
        if b"/ObjStm" in header:
            starts = starts or _STARTS.search(_OPENS_PAGE.sub(b"", plain)) is not None
            _actions(plain, at, scripted)
        elif _SCRIPT.search(plain[:_OVERLAP]):
            scripts.append(plain[:400])
    for found, at in scripted.items():
        name, _, what = found.partition(b" ")
        shown = what or (scripts[0] if scripts and name in {b"JavaScript", b"XFA"} else b"")
        sink.fact("media.pdf_action", at, name=name.decode(), starts=starts, what=clip(shown.decode("latin-1"), 300))


def _named(raw: bytes) -> bytes:
    """Return content with the escapes of its names undone."""
    if b"#" not in raw:
        return raw
    return _NAME.sub(lambda match: _HEX_NAME.sub(lambda code: bytes((int(code[1], 16),)), match[0]), raw)


def _actions(raw: bytes, start: int, found: dict[bytes, int]) -> None:
    for match in itertools.islice(_ACTION.finditer(raw), _ACTIONS):
        name = match[1] or match[2] or match[3]
        told = _WHAT.search(raw, max(0, match.start() - 300), match.end() + 600)
        what = b""
        if told is not None:
            what = told[1] if told[1] is not None else _unhex(told[2])
        if len(found) < _ACTIONS:
            found.setdefault(name + b" " + what, start + match.start())


def _unhex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


def _streams(view: View, sink: Sink) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield offset, dictionary and content of the streams that are neither pictures nor fonts nor too large."""
    position = count = 0
    while count < _STREAMS:
        at = view.find(b"stream", position)
        if at < 0:
            return
        position = at + 6
        opening = _STREAM.match(bytes(view.data[at : at + 8]))
        if opening is None or bytes(view.data[max(0, at - 3) : at]) == b"end":
            continue
        count += 1
        before = bytes(view.data[max(0, at - 2048) : at])
        header = _named(before[max(before.rfind(b" obj"), before.rfind(b"endobj"), 0) :])
        begin = at + opening.end()
        length = _LENGTH.search(header)
        end = begin + int(length[1]) if length and int(length[1]) <= len(view) - begin else view.find(b"endstream", begin)
        if b"endstream" not in bytes(view.data[max(0, end) : end + 16]):
            end = view.find(b"endstream", begin)
        if end < 0:
            end = len(view)
        position = end
        holds = b"/EmbeddedFile" in header or b"/ObjStm" in header
        if not holds and (_PLAIN_KINDS.search(header) or end - begin > _LARGEST):
            continue
        content, whole = _decoded(bytes(view.data[begin : min(end, begin + (_LARGEST << 3))]), header, sink)
        if holds and end > begin and (not whole or end - begin > _LARGEST << 3):
            sink.incomplete("a stream of a PDF that holds objects or a file was not read to its end", begin)
        if content:
            yield begin, header, content
        sink.budget.check_time()
    sink.incomplete(f"more than {_STREAMS} streams in a PDF", position)


def _decoded(raw: bytes, header: bytes, sink: Sink) -> tuple[bytes, bool]:
    """Undo the filters of a stream; nothing when one of them is for pictures or not known. Tells whether all was undone."""
    whole = True
    filters = _FILTER.search(header)
    for name in (filters[1] or filters[2]).replace(b"/", b" ").split() if filters else ():
        try:
            if name in {b"FlateDecode", b"Fl"}:
                engine = zlib.decompressobj()
                raw = engine.decompress(raw, _LARGEST)
                whole = whole and not engine.unconsumed_tail
                sink.budget.take_inflated(len(raw))
            elif name in {b"ASCII85Decode", b"A85"}:
                raw = base64.a85decode(raw.strip().removesuffix(b"~>").removeprefix(b"<~"))
            elif name in {b"ASCIIHexDecode", b"AHx"}:
                raw = bytes.fromhex(raw.partition(b">")[0].decode("ascii"))
            else:
                return b"", False
        except (zlib.error, ValueError, binascii.Error):
            return b"", False
    return raw, whole
