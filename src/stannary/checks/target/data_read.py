"""Readers of evaluation data: files into columns or arrays. What a file is, its content says."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from stannary.checks.target.data_lines import is_json, json_columns
from stannary.core.errors import InputError, UsageError

__all__ = ["Raw", "read"]

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*", b"P5", b"P6")
_X_NAMES = ("x", "X", "x_test", "X_test", "images", "test_images", "data", "inputs", "features")
_Y_NAMES = ("y", "Y", "y_test", "Y_test", "labels", "test_labels", "target", "targets", "label")
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_GZIP, _ZIP, _NPY, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY", b"PAR1"
_MOST_PIXELS = 50_000_000
_TSV, _CSV = "\t", ",;|"


@dataclass
class Raw:
    """What was read: either `table`, columns by name, or arrays `x` and `y`."""

    where: str
    digest: str
    table: dict[str, Any] | None = None  # a float array, or a list of texts; missing ones are NaN and None
    x: Any = None
    y: Any = None
    kind: str = ""
    names: tuple[str, ...] = ()
    bytes_: bool = False  # values are 0 to 255
    finite: Any = None


def read(path: Path, *, target: str, labels: Path | None, most_bytes: int) -> Raw:
    """Read a file or folder; see `open_data`."""
    if path.is_dir():
        return _folder(path, most_bytes)
    content = _content(path, most_bytes)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    where = str(path)
    content = _unpacked(content, where, most_bytes)
    if _is_idx(content):
        return _idx(path, content, digest, labels, most_bytes)
    if content.startswith(_NPY):
        return _npy(content, where, digest, labels, most_bytes)
    if content.startswith(_ZIP):
        return _npz(content, where, digest, target, most_bytes)
    if content.startswith(_PARQUET):
        return Raw(where, digest, table=_parquet(content, where))
    return Raw(where, digest, table=json_columns(content, where) if is_json(content) else _text(content, where))


def _content(path: Path, most_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most_bytes:
            msg = f"{size} bytes are more than are read here ({most_bytes})"
            raise InputError(
                msg, where=str(path), help="a sample of the rows is enough: intervals depend on the number, not the share"
            )
        content = path.read_bytes()
    except OSError as exc:
        msg = f"the data cannot be read: {exc.strerror}"
        raise UsageError(msg, where=str(path)) from exc
    if not content:
        msg = "the file is empty"
        raise InputError(msg, where=str(path))
    return content


def _unpacked(content: bytes, where: str, most_bytes: int) -> bytes:
    if not content.startswith(_GZIP):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as exc:
        msg = f"the gzip stream is broken: {exc}"
        raise InputError(msg, where=where) from exc
    if len(unpacked) > most_bytes:
        msg = f"unpacked it is more than {most_bytes} bytes"
        raise InputError(msg, where=where)
    return unpacked


# IDX


def _is_idx(content: bytes) -> bool:
    return content[:2] == b"\0\0" and len(content) > 8 and content[2] in _IDX_TYPES and 1 <= content[3] <= 4  # noqa: PLR2004 - its header


def _idx_array(content: bytes, where: str) -> Any:  # noqa: ANN401 - numpy
    """Return an IDX array (its specification stands on the page of MNIST)."""
    if not _is_idx(content):
        msg = "this is no IDX file"
        raise InputError(msg, where=where)
    count = content[3]
    head = 4 + 4 * count
    shape = tuple(np.frombuffer(content[4:head], ">u4").tolist())
    kind = np.dtype(_IDX_TYPES[content[2]])
    size = kind.itemsize
    for length in shape:
        size *= length
    if len(shape) != count or len(content) - head != size:
        msg = f"the IDX header says {shape} of {kind.name}, {size} bytes; there are {len(content) - head}"
        raise InputError(msg, where=where)
    return np.frombuffer(content, kind, offset=head).reshape(shape)


def _idx(path: Path, content: bytes, digest: str, labels: Path | None, most_bytes: int) -> Raw:
    where = str(path)
    x = _idx_array(content, where)
    if x.ndim == 1:
        msg = "this IDX file has labels, not inputs"
        raise InputError(msg, where=where, help="name the file of the images; its labels are found beside it")
    beside = labels or next((one for one in _beside(path) if one.is_file()), None)
    if beside is None:
        msg = "there are no labels beside it"
        raise InputError(msg, where=where, help="name them: --labels t10k-labels-idx1-ubyte")
    more = _content(beside, most_bytes)
    y = _idx_array(_unpacked(more, str(beside), most_bytes), str(beside))
    if y.ndim != 1:
        msg = f"the labels have shape {y.shape}"
        raise InputError(msg, where=str(beside))
    both = hashlib.sha256(f"{digest}\nsha256:{hashlib.sha256(more).hexdigest()}".encode()).hexdigest()
    picture = x.dtype == np.uint8 and x.ndim in (3, 4)
    return Raw(
        where, f"sha256:{both}", x=_channels(x) if picture else x, y=y.tolist(), kind="image" if picture else "", bytes_=picture
    )


def _beside(path: Path) -> list[Path]:
    """Return where the labels to an IDX file of images may be."""
    name = re.sub(r"images([-.])idx\d", r"labels\1idx1", path.name)
    found = [path.with_name(name), path.with_name(path.name.replace("images", "labels"))]
    more = [one.with_suffix("") if one.suffix == ".gz" else one.with_name(one.name + ".gz") for one in found]
    return [one for one in (*found, *more) if one.name != path.name]


def _channels(x: Any) -> Any:  # noqa: ANN401 - numpy
    """Return pictures as `(n, channels, height, width)`."""
    if x.ndim == 3:  # noqa: PLR2004 - grey
        return x[:, None]
    return np.moveaxis(x, 3, 1) if x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3) else x


# numpy


def _array(content: bytes, where: str, most_bytes: int) -> Any:  # noqa: ANN401 - numpy
    try:
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = reader(file)
        if kind.itemsize * int(np.prod(shape, dtype=object)) > most_bytes:
            _too_large(f"the array says it has shape {shape}", where, most_bytes)
        file.seek(0)
        array = np.load(file, allow_pickle=False)
    except InputError:
        raise
    except (ValueError, EOFError, OSError, TypeError, SyntaxError, MemoryError) as exc:
        why = "it holds Python objects, which are not read: they can run code" if "allow_pickle" in str(exc) else str(exc)
        msg = f"the array cannot be read: {why}"
        raise InputError(msg, where=where) from exc
    if array.dtype.kind not in "fiubUS":
        msg = f"arrays of {array.dtype} are no evaluation data"
        raise InputError(msg, where=where)
    return array


def _too_large(what: str, where: str, most_bytes: int) -> NoReturn:
    msg = f"{what}: more than {most_bytes} bytes"
    raise InputError(msg, where=where)


def _npy(content: bytes, where: str, digest: str, labels: Path | None, most_bytes: int) -> Raw:
    x = _array(content, where, most_bytes)
    if labels is not None:
        more = _content(labels, most_bytes)
        y = _array(more, str(labels), most_bytes) if more.startswith(_NPY) else _idx_array(more, str(labels))
        both = hashlib.sha256(f"{digest}\nsha256:{hashlib.sha256(more).hexdigest()}".encode()).hexdigest()
        return _pair(x, y, where, f"sha256:{both}")
    if x.ndim != 2 or x.shape[1] < 2 or x.dtype.kind in "US":  # noqa: PLR2004 - rows, columns, features and label
        msg = f"an array of shape {x.shape} and type {x.dtype} has no column of labels"
        raise InputError(msg, where=where, help="name the labels: --labels y.npy")
    return Raw(where, digest, x=x[:, :-1], y=x[:, -1].tolist(), finite=np.isfinite(x[:, -1]) if x.dtype.kind == "f" else None)


def _npz(content: bytes, where: str, digest: str, target: str, most_bytes: int) -> Raw:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")}
            x_name = next((name for name in _X_NAMES if name in members), "")
            y_name = target or next((name for name in _Y_NAMES if name in members), "")
            if not x_name or y_name not in members or x_name == y_name:
                msg = f"there are the arrays {', '.join(members) or '(none)'}; which are inputs and labels?"
                raise InputError(msg, where=where, help="call them `x` and `y`, or name the labels: --target NAME")
            arrays = []
            for name in (x_name, y_name):
                if members[name].file_size > most_bytes:
                    _too_large(f"{name} says it has {members[name].file_size} bytes", where, most_bytes)
                arrays.append(_array(archive.read(members[name]), f"{where}:{name}", most_bytes))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as exc:
        msg = f"the archive cannot be read: {exc}"
        raise InputError(msg, where=where) from exc
    return _pair(arrays[0], arrays[1], where, digest)


def _pair(x: Any, y: Any, where: str, digest: str) -> Raw:  # noqa: ANN401 - numpy
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # noqa: PLR2004 - a column of its own
    if y.ndim != 1 or x.ndim < 1 or x.dtype.kind in "US":
        msg = f"inputs of shape {x.shape} and type {x.dtype} with labels of shape {y.shape} are no evaluation data"
        raise InputError(msg, where=where)
    x = x[:, None] if x.ndim == 1 else x
    picture = x.dtype == np.uint8 and x.ndim in (3, 4)
    finite = np.isfinite(y) if y.dtype.kind == "f" else None
    return Raw(
        where,
        digest,
        x=_channels(x) if picture else x,
        y=y.tolist(),
        kind="image" if picture else "",
        bytes_=picture,
        finite=finite,
    )


# Tables


def _parquet(content: bytes, where: str) -> dict[str, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        msg = "Parquet needs pyarrow"
        raise UsageError(msg, where=where, help="pip install pyarrow") from exc
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as exc:
        msg = f"the Parquet file cannot be read: {exc}"
        raise InputError(msg, where=where) from exc
    found: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type  # noqa: PLW2901 - the same column, plain
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found[name] = np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            found[name] = column.to_pylist()
        else:
            msg = f"column {name!r} is of type {kind}: neither numbers nor words"
            raise InputError(msg, where=where, help="leave it out, or write it as a number")
    return found


def _text(content: bytes, where: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        msg = f"this is no data that is read here: neither Parquet, npy, npz, IDX nor text in UTF-8 (byte {exc.start})"
        raise InputError(msg, where=where) from exc
    if "\0" in text:
        msg = "this is no text: it has zero bytes"
        raise InputError(msg, where=where)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    mark = _TSV if _TSV in first else max(_CSV, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=mark, skipinitialspace=True) if row]
    except csv.Error as exc:
        msg = f"this is no table: {exc}"
        raise InputError(msg, where=where) from exc
    if not rows or len(rows[0]) < 2:  # noqa: PLR2004 - features and label
        msg = f"a table needs two columns at least; the first line is {first[:60]!r}"
        raise InputError(msg, where=where)
    headed = not all(_is_number(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if headed else [f"x{at}" for at in range(len(rows[0]))]
    body = rows[1:] if headed else rows
    odd = next((at for at, row in enumerate(body) if len(row) != len(names)), None)
    if odd is not None:
        msg = f"row {odd + 1 + headed} has {len(body[odd])} columns, the first one has {len(names)}"
        raise InputError(msg, where=where)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"there are two columns {twice!r}"
        raise InputError(msg, where=where)
    return (
        {name: _column(cells) for name, cells in zip(names, zip(*body, strict=True), strict=True)}
        if body
        else dict.fromkeys(names, ())
    )


_MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING
    return "_" not in cell


def _column(cells: tuple[str, ...]) -> Any:  # noqa: ANN401 - see Raw
    """Return numbers where all cells are, words otherwise; what is missing is NaN or None."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    if all(map(_is_number, cells)):
        return np.array([np.nan if cell.strip().lower() in _MISSING else float(cell) for cell in cells])
    return [None if (text := cell.strip()).lower() in _MISSING else text for cell in cells]


