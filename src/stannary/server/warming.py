"""What the first page of a new process would wait for, done beside: templates are read, and of the log what entries are found by.

Of a log that no process has read before that takes seconds for each million entries; where one has, what it signed is taken. A
piece is read at a time, and requests are answered between two of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from stannary.core.errors import StannaryError
from stannary.registry.registry import Registry
from stannary.server.console.render import read_templates

__all__ = ["warming"]

_LOG = logging.getLogger("stannary.server")
_AFTER = 0.5  # seconds: a process is there for who waits for it first


@contextlib.contextmanager
def warming(registry: Registry) -> Iterator[None]:
    """Warm a registry up while the block goes on; when it ends, what is not done is left."""
    stop = threading.Event()
    thread = threading.Thread(target=_warm, args=(registry, stop), name="stannary-warming")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _warm(registry: Registry, stop: threading.Event) -> None:
    if stop.wait(_AFTER):
        return
    try:
        read_templates(stop)
        registry.warm(stop)
    except StannaryError as error:  # whoever asks for it is told the same
        _LOG.warning("what entries can be found by was not read: %s", error)
    except Exception:  # noqa: BLE001 - a thread of its own: whatever it was, requests go on
        _LOG.exception("what entries can be found by was not read")
