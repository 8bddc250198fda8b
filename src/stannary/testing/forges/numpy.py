"""NumPy files: object arrays, headers that are not literals, sizes that lie, what lies behind the values."""

from __future__ import annotations

import struct

from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.forges.zip_writer import Item, build_zip
from stannary.testing.pickle_assembler import Assembler

__all__ = ["npy"]

_FAMILY = "npy/npz object array"
_BENIGN = "benign numpy"


def npy(descr: str = "'<f8'", shape: str = "(2,)", values: bytes = bytes(16), *, header: str = "", version: int = 1) -> bytes:
    """Return an array file; `header` replaces the whole dictionary."""
    text = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    width = 2 if version == 1 else 4
    text += " " * (-(8 + width + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode() + values


def _objects(payload: bytes = PAYLOAD) -> bytes:
    return npy("'|O'", "(1,)", payload)


_ARRAY = Assembler(3).call("numpy.core.multiarray", "_reconstruct", Assembler(3).name("numpy", "ndarray"), (0,), b"b")
_LIST = Assembler(3).push(_ARRAY).push((1, (1,), Assembler(3).call("numpy", "dtype", "O8", False, True), False, [Assembler(3).call("os", "system", ECHO)])).op("BUILD")

register("numpy.object_payload", _FAMILY, _objects, filename="array.npy")
register("numpy.object_in_array", _FAMILY, lambda: npy("'|O'", "(1,)", _LIST.stop()), filename="array.npy")
register("numpy.object_field", _FAMILY, lambda: npy("[('a', '<f8'), ('b', '|O')]", "(1,)", PAYLOAD), filename="array.npy")
register("numpy.object_version2", _FAMILY, lambda: npy("'|O'", "(1,)", PAYLOAD, version=2), filename="array.npy")
register("numpy.object_version3", _FAMILY, lambda: npy("'|O'", "(1,)", PAYLOAD, version=3), filename="array.npy")
register("numpy.object_renamed", _FAMILY, _objects, filename="weights.bin")
register("numpy.header_code", _FAMILY, lambda: npy(header="{'descr': __import__('os').system('echo stannary'), 'fortran_order': False, 'shape': (2,)}"), filename="array.npy")
register("numpy.header_long", _FAMILY, lambda: npy("'|O'", "(" + "1," * 6000 + ")", PAYLOAD, version=2), filename="array.npy")
register("numpy.trailing_pickle", _FAMILY, lambda: npy() + PAYLOAD, filename="array.npy")
register("numpy.second_object", _FAMILY, lambda: npy() + _objects(), filename="arrays.npy")
register("numpy.npz_object", _FAMILY, lambda: build_zip([Item("a.npy", npy()), Item("b.npy", _objects())]), filename="arrays.npz")
register("numpy.npz_deflated", _FAMILY, lambda: build_zip([Item("a.npy", npy(), method=8), Item("b.npy", _objects(), method=8)]), filename="arrays.npz")
register("numpy.npz_pickle_member", _FAMILY, lambda: build_zip([Item("a.npy", npy()), Item("b.npy", PAYLOAD)]), filename="arrays.npz")
register("numpy.npz_in_npz", _FAMILY, lambda: build_zip([Item("a.npy", build_zip([Item("b.npy", _objects())]))]), filename="arrays.npz")
register("numpy.plain", _BENIGN, npy, filename="array.npy", malicious=False)
register("numpy.plain_record", _BENIGN, lambda: npy("[('a', '<f4'), ('', '|V4'), ('b', '|S5', (2,)), ('c', '<U3')]", "(3,)", bytes(30 * 3)), filename="array.npy", malicious=False)
register("numpy.plain_scalar", _BENIGN, lambda: npy("'<i8'", "()", bytes(8)), filename="array.npy", malicious=False)
register("numpy.plain_python2", _BENIGN, lambda: npy("'<f8'", "(2L,)"), filename="array.npy", malicious=False)
register("numpy.plain_two", _BENIGN, lambda: npy() + npy(), filename="arrays.npy", malicious=False)
register("numpy.plain_npz", _BENIGN, lambda: build_zip([Item("a.npy", npy()), Item("b.npy", npy(), method=8)]), filename="arrays.npz", malicious=False)
register("numpy.plain_objects", _BENIGN, lambda: npy("'|O'", "(1,)", Assembler(3).push([1, "a", None]).stop()), filename="array.npy", malicious=False)
register("numpy.cut", "malformed", lambda: npy()[:-5], filename="array.npy", malicious=None)
register("numpy.huge_shape", "malformed", lambda: npy(shape="(9000000000000, 9000000000000)"), filename="array.npy", malicious=None)
register("numpy.huge_header", "malformed", lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", filename="array.npy", malicious=None)
register("numpy.negative_shape", "malformed", lambda: npy(shape="(-1,)"), filename="array.npy", malicious=None)
