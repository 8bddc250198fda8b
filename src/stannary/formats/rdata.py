"""R objects: what `readRDS` and `load` read, in XDR, native or ASCII form, versions 2 and 3.

Format: "R Internals" section 1.8 and R's `src/main/serialize.c`. A promise is evaluated when it is first touched,
which is how CVE-2024-27322 runs code on load; language, closures, byte code, environments and external pointers
are reported with the functions they name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.embedded_text import note_code
from stannary.formats.interface import Sink, View, clip
from stannary.formats.rdata_stream import Ascii, Binary, Stream

__all__ = ["read"]

_MAX_DEPTH = 2_000
_MAX_SYMBOL = 1 << 16
_MAX_ITEMS = 1_000_000
_MAX_STRINGS = 3_000_000  # of one character vector
_HEADERS = (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"RDB2\n", b"RDB3\n")
_ATTRIBUTES, _TAG, _OBJECT = 0x200, 0x400, 0x100
_ACTIVE_BINDING = 1 << 15  # of the 16 "levels" bits
_NAMES = {3: "closure", 5: "promise", 6: "language", 21: "bytecode", 22: "external pointer", 23: "weak reference", 20: "expression"}
_UNBOUND = 252
_PARSERS = frozenset({"parse", "str2lang", "str2expression", "eval", "evalq"})
# Functions that call, fetch or name a function by what they are given.
_INDIRECT = (
    _PARSERS
    | {"do.call", "get", "get0", "mget", "match.fun", "::", ":::", ".Internal", ".Primitive", "Reduce", "Map", "lapply"}
    | {
        "sapply",
        "vapply",
        "Recall",
        "getExportedValue",
        "getFromNamespace",
        "as.name",
        "as.symbol",
        "call",
        "Call",
        "invoke",
    }
)
_CONSTANTS = frozenset({254, 253, 252, 251, 250, 242, 241, 246, 245})  # NULL, environments, unbound and missing values


class _Item(NamedTuple):
    """What a parent needs to know of a child: its type, and a name when it is a symbol or a short text."""

    kind: int
    name: str = ""


def read(view: View, sink: Sink) -> None:
    """Report promises, code, environments and the functions they call; what follows the object is handed on.

    Raises FormatError for unknown types and Truncated where the stream ends early.
    """
    start = 5 if view.head(5) in _HEADERS else 0
    form = view.bytes(start, 2)
    stream: Stream
    if form in {b"X\n", b"B\n"}:
        stream = Binary(view, start + 2, big=form == b"X\n")
    elif form == b"A\n":
        stream = Ascii(view, start + 2)
    else:
        msg = f"unknown serialization form {form!r}"
        raise FormatError(msg, start)
    version, writer, _ = stream.integer(), stream.integer(), stream.integer()
    if version not in {2, 3}:
        msg = f"unknown serialization version {version}"
        raise FormatError(msg, start)
    if version == 3:
        stream.raw(stream.integer())  # the native encoding
    sink.fact(
        "rdata.header", 0, version=version, writer=f"{writer >> 16}.{writer >> 8 & 255}.{writer & 255}", form=form[:1].decode()
    )
    reader = _Reader(stream, sink)
    try:
        reader.item(0)
    except RecursionError as exc:
        msg = "nested too deeply"
        raise BudgetExceeded(msg, stream.pos) from exc
    finally:
        reader.report()
    rest = view.data[stream.pos :]
    if len(rest) and bytes(rest[:64]).strip():
        sink.fact("rdata.trailing", stream.pos, size=len(rest))
        sink.child("trailing", rest, offset=stream.pos)


class _Reader:
    def __init__(self, stream: Stream, sink: Sink) -> None:
        self.stream = stream
        self.sink = sink
        self.references: list[_Item] = [_Item(0)]
        self.counts: dict[str, int] = {}
        self.calls: dict[tuple[str, str], int] = {}  # (function name, what it is inside): first offset
        self.context: list[str] = []
        self.left = _MAX_ITEMS

    def report(self) -> None:
        """Report what was counted on the way."""
        for name, count in sorted(self.counts.items()):
            self.sink.fact("rdata.objects", None, what=name, count=count)
        for (name, inside), at in sorted(self.calls.items()):
            self.sink.fact("rdata.call", at, name=clip(name, 80), inside=inside)

    def item(self, depth: int) -> _Item:
        """Read one object."""
        if depth > _MAX_DEPTH:
            msg = f"nested deeper than {_MAX_DEPTH}"
            raise BudgetExceeded(msg, self.stream.pos)
        self._count_item()
        at = self.stream.pos
        flags = self.stream.integer()
        kind = flags & 0xFF
        if kind in _NAMES:
            self.counts[_NAMES[kind]] = self.counts.get(_NAMES[kind], 0) + 1
        if kind in _CONSTANTS:
            return _Item(kind)
        if kind == 255:
            index = flags >> 8 or self.stream.integer()
            if not 0 < index < len(self.references):
                msg = f"a reference to object {index}"
                raise FormatError(msg, at)
            return self.references[index]
        if kind in {2, 3, 5, 6, 239, 240}:
            return self._pairs(kind, flags, depth)
        found = self._named(kind, flags, at, depth)
        if found is not None:
            return found
        self._content(kind, at, depth)
        if flags & _ATTRIBUTES:
            self.item(depth + 1)
        return _Item(kind)

    def _named(self, kind: int, flags: int, at: int, depth: int) -> _Item | None:  # noqa: PLR0911 - one branch for each type
        """Read what has a name, or is referred to later; None for other types."""
        match kind:
            case 1:
                return self._remember(_Item(1, self.item(depth + 1).name))
            case 4:
                return self._environment(depth)
            case 7 | 8:
                name = self._text(self.stream.integer())
                self._called(name, at)
                return _Item(kind, name)
            case 9:
                return _Item(9, self._text(self.stream.integer()))
            case 16:
                return self._strings(flags, depth)
            case 22:
                item = self._remember(_Item(22))
                for _ in range(3 if flags & _ATTRIBUTES else 2):
                    self.item(depth + 1)
                return item
            case 238:
                self._alternative(depth)
                return _Item(238)
            case 247 | 248 | 249:  # a persistent name, a package, a name space
                self.stream.integer()
                for _ in range(self.stream.integer()):
                    self.item(depth + 1)
                return self._remember(_Item(kind))
        return None

    def _content(self, kind: int, at: int, depth: int) -> None:
        """Pass over vectors, lists, byte code and what has only attributes."""
        match kind:
            case 10 | 13:
                self.stream.numbers(self._length(), 4)
            case 14:
                self.stream.numbers(self._length(), 8)
            case 15:
                self.stream.numbers(self._length(), 16)
            case 19 | 20:
                for _ in range(self._length()):
                    self.item(depth + 1)
            case 21:
                self._bytecode(depth)
            case 23:
                self._remember(_Item(23))
            case 24:
                self.stream.raw(self._length())
            case 25:
                return  # an S4 object: only attributes
            case _:
                msg = f"unknown object type {kind}"
                raise FormatError(msg, at)

    def _count_item(self) -> None:
        self.left -= 1
        if self.left < 0:
            msg = f"more than {_MAX_ITEMS} objects"
            raise BudgetExceeded(msg, self.stream.pos)

    def _strings(self, flags: int, depth: int) -> _Item:
        """Read a character vector; its first element is its name for a parent."""
        name = ""
        count = self._length()
        if count > _MAX_STRINGS:
            msg = f"a vector of {count} texts"
            raise BudgetExceeded(msg, self.stream.pos)
        for index in range(count):
            kind = self.stream.integer() & 0xFF
            if kind != 9:
                msg = f"an object of type {kind} where a text is expected"
                raise FormatError(msg, self.stream.pos)
            size = self.stream.integer()
            if index == 0:
                name = self._text(size)
            elif 0 < size < 16:
                self.stream.raw(size)
            elif size >= 16:
                self._text(size)
        if flags & _ATTRIBUTES:
            self.item(depth + 1)
        return _Item(16, name)

    def _remember(self, item: _Item) -> _Item:
        self.references.append(item)
        return item

    def _length(self) -> int:
        count = self.stream.integer()
        if count == -1:
            count = (self.stream.integer() << 32) + self.stream.integer()
        if count < 0 or count > self.stream.left:
            msg = f"a vector of {count} elements, {self.stream.left} bytes are left"
            raise Truncated(msg, self.stream.pos)
        return count

    def _text(self, count: int) -> str:
        if count < 0:
            return ""  # NA
        raw = self.stream.raw(count)
        text = raw[: 1 << 20].decode("utf-8", "replace")
        if len(text) >= 16:
            note_code(self.sink, "string", text, self.stream.pos)
        return text[:_MAX_SYMBOL]

    def _pairs(self, kind: int, flags: int, depth: int) -> _Item:
        """Read pair lists, calls, closures and promises; a list is followed along its tail without recursion."""
        first = _Item(0)
        at = self.stream.pos - 4
        call = kind in {6, 240}
        outer = self.context
        if kind in {3, 5}:
            self.context = [*self.context, _NAMES[kind]][-8:]
        for index in range(10_000_000):
            if flags & _ATTRIBUTES or kind in {239, 240}:
                self.item(depth + 1)
            tag = self.item(depth + 1) if flags & _TAG else _Item(0)
            if kind == 5:
                self._promise(at, depth, has_environment=bool(flags & _TAG))
                break
            head = self.item(depth + 1)
            if index == 0:
                first = head
            if call and index == 0 and head.name:
                self._called(head.name, at)
            elif call and first.name in _INDIRECT:
                self._mentioned(first.name, head, at)
            if kind == 2 and (flags >> 12) & _ACTIVE_BINDING:
                self.sink.fact("rdata.active_binding", at, name=clip(tag.name, 80))
            if kind == 3:
                self.item(depth + 1)
                break
            at = self.stream.pos
            flags = self.stream.integer()
            following = flags & 0xFF
            if following == 254:
                break
            if following != 2:
                self.stream.back(at)
                self.item(depth + 1)
                break
            self._count_item()
            kind = 2
        self.context = outer
        return first._replace(kind=flags & 0xFF) if not first.name else first

    def _promise(self, at: int, depth: int, *, has_environment: bool) -> None:
        value = self.item(depth + 1)
        forced = value.kind != _UNBOUND
        label = "forced promise" if forced else f"promise at {at}"
        self.context = [*self.context[:-1], label]
        expression = self.item(depth + 1)
        calls = sorted(name for name, inside in self.calls if inside == label)
        if not forced:
            for name in calls:
                self.calls[name, "unforced promise"] = self.calls.pop((name, label))
        self.sink.fact(
            "rdata.promise", at, forced=forced, environment=has_environment, expression=clip(expression.name, 80),
            calls=[clip(c, 60) for c in calls[:20]], code=expression.kind in {6, 21} or bool(calls),
        )  # fmt: skip

    def _called(self, name: str, at: int) -> None:
        self.calls.setdefault((name, self.context[-1] if self.context else "data"), at)

    def _mentioned(self, function: str, argument: _Item, at: int) -> None:
        """Report what `do.call("system", ...)` or `eval(parse(text = "system(...)"))` calls."""
        if function in _PARSERS:
            for name in re.findall(r"([A-Za-z.][\w.]{0,60})\s*\(", argument.name[:10_000]):
                self._called(name, at)
        elif argument.name and len(argument.name) <= 80:
            self._called(argument.name, at)

    def _environment(self, depth: int) -> _Item:
        item = self._remember(_Item(4))
        self.counts["environment"] = self.counts.get("environment", 0) + 1
        self.stream.integer()  # locked
        for _ in range(4):  # enclosure, frame, hash table, attributes
            self.item(depth + 1)
        return item

    def _alternative(self, depth: int) -> None:
        """Read an ALTREP object: class information, state, attributes."""
        information = self.item(depth + 1)
        self.sink.fact("rdata.altrep", None, name=clip(information.name, 60))
        self.item(depth + 1)
        self.item(depth + 1)

    # Byte code

    def _bytecode(self, depth: int) -> None:
        self.stream.integer()  # how many shared pieces there are
        self._code(depth + 1)

    def _code(self, depth: int) -> None:
        if depth > _MAX_DEPTH:
            msg = f"nested deeper than {_MAX_DEPTH}"
            raise BudgetExceeded(msg, self.stream.pos)
        self.item(depth + 1)
        constants = self.stream.integer()
        if not 0 <= constants <= self.stream.left:
            msg = f"{constants} constants"
            raise FormatError(msg, self.stream.pos)
        for _ in range(constants):
            kind = self.stream.integer()
            if kind == 21:
                self._code(depth + 1)
            elif kind in {2, 6, 243, 244, 239, 240}:
                self._piece(kind, depth + 1)
            else:
                self.item(depth + 1)

    def _piece(self, kind: int, depth: int) -> None:
        """Read a shared piece of language in byte code (`ReadBCLang`), along its tail without recursion."""
        first = True
        call = False
        function = ""
        while True:
            self._count_item()
            if kind == 243:  # a piece that was defined before
                self.stream.integer()
                return
            if kind == 244:  # define a piece
                self.stream.integer()
                kind = self.stream.integer()
            if kind not in {2, 6, 239, 240}:
                self.item(depth + 1)
                return
            call = kind in {6, 240} if first else call
            at = self.stream.pos
            if kind in {239, 240}:
                self.item(depth + 1)
            self.item(depth + 1)  # the tag
            head = self.stream.integer()
            if head in {2, 6, 243, 244, 239, 240}:
                if depth > _MAX_DEPTH:
                    msg = f"nested deeper than {_MAX_DEPTH}"
                    raise BudgetExceeded(msg, self.stream.pos)
                self._piece(head, depth + 1)
            else:
                item = self.item(depth + 1)
                if first and call and item.name:
                    function = item.name
                    self._called(function, at)
                elif call and function in _INDIRECT:
                    self._mentioned(function, item, at)
            first = False
            kind = self.stream.integer()
