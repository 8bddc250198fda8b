"""Connections from a socket that other processes accept from as well: one each time that one is woken.

asyncio accepts as many at once as there are, so that whichever process is woken first would have all that come together.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

__all__ = ["Accepting"]

_LOG = logging.getLogger("stannary.server")
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 1.0


class Accepting:
    """A socket that is accepted from; it can be closed as what `asyncio` makes of one.

    Args:
        loop: that runs.
        listening: the socket, not blocking.
        protocol: makes what speaks over a connection.
        tls: how, where it is encrypted.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listening: socket.socket, protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> None:  # fmt: skip
        self._loop, self._listening, self._protocol, self._tls = loop, listening, protocol, tls
        self._beginning: set[asyncio.Task[None]] = set()
        self._is_open = True
        self._watch()

    def close(self) -> None:
        """Take nothing new."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def wait_closed(self) -> None:
        """Return when nothing is at its beginning any more."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _watch(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or who asked has gone
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _LOG.error("no connection can be accepted: %s", error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_PAUSE, self._watch)
            return
        connection.settimeout(0.0)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except OSError as error:  # of TLS too: who asks has no certificate, or speaks something else
            _LOG.debug("a connection did not come about: %s", error)
            connection.close()
