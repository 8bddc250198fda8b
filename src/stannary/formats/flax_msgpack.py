"""MessagePack checkpoints: flax `to_bytes`, orbax, spaCy, and whatever else is MessagePack.

Format: flax `serialization.py`: extension 1 is an array (shape, dtype name, bytes), 2 a complex
number, 3 a numpy scalar. msgpack-numpy writes maps with `nd`, `type`/`kind` and `data`, and its
loader unpickles `data` when the kind is `O`.
`msgpack.class`: a dotted name under a key by which readers of one's own keep classes. Fields: key, name, path.
"""

from __future__ import annotations

import re
import struct

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded import looks_embedded
from stannary.formats.embedded_text import PAYLOAD_MAGIC, hand_on
from stannary.formats.identify import is_text
from stannary.formats.interface import Sink, View, clip
from stannary.formats.msgpack import Event, events
from stannary.formats.pickle_glance import glance

__all__ = ["probe", "read"]

_ARRAY, _SCALAR, _TIMESTAMP = 1, 3, -1
_KNOWN_EXT = frozenset({-1, 1, 2, 3})
_OPCODES = 4  # fewer in a row are chance
_CLASSES = frozenset(
    {"__class__", "__type__", "_target_", "__target__", "py/object", "py/reduce", "py/type", "py/function", "__reduce__"}
)
_NAME = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)+")
_LOOK = 64  # bytes of each blob that are compared with known magic numbers


def probe(view: View) -> bool:
    """Tell whether a map whose first key is a short text begins here, and its first entries parse."""
    head = view.head(64)
    first = {0xDE: 3, 0xDF: 5}.get(head[0], 1) if head else 1
    if len(head) <= first or not (0xA0 <= head[first] <= 0xBF or 0xD9 <= head[first] <= 0xDB or 0xC4 <= head[first] <= 0xC6):
        return False
    try:
        for count, event in enumerate(events(view, lambda _: None)):
            if event.key and event.kind == "str" and not view.bytes(event.at, min(event.size, 64, len(view) - event.at)).isascii():
                return False
            if count >= 16:
                return True
    except Truncated:
        # A file of some size that ends in the middle is a truncated one; a few bytes are a coincidence.
        return count >= 4 and len(view) >= 32
    except FormatError:
        return False
    return event.at == len(view)


def read(view: View, sink: Sink) -> None:
    """Report extension types, object arrays, embedded payloads, and what follows the document."""
    if is_text(view):
        return  # TensorFlow's `checkpoint` is text of the same name
    _Checkpoint(view, sink).read()


