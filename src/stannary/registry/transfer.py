"""Contents in and out: each file is verified while it is stored and while it is written, and appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.core.model import Artifact, Digest, File
from stannary.evidence.ledger import Ledger
from stannary.registry import events
from stannary.registry.live import Live
from stannary.registry.manifest import LARGEST, Manifest, decode, encode
from stannary.registry.model import Version
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.interface import Blobs

__all__ = [
    "INLINE",
    "Uploaded",
    "fetch",
    "inline_manifest",
    "keep_manifest",
    "live_files",
    "manifest_content",
    "read_manifest",
    "upload",
]

INLINE = 8192  # bytes of a manifest that stands in its event: some sixty files
_CHUNK = 1 << 20


class Uploaded(NamedTuple):
    """The digest of the manifest, the blobs that were there before, and the manifest if it is to stand in the event."""

    manifest: Digest
    reused: tuple[Digest, ...]
    inline: str = ""


def upload(blobs: Blobs, artifact: Artifact, path: Path) -> Uploaded:
    """Store every file of an artifact, and its manifest last. Raises IntegrityError when a file is not what was hashed."""
    single = path.is_file()
    reused = []
    for file in artifact.files:
        digest = Digest(file.sha256)
        source = path if single else path / file.path
        if not blobs.put(digest, file.size, _chunks(source)):
            reused.append(digest)
    content, _ = encode(artifact, single=single)
    if len(content) > LARGEST:
        msg = f"has {len(artifact.files):,} files, whose names alone take more than {LARGEST >> 20} MiB"
        raise InputError(msg, where=str(path), code="REG007", help="pack the small files into archives")
    kept = keep_manifest(blobs, content)
    return kept._replace(reused=(*reused, *kept.reused))


def keep_manifest(blobs: Blobs, content: bytes) -> Uploaded:
    """Store a manifest, unless it is small enough to stand in the event of its version, where it costs no flush of its own.

    It is stored where contents are encrypted: names of files are not to stand in a log that keeps everything.
    """
    digest = Digest(hashlib.sha256(content).hexdigest())
    if len(content) <= INLINE and not isinstance(blobs, EncryptedBlobs):
        return Uploaded(digest, (), content.decode())
    is_new = blobs.put(digest, len(content), iter((content,)))
    return Uploaded(digest, () if is_new else (digest,))


def manifest_content(blobs: Blobs, ledger: Ledger, manifest: str, entry: int) -> bytes:
    """Return a manifest as it stands in the event of its version, which is that entry, or in the store; not decoded yet.

    Raises IntegrityError when it is larger than any, or not the one of that digest.
    """
    content = inline_manifest(ledger, entry).encode()
    if content:
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != manifest:
            msg = "is not the manifest that stands in the event of the version"
            raise IntegrityError(msg, where=manifest, code="REG003", help="stannary registry rebuild; stannary ledger audit")
        return content
    digest = Digest.parse(manifest)
    if blobs.size(digest) > LARGEST:
        msg = "is larger than any manifest is"
        raise IntegrityError(msg, where=manifest, code="REG003")
    return b"".join(blobs.read(digest))


def inline_manifest(ledger: Ledger, entry: int) -> str:
    """Return the manifest that stands in the event of a version, empty when none does."""
    event = events.read(ledger.read(entry))
    return event.inline if isinstance(event, events.Registered) else ""


def live_files(blobs: Blobs, ledger: Ledger, row: Live) -> tuple[File, ...]:
    """Return the files of what a table says of a version. Raises IntegrityError when its manifest is none of that artifact."""
    return decode(manifest_content(blobs, ledger, row.manifest, row.entry), row.digest, row.manifest).files


def read_manifest(blobs: Blobs, ledger: Ledger, version: Version) -> Manifest:
    """Return the files of a version. Raises IntegrityError when that is not the manifest of its artifact."""
    return decode(manifest_content(blobs, ledger, version.manifest, version.entry), version.digest, str(version))


def fetch(blobs: Blobs, manifest: Manifest, destination: Path) -> Path:
    """Write the files of a manifest below a destination that is not there, or is an empty folder; return the artifact's path.

    They are written beside it and moved into place when all of them are verified, so that an interrupted pull leaves nothing.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        msg = "is there already"
        raise UsageError(msg, where=str(destination), code="REG008", help="name a folder that is not there yet")
    parent = destination.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".part", dir=parent))
    except OSError as error:
        raise BackendError(error.strerror or str(error), where=str(parent), code="REG009") from error
    try:
        for file in manifest.files:
            _write(scratch, file.path, blobs.read(Digest(file.sha256)))
        scratch.chmod(0o755)
        if destination.exists():
            destination.rmdir()
        scratch.rename(destination)
    except OSError as error:
        msg = f"cannot be written: {error.strerror or error}"
        raise BackendError(msg, where=str(error.filename or destination), code="REG009", help="nothing was left there") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return destination / manifest.files[0].path if manifest.single else destination


def _write(folder: Path, name: str, chunks: Iterator[bytes]) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    # Exclusively: two names that this file system takes for one are an error, and no link is followed.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), code="ART002") from error
