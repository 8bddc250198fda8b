"""Connections: whoever opens one has to ask for something soon and in a few words, and to take what is answered.

uvicorn alone waits for ever, and httptools keeps headers and trailers of any length.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["HEADERS", "LONGEST", "STALLED", "Impatient"]

LONGEST = 1 << 16  # bytes around a body: request line, headers, trailers; a token is shown with at most 20,000 characters
HEADERS = 20.0  # seconds for the headers of a request, all of them
STALLED = 60.0  # seconds in which a client that has 64 KiB of an answer to come takes some of it


class Impatient(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it; a connection is closed when a request's headers do not come in time (slowloris) or grow."""

    _around = 0  # bytes that came since the last one of a body, or the last request
    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take in bytes; those of a next request that is not whole have to be followed by the others."""
        self._around += len(data)
        super().data_received(data)
        if self._around > LONGEST + len(data):  # what came at once is in memory anyway, and may be the end of a body
            self.transport.abort()
            return
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request, whatever uvicorn's own types say
        if self._late is None and (cycle is None or cycle.response_complete):
            self._wait()

    def on_headers_complete(self) -> None:
        """Stop to wait: somebody asks for something."""
        self._stop()
        self._around = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body: what is around it begins anew."""
        self._around = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, with whatever came behind its body."""
        self._around = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED, self._abort)

    def resume_writing(self) -> None:
        """Go on: the client takes it."""
        self._go_on()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop()
        self._go_on()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEADERS, self._close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _go_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _abort(self) -> None:
        self._stalled = None
        self.transport.abort()  # not close: that would wait for what is not taken

    def _close(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.close()