class _Checkpoint:
    def __init__(self, view: View, sink: Sink) -> None:
        self.view = view
        self.sink = sink
        self.codes: dict[int, int] = {}
        self.numpy: dict[tuple[str, ...], dict[str, Event]] = {}

    def read(self) -> None:
        end = 0
        for event in events(self.view, self.sink.budget.take_operations):
            if event.kind == "ext":
                self._extension(event)
            elif event.kind in {"str", "bin"} and not event.key:
                self._blob(event)
            elif event.kind == "end":
                end = event.at
            if event.kind == "str" and not event.key and not _CLASSES.isdisjoint(event.path[-2:]):
                self._class(event)
            if not event.key and event.path and event.path[-1] in {"nd", "type", "kind", "data"}:
                self._numpy(event)
        self.sink.fact("msgpack.document", 0, extensions=sorted(self.codes), size=end)
        for code, at in self.codes.items():
            self.sink.fact("msgpack.extension", at, code=code, known=code in _KNOWN_EXT)
        if end < len(self.view):
            rest = self.view.data[end:]
            self.sink.fact("msgpack.problem", end, what="trailing", detail=f"{len(rest)} bytes behind the document")
            self.sink.child("trailing", rest, offset=end)

    def _content(self, event: Event, limit: int) -> bytes:
        return self.view.bytes(event.at, min(event.size, limit))

    def _extension(self, event: Event) -> None:
        self.codes.setdefault(event.code, event.at)
        if event.code in {_ARRAY, _SCALAR} and looks_embedded(self._content(event, _LOOK)):
            self._payload(event, "extension")
        elif event.code in {_ARRAY, _SCALAR}:
            self._array(event)
        elif event.code != _TIMESTAMP:
            head = self._content(event, _LOOK)
            if head.startswith(PAYLOAD_MAGIC):
                self._payload(event, "extension")

    def _array(self, event: Event) -> None:
        """Read (shape, dtype, bytes): the dtype decides whether the loader makes objects, the bytes are data."""
        inner = self.view.sub(event.at, event.size)
        found = list(zip(range(64), events(inner, self.sink.budget.take_operations), strict=False))
        texts = [inner.bytes(e.at, min(e.size, 64)).decode("utf-8", "replace") for _, e in found if e.kind == "str"]
        dtype = texts[0] if texts else ""
        if dtype.lstrip("|<>=").upper().startswith("O") or "object" in dtype:
            self.sink.fact("msgpack.object_array", event.at, path=clip("/".join(event.path)), dtype=clip(dtype, 40))
        if any(e.code for _, e in found):
            self.sink.fact("msgpack.problem", event.at, what="nested", detail="an extension inside an array")
        for _, e in found:
            if e.kind == "bin":
                outer = Event("bin", event.at + e.at, e.size, event.path)
                if "O" in dtype or self._content(outer, _LOOK).startswith(PAYLOAD_MAGIC[:4]):
                    self._payload(outer, f"array of {clip(dtype, 20)}")

    def _blob(self, event: Event) -> None:
        name = clip("/".join(p for p in event.path if p) or event.kind, 120)
        if event.kind == "str":
            if event.size >= 12:
                hand_on(self.sink, name, self._content(event, 8 << 20).decode("utf-8", "replace"), event.at)
        elif self._content(event, _LOOK).startswith(PAYLOAD_MAGIC):
            self._payload(event, name)

    def _class(self, event: Event) -> None:
        """Report a class or function that a map names, itself or in a list: readers of one's own import it."""
        name = self._content(event, 200).decode("utf-8", "replace")
        if _NAME.fullmatch(name):
            key = next(k for k in reversed(event.path) if k in _CLASSES)
            self.sink.fact("msgpack.class", event.at, key=key, name=clip(name), path=clip("/".join(event.path)))

    def _payload(self, event: Event, name: str) -> None:
        head = self._content(event, _LOOK)
        content = self.view.data[event.at : event.at + event.size]
        if not _weights_by_chance(content):
            self.sink.fact("msgpack.payload", event.at, name=name, head=head[:8].hex(), size=event.size)
            self.sink.child(name, content, offset=event.at)

    def _numpy(self, event: Event) -> None:
        """Collect the fields of one msgpack-numpy map: {nd, type, kind, shape, data}."""
        fields = self.numpy.setdefault(event.path[:-1], {})
        fields[event.path[-1]] = event
        kinds = [
            self._content(fields[k], 8).strip(b"|<>=") for k in ("kind", "type") if k in fields and fields[k].kind in {"str", "bin"}
        ]
        if "data" in fields and any(k == b"O" for k in kinds):
            data = fields["data"]
            self.sink.fact("msgpack.object_array", data.at, path=clip("/".join(event.path)), dtype="O")
            self.sink.child("data", self.view.data[data.at : data.at + data.size], offset=data.at, hint="pickle")
            fields.clear()


def _weights_by_chance(content: memoryview) -> bool:
    """Tell raw numbers that happen to begin like a payload from the real thing."""
    head = bytes(content[:64])
    if head[:1] == b"\x80":
        return glance(content).opcodes < _OPCODES
    if head[:2] == b"MZ":
        return len(head) < 64 or not 0x40 <= struct.unpack_from("<I", head, 60)[0] < 0x1000
    return head[:2] in {b"x\x9c", b"x\xda"}  # two bytes are too few; a zlib stream among weights is data
