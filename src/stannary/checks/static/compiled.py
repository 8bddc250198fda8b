"""Modules that a jailed worker had to compile for itself: their bytecode is kept by the process outside of the jail.

pip compiles what it installs; uv and an editable installation leave that to Python, which keeps the bytecode of a module
when it is first imported. A worker may write nothing, so what workers alone import, readers above all, would be compiled
again by every scan: 0.07 s for a single file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["keep", "uncompiled"]

_HEADER = 16  # bytes of a compiled module before its code: magic, flags, time and size of the source (PEP 552)
_MOST = 1000


def uncompiled(since: int) -> tuple[str, ...]:
    """Return the modules of this package, after the first `since` that were imported, whose bytecode is on no disk."""
    if sys.dont_write_bytecode:
        return ()
    found = []
    for name in list(islice(sys.modules, since, None)):
        spec = getattr(sys.modules[name], "__spec__", None)
        if name.startswith("stannary.") and spec is not None and not _is_kept(spec):
            found.append(name)
    return tuple(found)


def keep(names: Iterable[str]) -> None:
    """Compile modules of this package and write their bytecode, where that is allowed. What is asked for is checked."""
    import importlib.util  # once an installation
    from importlib.machinery import SourceFileLoader

    if sys.dont_write_bytecode:
        return
    for name in islice(sorted(names), _MOST):
        parts = name.split(".")
        if parts[0] != "stannary" or not all(part.isidentifier() for part in parts):
            continue
        with suppress(ImportError, OSError):  # it costs time, nothing else
            spec = importlib.util.find_spec(name)
            if spec is not None and isinstance(spec.loader, SourceFileLoader) and not _is_kept(spec) and _is_writable(spec):
                spec.loader.get_code(name)  # for its effect


def _is_kept(spec: ModuleSpec) -> bool:
    """Tell whether the bytecode is there and not older than the source, as the import system does."""
    if not spec.cached or not spec.origin:
        return True
    try:
        with open(spec.cached, "rb") as file:
            head = file.read(_HEADER)
        source = os.stat(spec.origin)
    except OSError:
        return False
    if len(head) == _HEADER and any(head[4:8]):
        return True  # not told by its time
    return head[8:] == b"".join((int(n) & 0xFFFFFFFF).to_bytes(4, "little") for n in (source.st_mtime, source.st_size))


def _is_writable(spec: ModuleSpec) -> bool:
    folder = os.path.dirname(spec.cached or "")
    return os.access(folder if os.path.isdir(folder) else os.path.dirname(folder), os.W_OK)
