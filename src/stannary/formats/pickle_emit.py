"""What a pickle's Recorder collected, as facts: their kinds and fields are listed in pickle_record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stannary.formats.pickle_record import MOST_BYTES, MOST_CALLS
from stannary.formats.pickle_traits import UNNAMED, makes_code, source_of, strings
from stannary.formats.pickle_values import Global, Made, render

if TYPE_CHECKING:
    from collections.abc import Collection

    from stannary.formats.interface import Sink
    from stannary.formats.pickle_record import Recorder

__all__ = ["emit"]


def emit(recorder: Recorder, sink: Sink, read: Collection[int] = ()) -> None:
    """Report everything as facts. `read`: ids of the arguments of calls whose code was read."""
    fact = sink.fact
    for found in recorder.globals.values():
        uses = sorted(found.uses) if found.uses else ["data"]
        if found.held or found.raw:
            fact("pickle.global", found.offset, module=found.module, name=found.name, op=found.op, uses=uses, count=found.count,
                 **({"held": True} if found.held else {}), **({"raw": list(found.raw)} if found.raw else {}))  # fmt: skip
        else:
            fact("pickle.global", found.offset, module=found.module, name=found.name, op=found.op, uses=uses, count=found.count)
    for count, func, args, how, offset in recorder.calls.values():
        plain = type(func) is Global
        root = func if plain else func.root if type(func) is Made else None
        module, name = (root.module, root.name) if root is not None else ("", "")
        traits = UNNAMED if root is None else root.traits or UNNAMED
        if plain and not func.raw and not traits.apart and not read:
            fact("pickle.call", offset, module=module, name=name, how=how, count=count, computed=False, args=render(args))
            continue
        fact("pickle.call", offset, module=module, name=name, how=how, count=count, computed=not plain, args=render(args),
             **({"raw": list(func.raw)} if plain and func.raw else {}),
             **({"strings": strings(args)} if (traits.code or traits.type_maker) and makes_code(func) else {}),
             **({"read": True} if id(args) in read else {}),
             **({"source": source} if traits.graph and (source := source_of(func, args, recorder.content)) else {}),
             **({} if plain else {"callable": render(func)}))  # fmt: skip
    for kind, offset, data in recorder.others.values():
        sink.fact(kind, offset, **data)
    for what, count in recorder.notes.items():
        sink.fact("pickle.note", None, what=what, count=count)
    for what in sorted(recorder.bombs):
        sink.fact("pickle.bomb", None, what=what)
    if recorder.unclear_array:
        sink.incomplete("joblib array of a shape or type that cannot be told")
    if recorder.dropped_values:
        sink.incomplete("too many objects to follow; names taken from the memo afterwards are not known")
    if recorder.overflow:
        sink.incomplete(f"more than {MOST_BYTES} oddities, or byte strings, than are looked at; the rest was not judged")
    if recorder.dropped:
        sink.incomplete(f"more than {MOST_CALLS} distinct calls; {recorder.dropped} were not judged")
