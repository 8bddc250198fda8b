"""Symbolic values of the pickle machine: what a stream would build, without building it.

Numbers, short strings and short bytes stand for themselves, tuples and lists are Python's own
with symbolic members. Everything a loader would import, call or instantiate is one of the
classes here. Values may be nested a million deep and shared a million times: nothing here
recurses without a bound.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stannary.formats.pickle_traits import Traits

__all__ = ["DROPPED", "Blob", "Global", "Made", "Map", "Opaque", "leaves", "render", "root_name"]

_DEPTH = 5
_WIDTH = 16
_NODES = 96
_TEXT = 400
_FEW = 12
_EXACT = 1 << 53  # numbers below are the same in JSON


class Global:
    """A name the loader would import. `raw` is the Python 2 spelling when the loader maps it."""

    __slots__ = ("count", "held", "module", "name", "offset", "op", "raw", "traits", "uses")

    def __init__(
        self, module: str, name: str, offset: int, op: str, raw: tuple[str, str] | None = None, traits: Traits | None = None
    ) -> None:
        self.module = module
        self.name = name
        self.offset = offset
        self.op = op
        self.raw = raw
        self.count = 0
        self.uses: set[str] = set()
        self.traits = traits  # what the recorder asks of a name at each call
        self.held = False  # only by functions and classes that the pickle carries


class Made:
    """The result of calling or instantiating `func`: REDUCE, NEWOBJ, INST, OBJ and the like.

    `root` is the global that the chain of calls begins with, None when it is computed. `like` is
    one and the same object for all calls that a judge cannot tell apart.
    """

    __slots__ = ("args", "func", "how", "keys", "like", "root", "state")

    def __init__(self, func: Any, args: Any, how: str, like: Any = None) -> None:  # noqa: ANN401 - symbolic
        self.func = func
        self.args = args
        self.how = how
        self.root: Global | None = func if type(func) is Global else func.root if type(func) is Made else None
        self.state: Any = None
        self.like: Any = like
        self.keys: set[str] | None = None  # special names among the keys it was given, when it is a kind of dict


class Map:
    """A dict: `items` alternates keys and values, in order; `cut` when some were dropped."""

    __slots__ = ("cut", "items")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.cut = False


class Blob:
    """Bytes or text too long to copy: offset and length in the content, and the first bytes."""

    __slots__ = ("head", "kind", "length", "offset")

    def __init__(self, kind: str, offset: int, length: int, head: bytes) -> None:
        self.kind = kind
        self.offset = offset
        self.length = length
        self.head = head


class Opaque:
    """Something whose value the stream alone does not tell (a persistent object, a buffer, an extension)."""

    __slots__ = ("value", "why")

    def __init__(self, why: str, value: Any = None) -> None:  # noqa: ANN401 - symbolic
        self.why = why
        self.value = value


DROPPED = Opaque("dropped: too much to keep")


def root_name(value: Any) -> tuple[str, str] | None:  # noqa: ANN401 - symbolic
    """Return (module, name) of the global a value is, or is made from."""
    root = value if type(value) is Global else value.root if type(value) is Made else None
    return (root.module, root.name) if root is not None else None


def leaves(value: Any, out: list[Any], depth: int = 0) -> None:  # noqa: ANN401 - symbolic
    """Append what distinguishes a value for judgement: strings, globals, what calls are made from.

    Numbers and plain bytes do not: two calls that differ in them alone are the same to a judge.
    """
    kind = type(value)
    if kind is str or kind is Global:
        out.append(value)
    elif kind is tuple or kind is list:
        if depth < _DEPTH:
            for item in value[:_WIDTH]:
                leaves(item, out, depth + 1)
    elif kind is Made:
        out.append(value.root if value.like is None else id(value.like))
    elif kind is Map:
        if depth < _DEPTH:
            for item in value.items[: 2 * _WIDTH]:
                leaves(item, out, depth + 1)
    elif kind is Opaque:
        out.append(value.why)
    elif kind is Blob and value.kind == "text":
        out.append(value.head)


class _Renderer:
    def __init__(self) -> None:
        self.nodes = _NODES

    def render(self, value: Any, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911 - one case a type
        self.nodes -= 1
        kind = type(value)
        if kind is str:
            text: str = value if len(value) <= _TEXT else value[:_TEXT] + "…"
            return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
        if kind is int:
            return value if -_EXACT < value < _EXACT else hex(value)[:40]
        if value is None or kind is bool:
            return value
        if kind is float:
            return value if isfinite(value) else repr(value)
        if kind is Global:
            return {"global": f"{value.module}.{value.name}"}
        if kind is bytes or kind is bytearray:
            return {"bytes": len(value), "head": value[:48].decode("latin-1").encode("unicode_escape").decode()}
        if kind is Blob:
            return {value.kind: value.length, "head": value.head.decode("latin-1").encode("unicode_escape").decode()}
        if kind is Opaque:
            return {"unknown": value.why}
        if self.nodes <= 0 or depth >= _DEPTH:
            return {"cut": kind.__name__}
        if kind is tuple or kind is list:
            rendered = self._members(value[:_WIDTH], depth + 1)
            if len(value) > _WIDTH:
                rendered.append({"cut": len(value) - _WIDTH})
            return rendered if kind is tuple else {"list": rendered}
        if kind is Made:
            root = root_name(value)
            name = f"{root[0]}.{root[1]}" if root else "?"
            made: dict[str, Any] = {"call" if value.how == "REDUCE" else "object": name}
            if value.args != ():
                made["args"] = self.render(value.args, depth + 1)
            if type(value.func) is Made and value.func.func is not value.root:
                made["chain"] = True  # made by what was itself made by a call's result
            return made
        if kind is Map:
            pairs = value.items[: 2 * _WIDTH]
            return {
                "dict": [
                    [self.render(k, depth + 1), self.render(v, depth + 1)] for k, v in zip(pairs[::2], pairs[1::2], strict=False)
                ]
            }
        return {"unknown": kind.__name__}

    def _members(self, items: Any, depth: int) -> list[Any]:  # noqa: ANN401 - symbolic
        """Render the members of a tuple or list: most are names and small numbers, which need no call."""
        rendered: list[Any] = []
        for item in items:
            kind = type(item)
            if kind is Global:
                self.nodes -= 1
                rendered.append({"global": f"{item.module}.{item.name}"})
            elif item is None or kind is bool or (kind is int and -_EXACT < item < _EXACT):
                self.nodes -= 1
                rendered.append(item)
            else:
                rendered.append(self.render(item, depth))
        return rendered


def render(value: Any) -> Any:  # noqa: ANN401 - symbolic in, JSON out
    """Return a bounded JSON form of a value: tuples as arrays, the rest as objects with one telling key."""
    if type(value) is not tuple or len(value) > _FEW:
        return _Renderer().render(value, 0)
    rendered: list[Any] = []  # of names, small numbers and short words, as the arguments of most calls
    for item in value:
        kind = type(item)
        if kind is Global:
            rendered.append({"global": f"{item.module}.{item.name}"})
        elif (
            item is None
            or kind is bool
            or (kind is int and -_EXACT < item < _EXACT)
            or (kind is str and len(item) <= _FEW and item.isascii())
        ):
            rendered.append(item)
        elif kind is tuple and len(item) == 1 and type(item[0]) is int and -_EXACT < item[0] < _EXACT:
            rendered.append([item[0]])
        elif kind is bytes and len(item) <= _FEW and item.isalnum():
            rendered.append({"bytes": len(item), "head": item.decode()})
        else:
            return _Renderer().render(value, 0)
    return rendered
