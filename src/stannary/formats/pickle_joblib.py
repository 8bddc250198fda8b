"""Arrays that joblib writes between the opcodes of a pickle, right after the BUILD of their wrapper.

Format: `joblib.numpy_pickle.NumpyArrayWrapper.read_array` (0.10 to 1.5). With an alignment in
the wrapper, one byte gives the length of the padding that follows it. Object arrays are a whole
pickle of their own instead.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

from stannary.formats.pickle_values import Global, Made, Map

__all__ = ["Layout", "layout_of"]

_SPEC = re.compile(r"[<>|=]?([?bBhHiIlLqQefdgFDGSaUVOMmuc])(\d*)\Z")
_ONE = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "e": 2, "f": 4, "d": 8,
        "g": 16, "F": 8, "D": 16, "G": 32, "M": 8, "m": 8}  # fmt: skip


class Layout(NamedTuple):
    """What follows the wrapper: `size` bytes of array, or a pickle (`objects`); `padded`: a padding byte first."""

    size: int
    objects: bool
    padded: bool


def layout_of(state: Any) -> Layout | None:  # noqa: ANN401 - symbolic
    """Return the layout from a wrapper's state, None when it cannot be told."""
    if type(state) is not Map:
        return None
    fields = {k: v for k, v in zip(state.items[::2], state.items[1::2], strict=False) if type(k) is str}
    shape = fields.get("shape")
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        return None
    dtype = _dtype(fields.get("dtype"))
    if dtype is None:
        return None
    itemsize, objects = dtype
    return Layout(prod(shape) * itemsize, objects, fields.get("numpy_array_alignment_bytes") is not None)


def _dtype(value: Any) -> tuple[int, bool] | None:  # noqa: ANN401 - symbolic
    """Return (bytes an item, holds objects) of a symbolic `numpy.dtype(...)`."""
    if (
        type(value) is not Made
        or type(value.func) is not Global
        or (value.func.name.rpartition(".")[2] != "dtype" and not value.func.name.endswith("DType"))
    ):
        return None
    spec = value.args[0] if type(value.args) is tuple and value.args else None
    state = value.state if type(value.state) is tuple else ()
    stored = state[5] if len(state) > 5 and type(state[5]) is int else -1
    flags = state[7] if len(state) > 7 and type(state[7]) is int else 0
    if type(spec) is not str:
        return (stored, bool(flags & 1)) if stored > 0 else None
    found = _SPEC.match(spec)
    if found is None:
        return None
    kind, digits = found.groups()
    size = int(digits) if digits else _ONE.get(kind, 0)
    if kind == "U":
        size *= 4
    if stored > 0:
        size = stored
    return size, kind == "O" or bool(flags & 1)
