"""A key for each namespace of a registry: what it opens is unreadable when it is destroyed, and nothing else is.

    keys/namespaces/NAMESPACE.json      the namespace, the name of its key, the key itself in an envelope:
                                        {"format": "stannary-namespace/1", "namespace": "team-a", "id": "…", "keys": [{envelope}]}

The wrapping keys of the workspace open the envelope; the key in it wraps the data keys of the contents of that namespace.
`keys` has one envelope, and for a while two: then the first is around the key that new headers are made for, and the second
around the one before, which opens those that are not rewrapped yet.

The document is read each time that contents are asked for. So one that another process destroyed opens nothing here either,
and settings that were changed since (`registry rekey`) are followed.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.envelope import LARGEST, Envelopes, namespace_key, new_namespace, rewrap_namespace
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.namespaced import Prefixed, namespace_folder, namespace_keys
from stannary.store.file_lock import held

if TYPE_CHECKING:
    from stannary.crypto.interface import Wrapper
    from stannary.evidence.workspace import Settings, Workspace
    from stannary.store.blobs.interface import Blobs
    from stannary.store.blobs.objects import Objects

__all__ = ["NamespaceKey", "SealedNamespaces"]

_MOST = 2 * LARGEST + 4096


class NamespaceKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies in the place of keys for a namespace."""

    format: Literal["stannary-namespace/1"] = "stannary-namespace/1"
    namespace: str
    id: str
    keys: tuple[msgspec.Raw, ...]


class _Opened(NamedTuple):
    """The document that a namespace was opened with, and its contents."""

    document: bytes
    blobs: EncryptedBlobs


