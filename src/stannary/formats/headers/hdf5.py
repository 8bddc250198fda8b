"""HDF5 as Keras writes it: the configuration in an attribute, the weights as datasets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.bounded_json import loads
from stannary.formats.hdf5_data import dataspace, datatype
from stannary.formats.hdf5_file import find_superblock, open_file
from stannary.formats.hdf5_objects import MESSAGE, Message
from stannary.formats.hdf5_walk import Walk
from stannary.formats.headers.archives import keras_header
from stannary.formats.headers.model import Header, Tally
from stannary.formats.interface import Budget, View, clip

__all__ = ["read", "tally_of"]


class _Sink:
    """The sink of the walk, of which only configurations are kept."""

    siblings: frozenset[str] = frozenset()

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.texts: dict[str, str] = {}
        self.missed: list[str] = []

    def fact(self, kind: str, _offset: int | None = None, /, **data: Json) -> None: ...

    def child(self, name: str, content: memoryview | bytes, *, offset: int | None = None, hint: str = "") -> None:
        del offset, hint
        found = re.search(r"(model_config|keras_version|backend)", name)
        if found and len(content) < 16 << 20:
            self.texts.setdefault(found[1], bytes(content).decode("utf-8", "replace"))

    def inflate(self, name: str, chunks: Iterator[bytes], *, hint: str = "", size: int = 0) -> None: ...

    def incomplete(self, reason: str, _offset: int | None = None) -> None:
        self.missed.append(reason)

    def inert(self, reason: str) -> None: ...


class _Sizes(Walk):
    """Visits every object and counts datasets by their dimensions."""

    tally: Tally

    def _dataset(self, path: str, dataset: dict[int, Message]) -> None:
        del path
        dims = dataspace(self.file, dataset[MESSAGE.DATASPACE].body) if MESSAGE.DATASPACE in dataset else ()
        kind = datatype(dataset[MESSAGE.DATATYPE].body) if MESSAGE.DATATYPE in dataset else None
        if dims is not None and kind is not None and not (kind.bytelike or kind.variable):
            self.tally.add(f"{kind.size * 8} bit", dims)


def read(view: View, budget: Budget) -> Header:
    """Read datasets and, when there is one, the configuration of a Keras model. Raises FormatError."""
    walk, sink = _walked(view, budget)
    fields: dict[str, Any] = walk.tally.fields()
    if sink.missed:
        fields["incomplete"] = clip(sink.missed[0], 200)
    text = sink.texts.get("model_config")
    if text is None:
        return Header(format="hdf5", framework="HDF5", **fields)
    return keras_header(loads(text), clip(sink.texts.get("keras_version", ""), 40), "hdf5", fields)


def tally_of(view: View, budget: Budget) -> Tally:
    """Return the count of the datasets of a file. Raises FormatError."""
    return _walked(view, budget)[0].tally


def _walked(view: View, budget: Budget) -> tuple[_Sizes, _Sink]:
    base = find_superblock(view)
    if base is None:
        msg = "no superblock"
        raise FormatError(msg)
    file, root = open_file(view, base)
    sink = _Sink(budget)
    walk = _Sizes(file, sink)
    walk.tally = Tally()
    walk.run(root)
    return walk, sink