# Folders


def _folder(path: Path, most_bytes: int) -> Raw:
    if not any(path.iterdir()):
        msg = "the folder is empty"
        raise InputError(msg, where=str(path))
    images = sorted(one for one in path.iterdir() if one.is_file() and "images" in one.name and "idx" in one.name)
    tests = [one for one in images if one.name.startswith(("t10k", "test"))] or images
    if tests:
        return read(tests[0], target="", labels=None, most_bytes=most_bytes)
    classes = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
    files = [
        (one.name, file) for one in classes for file in sorted(one.iterdir()) if file.is_file() and not file.name.startswith(".")
    ]
    if not files:
        msg = "there are no folders with pictures in it, one a class"
        raise InputError(msg, where=str(path), help="FOLDER/cat/1.png, FOLDER/dog/1.png, ...")
    total = sum(file.stat().st_size for _, file in files)
    if total > most_bytes:
        msg = f"the pictures have {total} bytes together: more than are read here ({most_bytes})"
        raise InputError(msg, where=str(path))
    digest = hashlib.sha256()
    pictures = []
    for label, file in files:
        content = file.read_bytes()
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {label}/{file.name}\n".encode())
        pictures.append(_picture(content, file))
    shapes = {picture.shape for picture in pictures}
    if len({shape[1:] for shape in shapes}) > 1:
        sizes = ", ".join(f"{shape[2]}x{shape[1]}" for shape in sorted(shapes)[:4])
        msg = f"the pictures differ in size: {sizes}"
        raise InputError(msg, where=str(path), help="bring them to the size that the model takes")
    channels = max(shape[0] for shape in shapes)
    x = np.stack([picture if len(picture) == channels else np.repeat(picture, channels, 0) for picture in pictures])
    return Raw(str(path), f"sha256:{digest.hexdigest()}", x=x, y=[label for label, _ in files], kind="image", bytes_=True)


def _picture(content: bytes, file: Path) -> Any:  # noqa: ANN401 - numpy
    """Return a picture `(1 or 3, height, width)` of bytes."""
    if not content.startswith(_PICTURES):
        msg = "this is no picture"
        raise InputError(msg, where=str(file))
    try:
        from PIL import Image
    except ImportError as exc:
        msg = "pictures need Pillow"
        raise UsageError(msg, where=str(file), help="pip install pillow") from exc
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > _MOST_PIXELS:
                msg = f"a picture of {image.width}x{image.height} is too large"
                raise InputError(msg, where=str(file))
            grey = image.mode in ("1", "L", "I", "F", "I;16")
            array = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        msg = f"the picture cannot be read: {exc}"
        raise InputError(msg, where=str(file)) from exc
    return array[None] if grey else np.moveaxis(array, 2, 0)
