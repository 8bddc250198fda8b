"""Model and data formats that make a reader work: counts, depth, names, many small things of every kind."""

# ruff: noqa: SLF001 - a table; the writers are the forges' own

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable, Iterator

from stannary.testing.forges import boosters, columnar, gguf, onnx, tensorflow, tensors
from stannary.testing.forges._format_writers import flatbuffer, msgpack, r_file, r_object, thrift, ubjson
from stannary.testing.forges._hdf5_writer import Writer, hard_link, soft_link
from stannary.testing.forges._protobuf_writer import message, number, varint

Case = tuple[str, str, Callable[[], bytes], bool]


def _many(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + piece * max(1, (size - len(before) - len(after)) // len(piece)) + after


def _count(one: Callable[[int], bytes], size: int) -> list[bytes]:
    parts, total = [], 0
    while total < size:
        parts.append(one(len(parts)))
        total += len(parts[-1])
    return parts


def _safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def _deep_message(field: int, size: int, core: bytes = b"") -> bytes:
    """Return messages within messages, made from the inside out in linear time."""
    heads: list[bytes] = []
    length = len(core)
    while length < size:
        head = varint(field << 3 | 2) + varint(length)
        heads.append(head)
        length += len(head)
    return b"".join(reversed(heads)) + core


def _gguf(pairs: list[bytes], tensors_: list[bytes]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors_), len(pairs))
    return head + b"".join(pairs) + b"".join(tensors_) + bytes(64)


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _ggufs(size: int) -> Iterator[Case]:
    yield (
        "gguf.pairs",
        "m.gguf",
        lambda: _gguf(_count(lambda n: _text(b"k%d" % n) + struct.pack("<II", 4, n % 2**31), size), []),
        False,
    )
    yield (
        "gguf.strings",
        "m.gguf",
        lambda: _gguf(_count(lambda n: _text(b"k%d" % n) + struct.pack("<I", 8) + _text(b"v {{ %d" % n), size), []),
        False,
    )
    yield (
        "gguf.tokens",
        "m.gguf",
        lambda: _gguf(
            [_text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, size // 10) + _many(_text(b"ab"), size // 10 * 10)], []
        ),
        False,
    )
    yield (
        "gguf.numbers",
        "m.gguf",
        lambda: _gguf([_text(b"a") + struct.pack("<IIQ", 9, 4, size // 4) + bytes(size // 4 * 4)], []),
        False,
    )
    yield (
        "gguf.arrays",
        "m.gguf",
        lambda: _gguf([_text(b"a") + struct.pack("<IIQ", 9, 9, size // 12) + struct.pack("<IQ", 4, 0) * (size // 12)], []),
        False,
    )
    yield (
        "gguf.nested",
        "m.gguf",
        lambda: _gguf([_text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * (size // 12)], []),
        False,
    )
    yield (
        "gguf.tensors",
        "m.gguf",
        lambda: _gguf([], _count(lambda n: _text(b"t%d" % n) + struct.pack("<IQIQ", 1, 1, 0, n * 32), size)),
        False,
    )
    yield (
        "gguf.template",
        "m.gguf",
        lambda: gguf.Writer().pair("tokenizer.chat_template", "{% if a %}{{ a }}{% endif %}" * (size // 28)).bytes(),
        False,
    )
    yield (
        "gguf.template_1m",
        "m.gguf",
        lambda: gguf.Writer().pair("tokenizer.chat_template", "{% if a %}{{ a }}{% endif %}" * (1 << 15)).bytes(),
        False,
    )
    yield (
        "safetensors.tensors",
        "m.safetensors",
        lambda: _safetensors(
            b"{"
            + b"".join(
                _count(lambda n: b'"t%d":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]},' % (n, 4 * n, 4 * n + 4), size - 100)
            )
            + b'"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
        ),
        False,
    )
    yield (
        "safetensors.header_50m",
        "m.safetensors",
        lambda: _safetensors(
            b'{"__metadata__":{' + b"".join(_count(lambda n: b'"k%d":"v",' % n, min(size, 50 << 20))) + b'"a":"b"}}'
        ),
        False,
    )
    yield (
        "safetensors.nested",
        "m.safetensors",
        lambda: _safetensors(b'{"a":' + b"[" * (size // 2) + b"]" * (size // 2 - 20) + b"}"),
        False,
    )
    yield "safetensors.blanks", "m.safetensors", lambda: _safetensors(b"{" + b" " * (size - 30) + b"}"), False
    yield (
        "safetensors.value",
        "m.safetensors",
        lambda: _safetensors(b'{"__metadata__":{"a":"' + b"os.system(" * (size // 10 - 10) + b'"}}'),
        False,
    )
    yield (
        "safetensors.shapes",
        "m.safetensors",
        lambda: _safetensors(b'{"t":{"dtype":"F32","shape":[' + b"1," * (size // 2 - 60) + b'1],"data_offsets":[0,4]}}', bytes(4)),
        False,
    )


def _protobufs(size: int) -> Iterator[Case]:
    yield "onnx.nodes", "m.onnx", lambda: onnx.model(*_count(lambda n: onnx.node("Relu", name=f"n{n}"), size)), False
    yield "onnx.domains", "m.onnx", lambda: onnx.model(*_count(lambda n: onnx.node(f"Op{n}", f"d{n}"), size)), False
    yield "onnx.initializers", "m.onnx", lambda: onnx.model(*_count(lambda n: message(5, onnx.tensor(f"w{n}")), size)), False
    yield (
        "onnx.external",
        "m.onnx",
        lambda: onnx.model(*_count(lambda n: message(5, onnx.tensor(f"w{n}", raw=None, extra=onnx.external(f"../{n}"))), size)),
        False,
    )
    yield (
        "onnx.properties",
        "m.onnx",
        lambda: onnx.model(extra=b"".join(_count(lambda n: message(14, message(1, f"k{n}"), message(2, "{{ v")), size))),
        False,
    )
    yield (
        "onnx.attributes",
        "m.onnx",
        lambda: onnx.model(
            onnx.node("If", attributes=b"".join(_count(lambda n: onnx.attribute(f"a{n}", message(4, "text")), size)))
        ),
        False,
    )
    yield (
        "onnx.graphs_deep",
        "m.onnx",
        lambda: onnx.model(message(1, message(4, "If"), message(5, _deep_message(6, size // 2)))),
        False,
    )
    yield "onnx.fields_unknown", "m.onnx", lambda: onnx.model(extra=_many(number(99, 1), size)), False
    yield (
        "onnx.strings",
        "m.onnx",
        lambda: onnx.model(message(5, onnx.tensor("s", kind=8, raw=None, extra=_many(message(6, b"{{ a"), size)))),
        False,
    )
    yield (
        "onnx.packed",
        "m.onnx",
        lambda: onnx.model(message(5, onnx.tensor("s", raw=None, extra=message(7, b"\x01" * size)))),
        False,
    )
    yield "onnx.empty", "m.onnx", lambda: onnx.model(_many(message(1), size)), False
    yield (
        "tf.nodes",
        "saved_model.pb",
        lambda: tensorflow.saved_model(*_count(lambda n: tensorflow.node(f"n{n}", "Relu", "x"), size)),
        False,
    )
    yield (
        "tf.consts",
        "saved_model.pb",
        lambda: tensorflow.saved_model(*_count(lambda n: tensorflow.const(f"c{n}", "/etc/passwd"), size)),
        False,
    )
    yield (
        "tf.dangerous",
        "saved_model.pb",
        lambda: tensorflow.saved_model(*_count(lambda n: tensorflow.node(f"n{n}", "WriteFile", "x", "y"), size)),
        False,
    )
    yield (
        "tf.functions",
        "saved_model.pb",
        lambda: tensorflow.saved_model(
            *_count(lambda n: tensorflow.function(f"f{n}", tensorflow.node("a", "Relu", field=3)), size)
        ),
        False,
    )
    yield (
        "tf.chain",
        "saved_model.pb",
        lambda: tensorflow.saved_model(
            *_count(lambda n: tensorflow.node(f"n{n}", "ReadFile" if n % 50 == 0 else "Identity", f"n{n - 1}"), size // 4)
        ),
        False,
    )
    yield (
        "tf.joins",
        "saved_model.pb",
        lambda: tensorflow.saved_model(
            *_count(lambda n: tensorflow.node(f"n{n}", "StringJoin", *[f"n{n - 1}"] * 8), size // 8),
            tensorflow.node("r", "ReadFile", "n1000"),
        ),
        False,
    )
    yield "tf.text", "graph.pbtxt", lambda: _many(b'node { name: "a" op: "Relu" input: "b" }\n', size), False
    yield "tf.text_deep", "graph.pbtxt", lambda: b"node {" * (size // 12) + b"}" * (size // 12), False
    yield "tf.deep", "saved_model.pb", lambda: number(1, 1) + message(2, message(2, _deep_message(2, size // 2))), False
    yield "tf.records", "a.tfrecord", lambda: _many(struct.pack("<QI", 1, 0) + b"a" + bytes(4), size), False
    yield (
        "tf.index",
        "variables.index",
        lambda: _many(b"\x00\x05\x02abcde\x08\x01", size, after=bytes(40) + bytes.fromhex("57fb808b247547db")),
        False,
    )
    yield (
        "coreml.layers",
        "m.mlmodel",
        lambda: number(1, 5) + message(500, _many(message(1, message(1, "l"), message(500, message(1, "x"))), size)),
        False,
    )
    yield (
        "paddle.ops",
        "inference.pdmodel",
        lambda: message(1, number(1, 0), number(2, 0), _many(message(4, message(3, "relu")), size)),
        False,
    )
    yield "caffe.layers", "net.caffemodel", lambda: _many(message(100, message(1, "l"), message(2, "Python")), size), False
    yield "protobuf.noise", "m.pb", lambda: _many(b"\x0a\x02\x08\x01", size), False


def _hdf5(size: int) -> bytes:
    w = Writer()
    leaf = w.dataset((2,), bytes(8))
    groups = {f"g{n}": w.group({f"d{m}": leaf for m in range(20)}) for n in range(max(1, size // 1200))}
    names = list(groups)
    return w.finish(w.group({f"p{at}": w.group({n: groups[n] for n in names[at : at + 500]}) for at in range(0, len(names), 500)}))


def _hdf5_chain(size: int) -> bytes:
    w = Writer()
    at = w.dataset((2,), bytes(8))
    for _ in range(size // 120):
        at = w.group({"a": at})
    return w.finish(at)


def _hdf5_wide(size: int, one: Callable[[Writer, int], tuple[int, bytes]]) -> bytes:
    w = Writer()
    members = {f"g{n}": w.group({}, [one(w, m) for m in range(200)]) for n in range(max(1, size // 12_000))}
    return w.finish(w.group(members))


def _hdf5_same(size: int) -> bytes:
    w = Writer()
    leaf = w.dataset((2,), bytes(8))
    return w.finish(
        w.header(
            [
                (0x02, struct.pack("<BBQQ", 0, 0, 2**64 - 1, 2**64 - 1)),
                (0x0A, b"\0\0"),
                *[hard_link(f"l{n}", leaf) for n in range(min(60_000, size // 40))],
            ]
        )
    )


def _hdf5s(size: int) -> Iterator[Case]:
    yield "hdf5.groups", "m.h5", lambda: _hdf5(size), False
    yield "hdf5.chain", "m.h5", lambda: _hdf5_chain(size), False
    yield "hdf5.links", "m.h5", lambda: _hdf5_wide(size, lambda _, m: soft_link(f"l{m}", "/a/b")), False
    yield "hdf5.attributes", "m.h5", lambda: _hdf5_wide(size, lambda w, m: w.attribute(f"a{m}", b"value {{ a }}")), False
    yield (
        "hdf5.attribute_json",
        "m.h5",
        lambda: _hdf5_wide(size, lambda w, _: w.attribute("model_config", b'{"class_name": "Lambda", "config": {}}')),
        False,
    )
    yield "hdf5.same", "m.h5", lambda: _hdf5_same(size), False
    yield (
        "hdf5.datasets",
        "m.h5",
        lambda: (w := Writer()).finish(
            w.group(
                {f"g{n}": w.group({f"d{m}": w.dataset((2,), bytes(8)) for m in range(100)}) for n in range(max(1, size // 20_000))}
            )
        ),
        False,
    )
    yield "hdf5.signatures", "m.h5", lambda: _many(b"\x89HDF\r\n\x1a\n" + bytes(504), size), False


def _others(size: int) -> Iterator[Case]:
    u32 = struct.Struct("<I").pack
    yield (
        "msgpack.map",
        "m.msgpack",
        lambda: b"\xdf" + struct.pack(">I", size // 8) + b"".join(_count(lambda n: msgpack(f"k{n:05}") + b"\x01", size)),
        False,
    )
    yield "msgpack.deep", "m.msgpack", lambda: b"\x81\xa1a" * (size // 3) + b"\xc0", False
    yield "msgpack.nils", "m.msgpack", lambda: b"\x81\xa1a\xdd" + struct.pack(">I", size) + b"\xc0" * size, False
    yield (
        "msgpack.arrays",
        "m.msgpack",
        lambda: b"\x81\xa1a\xdd" + struct.pack(">I", size // 6) + (b"\x81\xa1b\x92\x01\x02") * (size // 6),
        False,
    )
    yield (
        "msgpack.ext",
        "m.msgpack",
        lambda: b"\x81\xa1a\xdd" + struct.pack(">I", size // 10) + msgpack((1, b"\x93\x90\xa2f4"))[:10] * (size // 10),
        False,
    )
    yield (
        "ubjson.objects",
        "m.ubj",
        lambda: ubjson({"learner": {"a": 1}})[:-1] + b"".join(_count(lambda n: ubjson(f"k{n}")[1:] + b"L" + bytes(8), size)) + b"}",
        False,
    )
    yield (
        "ubjson.arrays",
        "m.ubj",
        lambda: ubjson({"learner": 1})[:-1] + ubjson("a")[1:] + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
        False,
    )
    yield (
        "ubjson.numbers",
        "m.ubj",
        lambda: ubjson({"learner": 1})[:-1] + ubjson("a")[1:] + b"[" + b"i\x01" * (size // 2) + b"]}",
        False,
    )
    yield "xgboost.trees", "m.deprecated", lambda: boosters._binary(b"binary:logistic", trees=size // 200) + bytes(size), False
    yield (
        "lightgbm.trees",
        "m.txt",
        lambda: (
            (head := boosters.LIGHTGBM.split("Tree=0"))[0].encode()
            + b"".join(
                _count(
                    lambda n: f"Tree={n}\nnum_leaves=3\nsplit_feature=0 1\nthreshold=0.5 0.25\nleaf_value=0.1 0.2 0.3\n\n".encode(),
                    size,
                )
            )
            + head[1].encode()
        ),
        False,
    )
    yield (
        "lightgbm.line",
        "m.txt",
        lambda: boosters.LIGHTGBM.replace("feature_names=a b", "feature_names=" + "a b " * (size // 4)).encode(),
        False,
    )
    yield "catboost.information", "m.cbm", lambda: boosters._catboost({f"k{n}": "v" for n in range(size // 48)}), False
    yield (
        "tflite.operators",
        "m.tflite",
        lambda: flatbuffer(
            {0: ("I", 3), 1: [{0: ("b", 32), 1: f"Op{n}", 3: ("i", 32)} for n in range(size // 64)], 2: [], 4: [{}]}, b"TFL3"
        ),
        False,
    )
    yield (
        "tflite.tensors",
        "m.tflite",
        lambda: flatbuffer(
            {
                0: ("I", 3),
                1: [],
                2: [{0: [{0: ("*i", [2]), 1: ("b", 0), 2: ("I", 1), 3: f"t{n}"} for n in range(size // 96)]}],
                4: [{}, {0: bytes(8)}],
            },
            b"TFL3",
        ),
        False,
    )
    yield (
        "tflite.buffers",
        "m.tflite",
        lambda: flatbuffer({0: ("I", 3), 1: [], 2: [], 4: [{0: b"cos\nsystem\n(S'a'\ntR."} for _ in range(size // 72)]}, b"TFL3"),
        False,
    )
    yield "tflite.shared", "m.tflite", lambda: _shared(size), False
    yield (
        "executorch.operators",
        "m.pte",
        lambda: flatbuffer({0: ("I", 0), 1: [{0: "forward", 6: [{0: f"a::b{n}", 1: "out"} for n in range(size // 64)]}]}, b"ET12"),
        False,
    )
    yield (
        "arrow.metadata",
        "m.arrow",
        lambda: columnar._file(columnar._schema(metadata={f"k{n}": "{{ v" for n in range(size // 128)})),
        False,
    )
    yield "arrow.messages", "m.arrow", lambda: _many(columnar._message({0: ("h", 4), 1: ("B", 3)}), size), False
    yield "parquet.metadata", "m.parquet", lambda: columnar._parquet({f"k{n}": b"{{ v" for n in range(size // 16)}), False
    yield (
        "parquet.columns",
        "m.parquet",
        lambda: _parquet(
            thrift({1: 2, 3: 3})[:-1] + b"\x19\xfc" + varint(size // 8) + thrift({1: [{3: {5: 1}}]}) * (size // 8) + b"\0"
        ),
        False,
    )
    yield "parquet.deep", "m.parquet", lambda: _parquet(b"\x1c" * (size - 20) + b"\0" * 8), False
    yield "parquet.lists", "m.parquet", lambda: _parquet(b"\x19\xf9" + varint(size // 2) + b"\x19" * (size - 30)), False
    yield (
        "mxnet.arrays",
        "m.params",
        lambda: tensors._params([tensors._ndarray([1], bytes(4))] * (size // 64), [b"arg:w%d" % n for n in range(size // 64)]),
        False,
    )
    yield (
        "torch7.table",
        "m.t7",
        lambda: (
            tensors._number(3)
            + tensors._number(1)
            + tensors._number(size // 20)
            + b"".join(_count(lambda n: tensors._key(b"k%d" % n) + tensors._number(0), size))
        ),
        False,
    )
    yield (
        "torch7.deep",
        "m.t7",
        lambda: b"".join(
            tensors._number(3) + tensors._number(n + 1) + tensors._number(1) + tensors._key(b"k") for n in range(size // 21)
        ),
        False,
    )
    yield "torch7.text", "m.t7", lambda: _many(b"2\n1\na\n", size, b"3\n1\n%d\n" % (size // 12)), False
    yield (
        "rdata.list",
        "m.rds",
        lambda: r_file(("list", "a"))[:14] + struct.pack(">ii", 19, size // 8) + r_object("a") * (size // 17),
        False,
    )
    yield (
        "rdata.pairs",
        "m.rds",
        lambda: (
            r_file("a")[:14]
            + (struct.pack(">i", 2 | 0x400) + r_object(("symbol", "a")) + r_object("b")) * (size // 34)
            + struct.pack(">i", 254)
        ),
        False,
    )
    yield "rdata.deep", "m.rds", lambda: r_file("a")[:14] + struct.pack(">ii", 19, 1) * (size // 8), False
    yield "rdata.text", "m.rds", lambda: b"A\n2\n262912\n131840\n19\n%d\n" % (size // 4) + b"254\n" * (size // 4), False
    yield (
        "pyc.names",
        "m.pyc",
        lambda: (
            struct.pack("<HHIII", 3495, 0x0A0D, 0, 0, 0)
            + marshal.dumps(compile("\n".join(f"a{n}.b{n}()" for n in range(min(200_000, size // 40))), "f", "exec"))
        ),
        False,
    )
    yield (
        "pyc.tuples",
        "m.pyc",
        lambda: struct.pack("<HHIII", 3495, 0x0A0D, 0, 0, 0) + b"\xe3" + bytes(20) + b")\x01" * (size // 2),
        False,
    )
    yield (
        "pyc.refs",
        "m.pyc",
        lambda: struct.pack("<HHIII", 3495, 0x0A0D, 0, 0, 0) + b"(" + u32(size // 8) + b"\xa9\x01N" + b"r\0\0\0\0" * (size // 5),
        False,
    )
    yield (
        "numpy.object",
        "m.npy",
        lambda: (
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117)
            + b"\n\x80\x04"
            + b"}b" * (size // 2)
        ),
        False,
    )
    yield "numpy.header", "m.npy", lambda: b"\x93NUMPY\x02\x00" + u32(size - 20) + b"(" * (size - 20), False
    yield (
        "elf.sections",
        "m.so",
        lambda: (
            b"\x7fELF\x02\x01\x01"
            + bytes(9)
            + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64, 0, 64, 56, 0, 64, 65535, 1)
            + bytes(size)
        ),
        False,
    )
    yield "elf.text", "m.so", lambda: b"\x7fELF\x02\x01\x01" + bytes(57) + b"/bin/sh\0system\0curl http://a\0" * (size // 30), False
    yield (
        "pe.text",
        "m.dll",
        lambda: b"MZ".ljust(60, b"\0") + u32(64) + b"PE\0\0" + bytes(200) + b"cmd.exe /c \0" * (size // 12),
        False,
    )
    yield "weights.noise", "pytorch_model.bin", lambda: _many(b"\x00\x01\x80\x3f", size), False
    yield "weights.pickles", "weights.dat", lambda: _many(b"\xff\x80\x04\x95cos\nsystem\n", size), False


def _parquet(footer: bytes) -> bytes:
    return b"PAR1" + bytes(32) + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _shared(size: int) -> bytes:
    """Return a TFLite model whose vectors all point to one table: few bytes, many visits."""
    head = bytearray(flatbuffer({0: ("I", 3), 1: [{0: ("b", 32), 1: "Custom", 3: ("i", 32)}], 2: [], 4: [{}]}, b"TFL3"))
    count = size // 4 - 200
    vector = len(head) + (-len(head) % 4)
    table = next(at for at in range(len(head)) if head[at : at + 6] == b"Custom") - 4 - 16
    head += bytes(-len(head) % 4)
    offsets = b"".join(struct.pack("<i", (table - (vector + 4 + 4 * n)) % 2**31) for n in range(count))
    return bytes(head) + struct.pack("<I", count) + offsets


def models(size: int) -> Iterator[Case]:
    """Yield name, file name, what makes the content, whether a loader that comes to the end runs a payload."""
    yield from _ggufs(size)
    yield from _protobufs(size)
    yield from _hdf5s(size)
    yield from _others(size)
