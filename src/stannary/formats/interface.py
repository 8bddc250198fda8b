"""What a reader gets and gives: views of bytes, facts, a sink, a budget."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import msgspec

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.core.model import Json

__all__ = ["LARGE", "RAN_OUT", "Budget", "Child", "Cursor", "Expired", "Fact", "Limits", "Sink", "View", "clip", "forget"]

Bytes: TypeAlias = bytes  # View has a method of that name


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """Something a reader saw. `kind` is `format.what`; `offset` counts bytes within `part`.

    `part` names the embedded thing the offset is in (`archive/data.pkl`, `layer.tar!x.pkl`),
    empty for the file itself.
    """

    kind: str
    offset: int | None
    data: dict[str, Json]
    part: str = ""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one scan of one file."""

    depth: int = 12  # containers within containers
    members: int = 200_000  # entries of all containers together
    inflated: int = 8 << 30  # bytes produced by decompression, all together
    text: int = 32 << 20  # largest text (JSON, XML, source) that is parsed
    facts: int = 50_000
    operations: int = 60_000_000  # pickle opcodes and the like
    seconds: float = 120.0
    processor: float = 0.8  # CPU seconds for a file of up to `LARGE` bytes, in proportion more for a larger one
    memory: int = 176 << 20  # bytes a reader may take for a file of up to `LARGE` bytes, in proportion more for a larger one


LARGE = 64 << 20
RAN_OUT = "a limit ended the reading: "


class Expired(BaseException):
    """The time to finish is over as well. For the walk alone to catch: readers go on after many an Exception."""


def _nothing() -> None:
    """Do nothing."""


class Budget:
    """What is left of the limits. Every reader of one file shares it."""

    __slots__ = ("closing", "deadline", "expired", "facts", "halfway", "inflated", "limits", "members", "more_memory", "operations")

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.members = self.limits.members
        self.inflated = self.limits.inflated
        self.facts = self.limits.facts
        self.operations = self.limits.operations
        self.deadline = time.monotonic() + self.limits.seconds
        self.halfway = float("inf")  # when decompressing is to stop, by the process's own clock
        self.expired = ""  # why nothing more is to be read
        self.more_memory: Callable[[], None] = _nothing
        self.closing = False  # a reader is telling what it saw, and may finish

    def expire(self, *, last: bool = False, why: str = "") -> None:
        """End the reading: called at any moment, between two bytecodes. Raises BudgetExceeded.

        A reader that is telling what it saw goes on until the `last` call, which raises what no reader catches.
        """
        self.expired = (
            self.expired or f"{RAN_OUT}{why or f'more than {self.limits.processor:g} s of processor time (--limit-processor)'}"
        )
        self.deadline = 0.0
        if last:
            raise Expired
        if not self.closing:
            raise BudgetExceeded(self.expired)

    def is_over(self) -> bool:
        """Tell whether nothing more is to be read."""
        return bool(self.expired)

    def crowd(self, what: str) -> None:
        """End the reading for want of memory: what was seen until then can be told, in a little more."""
        self.more_memory()
        self.expired = self.expired or f"{RAN_OUT}{what} would take more memory than a reader may have"
        self.deadline = 0.0

    def take_member(self) -> None:
        """Count one container entry."""
        self.members -= 1
        if self.members < 0:
            msg = f"more than {self.limits.members} entries"
            raise BudgetExceeded(msg)
        self.check_time()

    def take_inflated(self, count: int) -> None:
        """Count bytes produced by decompression."""
        self.inflated -= count
        if self.inflated < 0:
            msg = f"decompresses to more than {self.limits.inflated} bytes"
            raise BudgetExceeded(msg)

    def take_operations(self, count: int) -> None:
        """Count opcodes walked."""
        self.operations -= count
        if self.operations < 0:
            msg = f"more than {self.limits.operations} operations"
            raise BudgetExceeded(msg)

    def check_time(self) -> None:
        """Raise when the time is up."""
        if time.monotonic() > self.deadline:
            if self.expired:
                raise BudgetExceeded(self.expired)
            msg = f"took longer than {self.limits.seconds:g} s"
            raise BudgetExceeded(msg)


