"""safetensors and NumPy: the header is the list of tensors."""

from __future__ import annotations

import ast
import re

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.bounded_json import loads
from stannary.formats.headers.model import Header, Tally
from stannary.formats.interface import Budget, View, clip

__all__ = ["numpy", "safetensors"]

_LARGEST = 32 << 20  # bytes of a header; 100,000 tensors take 12 MB
_METADATA = 60
_DIGITS = 20


def safetensors(view: View, budget: Budget) -> Header:
    """Read the JSON header. Raises FormatError and Truncated."""
    length = int.from_bytes(view.bytes(0, 8), "little")
    if length > _LARGEST:
        msg = f"a header of {length} bytes"
        raise BudgetExceeded(msg)
    try:
        found = loads(view.bytes(8, length).decode("utf-8"))
    except UnicodeDecodeError as error:
        msg = "a header that is not UTF-8"
        raise FormatError(msg) from error
    if not isinstance(found, dict):
        msg = "a header that is no object"
        raise FormatError(msg)
    metadata = found.pop("__metadata__", None)
    tally = Tally()
    broken = 0
    for name, entry in found.items():
        budget.take_operations(8)
        dims = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(dims, list) or not all(type(n) is int for n in dims) or not isinstance(entry.get("dtype"), str):
            broken += name != "\0duplicate"
            continue
        tally.add(entry["dtype"], dims)
    said = (
        {clip(key, 80): clip(value, 300) for key, value in metadata.items() if isinstance(value, str)}
        if isinstance(metadata, dict)
        else {}
    )
    framework = {"pt": "PyTorch", "tf": "TensorFlow", "flax": "Flax", "np": "NumPy", "mlx": "MLX"}.get(said.get("format", ""), "")
    fields = tally.fields()
    if broken:
        fields["incomplete"] = f"{broken} entries of the header are no tensors"
    return Header(
        format="safetensors",
        framework=framework,
        architecture=said.get("modelspec.architecture", ""),
        metadata=dict(list(said.items())[:_METADATA]),
        **fields,  # type: ignore[arg-type]
    )


def numpy(view: View, _budget: Budget) -> Header:
    """Read the header of one array (NEP 1). Raises FormatError."""
    wide = view.bytes(6, 1)[0] > 1
    length = int.from_bytes(view.bytes(8, 4 if wide else 2), "little")
    text = view.bytes(12 if wide else 10, min(length, 1 << 16)).decode("latin-1")
    shape = re.search(r"'shape':\s*\(([\d,\s]*)\)", text)
    descr = re.search(r"'descr':\s*('[^']{0,80}'|\[)", text)
    if shape is None or descr is None:
        msg = "an array without a shape"
        raise FormatError(msg)
    tally = Tally()
    dtype = "record" if descr[1] == "[" else str(ast.literal_eval(descr[1]))
    tally.add(dtype, [int(n) for n in re.findall(rf"\d{{1,{_DIGITS}}}", shape[1])])
    return Header(format="numpy", framework="NumPy", **tally.fields())  # type: ignore[arg-type]
