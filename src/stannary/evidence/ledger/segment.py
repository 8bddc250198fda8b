"""A stretch of the census: what the entries of one complete subtree can be found by, kept in a signed file.

    census-SEGMENT   = note, length of the note (4 bytes), body
    note             = a signed note of the log's key: the log, the first entry, the hash of the subtree, the SHA-256 of the body
    body             = for each of type, kind, subject, id: how many values (4 bytes); of each value, in order, the first
                       8 bytes of its SHA-256; where its entries begin in what follows (2 bytes each, and the end); the
                       entries, counted from the first (2 bytes each)

Numbers are little-endian. A segment is used when the log's key signed it for the very subtree that stands under the head now;
anything else is as if it were not there. It leads to entries, and never proves one: two values may share 8 bytes.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path

from stannary.core.errors import StannaryError
from stannary.crypto.note import Note, VerifierKey, parse_note, verify_note

__all__ = ["COLUMNS", "HEIGHT", "Segment", "load", "pack", "save"]

COLUMNS = ("type", "kind", "subject", "id")
HEIGHT = 14  # 16,384 entries: some 300 kB; at a million entries 61 of them are loaded in a moment
_SCHEMA = "stannary.census/1"
_LENGTH = struct.Struct("<I")
Places = Mapping[str, "array[int]"]  # of a value, its entries


class Segment:
    """The entries from `start` on of one subtree, by what they can be found by."""

    def __init__(self, start: int, body: bytes) -> None:
        """Take a body apart. Raises ValueError or struct.error for what is none."""
        self.start = start
        self._columns: list[tuple[array[int], array[int], array[int]]] = []
        at = 0
        for _ in COLUMNS:
            (count,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size
            parts: list[array[int]] = []
            for kind, length in (("Q", count), ("H", count + 1)):
                parts.append(_numbers(kind, body[at : at + length * array(kind).itemsize], length))
                at += length * array(kind).itemsize
            length = parts[1][-1]
            parts.append(_numbers("H", body[at : at + 2 * length], length))
            at += 2 * length
            self._columns.append((parts[0], parts[1], parts[2]))

    def find(self, column: str, value: str) -> list[int]:
        """Return the entries that may have a value, and all that have it."""
        keys, ends, places = self._columns[COLUMNS.index(column)]
        key = _key(value)
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            return []
        return [self.start + place for place in places[ends[at] : ends[at + 1]]]


def pack(start: int, columns: Mapping[str, Places]) -> bytes:
    """Return the body of a segment."""
    parts: list[bytes] = []
    for name in COLUMNS:
        merged: dict[int, list[int]] = {}
        for value, entries in columns[name].items():
            merged.setdefault(_key(value), []).extend([index - start for index in entries])
        keys = sorted(merged)
        ends, places = array("H", [0]), array("H")
        for key in keys:
            places.extend(sorted(merged[key]))
            ends.append(len(places))
        parts += [_LENGTH.pack(len(keys)), array("Q", keys).tobytes(), ends.tobytes(), places.tobytes()]
    return b"".join(parts)


def load(folder: Path, start: int, subtree: bytes, key: VerifierKey) -> bytes | None:
    """Return the body of the segment that is kept for a subtree, None when there is none that holds."""
    if sys.byteorder != "little":
        return None
    try:
        content = _path(folder, start).read_bytes()
        (length,) = _LENGTH.unpack_from(content)
        note, body = parse_note(content[_LENGTH.size : _LENGTH.size + length]), content[_LENGTH.size + length :]
        if note.text != _text(key.name, start, subtree, body) or not verify_note(note, [key]):
            return None
        Segment(start, body)
    except (OSError, StannaryError, ValueError, struct.error):  # a file that is damaged or forged is as good as none
        return None
    return body


def save(folder: Path, segment: tuple[int, bytes, bytes], origin: str, sign: Callable[[str], Note]) -> None:
    """Keep a segment (its first entry, the hash of its subtree, its body). One that cannot be written is made again, later."""
    if sys.byteorder != "little":
        return
    start, _, body = segment
    path, note = _path(folder, start), str(sign(_text(origin, *segment))).encode()
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".census-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(_LENGTH.pack(len(note)) + note + body)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except OSError:
        return


def _path(folder: Path, start: int) -> Path:
    return folder / f"census-{start >> HEIGHT:08}"


def _text(origin: str, start: int, subtree: bytes, body: bytes) -> str:
    return f"{_SCHEMA}\n{origin}\nentries {start} {1 << HEIGHT}\nsubtree {subtree.hex()}\nbody {hashlib.sha256(body).hexdigest()}\n"


def _key(value: str) -> int:
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8])


def _numbers(kind: str, content: bytes, length: int) -> array[int]:
    found = array(kind)
    found.frombytes(content)
    if len(found) != length:
        msg = "the body of a segment is cut short"
        raise ValueError(msg)
    return found
