"""Where a workspace keeps the contents of its registry: a folder or a bucket, as they are or encrypted.

    workspace.json      "contents": a folder (from the workspace) or s3://BUCKET/PREFIX; "" is blobs/ in the workspace
                        "wrapping_keys": addresses as `open_wrapper` takes them; none: not encrypted
    keys/contents.json  the envelope around the key that wraps the data keys of all contents

Any one of the wrapping keys opens that envelope. Without it, and without copies of it, the contents are unreadable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stannary.core.errors import UsageError
from stannary.crypto.envelope import LARGEST, Envelopes, namespace_key, new_namespace, rewrap_namespace
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.plain import PlainBlobs

if TYPE_CHECKING:
    from stannary.evidence.workspace import Workspace
    from stannary.store.blobs.interface import Blobs
    from stannary.store.blobs.objects import Objects

__all__ = ["begin_contents", "contents_at", "open_contents", "turn_contents"]

_ENVELOPE = "keys/contents.json"


def open_contents(workspace: Workspace) -> Blobs:
    """Return the store of a workspace's contents. Raises UsageError, InputError, IntegrityError or BackendError."""
    return _sealed(workspace, _objects(workspace, workspace.settings.contents))


def contents_at(workspace: Workspace, folder: Path) -> Blobs:
    """Return a folder elsewhere, with contents as the workspace keeps them: encrypted for the same keys, or plain."""
    return _sealed(workspace, FolderObjects(folder))


def _sealed(workspace: Workspace, objects: Objects) -> Blobs:
    settings = workspace.settings
    if not settings.wrapping_keys:
        return PlainBlobs(objects)
    outer = Envelopes([workspace.wrapper(address) for address in settings.wrapping_keys])
    return EncryptedBlobs(objects, Envelopes([namespace_key(settings.origin, _envelope(workspace), outer)]))


def begin_contents(workspace: Workspace, contents: str, wrapping_keys: tuple[str, ...]) -> None:
    """Decide where the contents of a new workspace are, and make the key of those that are to be encrypted.

    Raises UsageError when there are contents already, and as `open_contents` does.
    """
    if workspace.settings.contents or workspace.settings.wrapping_keys or (workspace.root / "blobs").exists():
        msg = "has contents already, and keeps them where they are"
        raise UsageError(msg, where=str(workspace.root), code="WSP007", help="restore a backup into a new workspace instead")
    objects = _objects(workspace, contents)
    if next(objects.names("sha256/"), None) is not None:  # a place that cannot be reached is an error now, too
        msg = "has contents already, of another workspace"
        raise UsageError(msg, where=objects.where, code="WSP007", help="name another folder or prefix")
    objects.close()
    if wrapping_keys:
        outer = Envelopes([workspace.wrapper(address) for address in wrapping_keys])
        _write(workspace.root / _ENVELOPE, new_namespace(workspace.settings.origin, outer))
    workspace.keep_contents(contents, wrapping_keys)


def turn_contents(workspace: Workspace, wrapping_keys: tuple[str, ...]) -> None:
    """Have other keys open the contents from now on, and those of before no more. The contents are not touched.

    Raises UsageError when the contents are not encrypted, and as `open_contents` does.
    """
    settings = workspace.settings
    if not settings.wrapping_keys:
        msg = "the contents of this workspace are not encrypted"
        raise UsageError(msg, where=str(workspace.root), code="WSP007", help="restore a backup into one made with --wrapping-key")
    new, former = ([workspace.wrapper(address) for address in addresses] for addresses in (wrapping_keys, settings.wrapping_keys))
    # Whenever it is interrupted, the keys that the settings name open the envelope.
    both = rewrap_namespace(settings.origin, _envelope(workspace), Envelopes([*new, *former]))
    _write(workspace.root / _ENVELOPE, both)
    workspace.keep_contents(settings.contents, wrapping_keys)
    _write(workspace.root / _ENVELOPE, rewrap_namespace(settings.origin, both, Envelopes(new)))


def _objects(workspace: Workspace, contents: str) -> Objects:
    if not contents.startswith("s3://"):
        return FolderObjects(workspace.root / (contents or "blobs"))
    if workspace.offline:
        msg = "is a bucket, and no socket may be opened"
        raise UsageError(msg, where=contents, code="WSP005", help="leave out --offline")
    from stannary.store.blobs.s3 import S3Objects

    return S3Objects(contents)


def _envelope(workspace: Workspace) -> bytes:
    path = workspace.root / _ENVELOPE
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except FileNotFoundError:
        msg = "the key of the contents is gone: without it they are unreadable"
        raise UsageError(msg, where=str(path), code="WSP008", help="put it back from a copy") from None


def _write(path: Path, content: bytes) -> None:
    """Put a content in the place of another, durably and in one step."""
    scratch = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
