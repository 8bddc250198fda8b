"""Dependencies: requirements and the other lists that `formats.requirements_text` reads, and lock files."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.bounded_json import loads
from stannary.formats.interface import Budget, View, clip
from stannary.formats.requirements_text import normal_name
from stannary.formats.requirements_text import read as read_requirements
from stannary.report.bom.reading.answer import Package

__all__ = ["is_lock", "read"]

_LARGEST = 16 << 20
_MOST = 20_000
_LISTS = re.compile(
    r"requirements[^/]*\.(?:txt|in)|[^/]*requirements\.(?:txt|in)|pyproject\.toml|setup\.cfg|pipfile|(?:environment|conda)[^/]*\.ya?ml"
)
_LOCKS = frozenset({"poetry.lock", "uv.lock", "pdm.lock", "pipfile.lock"})
_PYLOCK = re.compile(r"pylock(?:\.[^/]+)?\.toml")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")


def is_lock(base: str) -> bool:
    """Tell by a file's lower-case name whether dependencies stand in it."""
    return base in _LOCKS or _LISTS.fullmatch(base) is not None or _PYLOCK.fullmatch(base) is not None


def read(view: View, base: str, budget: Budget) -> list[Package]:
    """Return the packages that a file names. Raises FormatError."""
    if base == "pipfile.lock":
        return _pipfile_lock(view.text(_LARGEST))
    if base in _LOCKS or _PYLOCK.fullmatch(base):
        return _toml_lock(view.text(_LARGEST))
    sink = _Entries(budget)
    read_requirements(View(view.data, "requirements.txt" if base.endswith((".txt", ".in")) else base), sink)
    hashes = _requirement_hashes(view, base)
    return [
        Package(row["name"], row["version"] or "", row["specifier"], clip(row["url"], 300), hashes.get(row["name"], ()))
        for row in sink.rows
        if row["name"]
    ]


class _Entries:
    """The sink of a reader, of which only the entries are kept."""

    siblings: frozenset[str] = frozenset()

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.rows: list[dict[str, Json]] = []

    def fact(self, kind: str, _offset: int | None = None, /, **data: Json) -> None:
        if kind == "requirements.entry" and len(self.rows) < _MOST:
            self.rows.append(data)

    def child(self, *_arguments: Any, **_named: Any) -> None: ...  # noqa: ANN401 - not followed

    def inflate(self, *_arguments: Any, **_named: Any) -> None: ...  # noqa: ANN401 - not followed

    def incomplete(self, reason: str, _offset: int | None = None) -> None: ...

    def inert(self, reason: str) -> None: ...


def _requirement_hashes(view: View, base: str) -> dict[str, tuple[str, ...]]:
    if not base.endswith((".txt", ".in")):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    joined = view.text(_LARGEST).replace("\\\n", " ").replace("\\\r\n", " ")
    for line in joined.splitlines():
        hashes = tuple(match.lower() for match in _HASH.findall(line))
        name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if hashes and name:
            found[normal_name(name[1])] = hashes[:200]
    return found


def _toml_lock(text: str) -> list[Package]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        msg = f"not TOML: {clip(str(error), 100)}"
        raise FormatError(msg) from error
    rows = document.get("package", document.get("packages"))
    found: list[Package] = []
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or not isinstance(row.get("name"), str) or len(found) >= _MOST:
            continue
        files = [row.get("sdist"), *_list(row.get("wheels")), *_list(row.get("files"))]
        hashes = [match.lower() for entry in files if isinstance(entry, dict) for match in _hashes(entry)]
        found.append(Package(normal_name(clip(row["name"])), clip(str(row.get("version", "")), 100), hashes=tuple(hashes[:200])))
    return found


def _hashes(entry: dict[str, Any]) -> list[str]:
    single = entry.get("hash")
    table = entry.get("hashes")
    found: list[str] = _HASH.findall(single) if isinstance(single, str) else []
    if isinstance(table, dict) and isinstance(table.get("sha256"), str):
        found += re.findall(r"[0-9a-fA-F]{64}", table["sha256"])
    return found


def _pipfile_lock(text: str) -> list[Package]:
    document = loads(text)
    found: list[Package] = []
    for group in ("default", "develop"):
        table = document.get(group) if isinstance(document, dict) else None
        for name, row in table.items() if isinstance(table, dict) else ():
            version = row.get("version", "") if isinstance(row, dict) else ""
            listed = _list(row.get("hashes")) if isinstance(row, dict) else []
            hashes = tuple(match.lower() for text in listed if isinstance(text, str) for match in _HASH.findall(text))
            if len(found) < _MOST:
                pinned = str(version).removeprefix("==") if str(version).startswith("==") else ""
                found.append(Package(normal_name(clip(str(name))), clip(pinned, 100), hashes=hashes[:200]))
    return found


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - what a lock holds
    return value if isinstance(value, list) else []
