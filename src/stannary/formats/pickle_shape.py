"""The shape of a pickle: everything in it but the values of small numbers, floats and plain byte strings.

Fitted models of one kind differ in their numbers only. Two streams of one shape have the same
opcodes at the same offsets, the same names and the same strings, so what is imported, called and
set is the same; whether the numbers can matter to a judgement is `Watcher`'s to tell. A shape is
kept as two long integers, a mask and what must be under it: comparing costs a microsecond.

Left out of the mask: arguments of BININT1, BININT2 and BINFLOAT, and the content of byte strings
and byte arrays from 8 bytes on. Larger numbers stay in it: they can be sizes, and torch's magic.
Only streams of the opcodes that pickle itself writes for protocols 2 to 5 have a shape; persistent ids, the
extension registry, POP, out-of-band buffers and text arguments have none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stannary.formats.pickle_embedded import OPENERS, SHORTEST, embedded_kind, encoded_head, may_go_on
from stannary.formats.pickle_encodings import reversed_head
from stannary.formats.pickle_real import read_for_real
from stannary.formats.pickle_record import Recorder
from stannary.formats.pickle_values import Blob, Global, Made, Map, Opaque, root_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stannary.formats.pickle_machine import Machine

__all__ = ["Given", "Shape", "Watcher", "is_plain_head", "shape_of"]

_PLAIN = frozenset(b"(])}\x85\x86\x87Nt\x94\x93Rbusea\x88\x89\x81\x92\x8f\x90\x91ld")
_KEPT = {0x68: 1, 0x71: 1, 0x6A: 4, 0x72: 4, 0x4A: 4, 0x95: 8}
_LEFT_OUT = {0x4B: 1, 0x4D: 2, 0x47: 8}
_COUNTED = {0x8C: 1, 0x58: 4, 0x8A: 1, 0x43: 1, 0x42: 4, 0x96: 8}
_BYTES = frozenset((0x43, 0x42, 0x96))
_SHORT = 8  # byte strings below this length stay in the mask: dtype codes, flags
_LOOKED_AT = SHORTEST  # the machine looks into byte strings from this length on
_KEPT_WHOLE, _HEAD = 4096, 65  # as a whole up to this length, else its beginning
_NODES = 20_000


class Shape(NamedTuple):
    """What streams of a shape have in common: length, mask and content under it, imports, the parts of byte strings to look at."""

    length: int
    mask: int
    masked: int
    names: tuple[tuple[str, str], ...]
    heads: tuple[tuple[int, int], ...]

    def fits(self, content: bytes, number: int) -> bool:
        """Tell whether a file is a stream of this shape, in both readings, with nothing in its byte strings to follow.

        `number` is the content as a little-endian integer: many shapes may be tried on one file.
        """
        if len(content) != self.length or number & self.mask != self.masked:
            return False
        for start, stop in self.heads:
            if not is_plain_head(content[start:stop]):
                return False
        reading = read_for_real(memoryview(content), 0, self.length, [])
        return not reading.error and tuple(reading.names) == self.names


def is_plain_head(head: bytes) -> bool:
    """Tell whether a byte string opens like nothing that is looked into."""
    if head[0] not in OPENERS:
        return True
    return not (encoded_head(head) or embedded_kind(head) or reversed_head(head) or (len(head) == _HEAD and may_go_on(head)))


def shape_of(content: bytes, names: tuple[tuple[str, str], ...]) -> Shape | None:
    """Return the shape of a file that is one stream with these imports; None when it has other opcodes, or more behind it."""
    if content[:1] != b"\x80" or content[1:2] not in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return None
    mask = bytearray(b"\xff" * len(content))
    heads: list[tuple[int, int]] = []
    pos, end = 2, len(content) - 1
    while pos < end:
        op = content[pos]
        pos += 1
        if op in _PLAIN:
            continue
        if op in _LEFT_OUT:
            after = pos + _LEFT_OUT[op]
            mask[pos:after] = bytes(after - pos)
        elif op in _KEPT:
            after = pos + _KEPT[op]
        elif op in _COUNTED:
            start = pos + _COUNTED[op]
            after = start + int.from_bytes(content[pos:start], "little")
            if op in _BYTES and _SHORT <= after - start <= len(content):
                mask[start:after] = bytes(after - start)
                if after - start >= _LOOKED_AT:
                    heads.append((start, after if after - start <= _KEPT_WHOLE else start + _HEAD))
        elif op == 0x63:
            after = content.find(b"\n", content.find(b"\n", pos) + 1 or end) + 1 or len(content) + 1
        else:
            return None
        pos = after
    if pos != end or content[end] != 0x2E or len(mask) != len(content):
        return None
    masked = int.from_bytes(mask, "little")
    return Shape(len(content), masked, int.from_bytes(content, "little") & masked, names, tuple(heads))


class Given(NamedTuple):
    """A call that is given numbers or byte strings of the kind that a shape leaves out."""

    module: str
    name: str
    how: str
    mapped: bool  # it has another name in Python 2
    bytes: bool


class Watcher(Recorder):
    """A recorder that also remembers which calls the values reach that a shape leaves out, and where texts go."""

    def __init__(self) -> None:
        super().__init__()
        self.given_to: list[tuple[Any, Any, str]] = []  # what is called, with what, how
        self.built: list[tuple[Any, Any]] = []  # what has a state set, and the state
        self.used: list[Any] = []  # what names are made of, and what is put into things that are no containers

    def call(self, machine: Machine, func: Any, args: Any, how: str) -> Any:  # noqa: ANN401 - symbolic
        """Record a call, each of them: lists that it is given can grow afterwards."""
        self.given_to.append((func, args, how))
        return super().call(machine, func, args, how)

    def find(self, module: Any, name: Any, op: str, offset: int, proto: int) -> Any:  # noqa: ANN401 - symbolic
        """Record an import, and the texts that name it."""
        self.used += (module, name)
        return super().find(module, name, op, offset, proto)

    def build(self, machine: Machine, target: Any, state: Any) -> None:  # noqa: ANN401 - symbolic
        """Record a state, each of them."""
        self.built.append((target, state))
        super().build(machine, target, state)

    def mutate(self, target: Any, items: list[Any], how: str, offset: int) -> None:  # noqa: ANN401 - symbolic
        """Record items that go into an object."""
        self.used.append(items)
        super().mutate(target, items, how, offset)

    def receivers(self) -> set[Given] | None:
        """Return the calls that are given such values, None when that cannot be told."""
        found: set[Given] = set()
        left = [_NODES]
        for func, args, how in self.given_to:
            kinds = _kinds(args, left)
            if type(func) is not Global:
                kinds |= _kinds(func, left)
            if left[0] <= 0:
                return None
            if kinds:
                module, name = root_name(func) or ("", "")
                plain = type(func) is Global
                found.add(Given(module if plain else "", name, how, not plain or bool(func.raw), bytes in kinds))
        return found


def _kinds(value: Any, left: list[int]) -> set[type]:  # noqa: ANN401 - symbolic
    """Return the types of numbers and bytes anywhere in a value; `left[0]` counts down the members that may be looked at."""
    found: set[type] = set()
    seen: set[int] = set()
    todo = [value]
    while todo and left[0] > 0:
        left[0] -= 1
        item = todo.pop()
        kind = type(item)
        if kind in (int, float, bytes):
            found.add(kind)
        elif kind is Blob:
            found.add(bytes)
        elif kind in (tuple, list, Map, Made, Opaque) and id(item) not in seen:
            seen.add(id(item))
            if kind is Made:  # its state is in no fact
                todo += (item.func, item.args)
            elif kind is Opaque:
                todo.append(item.value)
            else:
                todo += item.items if kind is Map else item
    return found
