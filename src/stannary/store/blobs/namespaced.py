"""Contents by namespace: what one namespace has, another has not, where each has a key of its own.

A place without keys of namespaces is shared by all of them (`SharedBlobs`). Where a namespace has a key, its contents
lie below `namespaces/NAMESPACE/KEY/`, KEY being the name of that key: when it is destroyed, and the namespace begins
again with another one, nothing of before lies where something new is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from stannary.core.errors import UsageError
from stannary.store.blobs.interface import Blobs
from stannary.store.blobs.objects import Objects, Stat

__all__ = ["NamespacedBlobs", "Prefixed", "SharedBlobs", "namespace_folder", "namespace_keys"]

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_KEY = re.compile(r"[0-9a-f]{32}")


class NamespacedBlobs(Protocol):
    """Blob stores, one for each namespace or one for all. Every method raises BackendError when the place cannot be used."""

    @property
    def separate(self) -> bool:
        """Say whether a namespace has contents, and a key, of its own."""
        ...

    def of(self, namespace: str, *, begin: bool = False) -> Blobs:
        """Return the contents of a namespace.

        Args:
            namespace: whose.
            begin: make a key for it when it has none.

        Raises UsageError (WSP008) when it has none, and what opening a key raises.
        """
        ...

    def key_of(self, namespace: str) -> str:
        """Return the name of the key that a namespace has now, an empty text when it has none. Nothing is opened."""
        ...

    def namespaces(self) -> list[str]:
        """Return the namespaces that have a key."""
        ...

    def opened(self) -> Iterator[tuple[str, Blobs]]:
        """Yield every namespace that has a key, and its contents; `""` and everything where there are no namespaces."""
        ...

    def kept(self) -> list[tuple[str, str]]:
        """Return the namespaces and names of keys under which something lies, whether that key is there or not."""
        ...

    def destroy(self, namespace: str, key: str) -> bool:
        """Destroy a key of a namespace; False when that is not the one it has. What it opened is unreadable from then on."""
        ...

    def clear(self, namespace: str, key: str) -> tuple[int, int]:
        """Delete what was encrypted under a key; return how many contents that were, and the bytes that they took."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class SharedBlobs:
    """One blob store for all namespaces: a content that two of them have lies there once, for as long as one of them has it."""

    separate = False

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def of(self, namespace: str, *, begin: bool = False) -> Blobs:
        """Return the store, whatever the namespace."""
        del namespace, begin
        return self._blobs

    def key_of(self, namespace: str) -> str:
        """Return nothing: no namespace has a key of its own."""
        del namespace
        return ""

    def namespaces(self) -> list[str]:
        """Return nothing."""
        return []

    def opened(self) -> Iterator[tuple[str, Blobs]]:
        """Yield the store, for all namespaces."""
        yield "", self._blobs

    def kept(self) -> list[tuple[str, str]]:
        """Return nothing."""
        return []

    def destroy(self, namespace: str, key: str) -> bool:
        """Destroy nothing."""
        del namespace, key
        return False

    def clear(self, namespace: str, key: str) -> tuple[int, int]:
        """Delete nothing."""
        del namespace, key
        return 0, 0

    def close(self) -> None:
        """Let go of files and connections."""
        self._blobs.close()


class Prefixed:
    """The objects of a place whose names begin with a prefix, by what follows it."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects, self._prefix = objects, prefix

    @property
    def where(self) -> str:
        """Return the address of the part."""
        return f"{self._objects.where.rstrip('/')}/{self._prefix.rstrip('/')}"

    def head(self, name: str) -> Stat | None:
        """Return what is known of an object, None when it is not there."""
        return self._objects.head(self._prefix + name)

    def create(self, name: str, chunks: Iterable[bytes | memoryview], size: int) -> bool:
        """Make an object unless it is there, see `Objects.create`."""
        return self._objects.create(self._prefix + name, chunks, size)

    def replace(self, name: str, content: bytes) -> None:
        """Put a content in the place of another, see `Objects.replace`."""
        self._objects.replace(self._prefix + name, content)

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of an object, see `Objects.read`."""
        return self._objects.read(self._prefix + name, start, end)

    def names(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the objects of the part whose names begin with a prefix."""
        for name, found in self._objects.names(self._prefix + prefix):
            yield name.removeprefix(self._prefix), found

    def delete(self, name: str) -> bool:
        """Take an object away; False when it was not there."""
        return self._objects.delete(self._prefix + name)

    def close(self) -> None:
        """Leave the place open: it is not this part's alone."""


def namespace_folder(namespace: str, key: str) -> str:
    """Return where the contents of a namespace under a key lie. Raises UsageError for what is no namespace, or no name of a key."""
    if not _NAMESPACE.fullmatch(namespace) or ".." in namespace or not _KEY.fullmatch(key):
        msg = f"is no namespace, or no name of its key: {namespace[:80]!r}, {key[:40]!r}"
        raise UsageError(msg, code="BLB011")
    return f"namespaces/{namespace}/{key}/"


def namespace_keys(objects: Objects) -> list[tuple[str, str]]:
    """Return the namespaces and names of keys under which a place has objects, in order."""
    found = {tuple(name.split("/")[1:3]) for name, _ in objects.names("namespaces/")}
    return sorted((parts[0], parts[1]) for parts in found if len(parts) == 2 and _KEY.fullmatch(parts[1]))  # noqa: PLR2004 - both
