"""SQLite data bases: what their schema calls, and what their rows hold that is content of its own.

Source: the SQLite file format (sqlite.org/fileformat2.html). Tables are walked from their root pages; pages of the free
list are not, as no query reaches them. Agents, MLflow, Optuna and caches keep rows in such files, pickles among them.

Facts:
- `sqlite.schema` kind (table, index, view, trigger), name, calls (functions and statements that reach outside), outside
- `sqlite.document` pages, page_size, objects
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded_payload import payload_kind
from stannary.formats.embedded_text import hand_on, opens_encoded
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_CELLS = 200_000
_DEPTH = 20
_CHAIN = 100_000
_OUTSIDE = re.compile(
    r"\b(load_extension|writefile|readfile|edit|fts3_tokenizer|shell|system|exec|lsdir|fsdir|sqlar_uncompress|zipfile|urlopen|http_get\w*)\s*\(|\b(ATTACH)\s+(?:DATABASE\s+)?['\"]|\bUSING\s+(csv|fsdir|zipfile|http\w*|vfs\w*)\b",
    re.IGNORECASE,
)
_JSON = 1 << 20
# Keys by which a serialiser builds objects: LangGraph keeps its states so, jsonpickle what it is given.
_TAGGED = re.compile(rb'"(?:lc|py/(?:object|reduce|function|type|repr|newobj)|__reduce__|_target_|\$type|@class)"\s*:')
_ENCODINGS = {2: "utf-16-le", 3: "utf-16-be"}  # of all texts, the schema's too
_INTEGERS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
_COMPRESSED = (b"\x1f\x8b\x08", b"x\x9c", b"x\xda", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


def read(view: View, sink: Sink) -> None:
    """Read the schema and the rows. Raises FormatError when the header does not hold."""
    head = view.bytes(0, 100)
    page = int.from_bytes(head[16:18], "big")
    page = 65536 if page == 1 else page
    if page < 512 or page & (page - 1):
        msg = f"pages of {page} bytes"
        raise FormatError(msg, 16)
    base = _Base(view, page, page - head[20], sink)
    encoding = _ENCODINGS.get(int.from_bytes(head[56:60], "big"), "utf-8")
    objects = [row for row in base.rows(1) if len(row) >= 5]
    for row in objects:
        kind, name, sql = (_text(row[at], encoding) for at in (0, 1, 4))
        root = row[3]
        text = sql
        calls = sorted({next(g for g in match.groups() if g).lower() for match in _OUTSIDE.finditer(text)})
        sink.fact("sqlite.schema", None, kind=clip(kind, 20), name=clip(name, 80), calls=calls, outside=bool(calls))
        if isinstance(root, int) and root > 1:
            _values(base.rows(root), name, encoding, sink)
    sink.fact("sqlite.document", 0, pages=len(view) // page, page_size=page, objects=len(objects))
    end = max(page, min(len(view), int.from_bytes(head[28:32], "big") * page))
    if len(view) - end >= 4 and int.from_bytes(head[28:32], "big"):
        sink.fact(
            "media.trailing", end, kind="sqlite", size=len(view) - end, formats=_kinds(view, end), head=view.bytes(end, 4).hex()
        )
        sink.child("behind", view.data[end:], offset=end)
    sink.inert("sqlite: a data base")


def _kinds(view: View, end: int) -> list[str]:
    from stannary.formats.identify import identify

    return [row.name for row in identify(View(view.data[end:], "tail"))][:8]


def _text(value: object, encoding: str) -> str:
    return value.decode(encoding, "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _values(rows: Iterator[list[object]], table: str, encoding: str, sink: Sink) -> None:
    for number, row in enumerate(rows):
        for value in row:
            if not isinstance(value, bytes) or len(value) < 8:
                continue
            name = f"{clip(table, 40)}[{number}]"
            kind = payload_kind(memoryview(value))
            if value[:1] in b"{[" and len(value) <= _JSON and _TAGGED.search(value):
                sink.child(f"{name}.json", value, hint="json")
                continue
            if kind or value.startswith(_COMPRESSED):
                sink.child(name, value, hint="pickle" if kind == "pickle" else "")
            elif (text := value.decode(encoding, "ignore")).isascii() and opens_encoded(text):
                hand_on(sink, name, text)


class _Base:
    """The pages of a data base and the rows of its trees."""

    def __init__(self, view: View, page: int, usable: int, sink: Sink) -> None:
        self.view, self.page, self.usable, self.sink = view, page, usable, sink
        self.cells = _CELLS
        self.seen: set[int] = set()

    def rows(self, root: int) -> Iterator[list[object]]:
        """Yield the values of every row below a page: numbers, bytes of texts and blobs, None."""
        stack = [(root, 0)]
        while stack:
            number, depth = stack.pop()
            if number in self.seen:
                continue
            if depth > _DEPTH or number < 1:
                self.sink.incomplete(f"page {number} of a data base is no part of a tree")
                continue
            self.seen.add(number)
            try:
                start = (number - 1) * self.page
                raw = self.view.bytes(start, min(self.page, len(self.view) - start))
                yield from self._page(raw, 100 if number == 1 else 0, stack, depth)
            except (Truncated, IndexError, ValueError) as exc:
                self.sink.incomplete(f"page {number} of a data base cannot be read: {exc}")
            self.sink.budget.check_time()

    def _page(self, raw: bytes, at: int, stack: list[tuple[int, int]], depth: int) -> Iterator[list[object]]:
        kind = raw[at]
        if kind not in {2, 5, 10, 13}:
            msg = f"it is of kind {kind}, which no tree has"
            raise ValueError(msg)
        inner = kind in {2, 5}
        count = int.from_bytes(raw[at + 3 : at + 5], "big")
        if inner:
            stack.append((int.from_bytes(raw[at + 8 : at + 12], "big"), depth + 1))
        table = at + (12 if inner else 8)
        for index in range(count):
            cell = int.from_bytes(raw[table + 2 * index : table + 2 * index + 2], "big")
            if inner:
                stack.append((int.from_bytes(raw[cell : cell + 4], "big"), depth + 1))
                cell += 4
            if kind == 5:
                continue
            self.cells -= 1
            if self.cells < 0:
                if self.cells == -1:
                    self.sink.incomplete(f"a data base of more than {_CELLS} rows was read in part")
                return
            yield _record(self._payload(raw, cell, leaf=kind == 13))

    def _payload(self, raw: bytes, cell: int, *, leaf: bool) -> bytes:
        size, cell = _varint(raw, cell)
        if leaf:
            _, cell = _varint(raw, cell)
        most = self.usable - 35 if leaf else (self.usable - 12) * 64 // 255 - 23
        if size <= most:
            return raw[cell : cell + size]
        least = (self.usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (self.usable - 4)
        local = local if local <= most else least
        out = [raw[cell : cell + local]]
        number = int.from_bytes(raw[cell + local : cell + local + 4], "big")
        left = size - local
        for _ in range(_CHAIN):
            if not number or left <= 0:
                break
            part = self.view.bytes((number - 1) * self.page, self.usable)
            out.append(part[4 : 4 + left])
            left -= self.usable - 4
            number = int.from_bytes(part[:4], "big")
        if left > 0:
            self.sink.incomplete(f"a row of a data base is cut: {left} of {size} bytes")
        return b"".join(out)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = raw[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | raw[at], at + 1


def _record(payload: bytes) -> list[object]:
    size, at = _varint(payload, 0)
    types: list[int] = []
    while at < size:
        kind, at = _varint(payload, at)
        types.append(kind)
    at = size
    values: list[object] = []
    for kind in types:
        if kind >= 12:
            length = (kind - 12) // 2
            values.append(payload[at : at + length])
        else:
            length = _INTEGERS[kind]
            values.append(
                None if kind in {0, 7} else 1 if kind == 9 else int.from_bytes(payload[at : at + length], "big", signed=True)
            )
        at += length
    return values
