"""Where a workspace keeps the contents of its registry: a folder or a bucket, as they are or encrypted.

    workspace.json      "contents": a folder (from the workspace) or s3://BUCKET/PREFIX; "" is blobs/ in the workspace
                        "wrapping_keys": addresses as `open_wrapper` takes them; none: not encrypted
                        "namespace_keys": where the keys of namespaces are, a folder or a bucket (`namespaces.py`); with an
                        encrypted workspace of before there were any, "", and keys/contents.json is the envelope of all
    keys/namespaces/    a document for each namespace: its key, in an envelope

Any one of the wrapping keys opens those envelopes. Without one, and without copies of it, what it opens is unreadable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stannary.core.errors import UsageError
from stannary.crypto.envelope import LARGEST, Envelopes, namespace_key, rewrap_namespace
from stannary.evidence.namespaces import SealedNamespaces
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.following import FollowingBlobs
from stannary.store.blobs.namespaced import SharedBlobs
from stannary.store.blobs.plain import PlainBlobs

if TYPE_CHECKING:
    from stannary.evidence.workspace import Settings, Workspace
    from stannary.store.blobs.namespaced import NamespacedBlobs
    from stannary.store.blobs.objects import Objects

__all__ = [
    "NAMESPACE_KEYS",
    "begin_contents",
    "contents_at",
    "contents_objects",
    "forget_envelope",
    "open_contents",
    "renew_namespace",
    "turn_contents",
    "write_durably",
]

NAMESPACE_KEYS = "keys/namespaces"

_ENVELOPE = "keys/contents.json"


def open_contents(workspace: Workspace) -> NamespacedBlobs:
    """Return the stores of a workspace's contents, as its settings say at any time: they may be resealed while they are open.

    Raises UsageError, InputError, IntegrityError or BackendError.
    """
    read = type(workspace)

    def opened() -> NamespacedBlobs:
        settings = read(workspace.root).settings
        return _sealed(workspace, contents_objects(workspace, settings.contents), settings)

    # A workspace with keys of namespaces keeps them: `SealedNamespaces` follows what else may be changed.
    return opened() if workspace.settings.namespace_keys else FollowingBlobs(lambda: _stamp(workspace), opened)


def _stamp(workspace: Workspace) -> tuple[int, int, int]:
    found = (workspace.root / "workspace.json").stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def contents_at(workspace: Workspace, folder: Path) -> NamespacedBlobs:
    """Return a folder elsewhere, with contents as the workspace keeps them: encrypted for the same keys, or plain."""
    return _sealed(workspace, FolderObjects(folder), type(workspace)(workspace.root).settings)


def _sealed(workspace: Workspace, objects: Objects, settings: Settings) -> NamespacedBlobs:
    if not settings.wrapping_keys:
        return SharedBlobs(PlainBlobs(objects))
    if settings.namespace_keys:
        return SealedNamespaces(workspace, objects, contents_objects(workspace, settings.namespace_keys))
    outer = Envelopes([workspace.wrapper(address) for address in settings.wrapping_keys])
    return SharedBlobs(EncryptedBlobs(objects, Envelopes([namespace_key(settings.origin, _envelope(workspace), outer)])))


def _namespaces(workspace: Workspace, objects: Objects) -> SealedNamespaces:
    return SealedNamespaces(workspace, objects, contents_objects(workspace, workspace.settings.namespace_keys))


def begin_contents(
    workspace: Workspace, contents: str, wrapping_keys: tuple[str, ...], namespace_keys: str = NAMESPACE_KEYS
) -> None:
    """Decide where the contents of a new workspace are, and where the keys of namespaces, if they are to be encrypted.

    Raises UsageError when there are contents already, and as `open_contents` does.
    """
    if workspace.settings.contents or workspace.settings.wrapping_keys or (workspace.root / "blobs").exists():
        msg = "has contents already, and keeps them where they are"
        raise UsageError(msg, where=str(workspace.root), code="WSP007", help="restore a backup into a new workspace instead")
    objects = contents_objects(workspace, contents)
    if next(objects.names("sha256/"), None) is not None:  # a place that cannot be reached is an error now, too
        msg = "has contents already, of another workspace"
        raise UsageError(msg, where=objects.where, code="WSP007", help="name another folder or prefix")
    objects.close()
    if not wrapping_keys:
        workspace.keep_contents(contents, (), "")
        return
    # Tried now: a key that cannot be opened, or does not give back what it wraps, is an error before anything relies on it.
    Envelopes([workspace.wrapper(address) for address in wrapping_keys]).begin(b"stannary trial")
    keys = contents_objects(workspace, namespace_keys)
    if next(keys.names(""), None) is not None:
        msg = "has keys already, of another workspace"
        raise UsageError(msg, where=keys.where, code="WSP007", help="name another folder or prefix")
    keys.close()
    workspace.keep_contents(contents, wrapping_keys, namespace_keys)


def turn_contents(workspace: Workspace, wrapping_keys: tuple[str, ...]) -> None:
    """Have other keys open the contents from now on, and those of before no more. The contents are not touched.

    Raises UsageError when the contents are not encrypted, and as `open_contents` does.
    """
    settings = workspace.settings
    _require_encrypted(workspace)
    if settings.namespace_keys:

        def keep() -> None:
            workspace.keep_contents(settings.contents, wrapping_keys, settings.namespace_keys)

        _namespaces(workspace, contents_objects(workspace, settings.contents)).turn(wrapping_keys, keep)
        return
    if (workspace.root / "keys" / "resealing.json").exists():
        msg = "each namespace is just getting a key of its own, under the wrapping keys of now"
        raise UsageError(msg, where=str(workspace.root), code="WSP010", help="finish that first: stannary registry reseal")
    new, former = ([workspace.wrapper(address) for address in addresses] for addresses in (wrapping_keys, settings.wrapping_keys))
    # Whenever it is interrupted, the keys that the settings name open the envelope.
    both = rewrap_namespace(settings.origin, _envelope(workspace), Envelopes([*new, *former]))
    write_durably(workspace.root / _ENVELOPE, both)
    workspace.keep_contents(settings.contents, wrapping_keys, "")
    write_durably(workspace.root / _ENVELOPE, rewrap_namespace(settings.origin, both, Envelopes(new)))


def renew_namespace(workspace: Workspace, namespace: str) -> int:
    """Have a new key of a namespace wrap its data keys, see `SealedNamespaces.renew`. Raises UsageError where it has none."""
    _require_encrypted(workspace)
    if not workspace.settings.namespace_keys:
        msg = "the contents of this workspace were encrypted before namespaces had keys"
        raise UsageError(
            msg,
            where=str(workspace.root),
            code="WSP007",
            help="stannary registry reseal: each namespace gets a key of its own then",
        )
    return _namespaces(workspace, contents_objects(workspace, workspace.settings.contents)).renew(namespace)


def _require_encrypted(workspace: Workspace) -> None:
    if not workspace.settings.wrapping_keys:
        msg = "the contents of this workspace are not encrypted"
        help_ = "stannary registry reseal --wrapping-key KEY: they are, then, each namespace by a key of its own"
        raise UsageError(msg, where=str(workspace.root), code="WSP007", help=help_)


def contents_objects(workspace: Workspace, contents: str) -> Objects:
    """Return a place that the settings name: a folder, from the workspace, or a bucket. Raises UsageError, BackendError."""
    if not contents.startswith("s3://"):
        return FolderObjects(workspace.root / (contents or "blobs"))
    if workspace.offline:
        msg = "is a bucket, and no socket may be opened"
        raise UsageError(msg, where=contents, code="WSP005", help="leave out --offline")
    from stannary.store.blobs.s3 import S3Objects

    return S3Objects(contents)


def forget_envelope(workspace: Workspace) -> None:
    """Destroy the key of all contents together, of a workspace that had one: what it opened is unreadable from then on."""
    (workspace.root / _ENVELOPE).unlink(missing_ok=True)


def _envelope(workspace: Workspace) -> bytes:
    path = workspace.root / _ENVELOPE
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except FileNotFoundError:
        msg = "the key of the contents is gone: without it they are unreadable"
        raise UsageError(msg, where=str(path), code="WSP008", help="put it back from a copy") from None


def write_durably(path: Path, content: bytes) -> None:
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
