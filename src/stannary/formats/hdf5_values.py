"""HDF5: attribute values and byte-like datasets handed on to the readers of what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.embedded import carve
from stannary.formats.hdf5_chunks import chunks, decode
from stannary.formats.hdf5_data import Attribute, Datatype, Layout, attribute, datatype, strings
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.hdf5_heaps import FractalHeap, tree_records
from stannary.formats.hdf5_objects import MESSAGE, Message, messages
from stannary.formats.identify import identify
from stannary.formats.interface import Cursor, Sink, View, clip

__all__ = ["Dataset", "Values"]

_REPORTED = frozenset(
    {"keras_version", "backend", "model_config", "training_config", "TITLE", "CLASS", "pandas_type", "PSEUDOATOM", "FLAVOR"}
)
_CONFIGS = frozenset({"model_config", "training_config"})
_PICKLE_LIMIT = 1 << 16
_BLOCK = 1 << 20
_HEAD = 4096
_CREATION_ORDER_RECORD = 9


class Dataset(NamedTuple):
    """A dataset of at most one dimension whose elements are bytes or text."""

    path: str
    kind: Datatype
    total: int
    place: Layout
    pipeline: list[int]


class Values:
    """Follows values to their bytes and gives the interesting ones to the sink."""

    def __init__(self, file: Hdf5File, sink: Sink) -> None:
        self.file = file
        self.sink = sink

    def shared(self, message: Message) -> Message | None:
        """Return the message that a shared one stands for, None when it is in the shared heap."""
        if message.shared is None:
            return None
        for found in messages(self.file, message.shared):
            if found.kind == message.kind and found.shared is None and not found.in_heap:
                return found
        return None

    def attributes_dense(self, body: View, path: str) -> None:
        """Read the attributes that an attribute info message keeps in a fractal heap."""
        cursor = Cursor(body)
        cursor.skip(1)
        cursor.skip(2 if cursor.uint(1) & 1 else 0)
        address, index = self.file.offset(cursor), self.file.offset(cursor)
        if address is None:
            return
        if index is None:
            msg = "dense attributes without an index"
            raise FormatError(msg)
        heap = FractalHeap(self.file, address)
        for _, record in tree_records(self.file, index):
            identifier, flags = record.take(8), record.uint(1)
            if flags & 2:
                msg = "an attribute in the shared message heap"
                raise FormatError(msg)
            position, size = heap.object(identifier[: heap.id_length])
            self.attribute(self.file.view.sub(position, size), position, path)

    def attribute(self, body: View, position: int, path: str) -> None:
        """Read one attribute message."""
        found = attribute(self.file, body, position)
        kind = found.kind
        if found.shared_type:
            kind = self._committed(body)
        if kind is None:
            return
        if kind.variable:
            for value, _ in strings(self.file, kind, found.raw):
                self._value(found, value, path)
        elif kind.bytelike:
            self._value(found, found.raw.data, path)

    def _committed(self, body: View) -> Datatype | None:
        cursor = Cursor(body)
        cursor.skip(2)
        name = cursor.uint(2)
        size = cursor.uint(2)
        cursor.skip(2 + (1 if body.data[0] == 3 else 0) + name)
        part = Cursor(body.sub(cursor.pos, size))
        part.skip(2)
        address = self.file.offset(part)
        if address is None:
            return None
        for message in messages(self.file, address):
            if message.kind == MESSAGE.DATATYPE and message.shared is None:
                return datatype(message.body)
        return None

    def _value(self, found: Attribute, value: memoryview, path: str) -> None:
        raw = bytes(value).rstrip(b"\0")
        if not raw:
            return
        name = f"{clip(path)}@{clip(found.name)}"
        if found.name in _REPORTED:
            text = raw[:200].decode("utf-8", "replace")
            self.sink.fact("hdf5.attribute", found.position, path=clip(path), name=found.name, value=clip(text))
        if found.name in _CONFIGS:
            self.sink.child(name, raw, offset=found.position, hint="keras-config")
        elif raw[:1] in (b"{", b"[") and len(raw) > 16:
            self.sink.child(name, raw, offset=found.position)
        elif not carve(self.sink, name, raw, found.position):
            self._pickle(name, bytes(value), found.position)

    def _pickle(self, name: str, raw: bytes, position: int) -> None:
        """Hand on what PyTables would unpickle: text attributes that end in a full stop."""
        if (
            2 < len(raw) <= _PICKLE_LIMIT
            and raw.rstrip(b"\0").endswith(b".")
            and any(row.name == "pickle" for row in identify(View(raw)))
        ):
            self.sink.child(name, raw, offset=position)

    def dataset(self, item: Dataset) -> None:
        """Hand on the elements of a byte-like dataset."""
        place = item.place
        name = f"{clip(item.path)}[]"
        if item.kind.variable:
            for index, (value, _) in enumerate(self._variable(item)):
                carve(self.sink, f"{name}#{index}", value, None)
        elif place.kind in ("compact", "contiguous"):
            if place.position is not None:
                size = min(item.total, place.size or item.total)
                self._content(name, self.file.view.sub(place.position, size).data, place.position)
        elif place.position is not None:
            head = b""
            for raw in self._chunked(item):
                head += raw
                if len(head) >= _HEAD:
                    break
            if identify(View(head)):
                self.sink.inflate(name, self._chunked(item))

    def _content(self, name: str, raw: memoryview, position: int) -> None:
        if identify(View(raw)):
            self.sink.child(name, raw, offset=position)

    def _variable(self, item: Dataset) -> Iterator[tuple[memoryview, int]]:
        if item.place.kind in ("compact", "contiguous"):
            if item.place.position is not None:
                yield from strings(self.file, item.kind, self.file.view.sub(item.place.position, item.total))
            return
        for raw in self._chunked(item):
            yield from strings(self.file, item.kind, View(raw))

    def _chunked(self, item: Dataset) -> Iterator[bytes]:
        """Yield the decoded chunks in the order of their elements, up to the size of the dataset."""
        left = item.total
        width = item.kind.size
        whole = width * (item.place.chunk[0] if item.place.chunk else 0)
        stored = sorted(chunks(self.file, item.place, whole, item.total))
        for chunk in stored:
            if left <= 0:
                return
            raw = bytes(self.file.span(chunk.address, chunk.size))
            data = decode(raw, item.pipeline, chunk.mask, width)[:left]
            left -= len(data)
            for start in range(0, len(data), _BLOCK):
                yield data[start : start + _BLOCK]
