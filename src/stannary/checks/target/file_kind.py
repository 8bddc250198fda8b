"""What a model file is called by the people who made it, told from a few of its bytes: nothing is loaded, no library imported."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

from stannary.checks.target.booster_file import booster_kind

__all__ = ["file_kind", "torch_kind"]

_HEAD = 1 << 16
_TORCH = {"script": "torchscript", "export": "torch.export", "compiled": "aotinductor", "pickle": "torch"}
_LEGACY = b"\x80\x02\x8a\n"  # of torch before it wrote archives
_ONNX = (b"\x08", b"\x0a", b"\x12", b"\x3a")  # the first fields of its protobuf


def torch_kind(content: bytes | BinaryIO) -> str:
    """Tell what a torch file is by its members: `script`, `export`, `compiled`, `pickle`, or empty for none of them."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    stream.seek(0)
    if stream.read(len(_LEGACY)) == _LEGACY:
        return "pickle"
    names = _members(stream)
    names |= {name.partition("/")[2] for name in names}
    if any(name.endswith((".so", ".cpp", ".cubin")) for name in names) and any("aotinductor" in name for name in names):
        return "compiled"
    if "archive_format" in names or any(name.startswith("models/") and name.endswith(".json") for name in names):
        return "export"
    if "serialized_exported_program.json" in names:
        return "export"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "script"
    return "pickle" if "data.pkl" in names else ""


def _members(stream: BinaryIO) -> set[str]:
    try:
        with zipfile.ZipFile(stream) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return set()


def file_kind(path: Path, format: str = "") -> str:  # noqa: A002 - what the scan calls it
    """Return `torchscript`, `torch`, `onnx`, `keras`, `skops`, `xgboost` and so on; of all else `format`, which the scan says."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            if head.startswith((b"PK\x03\x04", _LEGACY)):
                kind = _TORCH.get(torch_kind(stream), "")
                names = set() if kind else _members(stream)
                return kind or ("skops" if "schema.json" in names else "keras" if "config.json" in names else format)
    except OSError:
        return format
    if head[:8] == b"\x89HDF\r\n\x1a\n" and path.suffix in (".keras", ".h5", ".hdf5"):
        return "keras"
    boosted = booster_kind(head).partition("-")[0]
    return boosted or ("onnx" if format == "protobuf" and head.startswith(_ONNX) else format)
