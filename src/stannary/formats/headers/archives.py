"""Zip archives that are models (torch, Keras, skops, NumPy), and single compressed files."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Any

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.bounded_json import loads
from stannary.formats.headers import tensors
from stannary.formats.headers.model import Header, Port, Tally
from stannary.formats.interface import Budget, View, clip
from stannary.formats.zip_directory import Entry, directories, entry_name, parse_local

__all__ = ["keras_header", "packed", "read"]

_INFLATED = 64 << 20
_MEMBERS = 20_000
_LAYERS = 500
_NODES = 100_000
_CLASSES = 60


def read(view: View, budget: Budget) -> Header | None:
    """Tell which kind of model an archive is, and read that. None when it is none of those. Raises FormatError."""
    found = directories(view)
    if not found:
        return None
    entries = {entry_name(entry.raw, entry.flags): entry for entry in found[0].entries[:_MEMBERS]}
    data = next((name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")), "")
    if data:
        from stannary.formats.headers.pickles import summary

        made = summary(View(_content(view, entries[data]), "data.pkl"), budget, "torch-zip")
        if made is None:
            return Header(format="torch-zip", framework="PyTorch")
        script = any("/code/" in name for name in entries)
        return _replaced(made, framework="TorchScript" if script else "PyTorch")
    if "config.json" in entries and "metadata.json" in entries:
        return _keras(view, entries, budget)
    if "schema.json" in entries:
        made = _skops(_json(view, entries["schema.json"]))
        if made is not None:
            return made
    if any(name.endswith(".npy") for name in entries):
        return _npz(view, entries, budget)
    return None


def _replaced(made: Header, **fields: Any) -> Header:  # noqa: ANN401 - fields of Header
    import msgspec

    return msgspec.structs.replace(made, **fields)


def _content(view: View, entry: Entry, limit: int = _INFLATED) -> bytes | memoryview:
    """Return the content of a member. Raises FormatError for one that is packed otherwise than with deflate, or too large."""
    local = parse_local(view, entry.offset)
    if local is None:
        msg = "a member without its header"
        raise FormatError(msg)
    packed_view = view.sub(local.data, entry.packed)
    if entry.method == 0:
        return packed_view.data
    if entry.method != 8 or entry.size > limit:
        msg = f"a member of {entry.size} bytes, packed by method {entry.method}"
        raise BudgetExceeded(msg)
    return zlib.decompressobj(-15).decompress(bytes(packed_view.data), limit)


def _json(view: View, entry: Entry) -> Any:  # noqa: ANN401 - JSON
    try:
        return loads(bytes(_content(view, entry)).decode("utf-8"))
    except (UnicodeDecodeError, zlib.error) as error:
        msg = "a member that is not JSON"
        raise FormatError(msg) from error


def _keras(view: View, entries: dict[str, Entry], budget: Budget) -> Header:
    """Read a `.keras` file: configuration, version, and the weights inside."""
    config, metadata = _json(view, entries["config.json"]), _json(view, entries["metadata.json"])
    fields: dict[str, Any] = {}
    weights = entries.get("model.weights.h5")
    if weights is not None:
        try:
            from stannary.formats.headers.hdf5 import tally_of

            fields = tally_of(View(_content(view, weights), "model.weights.h5"), budget).fields()
        except FormatError as error:
            fields = {"incomplete": f"model.weights.h5: {error.message}"}
    version = metadata.get("keras_version") if isinstance(metadata, dict) else ""
    return keras_header(config, clip(str(version or ""), 40), "keras", fields)


def _skops(schema: Any) -> Header | None:  # noqa: ANN401 - JSON
    """Read the tree of typed nodes of a skops archive: the class of its root, and the classes below."""
    from stannary.formats.headers.pickles import LIBRARIES

    if "__loader__" not in _table(schema):
        return None
    names: dict[str, None] = {}
    todo: list[Any] = [schema]
    for _ in range(_NODES):
        if not todo:
            break
        node = todo.pop()
        if isinstance(node, dict):
            module, name = node.get("__module__"), node.get("__class__")
            if isinstance(module, str) and isinstance(name, str) and module != "builtins":
                names.setdefault(clip(f"{module}.{name}", 200))
            todo += reversed(node.values())
        elif isinstance(node, list):
            todo += reversed(node)
    architecture = next(iter(names), "") if schema.get("__module__") != "builtins" else ""
    return Header(
        format="skops",
        framework=LIBRARIES.get(architecture.partition(".")[0], ""),
        architecture=architecture,
        metadata={"skops": clip(str(schema["_skops_version"]), 40)} if "_skops_version" in schema else {},
        classes=tuple(names)[:_CLASSES],
        incomplete=f"more than {_NODES} nodes" if todo else "",
    )


def keras_header(config: Any, version: str, name: str, fields: dict[str, Any]) -> Header:  # noqa: ANN401 - JSON
    """Return the header of a Keras configuration."""
    table = _table(config)
    rows = _table(table.get("config")).get("layers")
    layers = [row for row in rows[:_LAYERS] if isinstance(row, dict)] if isinstance(rows, list) else []
    kinds = [str(row.get("class_name")) for row in layers]
    given = [_table(row.get("config")) for row in layers if row.get("class_name") == "InputLayer"]
    return Header(
        format=name,
        framework="Keras",
        framework_version=version,
        architecture=clip(str(table.get("class_name", "")), 200),
        metadata={"layers": clip(", ".join(kinds), 400)} if kinds else {},
        inputs=tuple(map(_input, given[:50])),
        **fields,
    )


def _input(row: dict[str, Any]) -> Port:
    shape = _shape(row.get("batch_shape") or row.get("batch_input_shape"))
    return Port(clip(str(row.get("name", "")), 100), clip(str(row.get("dtype", "")), 40), clip(shape, 100))


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, dict) else {}


def _shape(value: Any) -> str:  # noqa: ANN401 - JSON
    return " x ".join("N" if size is None else str(size) for size in value[:12]) if isinstance(value, list) else ""


def _npz(view: View, entries: dict[str, Entry], budget: Budget) -> Header:
    tally = Tally()
    for name, entry in entries.items():
        if name.endswith(".npy"):
            found = tensors.numpy(View(_content(view, entry), name), budget)
            tally.tensors += found.tensors or 0
            tally.dtypes.update(found.dtypes)
    return Header(format="numpy", framework="NumPy", **tally.fields())  # type: ignore[arg-type]


def packed(view: View, budget: Budget) -> Header | None:
    """Unpack a compressed file within bounds, and read what is inside as a pickle. Raises FormatError."""
    head = view.head(6)
    try:
        if head[:2] == b"\x1f\x8b":
            content = zlib.decompressobj(31).decompress(bytes(view.data[:_INFLATED]), _INFLATED)
        elif head[:3] == b"BZh":
            content = bz2.BZ2Decompressor().decompress(bytes(view.data[:_INFLATED]), _INFLATED)
        elif head == b"\xfd7zXZ\0":
            content = lzma.LZMADecompressor(memlimit=256 << 20).decompress(bytes(view.data[:_INFLATED]), _INFLATED)
        else:
            start = 21 if head[:2] == b"ZF" else 0
            content = zlib.decompressobj(15).decompress(bytes(view.data[start:_INFLATED]), _INFLATED)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        msg = f"cannot be unpacked: {error}"
        raise FormatError(clip(msg, 200)) from error
    from stannary.formats.headers.pickles import summary

    return summary(View(content, view.name), budget, "pickle") if content[:1] == b"\x80" else None
