"""What MLflow's client uploaded and did not register yet: files of one caller, which nobody else sees or changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from stannary.core.errors import BackendError, InputError, UsageError
from stannary.registry.names import Name, parse_model
from stannary.server.operations import Call

__all__ = ["Staging", "parts_of"]

_DAY = 86_400
_DEEP = 40
_LONGEST = 250


def parts_of(path: str) -> list[str]:
    """Return the parts of a path that a client sent. Raises UsageError for one that leads elsewhere."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    for part in parts:
        odd = part in ("", ".", "..") or "\\" in part or any(ord(char) < 32 for char in part)  # noqa: PLR2004 - control characters
        if odd or len(part.encode("utf-8", "replace")) > _LONGEST or len(parts) > _DEEP:
            msg = f"is no path of an artifact: {path[:120]!r}"
            raise UsageError(msg, where="path", code="API002", help="names, with / between them")
    return parts


class Staging:
    """The uploads of one caller, below the workspace. What nobody registered within a day is taken away by the next upload."""

    def __init__(self, root: Path, caller: str) -> None:
        self._everybody = root
        self.root = root / hashlib.sha256(caller.encode()).hexdigest()[:32]

    @classmethod
    def of(cls, call: Call) -> Staging:
        """Return the uploads of the caller."""
        return cls(call.store.chain.workspace.root / "mlflow-uploads", call.principal.id)

    def place(self, path: str) -> tuple[Name, Path]:
        """Return what an upload is for, and where it lies. Raises UsageError unless it is NAMESPACE/NAME/ANY…."""
        parts = parts_of(path)
        if len(parts) < 3:  # noqa: PLR2004 - a namespace, a name, and something
            msg = f"does not say what it is for: {path[:120]!r}"
            raise UsageError(msg, where="path", code="API002", help="mlflow-artifacts:/uploads/NAMESPACE/NAME/ANY")
        return parse_model(f"{parts[0]}/{parts[1]}"), self.root.joinpath(*parts)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Keep a file: whole, or not at all."""
        _, target = self.place(path)
        self._forget_old()
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, scratch = tempfile.mkstemp(dir=self.root, prefix=".part-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                Path(scratch).replace(target)
            finally:
                Path(scratch).unlink(missing_ok=True)
        except OSError as error:
            msg = f"the upload cannot be kept: {error.strerror or error}"
            raise BackendError(msg, where=path, code="API013", help="free the disk, or upload to another path") from error

    def files(self, path: str) -> list[tuple[str, int | None]]:
        """Return what is in a folder: names, with sizes of files."""
        _, folder = self.place(path)
        if not folder.is_dir():
            return []
        return sorted((item.name, item.stat().st_size if item.is_file() else None) for item in folder.iterdir())

    @contextlib.contextmanager
    def taken(self, path: str) -> Iterator[Path]:
        """Return an upload that nobody adds to any more; it is gone when it was registered, and back when it could not be."""
        _, source = self.place(path)
        if not source.exists():
            msg = "nothing was uploaded there by this caller"
            raise InputError(
                msg, where=f"mlflow-artifacts:/uploads/{path}", code="API014", help="upload first, with the same token"
            )
        folder = Path(tempfile.mkdtemp(dir=self.root, prefix=".taken-"))
        held = folder / source.name
        try:
            source.rename(held)
            try:
                yield held
            except BaseException:
                with contextlib.suppress(OSError):  # something new is there meanwhile: then that is what counts
                    held.rename(source)
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _forget_old(self) -> None:
        if not self._everybody.exists():
            return
        for path in self._everybody.glob("*/*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _DAY and not _young(path):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _young(folder: Path) -> bool:
    return any(item.stat().st_mtime > time.time() - _DAY for item in folder.rglob("*"))