class SealedNamespaces:
    """Encrypted contents, for each namespace under a key of its own. Threads and processes may share the places.

    Args:
        workspace: whose wrapping keys open the keys.
        objects: where the contents are.
        keys: where the keys of the namespaces are: somewhere else, with other backups.
        wrapping_keys: what opens those, until the settings name them (`resealing.py`); None: what the settings name.
    """

    separate = True

    def __init__(
        self, workspace: Workspace, objects: Objects, keys: Objects, *, wrapping_keys: tuple[str, ...] | None = None
    ) -> None:
        self._workspace, self._objects, self._keys = workspace, objects, keys
        self._named = wrapping_keys
        self._known: dict[str, _Opened] = {}
        self._outer: tuple[tuple[str, ...], Envelopes] | None = None

    def of(self, namespace: str, *, begin: bool = False) -> Blobs:
        """Return the contents of a namespace, see `NamespacedBlobs.of`."""
        content = self._read(namespace)
        if content is None and begin:
            content = self._begin(namespace)
        if content is None:
            self._known.pop(namespace, None)
            msg = f"the key of the namespace {namespace} is gone: without it its contents are unreadable"
            raise UsageError(
                msg, where=self._keys.where, code="WSP008", help="if it was not shredded, put its key back from a copy"
            )
        known = self._known.get(namespace)
        if known is None or known.document != content:
            found = self._decoded(namespace, content)
            known = self._known[namespace] = _Opened(content, self._sealed(found))
        return known.blobs

    def key_of(self, namespace: str) -> str:
        """Return the name of the key that a namespace has now. Raises IntegrityError for a document that is none."""
        content = self._read(namespace)
        return "" if content is None else self._decoded(namespace, content).id

    def namespaces(self) -> list[str]:
        """Return the namespaces that have a key."""
        return sorted(name.removesuffix(".json") for name, _ in self._keys.names("") if name.endswith(".json"))

    def opened(self) -> Iterator[tuple[str, Blobs]]:
        """Yield every namespace that has a key, and its contents."""
        for namespace in self.namespaces():
            if self.key_of(namespace):  # else it was destroyed just now
                yield namespace, self.of(namespace)

    def kept(self) -> list[tuple[str, str]]:
        """Return the namespaces and names of keys under which something lies."""
        return namespace_keys(self._objects)

    def destroy(self, namespace: str, key: str) -> bool:
        """Destroy a key of a namespace, see `NamespacedBlobs.destroy`."""
        with self._alone():
            if not key or self.key_of(namespace) != key:
                return False
            self._known.pop(namespace, None)
            return self._keys.delete(_name(namespace))

    def clear(self, namespace: str, key: str) -> tuple[int, int]:
        """Delete what was encrypted under a key, headers first: without them nothing opens, whoever has the key."""
        folder = namespace_folder(namespace, key)
        for name, _ in list(self._objects.names(f"{folder}keys/")):
            self._objects.delete(name)
        count = size = 0
        for name, stat in list(self._objects.names(folder)):
            if self._objects.delete(name):
                count, size = count + 1, size + stat.size
        return count, size

    def close(self) -> None:
        """Let go of files and connections."""
        self._objects.close()
        self._keys.close()

    def turn(self, wrapping_keys: tuple[str, ...], keep: Callable[[], None]) -> None:
        """Have other wrapping keys open the keys of all namespaces; `keep` writes the new ones into the settings.

        Whenever it is interrupted, the keys that the settings name open every namespace.
        """
        former = self._wrappers(self._settings().wrapping_keys)
        new = self._wrappers(wrapping_keys)
        with self._alone():
            for namespace in self.namespaces():
                self._rewrap(namespace, Envelopes([*new, *former]))
            keep()
            for namespace in self.namespaces():  # those too that began meanwhile
                self._rewrap(namespace, Envelopes(new, former=former))
        self._known.clear()

    def renew(self, namespace: str) -> int:
        """Have a new key of a namespace wrap its data keys, and return how many headers were made again. No content is touched.

        The key before opens what a writer makes just now, and stays until this is called again and finds nothing under it.
        """
        with self._alone():
            self.of(namespace)  # it has one, and it opens
            found = self._decoded(namespace, self._read(namespace) or b"")
            if len(found.keys) == 1:
                made = msgspec.Raw(new_namespace(self._bound(found), self._envelopes()))
                found = msgspec.structs.replace(found, keys=(made, *found.keys))
            elif next(self._sealed(found).outdated(), None) is None:
                found = msgspec.structs.replace(found, keys=found.keys[:1])
            self._keys.replace(_name(namespace), _encoded(found))
            blobs = self._sealed(found)
            return sum(blobs.rewrap(digest) for digest in list(blobs.outdated()))

    def _begin(self, namespace: str) -> bytes | None:
        """Make the key of a namespace, unless another writer was quicker; return what is there then."""
        made = NamespaceKey(namespace=namespace, id=secrets.token_hex(16), keys=())
        namespace_folder(namespace, made.id)  # refuses what is no name
        before = self._settings()
        header = new_namespace(self._bound(made), self._envelopes())
        content = _encoded(msgspec.structs.replace(made, keys=(msgspec.Raw(header),)))
        self._keys.create(_name(namespace), [content], len(content))
        now = self._settings()
        if now.wrapping_keys != before.wrapping_keys:  # turned while it was made: nobody else knows of this one
            self._rewrap(namespace, Envelopes(self._wrappers(now.wrapping_keys), former=self._wrappers(before.wrapping_keys)))
        return self._read(namespace)

    def _rewrap(self, namespace: str, outer: Envelopes) -> None:
        content = self._read(namespace)
        if content is None:
            return
        found = self._decoded(namespace, content)
        rows = tuple(msgspec.Raw(rewrap_namespace(self._bound(found), bytes(row), outer)) for row in found.keys)
        self._keys.replace(_name(namespace), _encoded(msgspec.structs.replace(found, keys=rows)))

    def _sealed(self, found: NamespaceKey) -> EncryptedBlobs:
        outer = self._envelopes()
        keys = [namespace_key(self._bound(found), bytes(row), outer) for row in found.keys]
        place = Prefixed(self._objects, namespace_folder(found.namespace, found.id))
        return EncryptedBlobs(place, Envelopes(keys[:1], former=keys[1:]))

    def _envelopes(self) -> Envelopes:
        """Return the wrapping keys that the settings name now: they are opened once, until other ones stand there."""
        named = self._settings().wrapping_keys
        if self._outer is None or self._outer[0] != named:
            self._outer = (named, Envelopes(self._wrappers(named)))
        return self._outer[1]

    def _settings(self) -> Settings:
        found = type(self._workspace)(self._workspace.root).settings
        if self._named is None or found.namespace_keys:
            return found
        return msgspec.structs.replace(found, wrapping_keys=self._named)

    def _wrappers(self, addresses: Sequence[str]) -> list[Wrapper]:
        return [self._workspace.wrapper(address) for address in addresses]

    def _bound(self, found: NamespaceKey) -> str:
        """Return what a key is bound to: one of another log, another namespace or another time does not open in its place."""
        return f"{self._workspace.settings.origin} {found.namespace} {found.id}"

    def _read(self, namespace: str) -> bytes | None:
        name = _name(namespace)
        stat = self._keys.head(name)
        if stat is None:
            return None
        if stat.size > _MOST:
            raise _no_document(namespace, self._keys.where, f"has {stat.size} bytes")
        return b"".join(self._keys.read(name, 0, stat.size))

    def _decoded(self, namespace: str, content: bytes) -> NamespaceKey:
        try:
            found = msgspec.json.decode(content, type=NamespaceKey)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _no_document(namespace, self._keys.where, f"cannot be read: {str(error)[:120]}") from error
        if found.namespace != namespace or len(found.keys) not in (1, 2):
            raise _no_document(namespace, self._keys.where, f"is of {found.namespace[:80]!r}, with {len(found.keys)} keys")
        return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others on this machine from changing keys: one that is destroyed must not be written back."""
        with held(Path(self._workspace.root) / "keys" / "namespaces.lock"):
            yield


def _name(namespace: str) -> str:
    namespace_folder(namespace, "0" * 32)  # refuses what is no name
    return f"{namespace}.json"


def _encoded(found: NamespaceKey) -> bytes:
    return msgspec.json.encode(found) + b"\n"


def _no_document(namespace: str, where: str, why: str) -> IntegrityError:
    msg = f"the key of the namespace {namespace} {why}"
    return IntegrityError(msg, where=where, code="WSP009", help="put it back from a copy, and find out who can write there")
