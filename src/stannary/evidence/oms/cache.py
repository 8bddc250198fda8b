"""Digests of files that did not change, so that signing again reads only what did.

One file a model, in the user's cache folder. It is authenticated with a key of the user's that is kept
elsewhere: a cache that came along with something else (a restored build cache, a shared folder) counts for
nothing. An entry holds for the device, inode, size, modification and change time of a file. As in git, an entry
is not trusted when the file changed within two seconds before it was hashed: it may have been written again
since with the same times. So a file just written is hashed again once. When nothing changed, the statement that
was made of the digests is the same as well, and is kept with them.

Only `sign` uses it. Verifying, gating and loading read every byte.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stannary.evidence.oms.digests import Outcome
from stannary.formats.tree import Entry

__all__ = ["DigestCache", "Statement"]

_VERSION = 2
_RACY = 2_000_000_000  # ns: the coarsest time stamps of file systems in use (FAT)
_MAC = 32
_MOST_BYTES = 256 << 20

# size, device, inode, modified, changed: in the order of an Entry
_Times = tuple[int, int, int, int, int]


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What was signed: the payload, its root digest, the identity (hex, or empty)."""

    payload: bytes
    root: str
    artifact: str


class _Content(msgspec.Struct, frozen=True, array_like=True):
    version: int
    root: str
    listed: bytes = b""  # a digest of the whole listing: when it is the same, nothing else has to be looked at
    asked: bytes = b""
    statement: Statement | None = None
    times: msgspec.Raw = msgspec.Raw()
    digests: msgspec.Raw = msgspec.Raw()


class DigestCache:
    """The cache of one model. Whatever is wrong with it, it is empty and not an error."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self._folder = folder
        self._key_file = key_file
        self._found: _Content | None = None
        self._entries: Mapping[str, Entry] = {}
        self._listed = b""
        self._times: dict[str, _Times] = {}
        self._digests: dict[str, str] = {}
        self._root = ""
        self._started = 0

    @classmethod
    def of_user(cls) -> DigestCache:
        """Return the cache in the user's folders (XDG base directories)."""
        home = os.path.expanduser("~")
        cache = os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
        state = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
        return cls(Path(cache, "stannary", "digests"), Path(state, "stannary", "digest-cache.key"))

    def load(self, root: str, entries: Mapping[str, Entry], asked: bytes) -> Statement | None:
        """Read what is known of the model at `root` (a real path). Returns the statement when no file changed since it was made.

        `asked` are the options that a statement depends on.
        """
        self._started = time.time_ns()
        self._root = hashlib.sha256(os.fsencode(root)).hexdigest()
        self._entries, self._times, self._digests = entries, {}, {}
        self._listed = hashlib.sha256(msgspec.msgpack.encode(list(entries.values()))).digest()
        self._found = self._read()
        if self._found is None or (self._found.listed, self._found.asked) != (self._listed, asked):
            return None
        return self._found.statement

    def digests(self) -> dict[str, str]:
        """Return the digests of those files that are as they were when they were hashed."""
        found = self._found
        if found is not None:
            times = msgspec.msgpack.decode(found.times, type=dict[str, _Times])
            digests = msgspec.msgpack.decode(found.digests, type=dict[str, str])
            kept = (name for name in self._entries if name in digests and times.get(name) == self._entries[name][2:])
            self._digests = {name: digests[name] for name in kept}
            self._times = {name: times[name] for name in self._digests}
        return dict(self._digests)

    def save(self, found: Mapping[str, Outcome], asked: bytes, statement: Statement) -> None:
        """Keep what was hashed now, but for files that changed just before they were, and what was made of it."""
        latest = self._started - _RACY
        for name, outcome in found.items():
            file = outcome.identity
            if file is not None and file.modified < latest and file.changed < latest:
                self._times[name] = (file.size, file.device, file.inode, file.modified, file.changed)
                self._digests[name] = outcome.digests[0]
        whole = all(self._times.get(name) == entry[2:] for name, entry in self._entries.items())
        raws = [msgspec.Raw(msgspec.msgpack.encode(rows)) for rows in (self._times, self._digests)]
        content = _Content(_VERSION, self._root, self._listed if whole else b"", asked, statement, *raws)
        try:
            self._write(msgspec.msgpack.encode(content))
        except OSError:
            return  # a full disk or a read-only home: the next run hashes again

    @property
    def _path(self) -> Path:
        return self._folder / self._root[:40]

    def _read(self) -> _Content | None:
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
        return found if (found.version, found.root) == (_VERSION, self._root) else None

    def _write(self, body: bytes) -> None:
        key = self._key()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self._path.with_name(f".{os.urandom(8).hex()}")
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
        key = os.urandom(_MAC)
        try:
            descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return self._key_file.read_bytes()
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        return key
