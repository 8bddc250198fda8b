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
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stannary.evidence.oms.digests import Outcome
from stannary.formats.tree import Entry

__all__ = ["DigestCache"]

_VERSION = 1
_RACY = 2_000_000_000  # ns: the coarsest time stamps of file systems in use (FAT)
_MAC = 32
_MOST_BYTES = 256 << 20

# name → (size, device, inode, modified, changed, SHA-256): in the order of an Entry
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
        self._kept: dict[str, _Row] = {}
        self._stale = False
        self._root = ""
        self._started = 0

    @classmethod
    def of_user(cls) -> DigestCache:
        """Return the cache in the user's folders (XDG base directories)."""
        home = Path.home()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
        return cls(cache / "stannary" / "digests", state / "stannary" / "digest-cache.key")

    def load(self, root: str, entries: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
        """Return the digests of those files of the model at `root` (a real path) that are as they were when hashed."""
        self._started = time.time_ns()
        self._root = hashlib.sha256(os.fsencode(root)).hexdigest()
        rows = self._read() or {}
        self._kept = {name: row for name, row in rows.items() if (entry := entries.get(name)) and row[:5] == entry[2:]}
        self._stale = len(self._kept) != len(rows)
        return {name: (row[5].hex(),) for name, row in self._kept.items()}

    def save(self, found: Mapping[str, Outcome]) -> None:
        """Keep what was hashed now, but for files that changed just before they were."""
        latest = self._started - _RACY
        fresh: dict[str, _Row] = {}
        for name, outcome in found.items():
            file = outcome.identity
            if file is not None and file.modified < latest and file.changed < latest:
                row = (file.size, file.device, file.inode, file.modified, file.changed, bytes.fromhex(outcome.digests[0]))
                fresh[name] = row
        if not fresh and not self._stale:
            return  # nothing changed
        try:
            self._write(msgspec.msgpack.encode(_Content(_VERSION, self._root, self._kept | fresh)))
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
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return found.rows if (found.version, found.root) == (_VERSION, self._root) else None

    def _write(self, body: bytes) -> None:
        key = self._key()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self._path.with_name(f".{secrets.token_hex(8)}")
        try:
            with scratch.open("xb") as file:
                file.write(hmac.digest(key, body, "sha256"))
                file.write(body)
            scratch.replace(self._path)
        except BaseException:
            scratch.unlink(missing_ok=True)
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
