"""The manifest of a version: every file with its size and digest, as canonical JSON, itself a blob.

The artifact's digest follows from it (`dirHash1`), so a manifest cannot stand for another artifact.
"""

from __future__ import annotations

import hashlib

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import IntegrityError
from stannary.core.model import Artifact, Digest, File
from stannary.formats.tree import dir_hash

__all__ = ["LARGEST", "Manifest", "decode", "encode"]

SCHEMA = "stannary.manifest/1"
LARGEST = 256 << 20


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
    for file in found.files:
        if not _is_plain(file.path):
            msg = f"names a file outside of the artifact: {file.path[:120]!r}"
            raise IntegrityError(msg, where=where, code="REG003")
    return found


def _is_plain(path: str) -> bool:
    """Tell whether a path stays within the folder it is joined to, on every system."""
    parts = path.split("/")
    return bool(path) and not any(part in ("", ".", "..") or "\\" in part or "\0" in part or ":" in part[:2] for part in parts)
