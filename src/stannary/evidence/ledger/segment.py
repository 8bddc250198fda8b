"""A stretch of the census: what the entries of one complete subtree can be found by, kept in a signed file.

    census-SEGMENT   = note, length of the note (4 bytes), body
    note             = a signed note of the log's key: the log, the first entry, the hash of the subtree, the SHA-256 of the body
    body             = for each of type, kind, subject: how many keys (4 bytes); the keys, in order (8 bytes each); where the
                       entries of each begin in what follows (2 bytes each, and the end); the entries, counted from the
                       first (2 bytes each). Then the key of the id of each entry, in their order (8 bytes each)
    key of a value   = the first 8 bytes of the digest that the value is, or else of its SHA-256

Numbers are little-endian, the keys of ids as they stand in the digest. A segment is used when the log's key signed it for
the very subtree that stands under the head now; anything else is as if it were not there. It leads to entries, and never
proves one: two values may share a key. No id is like another, and nobody but a caller of the library searches for one in
all records: to sort ids would be a third of the work of making a segment, and to look through those of a segment takes 0.13 ms.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys
import tempfile
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from stannary.core.errors import StannaryError
from stannary.crypto.note import Note, VerifierKey, parse_note, verify_note

__all__ = ["COLUMNS", "HEIGHT", "Segment", "is_key_of", "is_there", "load", "pack", "save"]

COLUMNS = ("type", "kind", "subject", "id")
HEIGHT = 14  # 16,384 entries: some 300 kB; at a million entries 61 of them are loaded in a moment
_SCHEMA = "stannary.census/2"
_LENGTH = struct.Struct("<I")
_KEY = 8
_HEX = re.compile(r"[0-9a-f]{16}")


class Segment:
    """The entries from `start` on of one subtree, by what they can be found by."""

    def __init__(self, start: int, body: bytes) -> None:
        """Take a body apart. Raises ValueError or struct.error for what is none."""
        self.start = start
        self._columns: list[tuple[array[int], array[int], array[int]]] = []
        at = 0
        for _ in COLUMNS[:-1]:
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
        self._ids = body[at:]
        if len(self._ids) != _KEY << HEIGHT:
            msg = "the body of a segment has not one id for each entry"
            raise ValueError(msg)

    def find(self, column: str, value: str) -> list[int]:
        """Return the entries that may have a value, and all that have it."""
        key = bytes.fromhex(_key(value))
        if column == COLUMNS[-1]:
            return list(self._with_id(key))
        keys, ends, places = self._columns[COLUMNS.index(column)]
        number = int.from_bytes(key)
        at = bisect_left(keys, number)
        if at == len(keys) or keys[at] != number:
            return []
        return [self.start + place for place in places[ends[at] : ends[at + 1]]]

    def counts(self, column: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield of the entries from `start` up to `end`: the key of a value, the first that has it, how many have; not for ids."""
        keys, ends, places = self._columns[COLUMNS.index(column)]
        for at, key in enumerate(keys):
            first = bisect_left(places, start - self.start, ends[at], ends[at + 1])
            last = bisect_left(places, end - self.start, first, ends[at + 1])
            if first < last:
                yield key, self.start + places[first], last - first

    def _with_id(self, key: bytes) -> Iterator[int]:
        at = self._ids.find(key)
        while at >= 0:
            if at % _KEY == 0:
                yield self.start + at // _KEY
            at = self._ids.find(key, at + 1)


def is_key_of(key: int, value: str) -> bool:
    """Tell whether a value may be the one that has this key."""
    return int(_key(value), 16) == key


def pack(columns: Sequence[Sequence[str]]) -> bytes:
    """Return the body of a segment; `columns` are the values of its entries in their order, an empty one for none."""
    parts: list[bytes] = []
    for values in columns[:-1]:
        if values[0] and values.count(values[0]) == len(values):  # all alike, as types and kinds often are
            order: Sequence[int] = range(len(values))
            counts = {_key(values[0]): len(values)}
        else:
            hexes = _keys(values)
            order = sorted([place for place, value in enumerate(values) if value], key=hexes.__getitem__)
            counts = Counter(map(hexes.__getitem__, order))  # in the order of the keys
        keys = array("Q", bytes.fromhex("".join(counts)))
        keys.byteswap()
        ends = array("H", accumulate(counts.values(), initial=0))
        parts += [_LENGTH.pack(len(keys)), keys.tobytes(), ends.tobytes(), array("H", order).tobytes()]
    return b"".join([*parts, bytes.fromhex("".join(_keys(columns[-1])))])


def is_there(folder: Path, start: int) -> bool:
    """Tell whether something is kept, whatever it is worth."""
    return _path(folder, start).exists()


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


def _keys(values: Sequence[str]) -> list[str]:
    """Return the keys of values: what `_key` returns for each, sooner."""
    found = [value[7:23] for value in values]
    text = "".join(found)
    try:
        if len(text) == 16 * len(found) and bytes.fromhex(text).hex() == text:  # all of them are digests
            return found
    except ValueError:
        pass
    known = {value: _key(value) for value in set(values)}
    return [known[value] for value in values]


def _key(value: str) -> str:
    """Return what a value is sorted by, 16 characters of hex."""
    found = value[7:23]
    return found if _HEX.fullmatch(found) else hashlib.sha256(value.encode()).hexdigest()[:16]


def _numbers(kind: str, content: bytes, length: int) -> array[int]:
    found = array(kind)
    found.frombytes(content)
    if len(found) != length:
        msg = "the body of a segment is cut short"
        raise ValueError(msg)
    return found
