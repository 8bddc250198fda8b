# ruff: noqa: PTH114, PTH115, PTH118, PTH120 - link targets and descriptors as the system gives them; thousands of paths a scan
"""Files of a repository folder, read within bounds, and references between them."""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections.abc import Sequence
from typing import Any

from stannary.formats.interface import Sink, clip

__all__ = ["Folder"]

_LIMIT = 8 << 20


class Folder:
    """The files below a root, by relative path with `/`. Symbolic links are followed only inside the tree or a hub cache."""

    def __init__(self, root: str, files: Sequence[str], sink: Sink) -> None:
        self.root = root
        self.names = frozenset(name.replace(os.sep, "/") for name in files)
        self.sink = sink
        self._real = os.path.realpath(root)
        # The hub's cache: snapshots/REVISION/file -> ../../blobs/DIGEST
        self._blobs = os.path.join(os.path.dirname(os.path.dirname(self._real)), "blobs") + os.sep

    def path(self, name: str) -> str:
        """Return the path on disk."""
        return os.path.join(self.root, *name.split("/"))

    def link_target(self, name: str) -> tuple[str, bool] | None:
        """Return where a symbolic link leads and whether it leaves the tree; None when it is no link."""
        path = self.path(name)
        if not os.path.islink(path):
            return None
        target = os.path.realpath(path)
        inside = target == self._real or target.startswith((self._real + os.sep, self._blobs))
        return os.readlink(path), not inside

    def read(self, name: str, limit: int = _LIMIT) -> bytes | None:
        """Return the content of a regular file of at most `limit` bytes; None (and a note) for anything else."""
        link = self.link_target(name)
        if link is not None and link[1]:
            return None
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            self.sink.incomplete(f"{clip(name)}: cannot be opened: {exc.strerror}")
            return None
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            if status.st_size > limit:
                self.sink.incomplete(f"{clip(name)}: {status.st_size} bytes are too many for a configuration or source file")
                return None
            return stream.read(limit + 1)

    def head(self, name: str, count: int = 512) -> bytes:
        """Return the first bytes of a file, empty when it cannot be read."""
        link = self.link_target(name)
        if link is not None and link[1]:
            return b""
        try:
            with open(self.path(name), "rb", opener=_opener) as stream:
                return stream.read(count) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else b""
        except OSError:
            return b""

    def json(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON file's value, None when it cannot be read (the file's own reading reports why)."""
        raw = self.read(name)
        if raw is None:
            return None
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None

    def text(self, name: str) -> str:
        """Return a text file's content, empty when it cannot be read."""
        raw = self.read(name)
        return raw.decode("utf-8", "replace") if raw else ""

    def resolve(self, folder: str, reference: str) -> str:
        """Return the normal relative path of a reference from a folder; it may start with `..`."""
        return posixpath.normpath(posixpath.join(folder, reference.replace("\\", "/")))

    def module(self, folder: str, dotted: str) -> str | None:
        """Return the source file of a module name, looked up from a folder; None when there is none."""
        base = self.resolve(folder, dotted.replace(".", "/"))
        for candidate in (f"{base}.py", f"{base}/__init__.py"):
            if candidate in self.names:
                return candidate
        return None


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
