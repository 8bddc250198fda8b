"""Which names of a pickle are only held by the functions and classes that it carries, and which are given to anything else.

A name among the globals of a carried function is not called by having it there: what the code does with it is seen when
the code is followed. The same name given to a call, or left in what is loaded, may be called by whoever has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stannary.formats.pickle_code_parts import family
from stannary.formats.pickle_values import Global, Made, Map, Opaque

if TYPE_CHECKING:
    from stannary.formats.pickle_record import Recorder

__all__ = ["mark"]

_MOST = 400_000  # values that are looked at; beyond that every name counts as given
_KEPT = frozenset({"function", "fill", "fill_map", "cell", "fill_cell"})  # makers that only keep what they are given


def mark(recorder: Recorder, read: set[int]) -> None:
    """Set `held` of names that only code has, which was read (`read`: ids of arguments); of none when there is too much."""
    if not read or recorder.aside.full or recorder.dropped or recorder.dropped_values:
        return
    walk = _Walk(read)
    roots: list[Any] = [*recorder.aside.values]
    for _, func, args, _, _ in recorder.calls.values():
        roots.append(Made(func, args, "REDUCE"))
    given = walk.names(roots)
    held = walk.names(walk.inside, through=True)
    for name in recorder.globals.values():
        name.held = walk.left > 0 and id(name) in held and id(name) not in given


class _Walk:
    def __init__(self, read: set[int]) -> None:
        self.read = read
        self.inside: list[Any] = []  # what code only keeps
        self.left = _MOST

    def names(self, roots: list[Any], *, through: bool = False) -> set[int]:
        """Return the ids of the names that can be reached; not `through` what code keeps, which is put aside."""
        found: set[int] = set()
        seen: set[int] = set()
        todo = list(roots)
        keep: list[Any] = []  # what is made here must outlive its id
        while todo and self.left > 0:
            self.left -= 1
            item = todo.pop()
            kind = type(item)
            if kind is Global:
                found.add(id(item))
            if kind not in (tuple, list, Map, Made, Opaque) or id(item) in seen:
                continue
            seen.add(id(item))
            keep.append(item)
            if kind is Made:
                if type(item.func) is not Global:
                    todo.append(item.func)
                if item.state is not None:
                    todo.append(item.state)
                self._arguments(item, todo, through=through)
            elif kind is Opaque:
                todo.append(item.value)
            else:
                self.left -= len(item.items if kind is Map else item)
                self.left = 0 if kind is Map and item.cut else self.left
                todo += item.items if kind is Map else item
        return found

    def _arguments(self, item: Made, todo: list[Any], *, through: bool) -> None:
        """Go on with what a call is given, except what carried code only keeps."""
        kind = family(item.func, item.args)
        unread = kind in {"function", "fill"} and id(item.args) not in self.read
        if through or unread or kind not in _KEPT:
            todo.append(item.args)
            return
        if item.state is not None and kind == "function":
            todo.remove(item.state)
            self.inside.append(item.state)
        self.inside.append(item.args)
