"""Pickles kept as a value of a harmless one, encoded in every way that a loader's own code would undo."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable

from stannary.testing.forges import forge

__all__: list[str] = []

_CALL = b"cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR."
_INNER = {
    "text": b"cos\nsystem\n(S'echo stannary'\ntR.",
    "mark": b"(cos\nsystem\nS'echo stannary'\no.",
    "protocol2": b"\x80\x02" + _CALL,
    "protocol3": b"\x80\x03" + _CALL,
    "unframed4": b"\x80\x04" + _CALL,
    "framed5": b"\x80\x05\x95" + len(_CALL).to_bytes(8, "little") + _CALL,
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


@forge("nested.words_like_base64", filename="vocabulary.pkl", family="benign pickles", malicious=False)
def _() -> bytes:
    """Words and digests that begin as encoded pickles do."""
    words = [
        f"{head}{'abcdefghijklmnopqrstuvwx'[:18]}{n}"
        for n, head in enumerate(("gASV", "Y29z", "KGNv", "eJxx", "WTI5", "8004", "63"))
    ]
    return pickle.dumps({"words": words, "text": ["collection\nof words", "class\nnames\n", "(c) somebody"]}, 4)
