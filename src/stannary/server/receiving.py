"""What is sent: at most so many bytes, and not as slowly as whoever sends it likes.

Who sends a byte a minute holds a connection and, for a content, a thread. So each part has to come within `PATIENCE` seconds,
and once they are over all of it has to have come at `SLOWEST` bytes a second at least. Contents are taken in by threads of their
own, of which one caller has a few at most: whatever they do, the threads that everything else runs on stay free.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from stannary.server.limits import AtOnce, CountedHere
from stannary.server.problems import Refused

__all__ = ["PATIENCE", "SLOWEST", "Threads", "parts_of"]

PATIENCE = 30.0  # seconds
SLOWEST = 1024  # bytes a second
_T = TypeVar("_T")


async def parts_of(request: Request, most: int, patience: float = PATIENCE) -> AsyncIterator[bytes]:
    """Return the body of a request in parts. Raises Refused: 413 for more than `most` bytes, 408 when they come too slowly."""
    began, total, parts = time.monotonic(), 0, aiter(request.stream())
    while True:
        try:
            part = await asyncio.wait_for(anext(parts, None), patience)
        except TimeoutError:
            part = b""
            slow = True
        else:
            slow = total < SLOWEST * (time.monotonic() - began - patience)
        if part is None:
            return
        total += len(part)
        if total > most:
            raise Refused(413, "Too large", f"at most {most:,} bytes are taken here", code="API003")
        if slow:
            text = f"nothing came for {patience:g} seconds, or less than {SLOWEST} bytes a second"
            raise Refused(408, "Too slow", text, code="API015", headers={"connection": "close"})
        if part:
            yield part


class Threads:
    """Threads for what may take as long as somebody outside likes.

    Args:
        most: of them.
        each: how many one caller has at most.
        busy: counts them; over all processes where there are several.
    """

    def __init__(self, most: int, each: int, busy: AtOnce | None = None) -> None:
        self.each = each
        self._threads = ThreadPoolExecutor(most, "stannary-slow")
        self._busy = busy or CountedHere()

    async def run(self, caller: str, function: Callable[[], _T]) -> _T:
        """Return what a function returns that runs in one of the threads. Raises Refused (429) when the caller has too many."""
        if not self._busy.enter(caller, self.each):
            text = f"more than {self.each} at once from one caller"
            raise Refused(429, "Too many requests", text, code="API005", headers={"retry-after": "5", "connection": "close"})
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        finally:
            self._busy.leave(caller)
