"""TensorFlow checkpoints (`.index`, `.data-*`) and TFRecord files: structure only.

Source: tensorflow/core/lib/io/table_format.txt (LevelDB table), util/tensor_bundle, lib/io/record_writer.

Facts:
- `tf.checkpoint` kind (index, data), entries
- `tf.records` records, bytes
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded import carve
from stannary.formats.identify import identify
from stannary.formats.interface import Budget, Sink, View
from stannary.formats.protobuf import fields, shape

__all__ = ["entries", "probe_records", "read", "read_tfrecord"]

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_RECORD_HEAD = 12
_RECORD_TAIL = 4
_CARVED = 1000
_RECORDS = 5_000_000


def read(view: View, sink: Sink) -> None:
    """Read an index table, or recognise a data file. Raises FormatError."""
    name = view.name.rpartition("/")[2].lower()
    if len(view) >= _FOOTER and struct.unpack("<Q", view.tail(8))[0] == _MAGIC:
        sink.fact("tf.checkpoint", 0, kind="index", entries=_index(view, sink))
        sink.inert("TensorFlow checkpoint index")
    elif ".data-" in name:
        sink.fact("tf.checkpoint", 0, kind="data", entries=0)
        sink.inert("TensorFlow checkpoint data: tensors by offset, without structure")
        head = view.head(4096)
        carve(sink, "data", head if len(view) <= len(head) else view.data, 0)
    elif len([row for row in identify(view) if row.name != "tf-checkpoint"]) == 0:
        msg = "not a checkpoint index"
        raise FormatError(msg, 0)


def _varint(data: memoryview, pos: int) -> tuple[int, int]:
    result = shift = 0
    while pos < len(data) and shift < 70:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, pos
        shift += 7
    msg = "ends in a number"
    raise Truncated(msg, pos)


def _index(view: View, sink: Sink) -> int:
    """Walk the blocks of the table; the values are BundleEntryProto, or BundleHeaderProto under the empty key."""
    count = 0
    for _, value in _entries(view, sink.budget, sink.incomplete):
        count += 1
        if shape(View(value)) is None:
            sink.incomplete("an entry of the index is not a message")
    return count


def entries(view: View, budget: Budget) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and BundleEntryProto of each tensor of an index. Raises FormatError; compressed blocks are left out."""
    return _entries(view, budget, _left_out)


def _left_out(_reason: str, _offset: int | None) -> None:
    """Say nothing."""


def _entries(view: View, budget: Budget, incomplete: Callable[[str, int | None], None]) -> Iterator[tuple[bytes, memoryview]]:
    footer = view.sub(len(view) - _FOOTER, _FOOTER).data
    pos = 0
    for _ in range(2):  # metaindex handle
        _, pos = _varint(footer, pos)
    offset, pos = _varint(footer, pos)
    size, pos = _varint(footer, pos)
    for _, handle in _block(view, offset, size, budget, incomplete):
        start, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        yield from _block(view, start, length, budget, incomplete)


def _block(
    view: View, offset: int, size: int, budget: Budget, incomplete: Callable[[str, int | None], None]
) -> list[tuple[bytes, memoryview]]:
    data = view.sub(offset, size + 1).data
    if data[size]:
        incomplete("a compressed block of the index was not read", offset)
        return []
    (restarts,) = struct.unpack_from("<I", data, size - 4) if size >= 4 else (0,)
    end = size - 4 - 4 * restarts
    found, key, pos = list[tuple[bytes, memoryview]](), b"", 0
    while pos < end:
        shared, pos = _varint(data, pos)
        unshared, pos = _varint(data, pos)
        length, pos = _varint(data, pos)
        if pos + unshared + length > end or shared > len(key):
            msg = "an entry longer than its block"
            raise FormatError(msg, offset + pos)
        key = key[:shared] + bytes(data[pos : pos + unshared])
        pos += unshared
        found.append((key, data[pos : pos + length]))
        pos += length
        budget.take_operations(1)
    return found


def probe_records(view: View) -> bool:
    """Tell whether the first record has a plausible length and fits, and holds a message."""
    if len(view) < _RECORD_HEAD + _RECORD_TAIL:
        return False
    (size,) = struct.unpack("<Q", view.head(8))
    end = _RECORD_HEAD + size + _RECORD_TAIL
    crc = int.from_bytes(view.bytes(8, 4), "little")
    return size > 0 and end <= len(view) and _masked_crc(view.head(8)) == crc


def read_tfrecord(view: View, sink: Sink) -> None:
    """Walk the records of a TFRecord file. Raises FormatError."""
    if not probe_records(view):
        msg = "not a TFRecord file"
        raise FormatError(msg, 0)
    pos = count = 0
    while pos < len(view):
        (size,) = struct.unpack("<Q", view.bytes(pos, 8))
        body = view.sub(pos + _RECORD_HEAD, size)
        if count < _CARVED:
            _example(body, sink, count)
        pos += _RECORD_HEAD + size + _RECORD_TAIL
        count += 1
        if not count & 0xFFF:
            sink.budget.check_time()
        if count > _RECORDS:
            sink.incomplete(f"more than {_RECORDS} records", pos)
            break
    sink.fact("tf.records", 0, records=count, bytes=len(view))
    sink.inert("TFRecord data")


def _example(body: View, sink: Sink, index: int) -> None:
    """Look at the byte features of a tf.train.Example."""
    try:
        for features in fields(body):
            for entry in fields(features.value) if features.number == 1 and isinstance(features.value, View) else ():
                for part in fields(entry.value) if entry.number == 1 and isinstance(entry.value, View) else ():
                    for values in fields(part.value) if part.number == 2 and isinstance(part.value, View) else ():
                        for value in fields(values.value) if values.number == 1 and isinstance(values.value, View) else ():
                            if isinstance(value.value, View) and len(value.value) > 8:
                                carve(sink, f"record {index}", value.value.data, None)
    except FormatError:
        carve(sink, f"record {index}", body.data, None)


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
