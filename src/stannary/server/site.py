"""What is served: a workspace with its registry, who is let in, and what is counted about it."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from stannary.access.access import Access
from stannary.access.idempotency import Kept
from stannary.evidence.chain import Chain
from stannary.registry.registry import Allowed, Registry
from stannary.server.limits import CountedHere
from stannary.server.operations import Principal
from stannary.server.sharing import Alone, Shares

__all__ = ["Guard", "Replies", "Site"]


class Guard(Protocol):
    """Says who calls, and what they may. `guard_access.py` has the one with accounts and tokens."""

    def authenticate(self, authorization: str, cookie: str) -> Principal:
        """Return who calls. Raises PolicyDenied when nobody is known by that."""
        ...

    def remembered(self, authorization: str, cookie: str) -> Principal | None:
        """Return who calls if that is known without waiting for anything; None if it has to be looked up."""
        ...

    def allowed(self, principal: Any) -> Allowed:  # noqa: ANN401 - what `authenticate` returned
        """Return what says whether the principal may do something."""
        ...


class Replies(Protocol):
    """Remembers what was answered to requests with an `Idempotency-Key`. `access/idempotency.py` has one with a table."""

    def begin(self, principal: str, key: str, operation: str, digest: str) -> Kept | None:
        """Return what was answered before; None when it is to be done now. Raises UsageError when that is not possible."""
        ...

    def finish(self, principal: str, key: str, reply: Kept | None) -> None:
        """Keep an answer; None: nothing was done, and it may be tried again."""
        ...


class Site:
    """A workspace as it is served. Its parts are safe to use from many threads.

    Args:
        registry: of the workspace; each caller sees it with their own rights.
        guard: who calls, and what they may.
        version: of stannary.
        rate: requests a second that one caller may make, and how many at once; 0 for any number.
        largest: bytes of a body that is a document; contents may be of any size up to `largest_content`.
        shares: what is counted together with other processes of the server.
    """

    def __init__(
        self, registry: Registry, guard: Guard, *, version: str, rate: tuple[float, int] = (200.0, 400), largest: int = 64 << 20,
        largest_content: int = 1 << 40, shares: Shares | None = None,
    ) -> None:  # fmt: skip
        self.registry = registry
        self.guard = guard
        self.version = version
        self.largest = largest
        self.largest_content = largest_content
        self.access: Access | None = None
        self.replies: Replies | None = None
        self.here = False  # whether it is asked for by names of this machine alone (`hosts.py`)
        self.scrape = "local"  # who is told what is counted: `local`, `account` or `open`
        found = shares or Alone()
        self.metrics = found.metrics()
        self.uploads = found.uploads()
        self.slow = found.slow()
        self.limit = found.rates(*rate)
        # A login costs a hash that is slow on purpose: fewer of them, and in threads that nothing else waits for.
        self.logins = found.logins(min(rate[0], 2.0), min(rate[1], 20))
        self.hashing = found.hashing()
        self.modules = CountedHere()  # in Rego, that accounts have sent and that are evaluated now
        self.stopping = threading.Event()

    @property
    def at_hand(self) -> bool:
        """Tell whether the tables are a file here: what asks a server may wait for it, and then nothing else would be answered."""
        return self.registry.database.is_sqlite

    @property
    def chain(self) -> Chain:
        """Return the evidence and the ledger of the workspace."""
        return self.registry.chain

    def seen_by(self, principal: Principal) -> Registry:
        """Return the registry with the rights of a caller."""
        return self.registry.seen_by(principal.id, self.guard.allowed(principal))

    def ready(self) -> dict[str, str]:
        """Return what has to work for requests to be answered, each `ok` or why not."""
        found = {"stopping": "ok" if not self.stopping.is_set() else "is shutting down"}
        for name, probe in (("ledger", self._ledger), ("tables", self._tables)):
            try:
                probe()
                found[name] = "ok"
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer is that it does not work
                found[name] = type(error).__name__
        return found

    def _ledger(self) -> None:
        self.chain.ledger.head()

    def _tables(self) -> None:
        with self.registry.database.reading():
            pass
