"""From contents that no namespace has a key of its own for (plain, or one key for all) to a key for each namespace.

    keys/resealing.json     while that is under way: where the keys of namespaces come, and which keys wrap them

1. The file is written. What the settings name stays as it is, and is what everybody reads and writes.
2. Every content is copied, each namespace's under its own key, with a data key of its own (`registry/resealing.py`).
3. The settings name the keys of namespaces: in one step, under the registry's lock, when everything is there.
4. What was there before is deleted, the key of all of it last; then the file.

A process that dies leaves the file, and the next one goes on where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from stannary.core.errors import InputError, UsageError
from stannary.crypto.envelope import Envelopes
from stannary.evidence.contents import NAMESPACE_KEYS, contents_objects, forget_envelope, write_durably
from stannary.evidence.namespaces import SealedNamespaces
from stannary.store.file_lock import held

if TYPE_CHECKING:
    from stannary.evidence.workspace import Settings, Workspace
    from stannary.store.blobs.objects import Objects

__all__ = ["Resealing", "begin_resealing", "clear_shared", "is_resealing", "resealing_alone"]

_FILE = "keys/resealing.json"
_SHARED = ("keys/sha256/", "sha256/")  # headers first: without them nothing opens


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies in the file."""

    format: Literal["stannary-resealing/1"] = "stannary-resealing/1"
    namespace_keys: str
    wrapping_keys: tuple[str, ...]


class Resealing:
    """A resealing that is under way in a workspace."""

    def __init__(self, workspace: Workspace, plan: Plan) -> None:
        self._workspace, self._plan = workspace, plan
        self._objects = contents_objects(workspace, workspace.settings.contents)
        keys = contents_objects(workspace, plan.namespace_keys)
        self.target = SealedNamespaces(workspace, self._objects, keys, wrapping_keys=plan.wrapping_keys)

    @property
    def switched(self) -> bool:
        """Say whether the settings name the keys of namespaces already: then only what was there before is to be deleted."""
        return bool(_settings(self._workspace).namespace_keys)

    def switch(self) -> None:
        """Have every process read and write the contents of namespaces from now on."""
        contents = self._workspace.settings.contents
        self._workspace.keep_contents(contents, self._plan.wrapping_keys, self._plan.namespace_keys)

    def finish(self) -> int:
        """Delete what was there before, and the key that opened all of it; return how many contents that were."""
        count = clear_shared(self._objects)
        forget_envelope(self._workspace)
        _path(self._workspace).unlink(missing_ok=True)
        return count

    def close(self) -> None:
        """Let go of files and connections."""
        self.target.close()


def begin_resealing(workspace: Workspace, wrapping_keys: tuple[str, ...], namespace_keys: str = "") -> Resealing | None:
    """Begin, or go on with what was begun; None when each namespace has a key of its own already.

    Args:
        workspace: whose contents.
        wrapping_keys: what wraps the keys of namespaces, for a workspace whose contents are not encrypted.
        namespace_keys: where the keys of namespaces come, as `stannary init` takes it.

    Raises:
        UsageError: there is no wrapping key, or another one is named than is in use or was begun with.
    """
    settings, path = _settings(workspace), _path(workspace)
    if is_resealing(workspace):
        plan = _read(path)
        asked = (wrapping_keys or plan.wrapping_keys, namespace_keys or plan.namespace_keys)
        if asked != (plan.wrapping_keys, plan.namespace_keys):
            msg = f"was begun with {', '.join(plan.wrapping_keys)}, and keys of namespaces in {plan.namespace_keys}"
            raise UsageError(msg, where=str(path), code="WSP010", help="call it without options: it goes on with those")
        return Resealing(workspace, plan)
    if settings.namespace_keys:
        return None
    named = wrapping_keys or settings.wrapping_keys
    if not named:
        msg = "the contents are not encrypted, and no key is named to encrypt them by"
        help_ = "stannary keys generate w.key --algorithm wrapping, then --wrapping-key w.key"
        raise UsageError(msg, where=str(workspace.root), code="WSP010", help=help_)
    if settings.wrapping_keys and named != settings.wrapping_keys:
        msg = "the contents are encrypted, and the keys that open them go on wrapping"
        raise UsageError(msg, where="--wrapping-key", code="WSP010", help="leave it out; `registry rekey` changes them afterwards")
    # Tried now: a key that cannot be opened, or does not give back what it wraps, is an error before anything relies on it.
    Envelopes([workspace.wrapper(address) for address in named]).begin(b"stannary trial")
    plan = Plan(namespace_keys=namespace_keys or NAMESPACE_KEYS, wrapping_keys=named)
    keys = contents_objects(workspace, plan.namespace_keys)
    with contextlib.closing(keys):
        if next(keys.names(""), None) is not None:
            msg = "has keys already, of another workspace"
            raise UsageError(msg, where=keys.where, code="WSP007", help="name another folder or prefix")
    write_durably(path, msgspec.json.encode(plan) + b"\n")
    return Resealing(workspace, plan)


def is_resealing(workspace: Workspace) -> bool:
    """Tell whether a resealing was begun that is not finished."""
    return _path(workspace).exists()


@contextlib.contextmanager
def resealing_alone(workspace: Workspace) -> Iterator[None]:
    """Keep another resealing on this machine from working beside."""
    with held(workspace.root / "keys" / "resealing.lock"):
        yield


def clear_shared(objects: Objects) -> int:
    """Delete what lies in a place for all namespaces together; return how many contents that were."""
    count = 0
    for prefix in _SHARED:
        for name, _ in list(objects.names(prefix)):
            count += objects.delete(name) and prefix == _SHARED[1]
    return count


def _settings(workspace: Workspace) -> Settings:
    return type(workspace)(workspace.root).settings


def _path(workspace: Workspace) -> Path:
    return workspace.root / _FILE


def _read(path: Path) -> Plan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"cannot be read: {error}"
        raise InputError(msg, where=str(path), code="WSP010", help="put it back from a copy of the workspace's keys") from error
