"""CatBoost binary models: `CBM1`, a size, a FlatBuffers core, and parts behind it.

Format: catboost `libs/model/flatbuffers/model.fbs` and `libs/model/model.cpp`. The core's InfoMap
holds free text: parameters, training options, user metadata.
"""

from __future__ import annotations

import itertools

from stannary.core.errors import FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.bounded_json import loads
from stannary.formats.embedded_text import hand_on
from stannary.formats.flatbuffer import root
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]


def read(view: View, sink: Sink) -> None:
    """Report format version, information texts, user-defined losses, and parts with unknown names.

    Raises Truncated when the core does not fit the file, FormatError when it is not a FlatBuffer.
    """
    size = int.from_bytes(view.bytes(4, 4), "little")
    if size > len(view) - 8:
        sink.fact("catboost.problem", 4, what="core_outside", detail=f"a core of {size} bytes in a file of {len(view)}")
        msg = f"a core of {size} bytes, {len(view) - 8} are left"
        raise Truncated(msg, 4)
    core = root(view.sub(8, size))
    sink.fact("catboost.model", 0, version=clip(core.string(0), 60), core=size)
    for pair in itertools.islice(core.tables(2), 10_000):
        _information(pair.string(0), pair.string(1), sink)
    parts = [clip(part.rstrip("\0"), 80) for part in core.strings(3)]
    for part in parts:
        sink.fact("catboost.part", None, name=part)
    rest = len(view) - 8 - size
    if rest and not parts:
        sink.fact("catboost.problem", 8 + size, what="trailing", detail=f"{rest} bytes behind a model without parts")
        sink.child("trailing", view.data[8 + size :], offset=8 + size)


def _information(key: str, value: str, sink: Sink) -> None:
    sink.fact("catboost.info", None, key=clip(key, 80), size=len(value))
    hand_on(sink, f"info.{clip(key, 80)}", value)
    if value[:1] not in "{[":
        return
    try:
        parsed = loads(value)
    except FormatError:
        if key == "params":
            raise
        return
    _walk(key, parsed, sink)


def _walk(key: str, value: Json, sink: Sink) -> None:
    """Report losses, metrics and paths among the parameters."""
    stack: list[tuple[str, Json]] = [(key, value)]
    while stack:
        name, item = stack.pop()
        if isinstance(item, dict):
            stack.extend((f"{name}.{k}", v) for k, v in item.items())
        elif isinstance(item, list):
            stack.extend((name, v) for v in item)
        elif isinstance(item, str):
            if "PythonUserDefined" in item:
                sink.fact("catboost.user_defined", None, key=clip(name, 120), name=clip(item))
            elif len(item) >= 16:
                hand_on(sink, clip(name, 120), item)
