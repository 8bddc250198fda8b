"""Who has stored what: a manifest may name only contents that its caller has had in hand.

Contents are kept once, whoever stores them. Without this, whoever knows the digest of a file in a namespace he may not
read could register a manifest that names it in one he may, and read it there.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from stannary.core.model import Digest
from stannary.server.shared import Table

__all__ = ["SharedUploads", "Uploads"]

_MOST = 2_000_000
_LASTS = 24 * 3600.0


class Uploads:
    """Contents by caller, for a day; `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def note(self, caller: str, digest: Digest) -> None:
        """Remember that a caller has sent a content whole."""
        with self._lock:
            key = (caller, digest.hex)
            self._seen.pop(key, None)
            self._seen[key] = self._clock()
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)

    def has(self, caller: str, digest: Digest) -> bool:
        """Tell whether a caller has sent a content within a day."""
        with self._lock:
            at = self._seen.get((caller, digest.hex))
            return at is not None and self._clock() - at < _LASTS

    def missing(self, caller: str, digests: Iterable[Digest]) -> list[Digest]:
        """Return the contents that a caller has not sent."""
        return [digest for digest in digests if not self.has(caller, digest)]


class SharedUploads(Uploads):
    """The same over all processes of a server: the parts of one push reach any of them."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def note(self, caller: str, digest: Digest) -> None:
        """Remember that a caller has sent a content whole."""
        now = self._clock()
        self._table.change(f"{digest.hex} {caller}", lambda _: (0.0, now))

    def has(self, caller: str, digest: Digest) -> bool:
        """Tell whether a caller has sent a content within a day."""
        found = self._table.get(f"{digest.hex} {caller}")
        return found is not None and self._clock() - found[1] < _LASTS
