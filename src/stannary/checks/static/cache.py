"""Facts by content: a file that was read before is judged again without reading it.

One small file an entry, in a folder that only its owner can use, written atomically. The name
of an entry is the SHA-256 of everything the facts depend on: the content, the file's base name
and the names beside it (readers are given both), the limits, and the version of the readers. An
entry that does not check is ignored, and written again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable

import msgspec

from stannary import __version__
from stannary.checks.static.result import FileReport
from stannary.core.errors import UsageError
from stannary.formats.interface import Limits

__all__ = ["entry_key", "load", "open_folder", "pack", "reader_version", "siblings_digest", "store"]

_MAGIC = b"stannary.facts/1\n"
_LARGEST = 4 << 20  # bytes of an entry; what is larger is read again


def open_folder(path: str) -> str:
    """Make the folder, for its owner alone, and return its real path. Raises UsageError when others may write to it."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
    except OSError as exc:
        msg = f"the cache folder cannot be made: {exc.strerror}"
        raise UsageError(msg, where=path, code="CACHE001") from exc
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        msg = "the cache folder belongs to or can be written by others, who could put facts into it"
        raise UsageError(msg, where=path, code="CACHE002", help=f"chmod 700 {path}, or choose another folder")
    return os.path.realpath(path)


def reader_version(limits: Limits, plugins: str = "") -> str:
    """Return a digest of all that makes facts what they are, besides the content; `plugins`: their digest."""
    digest = hashlib.sha256(repr((__version__, sys.version_info[:3], sys.byteorder, plugins)).encode())
    digest.update(msgspec.msgpack.encode(limits))
    here = os.path.dirname(os.path.abspath(__file__))
    formats = os.path.join(os.path.dirname(os.path.dirname(here)), "formats")
    names = sorted(name for name in os.listdir(formats) if name.endswith(".py"))
    for path in (*(os.path.join(formats, name) for name in names), os.path.join(here, "walk.py"), os.path.join(here, "result.py")):
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def siblings_digest(names: Iterable[str]) -> str:
    """Return a digest of the names in a folder."""
    text = "\0".join(sorted(names))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def entry_key(sha256: str, base_name: str, siblings: str, version: str) -> str:
    """Return the name of the entry for a content under a base name, beside other names (their digest)."""
    text = f"{sha256}\0{base_name}\0{siblings}\0{version}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def load(folder: str, key: str) -> FileReport | None:
    """Return the facts of an entry, or None when there is none that holds."""
    try:
        with open(f"{folder}/{key[:2]}/{key}", "rb") as file:
            raw = file.read(_LARGEST + 64)
    except OSError:
        return None
    start = len(_MAGIC) + 32
    if not raw.startswith(_MAGIC) or hashlib.sha256(raw[start:]).digest() != raw[len(_MAGIC) : start]:
        return None
    try:
        return msgspec.msgpack.decode(raw[start:], type=FileReport)
    except (msgspec.DecodeError, RecursionError):
        return None


def pack(report: FileReport) -> bytes:
    """Encode an entry; empty when it is too large to keep, or holds a number or a name that cannot be encoded."""
    try:
        body = msgspec.msgpack.encode(report)
    except (OverflowError, UnicodeEncodeError):
        return b""
    return body if len(body) <= _LARGEST else b""


def store(folder: str, key: str, body: bytes) -> None:
    """Write an entry atomically. A cache that cannot be written costs time, nothing else."""
    place = f"{folder}/{key[:2]}"
    temporary = f"{place}/.{key}.{os.getpid()}"
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(temporary, f"{place}/{key}")
    except OSError:
        return