class View:
    """Random access to the bytes of one thing: a file (mapped), a member, a decompressed stream.

    Slicing never copies; `bytes(view.data[a:b])` does. `name` is the path or member name as
    found (untrusted text); `display` is how a person would find it.
    """

    __slots__ = ("data", "name", "path")

    def __init__(self, data: Bytes | memoryview | mmap.mmap, name: str = "", path: str = "") -> None:
        self.data = memoryview(data)
        self.name = name
        self.path = path  # the real path of the file on disk, empty for embedded content

    def __len__(self) -> int:
        return len(self.data)

    def bytes(self, offset: int, count: int) -> Bytes:
        """Return exactly `count` bytes at `offset`. Raises Truncated."""
        if offset < 0 or count < 0 or offset + count > len(self.data):
            msg = f"needs {count} bytes, {max(0, len(self.data) - offset)} are left"
            raise Truncated(msg, offset)
        return bytes(self.data[offset : offset + count])

    def head(self, count: int) -> Bytes:
        """Return up to `count` bytes from the start."""
        return bytes(self.data[:count])

    def tail(self, count: int) -> Bytes:
        """Return up to `count` bytes from the end."""
        return bytes(self.data[max(0, len(self.data) - count) :])

    def sub(self, offset: int, count: int, name: str = "") -> View:
        """Return a view of a part, without a copy. Raises Truncated."""
        if offset < 0 or count < 0 or offset + count > len(self.data):
            msg = f"needs {count} bytes, {max(0, len(self.data) - offset)} are left"
            raise Truncated(msg, offset)
        return View(self.data[offset : offset + count], name or self.name)

    def find(self, needle: Bytes, start: int = 0, end: int | None = None) -> int:
        """Return the first offset of `needle` or -1, searching in bounded blocks."""
        end = len(self.data) if end is None else min(end, len(self.data))
        block = 1 << 20
        overlap = len(needle) - 1
        while start < end:
            stop = min(end, start + block + overlap)
            hit = bytes(self.data[start:stop]).find(needle)
            if hit >= 0:
                return start + hit
            start += block
        return -1

    def text(self, limit: int) -> str:
        """Decode all of it as UTF-8 (a BOM is honoured; UTF-16 and UTF-32 with BOM too).

        Raises BudgetExceeded above `limit` bytes and FormatError for other encodings.
        """
        if len(self.data) > limit:
            msg = f"text of {len(self.data)} bytes is over the limit of {limit}"
            raise BudgetExceeded(msg)
        raw = bytes(self.data)
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        if raw[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
            encoding = "utf-32"
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as exc:
            msg = f"not {encoding} text"
            raise FormatError(msg, exc.start) from exc


class Cursor:
    """Reads numbers and strings in order; every read is bounds-checked (Truncated)."""

    __slots__ = ("data", "end", "order", "pos")

    def __init__(self, view: View, pos: int = 0, *, order: str = "little") -> None:
        self.data = view.data
        self.pos = pos
        self.end = len(view.data)
        self.order = order

    def take(self, count: int) -> bytes:
        """Return `count` bytes and advance."""
        pos = self.pos
        if count < 0 or pos + count > self.end:
            msg = f"needs {count} bytes, {max(0, self.end - pos)} are left"
            raise Truncated(msg, pos)
        self.pos = pos + count
        return bytes(self.data[pos : pos + count])

    def skip(self, count: int) -> None:
        """Advance without reading."""
        if count < 0 or self.pos + count > self.end:
            msg = f"needs {count} bytes, {max(0, self.end - self.pos)} are left"
            raise Truncated(msg, self.pos)
        self.pos += count

    def uint(self, size: int) -> int:
        """Return an unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), self.order)  # type: ignore[arg-type]

    def sint(self, size: int) -> int:
        """Return a signed integer of `size` bytes."""
        return int.from_bytes(self.take(size), self.order, signed=True)  # type: ignore[arg-type]

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return self.end - self.pos


class Child(msgspec.Struct, frozen=True):
    """Embedded content to be identified and read in its turn."""

    view: View
    part: str
    hint: str = ""


class Sink(Protocol):
    """Where a reader reports. Implemented by the walker in `checks/static/`, and by tests.

    Attributes:
        budget: shared by all readers of one file.
        siblings: names of the files beside the one being read (same folder), or of the
            members of the same container; for references such as external data.
    """

    budget: Budget
    siblings: frozenset[str]

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Report a fact about the thing being read. Long strings in `data` are clipped by the reader."""
        ...

    def child(
        self,
        name: str,
        content: memoryview | bytes,
        *,
        offset: int | None = None,
        hint: str = "",
    ) -> None:
        """Queue embedded content. `name` is the member name; `hint` names a format to try as well."""
        ...

    def inflate(self, name: str, chunks: Iterator[bytes], *, hint: str = "", size: int = 0) -> None:
        """Queue decompressed content of unknown size; spilled to a scratch file when large.

        The chunks are counted against the budget. An exception from the iterator
        (FormatError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) keeps what
        came before it, and marks the content incomplete.
        """
        ...

    def incomplete(self, reason: str, offset: int | None = None) -> None:
        """Say that a part of the content a loader could interpret was not read."""
        ...

    def inert(self, reason: str) -> None:
        """Say that the content was recognised and holds nothing a loader interprets."""
        ...


def forget(data: memoryview) -> None:
    """Let go of the pages of a mapped file that were read; they come back when they are read again."""
    mapped = data.obj
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def clip(text: str, limit: int = 200) -> str:
    """Return `text` cut to `limit` characters, for facts and messages."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
