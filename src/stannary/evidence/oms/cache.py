"""Digests of files that did not change, so that signing again reads only what did.

One file a model, in the user's cache folder. It is authenticated with a key of the user's that is kept
elsewhere: a cache that came along with something else (a restored build cache, a shared folder) counts for
nothing. An entry holds for the device, inode, size, modification and change time of a file. As in git, an entry
is not trusted when the file changed within two seconds before it was hashed: it may have been written again
since with the same times. So a file just written is hashed again once.

Only `sign` uses it. Verifying, gating and loading read every byte.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stannary.evidence.oms.digests import Outcome
from stannary.formats.hashing import FileIdentity

__all__ = ["DigestCache"]

_VERSION = 1
_RACY = 2_000_000_000  # ns: the coarsest time stamps of file systems in use (FAT)
_MAC = 32
_MOST_BYTES = 256 << 20

# name → (device, inode, size, modified, changed, SHA-256)
_Row = tuple[int, int, int, int, int, bytes]


class _Content(msgspec.Struct, frozen=True, array_like=True):
    version: int
    root: str
    rows: dict[str, _Row]


class DigestCache:
    """The cache of one model. Whatever is wrong with it, it is empty and not an error."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self._folder = folder
        self._key_file = key_file
        self._rows: dict[str, _Row] = {}
        self._root = ""
        self._started = 0
        self._hits = 0

    @classmethod
    def of_user(cls) -> DigestCache:
        """Return the cache in the user's folders (XDG base directories)."""
        home = Path.home()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
        return cls(cache / "stannary" / "digests", state / "stannary" / "digest-cache.key")

    def load(self, root: str) -> None:
        """Read what is known of the model at `root` (a real path)."""
        self._root = hashlib.sha256(os.fsencode(root)).hexdigest()
        self._started = time.time_ns()
        self._hits = 0
        self._rows = self._read() or {}

    def get(self, name: str, real: str) -> Outcome | None:
        """Return the digest of a file that is the same as when it was hashed."""
        row = self._rows.get(name)
        if row is None:
            return None
        try:
            status = os.lstat(real)
        except OSError:
            return None
        if row[:5] != (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns):
            return None
        self._hits += 1
        return Outcome((row[5].hex(),), row[2], FileIdentity(*row[:5]))

    def save(self, found: Mapping[str, Outcome]) -> None:
        """Keep what was found, but for files that changed just before they were hashed."""
        if self._hits == len(found) == len(self._rows):
            return  # nothing changed
        latest = self._started - _RACY
        rows = {
            name: (*outcome.identity, bytes.fromhex(outcome.digests[0]))
            for name, outcome in found.items()
            if outcome.identity is not None and outcome.identity.modified < latest and outcome.identity.changed < latest
        }
        try:
            self._write(msgspec.msgpack.encode(_Content(_VERSION, self._root, rows)))
        except OSError:
            return  # a full disk or a read-only home: the next run hashes again

    @property
    def _path(self) -> Path:
        return self._folder / self._root[:40]

    def _read(self) -> dict[str, _Row] | None:
        try:
            key = self._key_file.read_bytes()
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError:
            return None
        tag, body = content[:_MAC], memoryview(content)[_MAC:]
        if len(key) != _MAC or len(content) > _MOST_BYTES or not hmac.compare_digest(tag, hmac.digest(key, body, "sha256")):
            return None
        try:
            found = msgspec.msgpack.decode(body, type=_Content)
        except msgspec.MsgspecError:
            return None
        return found.rows if (found.version, found.root) == (_VERSION, self._root) else None

    def _write(self, body: bytes) -> None:
        key = self._key()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, scratch = tempfile.mkstemp(dir=self._folder, prefix=".new.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hmac.digest(key, body, "sha256"))
                file.write(body)
            Path(scratch).replace(self._path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise

    def _key(self) -> bytes:
        """Return the user's key; it is made once, and readable by the user alone."""
        try:
            key = self._key_file.read_bytes()
            if len(key) == _MAC:
                return key
            self._key_file.unlink()  # half written
        except FileNotFoundError:
            pass
        self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = secrets.token_bytes(_MAC)
        try:
            descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return self._key_file.read_bytes()
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        return key
