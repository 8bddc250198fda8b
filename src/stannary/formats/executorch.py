"""ExecuTorch programs (`.pte`): operators, delegates, segments.

Format: executorch `schema/program.fbs` and `extended_header.cpp` (`eh00` at offset 8: header size, program size, segment
base). A delegate's blob is interpreted, or run, by the backend that its id names.
"""

from __future__ import annotations

from stannary.formats.embedded_text import hand_on
from stannary.formats.flatbuffer import Table, root
from stannary.formats.interface import Cursor, Sink, View, clip
from stannary.formats.tensorrt import host_programs

__all__ = ["read"]

_SEGMENT = 1  # DataLocation.SEGMENT
_MAX_PROGRAM_SEARCH = 256 << 20


def read(view: View, sink: Sink) -> None:
    """Report operators, delegates with their programs, and segments that lie outside the file.

    Raises FormatError when an offset leaves the file.
    """
    base = _extended_header(view, sink)
    program = root(view)
    segments = _segments(program, view, base, sink)
    inline = [(len(b.blob(0)), b.blob(0)) for b in program.tables(3)]
    plans = 0
    for plan in program.tables(1):
        plans += 1
        names = []
        for operator in plan.tables(6):
            name = ".".join(filter(None, (operator.string(0), operator.string(1))))
            names.append(clip(name, 120))
            sink.fact(
                "executorch.operator", operator.pos, name=clip(name), namespace=name.partition("::")[0] if "::" in name else ""
            )
        for delegate in plan.tables(7):
            _delegate(delegate, segments, [b for _, b in inline], sink)
        hand_on(sink, "plan", plan.string(0))
    for index, buffer in enumerate(program.tables(2)):
        _blob(f"constant{index}", buffer.blob(0), sink)
    sink.fact("executorch.program", 0, version=program.scalar(0, "I"), plans=plans, segments=len(segments), inline=len(inline))


def _extended_header(view: View, sink: Sink) -> int:
    if bytes(view.data[8:12])[:2] != b"eh":
        return 0
    cursor = Cursor(view, 12)
    size, program, base = cursor.uint(4), cursor.uint(8), cursor.uint(8)
    if program > len(view) or (base and base > len(view)):
        sink.fact(
            "executorch.problem", 8, what="header", detail=f"program of {program} bytes, segments at {base}, file of {len(view)}"
        )
    sink.fact("executorch.header", 8, size=size, program=program, segments=base)
    return base


def _segments(program: Table, view: View, base: int, sink: Sink) -> list[memoryview]:
    found: list[memoryview] = []
    for index, segment in enumerate(program.tables(4)):
        offset, size = base + segment.scalar(0, "Q"), segment.scalar(1, "Q")
        if offset + size > len(view):
            sink.fact(
                "executorch.problem",
                segment.pos,
                what="outside",
                detail=f"segment {index} at {offset}, {size} bytes, in a file of {len(view)}",
            )
            sink.incomplete(f"segment {index} lies outside the file", segment.pos)
            found.append(view.data[:0])
            continue
        data = view.data[offset : offset + size]
        _blob(f"segment{index}", data, sink)
        found.append(data)
    return found


def _delegate(delegate: Table, segments: list[memoryview], inline: list[memoryview], sink: Sink) -> None:
    identifier = delegate.string(0)
    reference = delegate.table(1)
    size = 0
    if reference is not None:
        pool = segments if reference.scalar(0, "b") == _SEGMENT else inline
        index = reference.scalar(1, "I")
        if index >= len(pool):
            sink.fact(
                "executorch.problem",
                reference.pos,
                what="index",
                detail=clip(f"delegate {identifier} refers to blob {index} of {len(pool)}"),
            )
        else:
            size = len(pool[index])
            if pool is inline:
                _blob(f"delegate.{clip(identifier, 60)}", pool[index], sink)
    sink.fact("executorch.delegate", delegate.pos, name=clip(identifier), size=size)
    for spec in delegate.tables(2):
        hand_on(
            sink, f"{clip(identifier, 60)}.{clip(spec.string(0), 60)}", bytes(spec.blob(1)[: 1 << 16]).decode("utf-8", "replace")
        )


def _blob(name: str, data: memoryview, sink: Sink) -> None:
    """Report CPU programs inside a blob, wherever they begin in it."""
    for at, machine in host_programs(View(data[:_MAX_PROGRAM_SEARCH], name), 4):
        sink.fact("executorch.native", at, blob=name, machine=machine)
        sink.child(f"{name}@{at}", data[at:], offset=at)
    if (
        bytes(data[:2]) == b"MZ"
        or bytes(data[:2]) == b"#!"
        or bytes(data[:4]) == b"PK\x03\x04"
        or bytes(data[:2]) in {b"\x80\x02", b"\x80\x04"}
    ):
        sink.child(name, data)
