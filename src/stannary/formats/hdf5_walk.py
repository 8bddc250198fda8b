"""HDF5: the walk over all objects of a file. The facts are documented in `hdf5`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import ParamSpec

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.hdf5_data import Layout, dataspace, datatype, external_files, filters, layout
from stannary.formats.hdf5_file import Hdf5File, Root, open_file
from stannary.formats.hdf5_groups import Link, link_message, links_dense, links_old
from stannary.formats.hdf5_objects import MESSAGE, Message, messages
from stannary.formats.hdf5_values import Dataset, Values
from stannary.formats.hdf5_virtual import virtual_sources
from stannary.formats.identify import identify
from stannary.formats.interface import Cursor, Sink, View, clip

__all__ = ["Walk", "walk_file"]

P = ParamSpec("P")

_BUILT_IN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
_OVERSIZED = 1 << 30
_RATIO = 1100  # deflate cannot do better than 1032:1


def walk_file(view: View, base: int, sink: Sink) -> None:
    """Read the file whose superblock is at `base`. Raises FormatError when the root cannot be read."""
    file, root = open_file(view, base)
    walk = Walk(file, sink)
    walk.run(root)
    sink.fact("hdf5.file", base, version=file.version, userblock=base, objects=len(walk.seen))
    _surroundings(file, root, sink)


def _surroundings(file: Hdf5File, root: Root, sink: Sink) -> None:
    """Report what is before and after the file proper, and parts kept elsewhere."""
    view, base = file.view, file.base
    if base and identify(View(view.data[:base])):
        sink.child("userblock", view.data[:base], offset=0)
    end = base + file.eof
    if root.driver_info is not None:
        sink.fact("hdf5.driver", base)
        sink.incomplete("a file in several parts (family or multi driver)", base)
    if file.eof and end > len(view):
        sink.incomplete(f"ends after {len(view)} of {end} bytes", len(view))
    elif file.eof and end < len(view) and any(bytes(view.data[end : end + 4096])):
        sink.fact("hdf5.trailing", end, size=len(view) - end)
        if identify(View(view.data[end:])):
            sink.child("trailing", view.data[end:], offset=end)


class Walk:
    """Visits every object once, by the address of its header."""

    def __init__(self, file: Hdf5File, sink: Sink) -> None:
        self.file = file
        self.sink = sink
        self.seen: set[int] = set()
        self.values = Values(file, sink)
        self.problems: Counter[str] = Counter()
        self.queue: list[tuple[int, str]] = []

    def run(self, root: Root) -> None:
        """Visit the root and everything that is linked from it. Raises FormatError when there is no root."""
        if root.header is None:
            msg = "no root group"
            raise FormatError(msg, self.file.base)
        self.queue.append((root.header, "/"))
        if root.extension is not None:
            self.queue.append((root.extension, "(superblock extension)"))
        if root.cached is not None:
            tree, heap = root.cached
            self._guard("/", self._links, links_old(self.file, tree, heap), "/")
        while self.queue:
            address, path = self.queue.pop()
            if address in self.seen:
                continue
            self.seen.add(address)
            self.sink.budget.take_member()
            self._guard(path, self._object, address, path)
        for problem, count in self.problems.items():
            self.sink.incomplete(f"{problem} ({count} times)" if count > 1 else problem)

    def _guard(self, path: str, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Keep going when one object cannot be read: the others still count."""
        try:
            work(*args, **kwargs)
        except BudgetExceeded:
            raise
        except FormatError as exc:
            self.sink.incomplete(f"{clip(path)}: {exc.message}", exc.offset)

    def _object(self, address: int, path: str) -> None:
        found: list[Message] = []
        problem = None
        try:
            found.extend(messages(self.file, address))
        except FormatError as exc:  # judge what came before
            problem = exc
        dataset: dict[int, Message] = {}
        for message in found:
            self._guard(path, self._message, message, path, dataset)
        if MESSAGE.LAYOUT in dataset:
            self._guard(path, self._dataset, path, dataset)
        if problem is not None:
            raise problem

    def _message(self, message: Message, path: str, dataset: dict[int, Message]) -> None:
        kind = message.kind
        if message.in_heap or message.shared is not None:
            if message.in_heap and kind in (MESSAGE.ATTRIBUTE, MESSAGE.LINK, MESSAGE.LAYOUT, MESSAGE.EXTERNAL_FILES):
                self.problems[f"{path}: a shared header message was not followed"] += 1
            resolved = self.values.shared(message)
            if resolved is not None and kind in (MESSAGE.DATASPACE, MESSAGE.DATATYPE, MESSAGE.FILTERS):
                dataset[kind] = resolved
            return
        if kind == MESSAGE.SYMBOL_TABLE:
            cursor = Cursor(message.body)
            tree, heap = self.file.offset(cursor), self.file.offset(cursor)
            if tree is not None and heap is not None:
                self._links(links_old(self.file, tree, heap), path)
        elif kind == MESSAGE.LINK:
            self._links([link_message(self.file, message.body, message.position)], path)
        elif kind == MESSAGE.LINK_INFO:
            self._links(links_dense(self.file, message.body), path)
        elif kind == MESSAGE.ATTRIBUTE:
            self.values.attribute(message.body, message.position, path)
        elif kind == MESSAGE.ATTRIBUTE_INFO:
            self.values.attributes_dense(message.body, path)
        elif kind == MESSAGE.DRIVER_INFO:
            self.sink.fact("hdf5.driver", message.position)
            self.sink.incomplete("a file in several parts (family or multi driver)", message.position)
        elif kind > MESSAGE.LAST:
            self.problems[f"header message of type {kind}"] += 1
        else:
            dataset[kind] = message

    def _links(self, links: Iterable[Link], path: str) -> None:
        for link in links:
            self._link(link, f"{path.rstrip('/')}/{link.name}")

    def _link(self, link: Link, path: str) -> None:
        shown = clip(path)
        if link.kind == "hard":
            if link.address is not None:
                self.queue.append((link.address, path[-4096:]))
        elif link.kind == "external":
            self.sink.fact(
                "hdf5.external_link", link.position, path=shown, file=clip(link.file, 1000), target=clip(link.target, 1000)
            )
        elif link.kind == "user":
            self.sink.fact("hdf5.user_link", link.position, path=shown, number=link.number)

    def _dataset(self, path: str, dataset: dict[int, Message]) -> None:
        message = dataset[MESSAGE.LAYOUT]
        place = layout(self.file, message.body, message.position)
        dims = dataspace(self.file, dataset[MESSAGE.DATASPACE].body) if MESSAGE.DATASPACE in dataset else ()
        kind = datatype(dataset[MESSAGE.DATATYPE].body) if MESSAGE.DATATYPE in dataset else None
        pipeline = filters(dataset[MESSAGE.FILTERS].body) if MESSAGE.FILTERS in dataset else []
        for number, name in pipeline:
            if number not in _BUILT_IN_FILTERS:
                self.sink.fact("hdf5.filter", message.position, path=clip(path), number=number, name=clip(name))
        outside = MESSAGE.EXTERNAL_FILES in dataset
        if outside:
            external = dataset[MESSAGE.EXTERNAL_FILES]
            for name, offset, size in external_files(self.file, external.body):
                self.sink.fact(
                    "hdf5.external_storage", external.position, path=clip(path), file=clip(name, 1000), offset=offset, size=size
                )
        if place.kind == "virtual":
            self._virtual(path, place, message)
            return
        if dims is None or kind is None or outside:
            return
        total = math.prod(dims) * kind.size
        if place.kind in ("contiguous", "chunked") and total > _OVERSIZED and total > _RATIO * len(self.file.view):
            self.sink.fact(
                "hdf5.oversized", message.position, path=clip(path), bytes=min(total, 1 << 63), stored=len(self.file.view)
            )
        elif place.kind == "contiguous" and place.position is not None and place.position + total > len(self.file.view):
            self.sink.incomplete(f"{clip(path)}: elements beyond the end of the file", place.position)
        if len(dims) <= 1 and (kind.bytelike or kind.variable):
            self.values.dataset(Dataset(path, kind, total, place, [number for number, _ in pipeline]))

    def _virtual(self, path: str, place: Layout, message: Message) -> None:
        if place.position is None:
            return
        raw = View(self.file.heap_object(place.position, place.heap_index))
        sources, whole = virtual_sources(self.file, raw)
        for name, target in dict.fromkeys(sources):
            if name != ".":
                self.sink.fact("hdf5.virtual", message.position, path=clip(path), file=clip(name, 1000), target=clip(target, 1000))
        if not whole:
            self.sink.incomplete(f"{clip(path)}: the mapping of a virtual dataset was not read to its end", message.position)
