"""The stores of a workspace as its settings say now: a process that runs for months goes along when they are changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator

from stannary.store.blobs.interface import Blobs
from stannary.store.blobs.namespaced import NamespacedBlobs

__all__ = ["FollowingBlobs"]


class FollowingBlobs:
    """The store of now, see `NamespacedBlobs`: each call asks whether it is another one. Threads may share it.

    Args:
        settings: returns what says which store that is; cheap, since every call asks.
        opened: opens the store of settings.
    """

    def __init__(self, settings: Callable[[], Hashable], opened: Callable[[], NamespacedBlobs]) -> None:
        self._settings, self._opened = settings, opened
        self._lock = threading.Lock()
        self._by = settings()
        self._now = opened()
        self._former: list[NamespacedBlobs] = []  # in use by whoever began before

    @property
    def separate(self) -> bool:
        """Say whether a namespace has contents, and a key, of its own now."""
        return self._store().separate

    def of(self, namespace: str, *, begin: bool = False) -> Blobs:
        """Return the contents of a namespace, see `NamespacedBlobs.of`."""
        return self._store().of(namespace, begin=begin)

    def key_of(self, namespace: str) -> str:
        """Return the name of the key that a namespace has now, an empty text when it has none."""
        return self._store().key_of(namespace)

    def namespaces(self) -> list[str]:
        """Return the namespaces that have a key."""
        return self._store().namespaces()

    def opened(self) -> Iterator[tuple[str, Blobs]]:
        """Yield every namespace that has a key, and its contents, see `NamespacedBlobs.opened`."""
        return self._store().opened()

    def kept(self) -> list[tuple[str, str]]:
        """Return the namespaces and names of keys under which something lies."""
        return self._store().kept()

    def destroy(self, namespace: str, key: str) -> bool:
        """Destroy a key of a namespace, see `NamespacedBlobs.destroy`."""
        return self._store().destroy(namespace, key)

    def clear(self, namespace: str, key: str) -> tuple[int, int]:
        """Delete what was encrypted under a key, see `NamespacedBlobs.clear`."""
        return self._store().clear(namespace, key)

    def close(self) -> None:
        """Let go of files and connections."""
        for store in (*self._former, self._now):
            store.close()

    def _store(self) -> NamespacedBlobs:
        by = self._settings()
        if by != self._by:
            with self._lock:
                if by != self._by:
                    self._former.append(self._now)
                    self._now, self._by = self._opened(), by
        return self._now
