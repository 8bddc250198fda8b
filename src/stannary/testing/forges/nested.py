"""Pickles kept as a value of a harmless one, encoded in every way that a loader's own code would undo."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import pickle
import zlib
from collections.abc import Callable
from functools import partial

from stannary.testing.forges import forge

__all__ = ["CODE"]

_CALL = b"cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR."
_INNER = {
    "text": b"cos\nsystem\n(S'echo stannary'\ntR.",
    "mark": b"(cos\nsystem\nS'echo stannary'\no.",
    "protocol2": b"\x80\x02" + _CALL,
    "protocol3": b"\x80\x03" + _CALL,
    "unframed4": b"\x80\x04" + _CALL,
    "framed5": b"\x80\x05\x95" + len(_CALL).to_bytes(8, "little") + _CALL,
    "instance": b"(S'echo stannary'\nios\nsystem\n.",
    "instance1": b"(U\x0decho stannaryios\nsystem\n.",
}
_ENCODED: dict[str, Callable[[bytes], bytes | str]] = {
    "raw": bytes,
    "text": lambda b: b.decode("latin-1"),
    "base64": lambda b: base64.b64encode(b).decode(),
    "base64_lines": lambda b: base64.encodebytes(b).decode(),
    "base64_twice": lambda b: base64.b64encode(base64.b64encode(b)).decode(),
    "hex_upper": lambda b: b.hex().upper(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zlib_base64": lambda b: base64.b64encode(zlib.compress(b)).decode(),
}
_RARE: dict[str, Callable[[bytes], bytes | str]] = {
    "base85": lambda b: base64.b85encode(b).decode(),
    "ascii85": lambda b: base64.a85encode(b).decode(),
    "ascii85_marked": lambda b: base64.a85encode(b, adobe=True),
    "base32": lambda b: base64.b32encode(b).decode(),
    "backwards": lambda b: b[::-1],
    "base64_backwards": lambda b: base64.b64encode(b + b"\n" * (4 - len(b) % 3))[::-1].decode(),
}
# What `marshal.dumps` of CPython 3.11 writes of a function that calls `os.system`, and of one that adds.
CODE = bytes.fromhex(
    "e30000000000000000000000000300000003000000f34600000097007401000000000000000000006401a6010000ab010000000000000000a0010000"
    "0000000000000000000000000000000000006402a6010000ab010000000000000000530029034eda026f73fa0d6563686f207374616e6e6172792902"
    "da0a5f5f696d706f72745f5fda0673797374656da900f300000000fa083c737472696e673efa083c6c616d6264613e720900000001000000731c0000"
    "008000ad4ab074d12c3cd42c3cd72c43d22c43c04fd12c54d42c5480007207000000"
)
_SUM = bytes.fromhex(
    "e30200000000000000000000000200000003000000f30c00000097007c007c017a000000530029014ea9002902da0178da017973020000002020fa08"
    "3c737472696e673efa083c6c616d6264613e720600000001000000730a0000008000b011b051b1158000f300000000"
)


def _register(inner: str, encoding: str, protocol: int) -> None:
    @forge(
        f"nested.{inner}_{encoding}_in_{protocol}",
        filename="state.pkl",
        family="nested pickle",
        malicious=True,
    )
    def _() -> bytes:
        return pickle.dumps({"weight": [0.5, 1.5], "blob": _ENCODED[encoding](_INNER[inner])}, protocol)


# Every encoding and every inner protocol at least twice, not the whole product.
for _number, _inner in enumerate(_INNER):
    for _shift, _encoding in enumerate(_ENCODED):
        if (_number + _shift) % 2 == 0:
            _register(_inner, _encoding, (0, 2, 4)[(_number + _shift // 2) % 3])


for _number, (_inner, _encoding) in enumerate((i, e) for i in ("protocol2", "framed5", "text", "instance") for e in _RARE):
    _ENCODED[_encoding] = _RARE[_encoding]
    _register(_inner, _encoding, (2, 4, 0)[_number % 3])

for _name, _value, _bad in (
    ("code_raw", CODE, True),
    ("code_base64", base64.b64encode(CODE).decode(), True),
    ("code_plain", _SUM, False),
):
    forge(f"nested.{_name}", filename="state.pkl", family="nested pickle", malicious=_bad)(
        partial(pickle.dumps, {"weight": [0.5], "code": _value}, 4)
    )


for _name, _encode in (
    ("base64", base64.b64encode),
    ("hex", bytes.hex),
    ("base85", base64.b85encode),
    ("base32", base64.b32encode),
):
    _text = _encode(_INNER["instance"])
    _document = json.dumps({"model_type": "bert", "state": _text if isinstance(_text, str) else _text.decode()}).encode()
    forge(f"nested.instance_{_name}_in_json", filename="config.json", family="nested pickle", malicious=True)(
        partial(bytes, _document)
    )


@forge("nested.words_like_base64", filename="vocabulary.pkl", family="benign pickles", malicious=False)
def _() -> bytes:
    """Words and digests that begin as encoded pickles do."""
    words = [
        f"{head}{'abcdefghijklmnopqrstuvwx'[:18]}{n}"
        for n, head in enumerate(("gASV", "Y29z", "KGNv", "eJxx", "WTI5", "8004", "63"))
    ]
    return pickle.dumps({"words": words, "text": ["collection\nof words", "class\nnames\n", "(c) somebody"]}, 4)


_SHORT = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."
forge("nested.short", filename="model.pkl", family="nested pickle", malicious=True)(lambda: pickle.dumps({"w": _SHORT}, 4))
forge("nested.shortest", filename="model.pkl", family="nested pickle", malicious=True)(
    lambda: pickle.dumps({"w": b"\x80\x02cos\nabort\n)R."}, 2)
)
forge("nested.short_plain", filename="model.pkl", family="nested pickle", malicious=False)(
    lambda: pickle.dumps({"a": pickle.dumps([1, 2], 2), "b": bytes(range(0x80, 0x94)), "c": b"\x80\x04]\x94(K\x01K\x02K\x03e."}, 4)
)

# What a stream may begin with that no pickler writes: a loader pushes it and throws it away.
_THROWN = {
    "bytes": b"B\x01\0\0\0a0", "string": b"T\x01\0\0\0a0", "line": b"S'a'\n0", "int": b"I1\n0", "long_line": b"L1L\n0", "float": b"F1\n0",
    "long4": b"\x8b\x01\0\0\0\x010", "again": b"\x80\x04", "persistent": b"Pabc\n0", "buffer": b"\x970", "extension": b"\x82\x010",
}  # fmt: skip
_AS: dict[str, Callable[[bytes], bytes | str]] = {
    "raw": bytes,
    "base64": _ENCODED["base64"],
    "hex": bytes.hex,
    "text": _ENCODED["text"],
    "base85": _RARE["base85"],
}
for _number, (_first, _thrown) in enumerate(_THROWN.items()):
    for _shift, (_encoding, _written) in enumerate(_AS.items()):
        if (_number + _shift) % 2 == 0:
            forge(f"nested.first_{_first}_{_encoding}", filename="state.pkl", family="nested pickle", malicious=True)(
                partial(pickle.dumps, {"weight": [0.5], "blob": _written(b"\x80\x04" + _thrown + _CALL)}, 4)
            )
_UNMARKED = {
    "none": b"N0" + _CALL, "number": b"K\x010" + _CALL, "text": b"X\x01\0\0\0a0" + _CALL, "dictionary": b"}0" + _CALL, "true": b"\x880" + _CALL,
    "frame": b"\x95" + (len(_CALL)).to_bytes(8, "little") + _CALL, "names": b"\x8c\x02os\x8c\x06system\x93\x8c\x0decho stannary\x85R.",
    "far": b"X\0\x20\0\0" + b"a" * 8192 + b"0" + _CALL, "protocol0": b"\x80\x00" + _CALL, "protocol1": b"\x80\x01N0" + _CALL,
}  # fmt: skip
for _name, _stream in _UNMARKED.items():
    forge(f"nested.unmarked_{_name}", filename="state.pkl", family="nested pickle", malicious=True)(
        partial(pickle.dumps, {"weight": [0.5], "blob": _stream}, 4)
    )
for _name, _rare in (("base85", base64.b85encode), ("base32", base64.b32encode)):
    forge(f"nested.{_name}_twice", filename="state.pkl", family="nested pickle", malicious=True)(
        partial(pickle.dumps, _rare(pickle.dumps(_rare(_INNER["protocol3"]), 4)).decode(), 4)
    )


@forge("nested.bytes_like_opcodes", filename="state.pkl", family="benign pickles", malicious=False)
def _() -> bytes:
    """Bytes that begin with opcodes, of numbers and of words, none of which import anything."""
    numbers = [bytes((first, *range(40))) for first in b"NKMJGUXTBC()]}\x82\x88\x8a\x8c\x8e\x95"]
    words = [b"Known\nwords of\na text\n.", b"Name: a\nclass: b\n.", b"Ua list\ncats\ndogs\n", b"Madrid\nNice\nJena\n"]
    return pickle.dumps({"numbers": numbers, "words": words, "long": b"X\0\x20\0\0" + bytes(9000)}, 4)
