"""CPython bytecode of 3.6 to 3.14, read as numbers and never run: instructions, jump targets, exception tables.

Format: CPython `Lib/dis.py`, `Objects/exception_handling_notes.txt`. The numbers are `opcodes.json`, made by
`tools/opcode_tables.py` from the interpreters themselves. A pickle does not say which version its code is for;
`versions_of` tells which it can be from the fields of the code object, and `decode` from the instructions.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from stannary.core.errors import FormatError

__all__ = ["Code", "Handler", "Instruction", "Table", "decode", "handlers", "table", "versions_of"]

VERSIONS = ((3, 6), (3, 7), (3, 8), (3, 9), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14))
_LAYOUTS = {"3.6": VERSIONS[:2], "3.8": VERSIONS[2:5], "3.11": VERSIONS[5:]}
_MOST_EXTENSIONS = 3
_WORDS = (3, 10)  # from here on a jump counts code units of two bytes


class Code(NamedTuple):
    """A code object: what `types.CodeType` is given. `consts` holds constants, `Code`, and `...` for what is not known."""

    name: str
    code: bytes
    consts: tuple[Any, ...]
    names: tuple[str, ...]
    locals: tuple[str, ...]
    cells: tuple[str, ...]
    free: tuple[str, ...]
    args: int
    kwonly: int
    flags: int
    line: int
    exceptions: bytes
    layout: str  # 3.6, 3.8 or 3.11: which fields it had

    @property
    def fast(self) -> tuple[str, ...]:
        """Names of all local slots, in the order in which 3.11 and later number them."""
        return (*self.locals, *(c for c in self.cells if c not in self.locals), *self.free)


class Instruction(NamedTuple):
    """One instruction with its whole argument. `target` is where it may jump, -1 when nowhere; `end` where the next begins."""

    offset: int
    name: str
    arg: int
    target: int
    end: int


class Handler(NamedTuple):
    """A row of the exception table: instructions in [start, end) go to `target` with `depth` values kept."""

    start: int
    end: int
    target: int
    depth: int
    lasti: bool


class Table(NamedTuple):
    """How one version numbers its instructions."""

    version: tuple[int, int]
    names: dict[int, str]
    caches: dict[str, int]
    relative: frozenset[str]
    absolute: frozenset[str]
    argument: int
    operators: tuple[str, ...]
    special: tuple[str, ...]
    common: tuple[str, ...]


@cache
def _tables() -> dict[str, Any]:
    return msgspec.json.decode(resources.files(__package__).joinpath("opcodes.json").read_bytes())  # type: ignore[no-any-return]


@cache
def table(version: tuple[int, int]) -> Table:
    """Return the numbers of one version."""
    raw = _tables()[f"{version[0]}.{version[1]}"]
    return Table(
        version, {int(k): v for k, v in raw["names"].items()}, raw["caches"], frozenset(raw["relative"]),
        frozenset(raw["absolute"]),
        raw["argument"], tuple(raw["operators"]), tuple(raw["special"]), tuple(raw["common"]),
    )  # fmt: skip


def versions_of(code: Code) -> tuple[tuple[int, int], ...]:
    """Return the versions that the fields of a code object fit, newest first."""
    return tuple(reversed(_LAYOUTS.get(code.layout, ())))


def decode(code: bytes, numbers: Table) -> list[Instruction]:
    """Return the instructions from the first byte to the last. Raises FormatError where no compiler of this version wrote them.

    That is: an opcode that the version does not have, a cache entry that is not empty, an argument of more than
    32 bits, or code that stops within an instruction.
    """
    found: list[Instruction] = []
    names, caches, unit = numbers.names, numbers.caches, 2 if numbers.version >= _WORDS else 1
    at, start, extended, prefixes, size = 0, 0, 0, 0, len(code)
    if size % 2:
        msg = "code ends within an instruction"
        raise FormatError(msg, size)
    while at < size:
        number = code[at]
        name = names.get(number)
        if name is None or name == "CACHE":
            msg = f"opcode {number}"
            raise FormatError(msg, at)
        arg = code[at + 1] | extended if number >= numbers.argument else 0
        at += 2
        if name == "EXTENDED_ARG":
            prefixes += 1
            if prefixes > _MOST_EXTENSIONS:
                msg = "an argument of more than 32 bits"
                raise FormatError(msg, at)
            extended = arg << 8
            continue
        extended = prefixes = 0
        padding = 2 * caches.get(name, 0)
        if padding:
            if code[at : at + padding] != bytes(padding):
                msg = f"the cache of {name} is not empty"
                raise FormatError(msg, at)
            at += padding
        target = -1
        if name in numbers.relative:
            target = at + unit * (-arg if "BACKWARD" in name or name == "END_ASYNC_FOR" else arg)
        elif name in numbers.absolute:
            target = unit * arg
        found.append(Instruction(start, name, arg, target, at))
        start = at
    return found


def handlers(raw: bytes) -> list[Handler]:
    """Return the rows of an exception table (3.11 and later). Raises FormatError for a table that ends within a row."""
    rows: list[Handler] = []
    at = 0
    while at < len(raw):
        numbers = []
        for _ in range(4):
            value, more = 0, True
            while more:
                if at >= len(raw):
                    msg = "the exception table ends within a row"
                    raise FormatError(msg, at)
                value = (value << 6 | raw[at] & 63) & 0xFFFFFFFF
                more = bool(raw[at] & 64)
                at += 1
            numbers.append(value)
        start, length, target, depth = numbers
        rows.append(Handler(2 * start, 2 * (start + length), 2 * target, depth >> 1, bool(depth & 1)))
    return rows
