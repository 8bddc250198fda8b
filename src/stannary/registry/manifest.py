"""The manifest of a version: every file with its size and digest, as canonical JSON, itself a blob.

The artifact's digest follows from it (`dirHash1`), so a manifest cannot stand for another artifact.
"""

from __future__ import annotations

import hashlib
import unicodedata

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError, IntegrityError
from stannary.core.model import Artifact, Digest, File
from stannary.formats.tree import dir_hash

__all__ = ["LARGEST", "Manifest", "decode", "decode_new", "encode"]

SCHEMA = "stannary.manifest/1"
LARGEST = 256 << 20
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of a version. `single` when the artifact is one file and not a folder."""

    schema: str = SCHEMA
    name: str
    kind: str
    single: bool = False
    files: tuple[File, ...]

    @property
    def digest(self) -> Digest:
        """Return the digest of the artifact."""
        return dir_hash((file.path, file.sha256) for file in self.files)

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)


def encode(artifact: Artifact, *, single: bool) -> tuple[bytes, Digest]:
    """Return the manifest of an artifact and its own digest."""
    made = Manifest(name=artifact.name, kind=artifact.kind, single=single, files=artifact.files)
    content = canonical_json(msgspec.to_builtins(made))
    return content, Digest(hashlib.sha256(content).hexdigest())


def decode(content: bytes, digest: str, where: str) -> Manifest:
    """Read the manifest of the artifact with a digest. Raises IntegrityError when it is of another one, or no manifest."""
    try:
        found = msgspec.json.decode(content, type=Manifest)
        matches = str(found.digest) == digest
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"is no manifest: {error}"
        raise IntegrityError(msg, where=where, code="REG003") from error
    if not matches:
        msg = f"is the manifest of another artifact than {digest}"
        raise IntegrityError(msg, where=where, code="REG003")
    problem = _problem(found)
    if problem:
        raise IntegrityError(problem, where=where, code="REG003")
    return found


def decode_new(content: bytes) -> Manifest:
    """Read a manifest that somebody brings. Raises InputError for what is none, or is not canonical."""
    if len(content) > LARGEST:
        msg = f"is larger than {LARGEST >> 20} MiB"
        raise InputError(msg, where="manifest", code="REG007")
    try:
        found = msgspec.json.decode(content, type=Manifest)
        problem = _problem(found) or _foreign(found)
        canonical = canonical_json(msgspec.to_builtins(found))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"is no manifest: {error}"
        raise InputError(msg, where="manifest", code="REG003") from error
    if problem or canonical != content:
        raise InputError(problem or "is not canonical JSON (RFC 8785)", where="manifest", code="REG003")
    return found


def _problem(found: Manifest) -> str:
    """Return what makes a manifest unusable, wherever it comes from."""
    outside = next((file.path for file in found.files if not _is_plain(file.path)), None)
    if outside is not None:
        return f"names a file outside of the artifact: {outside[:120]!r}"
    if not found.files or (found.single and len(found.files) != 1):
        return "names no file, or more than the one it says"
    return "" if found.schema == SCHEMA else f"is of a version that is not known here: {found.schema[:40]!r}"


def _foreign(found: Manifest) -> str:
    """Return what a manifest from elsewhere must not have: names that fall together, digests that are none, negative sizes."""
    paths = [file.path for file in found.files]
    if paths != sorted(set(paths)):
        return "does not list each file once, in the order of their names"
    folders = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    if folders & set(paths):
        return "has a file where another has a folder"
    if found.kind not in ("model", "dataset"):
        return f"is of a kind that is not kept: {found.kind[:40]!r}"
    for file in found.files:
        if any(unicodedata.category(char) in _UNSEEN for char in file.path) or file.size < 0:
            return f"has a file whose name cannot be kept, or with a size below 0: {file.path[:120]!r}"
        Digest(file.sha256)
    return ""


def _is_plain(path: str) -> bool:
    """Tell whether a path stays within the folder it is joined to, on every system."""
    parts = path.split("/")
    return bool(path) and not any(part in ("", ".", "..") or "\\" in part or "\0" in part or ":" in part[:2] for part in parts)
