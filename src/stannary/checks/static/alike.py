"""Pickles like one that was read before in this run, and was found to be nothing but well-known names.

A folder of fitted models holds thousands of streams that differ in their numbers only. The first
two of a shape (`formats/pickle_shape.py`) are read in full. When nothing was found in them,
nothing was left unread, and every call that is given numbers or bytes is judged without a look at
them, then whoever has that shape is judged alike. What depends on the values is still looked at
in each file: its format, what its byte strings open like, and what CPython's unpickler imports.
"""

from __future__ import annotations

from stannary.checks.static.result import FileReport
from stannary.core.errors import FormatError
from stannary.formats.identify import identify
from stannary.formats.interface import Budget, View
from stannary.formats.pickle_machine import Machine
from stannary.formats.pickle_real import read_for_real
from stannary.formats.pickle_shape import Given, Shape, Watcher, shape_of
from stannary.formats.pickle_traits import takes_plain_bytes

__all__ = ["Alike"]

_FACTS = frozenset({"pickle.stream", "pickle.global", "pickle.call"})
_FEW = 8  # shapes kept, and tries to find one, of streams that begin alike and are equally long
_MOST = 4 << 20  # bytes of all streams that shapes are kept of
_BEGINNING = 32
_PATIENCE = 64  # files of a group that no shape of it fits, before its shapes are given up


class _Group:
    """Streams that begin alike and are equally long: how many were read in full, and the shapes among them."""

    __slots__ = ("hit", "missed", "read", "shapes")

    def __init__(self) -> None:
        self.read = 0
        self.shapes: list[Shape] = []
        self.missed = 0  # files that no shape fitted
        self.hit = False

    def has(self, content: bytes) -> bool:
        """Tell whether a file has one of the shapes. Where each file has its own, no more are tried."""
        number = int.from_bytes(content, "little")
        if any(shape.fits(content, number) for shape in self.shapes):
            self.hit = True
            return True
        self.missed += 1
        if self.missed >= _PATIENCE and not self.hit:
            self.shapes.clear()
        return False


class Alike:
    """The memory of one worker."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, bytes], _Group] = {}
        self._left = _MOST

    def knows(self, view: View, content: bytes) -> bool:
        """Tell whether reading and judging this file would find nothing, as with the others of its shape."""
        group = self._groups.get((len(content), content[:_BEGINNING]))
        if group is None or not group.shapes or not group.has(content):
            return False
        return [row.name for row in identify(view)] == ["pickle"]

    def learn(self, content: bytes, report: FileReport) -> None:
        """Take note of a file in which nothing was found."""
        if report.formats != ("pickle",) or report.missed or report.skipped or not _plain(report, len(content)):
            return
        if self._left < len(content):
            return
        group = self._groups.setdefault((len(content), content[:_BEGINNING]), _Group())
        group.read += 1
        if 1 < group.read <= _FEW:  # most streams have a shape of their own: not worth it for the first
            shape = _shape(content)
            if shape is not None:
                self._left -= len(content)
                group.shapes.append(shape)


def _plain(report: FileReport, length: int) -> bool:
    """Tell whether a report is of one whole stream, and of nothing but imports and calls."""
    streams = 0
    for fact in report.facts:
        if fact.kind not in _FACTS or (fact.kind == "pickle.global" and fact.data["name"].endswith("ArrayWrapper")):
            return False
        if fact.kind == "pickle.stream":
            streams += 1
            if fact.data["ended"] != "stop" or fact.data["length"] != length:
                return False
    return streams == 1


def _shape(content: bytes) -> Shape | None:
    """Return the shape of a stream that was read before, None when it has none or its values could matter."""
    view = memoryview(content)
    reading = read_for_real(view, 0, len(content), [])
    shape = None if reading.error else shape_of(content, tuple(reading.names))
    if shape is None:
        return None
    watcher = Watcher()
    try:
        Machine(view, 0, watcher, Budget()).run()
    except FormatError:
        return None
    receivers = watcher.receivers()
    return shape if receivers is not None and all(map(_indifferent, receivers)) else None


def _indifferent(given: Given) -> bool:
    """Tell whether a call is read and judged in the same way whatever the values are that it is given."""
    from stannary.checks.static.judges.pickle_calls import ignores_values

    if given.mapped or (given.bytes and not takes_plain_bytes(given.module)):
        return False
    return ignores_values(given.module, given.name, content=given.bytes)
