"""Objects as files below a folder.

An object is written under another name, flushed (`fsync`), linked to its own name, and the folder it is in is
flushed: after that it survives a loss of power, and before that nobody sees it. A link does not replace, so that
of two writers one is told that the object was there. What a writer leaves behind when it is killed lies in
`.unfinished`; each such file is locked while its writer lives, so the next one to open the folder can tell, and
takes away only what is nobody's.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NoReturn

from stannary.core.errors import BackendError, IntegrityError, StannaryError
from stannary.store.blobs.direct_file import LONG, DirectFile
from stannary.store.blobs.interface import CHUNK
from stannary.store.blobs.objects import Stat
from stannary.store.blobs.plain import PlainBlobs

__all__ = ["FolderBlobs", "FolderObjects"]

_UNFINISHED = ".unfinished"
_BUFFER = 1 << 16  # less than a chunk: what is longer than a buffer is not copied into it, but written as it is
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_HELP = {
    errno.ENOSPC: "free the disk",
    errno.EDQUOT: "raise the quota",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
    errno.EIO: "check the disk",
}


class FolderObjects:
    """Objects below a folder, which is made when something is put there. Threads and processes may share it."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._durable: set[Path] = set()  # folders known to survive a loss of power: flushing them once is enough
        with self._blaming():
            self._clean()

    @property
    def where(self) -> str:
        """Return the path."""
        return str(self.root)

    def head(self, name: str) -> Stat | None:
        """Return size and time of an object."""
        with self._blaming(name):
            try:
                return _stat((self.root / name).lstat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, name: str, chunks: Iterable[bytes | memoryview], size: int) -> bool:
        """Make an object unless it is there, see `Objects.create`."""
        path = self.root / name
        with self._blaming(name):
            if path.exists():
                _flush(path.parent)  # whoever made it may not have come to this yet
                return False
        with self._unfinished(name) as (partial, file):
            with contextlib.closing(DirectFile(file.fileno())) if size >= LONG else contextlib.nullcontext(file) as target:
                for chunk in chunks:
                    with self._blaming(name):
                        target.write(chunk)
                with self._blaming(name):
                    target.flush()
            with self._blaming(name):
                _settle(file)
                self._make_parents(path)
                made = _link(partial, path)
                _flush(path.parent)
            return made

    def replace(self, name: str, content: bytes) -> None:
        """Put a content in the place of another, see `Objects.replace`."""
        path = self.root / name
        with self._unfinished(name) as (partial, file), self._blaming(name):
            file.write(content)
            _settle(file)
            self._make_parents(path)
            partial.rename(path)
            _flush(path.parent)

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of an object, see `Objects.read`."""
        with self._blaming(name):
            descriptor = os.open(self.root / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            while start < end:
                with self._blaming(name):
                    chunk = os.pread(descriptor, min(CHUNK, end - start), start)
                if not chunk:
                    msg = f"the file ends {end - start} bytes before it should"
                    raise IntegrityError(msg, where=str(self.root / name), code="BLB005", help="restore it from a backup")
                start += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    def names(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the files below a folder."""
        pending = [prefix.rstrip("/")]
        while pending:
            folder = pending.pop()
            with self._blaming(folder):
                found = list(_entries(self.root / folder))
            for name, info in found:
                path = f"{folder}/{name}" if folder else name
                if stat.S_ISDIR(info.st_mode):
                    if path != _UNFINISHED:
                        pending.append(path)
                elif known := _stat(info):
                    yield path, known

    def delete(self, name: str) -> bool:
        """Take a file away, durably."""
        path = self.root / name
        with self._blaming(name):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            _flush(path.parent)
            return True

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextlib.contextmanager
    def _unfinished(self, name: str) -> Iterator[tuple[Path, IO[bytes]]]:
        """Give a locked new file, and take it away in the end if it still has that name."""
        with self._blaming(name):
            partial, file = self._begin()
        try:
            with self._blaming(name), file:  # what did not fit is tried once more when the file is closed
                yield partial, file
        finally:
            # It was never acknowledged; the next one to open the folder takes away what cannot be now.
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _begin(self) -> tuple[Path, IO[bytes]]:
        if not self.root.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            _flush(self.root.absolute().parent)
        (self.root / _UNFINISHED).mkdir(mode=0o700, exist_ok=True)
        while True:
            partial = self.root / _UNFINISHED / secrets.token_hex(16)
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o444)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:  # else somebody took it for left behind before it was locked
                return partial, os.fdopen(descriptor, "wb", buffering=_BUFFER)
            os.close(descriptor)

    def _clean(self) -> None:
        """Take away what writers left that do not live any more."""
        for name, _ in list(_entries(self.root / _UNFINISHED)):
            path = self.root / _UNFINISHED / name
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue  # it is gone, or another user's: theirs to clean
            with contextlib.suppress(OSError):  # it is being written
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            os.close(descriptor)

    def _make_parents(self, path: Path) -> None:
        """Make the folders between the root and a file, each durably, also when another made it and did not come to that."""
        if path.parent in self._durable:
            return
        folder = self.root
        for part in path.parent.relative_to(self.root).parts:
            (folder / part).mkdir(exist_ok=True)
            _flush(folder)
            folder /= part
        self._durable.add(path.parent)

    @contextlib.contextmanager
    def _blaming(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except StannaryError:
            raise
        except OSError as error:
            self._blame(name, error)

    def _blame(self, name: str, error: OSError) -> NoReturn:
        msg = f"the blob store cannot be used: {error.strerror or error}"
        raise BackendError(
            msg, where=str(self.root / name), code="BLB006", help=_HELP.get(error.errno or 0, "check the folder")
        ) from error


class FolderBlobs(PlainBlobs):
    """A blob store in a folder: `sha256/ab/cdef…` are the contents themselves."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(FolderObjects(root))


def _stat(info: os.stat_result) -> Stat | None:
    """Return what is known of a regular file; what is something else is no object."""
    if not stat.S_ISREG(info.st_mode):
        return None
    return Stat(info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # taken away since
                    yield entry.name, entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return


def _link(partial: Path, path: Path) -> bool:
    """Give a file its name unless there is one; False when there is."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links (FAT, some network shares): the content of a name is the same whoever wrote it.
        there = path.exists()
        partial.rename(path)
        return not there
    return True


def _settle(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
