"""The `storages` and `tensors` members of torch's first file format: pickles with raw numbers between them.

Source: `_legacy_load` and `legacy_load` in `torch/serialization.py`.
"""

from __future__ import annotations

from stannary.formats.interface import Sink, View
from stannary.formats.pickle_glance import glance

__all__ = ["read_storages", "read_tensors"]

_SIZES = (4, 8, 2, 1, 16)  # bytes an element, the usual first
_MAX = 100_000


def read_storages(view: View, sink: Sink, offset: int) -> bool:
    """Hand every pickle of a `storages` member on. False when it does not have that shape: read it whole then."""
    pieces: list[tuple[int, int]] = []
    at = _pickle(view, 0, pieces)
    while 0 <= at < len(view) and len(pieces) < _MAX:
        before = at
        at = _pickle(view, at, pieces)
        if at < 0:
            return False
        if at >= len(view) - 8:
            break
        following = _behind_values(view, at)
        if following < 0:
            # The last pickle, the views of storages, has no values.
            at = -1 if before == at else at
            return _give(view, sink, pieces, offset) if at == len(view) else False
        at = following
    return at == len(view) and _give(view, sink, pieces, offset)


def read_tensors(view: View, sink: Sink, offset: int) -> bool:
    """Hand every pickle of a `tensors` member on; sizes, strides and an offset follow each but the first."""
    pieces: list[tuple[int, int]] = []
    at = _pickle(view, 0, pieces)
    while 0 <= at < len(view) and len(pieces) < _MAX:
        at = _pickle(view, at, pieces)
        if at < 0 or at + 8 > len(view):
            return False
        dimensions = int.from_bytes(bytes(view.data[at : at + 4]), "little", signed=True)
        if not 0 <= dimensions <= 64:
            return False
        at += 8 + 16 * dimensions + 8
    return at == len(view) and _give(view, sink, pieces, offset)


def _pickle(view: View, at: int, pieces: list[tuple[int, int]]) -> int:
    seen = glance(view.data, at)
    if not seen.stopped:
        return -1
    pieces.append((at, seen.end))
    return seen.end


def _behind_values(view: View, at: int) -> int:
    """Return where the values of a storage end: their count is given, their width shows by what follows."""
    count = int.from_bytes(bytes(view.data[at : at + 8]), "little", signed=True)
    if count < 0:
        return -1
    for size in _SIZES:
        end = at + 8 + count * size
        if end == len(view) or (end < len(view) and view.data[end] == 0x80 and glance(view.data, end).stopped):
            return end
    return -1


def _give(view: View, sink: Sink, pieces: list[tuple[int, int]], offset: int) -> bool:
    for index, (start, end) in enumerate(pieces):
        sink.child(f"{view.name}[{index}]", view.data[start:end], offset=offset + start, hint="pickle")
    return True
