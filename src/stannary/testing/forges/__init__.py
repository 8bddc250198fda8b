"""Forges: named builders of benign and hostile artifacts, made in memory and never loaded.

    @forge("gguf.template_ssti", filename="model.gguf", family="GGUF templates", malicious=True)
    def _() -> bytes: ...

A forge returns the bytes of one file, or a mapping of relative paths to bytes for a folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Forge", "all_forges", "forge", "make", "write"]

Content = bytes | Mapping[str, bytes]


class Forge(NamedTuple):
    """A registered builder. `malicious`: True, False, or None for malformed content (must not be called clean)."""

    name: str
    build: Callable[[], Content]
    filename: str
    family: str
    malicious: bool | None


_FORGES: dict[str, Forge] = {}
_loaded = False


def forge(
    name: str, *, filename: str, family: str, malicious: bool | None
) -> Callable[[Callable[[], Content]], Callable[[], Content]]:
    """Register a builder under `name` (`format.what`)."""

    def register(build: Callable[[], Content]) -> Callable[[], Content]:
        if name in _FORGES:
            msg = f"two forges are called {name}"
            raise ValueError(msg)
        _FORGES[name] = Forge(name, build, filename, family, malicious)
        return build

    return register


def all_forges() -> dict[str, Forge]:
    """Return every forge by name."""
    global _loaded  # noqa: PLW0603 - filled once
    if not _loaded:
        for module in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{module.name}")
        _loaded = True
    return _FORGES


def make(name: str) -> Content:
    """Build one. Raises KeyError with the name."""
    return all_forges()[name].build()


def write(name: str, folder: Path) -> Path:
    """Build one below `folder` and return the path to scan: the file, or the folder of a tree."""
    item = all_forges()[name]
    content = item.build()
    if isinstance(content, bytes):
        path = folder / item.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path
    root = folder / item.filename
    for relative, data in content.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    root.mkdir(exist_ok=True)
    return root
