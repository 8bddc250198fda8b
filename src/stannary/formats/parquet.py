"""Parquet: the Thrift footer: key-value metadata, column extents, references to other files.

Format: https://github.com/apache/parquet-format . `ARROW:schema` holds an Arrow schema in base64, whose
`arrow.py_extension_type` pyarrow unpickled on read (CVE-2023-47248); an Avro schema may name Java classes that
parquet-avro makes (CVE-2025-30065).

Values of binary columns are searched for pickles in the first 8 MB, in pages that are plain or packed by Snappy, gzip or
zstd. LZ4, LZO and Brotli, and what comes after, are not searched, and the table is not called incomplete for it: no reader
runs a value.
"""

from __future__ import annotations

import base64
import binascii
import re

from stannary.core.errors import FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.column_values import search_chunk
from stannary.formats.embedded import looks_embedded
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.thrift_compact import parse

__all__ = ["read"]

_SEARCHED = 8 << 20
_BINARY = frozenset({6, 7})  # BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY
_MAX_FOOTER = 128 << 20
_JAVA = re.compile(r'"java-(?:class|key-class|element-class)"\s*:\s*"([^"]{1,200})"')


def read(view: View, sink: Sink) -> None:
    """Report metadata, extension types, references to files, and extents that lie outside the file.

    An encrypted footer is incomplete. Raises Truncated when the footer does not fit.
    """
    if len(view) < 12:
        msg = "shorter than a header and a footer"
        raise Truncated(msg, len(view))
    tail = view.tail(8)
    if tail[4:] not in {b"PAR1", b"PARE"}:
        sink.fact("parquet.problem", len(view) - 4, what="no_footer", detail="the closing magic number is missing")
        msg = "no footer at the end"
        raise Truncated(msg, len(view) - 4)
    length = int.from_bytes(tail[:4], "little")
    if length > len(view) - 12:
        sink.fact(
            "parquet.problem", len(view) - 8, what="footer_outside", detail=f"a footer of {length} bytes in a file of {len(view)}"
        )
        msg = f"a footer of {length} bytes, {len(view) - 12} are left"
        raise Truncated(msg, len(view) - 8)
    if tail[4:] == b"PARE":
        sink.incomplete("the footer is encrypted", len(view) - 8 - length)
        return
    if length > _MAX_FOOTER:
        msg = f"a footer of {length} bytes"
        raise FormatError(msg, len(view) - 8)
    start = len(view) - 8 - length
    footer, end = parse(view.sub(0, len(view) - 8), start, sink.budget.take_operations)
    if end != len(view) - 8:
        sink.fact(
            "parquet.problem", end, what="footer_trailing", detail=f"{len(view) - 8 - end} bytes behind the footer's structure"
        )
        sink.child("footer-tail", view.data[end : len(view) - 8], offset=end)
    _Footer(footer, start, sink, view).report()


class _Footer:
    def __init__(self, footer: dict[int, Json], start: int, sink: Sink, view: View) -> None:
        self.footer = footer
        self.view = view
        self.left = _SEARCHED
        self.start = start
        self.sink = sink

    def problem(self, what: str, detail: str) -> None:
        self.sink.fact("parquet.problem", self.start, what=what, detail=clip(detail))

    def report(self) -> None:
        """Report everything of the footer."""
        groups = _structs(self.footer.get(4))
        columns = [_text(c.get(4)) for c in _structs(self.footer.get(2))]
        rows = self.footer.get(3)
        self.sink.fact(
            "parquet.file",
            self.start,
            rows=rows,
            groups=len(groups),
            columns=[clip(c, 60) for c in columns[:100]],
            writer=clip(_text(self.footer.get(6))),
        )
        if not isinstance(rows, int) or rows < 0 or rows >= 1 << 48:
            self.problem("size", f"{rows} rows")
        for pair in _structs(self.footer.get(5)):
            self._metadata(_text(pair.get(1)), pair.get(2))
        for group in groups:
            for chunk in _structs(group.get(1)):
                self._chunk(chunk)

    def _chunk(self, chunk: dict[int, Json]) -> None:
        path = _text(chunk.get(1))
        if path:
            self.sink.fact("parquet.reference", self.start, path=clip(path))
            return
        data = chunk.get(3)
        if not isinstance(data, dict):
            return
        starts = [v for v in (data.get(9), data.get(11)) if isinstance(v, int) and v > 0]
        size = data.get(7)
        if not starts or not isinstance(size, int):
            return
        if size < 0 or min(starts) + size > self.start:
            self.problem("outside", f"a column from {min(starts)}, {size} bytes, before the footer at {self.start}")
            self.sink.incomplete("a column lies outside the file", self.start)
        elif data.get(1) in _BINARY and self.left > 0:
            names, codec = data.get(3), data.get(4)
            name = ".".join(map(_text, names)) if isinstance(names, list) else "column"
            pages = self.view.sub(min(starts), size)
            self.left = search_chunk(self.sink, name, codec if isinstance(codec, int) else 0, pages, self.left)

    def _metadata(self, key: str, value: Json) -> None:
        raw = value if isinstance(value, bytes) else b""
        self.sink.fact("parquet.metadata", self.start, key=clip(key, 80), size=len(raw))
        if key == "ARROW:schema":
            try:
                schema = base64.b64decode(raw, validate=False)
            except (binascii.Error, ValueError):
                self.problem("schema", "ARROW:schema is not base64")
                return
            self.sink.child(key, schema, hint="arrow")
            return
        text = raw.decode("utf-8", "replace")
        for name in sorted(set(_JAVA.findall(text)))[:50]:
            self.sink.fact("parquet.java_class", self.start, key=clip(key, 80), name=name)
        if looks_embedded(raw):
            self.sink.child(clip(key, 80), raw, offset=self.start)
        hand_on(self.sink, clip(key, 80), text, self.start)


def _structs(value: Json) -> list[dict[int, Json]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
