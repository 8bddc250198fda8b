"""What is in a dataset: for each table its columns and how many rows, as far as the files say.

Read: Parquet (the footer alone), CSV and TSV (types by `column_types.py`, over every row), JSON Lines (every row: a key is a
column, `integer` and `number` together are `number`, any other two types are `mixed`, and null says nothing); a compressed or
another file counts with its size only. What could not be read is named with the reason, never passed over. The numbers are those of
whoever pushes.
"""

from __future__ import annotations

import csv
import hashlib
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stannary.core.errors import IntegrityError, StannaryError
from stannary.core.model import Artifact, File, Json
from stannary.formats.interface import View
from stannary.formats.thrift_compact import parse
from stannary.registry.column_types import infer

__all__ = ["describe"]

_TYPES = ("boolean", "int32", "int64", "int96", "float", "double", "bytes", "fixed bytes")
_MOST_COLUMNS = 10_000
_MOST_TABLES = 1_000
_LARGEST_LINE = 64 << 20
_FOOTER = 8
_LARGEST_FOOTER = 128 << 20
_OPERATIONS = 20_000_000


def describe(artifact: Artifact, path: Path) -> dict[str, Json]:
    """Return `rows` (of all tables), `tables` (file, format, rows, columns) and `unread` (file, reason).

    Raises IntegrityError when a file is not what the artifact says.
    """
    tables: list[Json] = []
    unread: list[Json] = []
    single = path.is_file()
    for file in artifact.files:
        reader = _reader(file.path)
        if reader is None:
            continue
        if len(tables) >= _MOST_TABLES:
            unread.append({"file": file.path, "reason": f"more than {_MOST_TABLES:,} tables"})
            break
        source = path if single else path / file.path
        try:
            found = reader(source, file)
        except (StannaryError, OSError, ValueError, csv.Error, msgspec.MsgspecError, RecursionError) as error:
            _refuse_changed(source, file)
            unread.append({"file": file.path, "reason": str(error)[:200]})
            continue
        _refuse_changed(source, file)
        tables.append({"file": file.path, **found})
    known: dict[str, Json] = {"rows": sum(table["rows"] for table in tables), "tables": tables}
    return known | ({"unread": unread} if unread else {})


def _refuse_changed(path: Path, file: File) -> None:
    """Raise IntegrityError when a file is no longer what was hashed: its rows and columns would be told of other contents."""
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        found = ""
    if found != file.sha256:
        msg = "changed while it was read"
        raise IntegrityError(msg, where=str(path), code="BLB001", help="push again when nothing writes there")


def _reader(name: str) -> Callable[[Path, File], dict[str, Any]] | None:
    ending = name.rpartition(".")[2].lower()
    return {"parquet": _parquet, "csv": _csv, "tsv": _tsv, "jsonl": _lines, "ndjson": _lines}.get(ending)


def _parquet(path: Path, file: File) -> dict[str, Any]:
    with path.open("rb") as opened:
        if file.size < 4 + _FOOTER:
            msg = "is shorter than a header and a footer"
            raise ValueError(msg)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            length = int.from_bytes(view[-_FOOTER:-4], "little")
            if bytes(view[-4:]) != b"PAR1" or length > min(file.size - 4 - _FOOTER, _LARGEST_FOOTER):
                msg = "has no footer of Parquet, or an encrypted one"
                raise ValueError(msg)
            footer = _footer(bytes(view[file.size - _FOOTER - length : file.size - _FOOTER]))
    rows = footer.get(3)
    if not isinstance(rows, int) or rows < 0:
        msg = f"says it has {rows} rows"
        raise ValueError(msg)
    elements = [item for item in footer.get(2, []) if isinstance(item, dict)]
    leaves = [item for item in elements[1:] if not item.get(5)]
    return {"format": "parquet", "rows": rows, "columns": [_column(item) for item in leaves[:_MOST_COLUMNS]]}


def _footer(content: bytes) -> dict[int, Any]:
    left = [_OPERATIONS]

    def take(count: int) -> None:
        left[0] -= count
        if left[0] < 0:
            msg = "has a footer of too many values"
            raise ValueError(msg)

    found, _ = parse(View(memoryview(content)), 0, take)
    return found


def _column(item: dict[int, Any]) -> dict[str, str]:
    name, kind = item.get(4), item.get(1)
    known = isinstance(kind, int) and 0 <= kind < len(_TYPES)
    return {
        "name": name.decode("utf-8", "replace")[:200] if isinstance(name, bytes) else "",
        "type": _TYPES[kind] if known and isinstance(kind, int) else "unknown",
    }


def _csv(path: Path, file: File) -> dict[str, Any]:
    return _separated(path, file, ",")


def _tsv(path: Path, file: File) -> dict[str, Any]:
    return _separated(path, file, "\t")


def _separated(path: Path, file: File, delimiter: str) -> dict[str, Any]:
    del file
    taken = [0]

    def lines(opened: Any) -> Iterator[str]:  # noqa: ANN401 - an open text file
        for line in _bounded(opened):
            taken[0] += len(line)
            yield line

    with path.open(encoding="utf-8-sig", newline="") as opened:
        rows = csv.reader(lines(opened), delimiter=delimiter)
        names = next(rows, [])[:_MOST_COLUMNS]
        count, kinds, empty = infer(rows, len(names), lambda: taken[0])
    columns = [
        {"name": name[:200], "type": kind, **({"empty": missing} if missing else {})}
        for name, kind, missing in zip(names, kinds, empty, strict=True)
    ]
    return {"format": "tsv" if delimiter == "\t" else "csv", "rows": count, "columns": columns}


def _lines(path: Path, file: File) -> dict[str, Any]:
    del file
    kinds: dict[str, str] = {}
    filled: dict[str, int] = {}
    count, number = 0, 0
    with path.open(encoding="utf-8-sig") as opened:
        for number, line in enumerate(_bounded(opened), 1):
            if line.isspace():
                continue
            count += 1
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                msg = f"line {number:,} is no JSON: {error}"
                raise ValueError(msg) from error
            for key, value in row.items() if isinstance(row, dict) else ():
                _widen(kinds, filled, key, value)
    columns = [
        {"name": name[:200], "type": kind or "null", **({"empty": count - filled[name]} if count > filled[name] else {})}
        for name, kind in kinds.items()
    ]
    return {"format": "jsonl", "rows": count, "columns": columns}


def _widen(kinds: dict[str, str], filled: dict[str, int], key: str, value: object) -> None:
    """Note what a value says about its column; keys that come after the first `_MOST_COLUMNS` are no columns."""
    before = kinds.get(key)
    if before is None:
        if len(kinds) >= _MOST_COLUMNS:
            return
        before, filled[key] = "", 0
    if value is None:
        kinds[key] = before
        return
    filled[key] += 1
    new = _KINDS[type(value)]
    kinds[key] = new if before in ("", new) else "number" if {before, new} == {"integer", "number"} else "mixed"


_KINDS: dict[type, str] = {str: "text", int: "integer", float: "number", bool: "boolean", list: "list", dict: "object"}


def _bounded(opened: Any) -> Iterator[str]:  # noqa: ANN401 - an open text file
    """Yield lines; one that would fill the memory is an error."""
    while line := opened.readline(_LARGEST_LINE):
        if len(line) == _LARGEST_LINE:
            msg = f"has a line of more than {_LARGEST_LINE >> 20} Mi characters"
            raise ValueError(msg)
        yield line
