"""Pickles like one that was read before in this run, and was found to be nothing but well-known names.

A folder of fitted models holds thousands of streams that differ in their numbers only, or in a text that names each of
them as well. The first two of a shape (`formats/pickle_shape.py`, `formats/pickle_texts.py`) are read in full. When
nothing was found in them, nothing was left unread, and every call that is given numbers or bytes is judged without a
look at them, then whoever has that shape is judged alike. What depends on the values is still looked at in each file:
its format, what its byte strings and texts open like, and what CPython's unpickler imports.
"""

from __future__ import annotations

from stannary.checks.static.result import FileReport
from stannary.formats.identify import identify
from stannary.formats.interface import View
from stannary.formats.pickle_real import read_for_real
from stannary.formats.pickle_shape import Given, Shape, shape_of
from stannary.formats.pickle_texts import Template, template_of
from stannary.formats.pickle_traits import takes_plain_bytes

__all__ = ["Alike"]

_FACTS = frozenset({"pickle.stream", "pickle.global", "pickle.call"})
_FEW = 8  # shapes kept, and tries to find one, of streams that begin alike and are equally long
_MOST = 4 << 20  # bytes of all streams that shapes are kept of
_BEGINNING = 32
_FRAMED = 11  # bytes before what stands in a frame
_OTHER = 8  # bytes that tell streams apart which do not begin with the name of a module
_GLOBAL, _SHORT_BINUNICODE = 0x63, 0x8C
_GROUPS = 1 << 14
# To find a shape, without a file that has one, before no more are made, at first and at most: each file may be of its own kind.
_FIRST_TRIES, _TRIES = 16, 48
_BARREN = 512  # files in a row that no shape fits, once no more shapes are made, before none is compared any more
_PATIENCE = 64  # files of a group that no shape of it fits, before its shapes are given up


class _Group:
    """Streams that begin alike (and, by their shapes, are equally long): how many were read in full, and the shapes among them."""

    __slots__ = ("given_up", "hit", "missed", "read", "shapes", "wide")

    def __init__(self) -> None:
        self.read = 0
        self.shapes: list[Shape | Template] = []
        self.wide: list[Template] = []  # those of the shapes of which it is not known yet which texts differ
        self.missed = 0  # files that no shape fitted
        self.hit = False
        self.given_up = False

    def find(self, content: bytes) -> Shape | Template | None:
        """Return the shape that a file has. Where each file has its own, no more are tried."""
        number = int.from_bytes(content, "little")
        for shape in self.shapes:
            if shape.fits(content, number):
                self.hit = True
                return shape
        self.missed += 1
        if self.missed >= _PATIENCE and not self.hit:
            self.shapes.clear()
            self.given_up = True
        return None


class Alike:
    """The memory of one worker."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, bytes], _Group] = {}
        self._left = _MOST
        self._tries = _FIRST_TRIES
        self._barren = 0

    def knows(self, view: View, content: bytes) -> bool:
        """Tell whether reading and judging this file would find nothing, as with the others of its shape."""
        if self._barren > _BARREN and self._tries <= 0:
            return False
        for key in reversed(_keys(content)):
            group = self._groups.get(key)
            found = group.find(content) if group is not None and group.shapes else None
            if group is not None and found is not None:
                self._tries = min(self._tries + 1, _TRIES)
                self._barren = 0
                if found in group.wide:
                    self._narrow(group, found, content)
                return [row.name for row in identify(view)] == ["pickle"]
        self._barren += 1
        return False

    def learn(self, content: bytes, report: FileReport) -> None:
        """Take note of a file in which nothing was found."""
        if self._left < len(content) or self._tries <= 0 or len(self._groups) > _GROUPS:
            return
        if report.formats != ("pickle",) or report.missed or report.skipped or not _plain(report, len(content)):
            return
        for key in _keys(content):
            group = self._groups.setdefault(key, _Group())
            if group.read >= _FEW or group.given_up:
                continue
            group.read += 1
            if group.read > 1:  # most streams have a shape of their own: not worth it for the first
                self._tries -= 1
                found = _shape(content, free=not key[0])
                if found is not None:
                    self._left -= len(content)
                    group.shapes.append(found)
                    if isinstance(found, Template):
                        group.wide.append(found)
                    return

    def _narrow(self, group: _Group, wide: Template, content: bytes) -> None:
        """Have the next files compared first with what leaves fewer texts free."""
        group.wide.remove(wide)
        narrow = wide.narrowed(content)
        if narrow is None or self._left < len(content):
            return
        self._left -= len(content)
        if isinstance(narrow, Shape):
            group = self._groups.setdefault(_keys(content)[1], _Group())
        group.shapes.insert(0, narrow)


def _keys(content: bytes) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """Return the groups of a stream: of those with texts of any length, and of those that are as long as it is."""
    start = _FRAMED if content[2:3] == b"\x95" else 2
    first = content[start] if start + 1 < len(content) else 0
    if first == _SHORT_BINUNICODE:
        stop = start + 2 + content[start + 1]
    elif first == _GLOBAL:
        stop = content.find(b"\n", start) + 1
    else:
        stop = start + _OTHER
    return (0, content[:2] + content[start:stop]), (len(content), content[:_BEGINNING])


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


def _shape(content: bytes, *, free: bool) -> Shape | Template | None:
    """Return the shape of a stream that was read before, None when it has none or its values could matter.

    `free`: its template instead, None when none of its texts is free.
    """
    view = memoryview(content)
    reading = read_for_real(view, 0, len(content), [])
    shape = None if reading.error else shape_of(content, tuple(reading.names))
    traced = None if shape is None else template_of(content, shape)
    if traced is None:
        return None
    watcher, template = traced
    receivers = watcher.receivers()
    if receivers is None or not all(map(_indifferent, receivers)):
        return None
    return template if free else shape


def _indifferent(given: Given) -> bool:
    """Tell whether a call is read and judged in the same way whatever the values are that it is given."""
    from stannary.checks.static.judges.pickle_calls import ignores_values

    if given.mapped or (given.bytes and not takes_plain_bytes(given.module)):
        return False
    return ignores_values(given.module, given.name, content=given.bytes)
