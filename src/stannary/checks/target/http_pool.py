"""Requests to one endpoint: many at a time, no faster than allowed, tried again where that may help, paid once.

What an endpoint does, and what follows:

- 2xx with an answer that `read` understands: the answer, kept in the cache.
- 2xx with anything else: tried once more, then *no answer*.
- 408, 425, 429, 5xx (but 501), a timeout, a lost connection: tried again after `Retry-After` or a growing pause, then *no answer*.
- 400, 413, 422 and other 4xx: this request is *rejected*; it is not tried again.
- 401, 403, 404, 405, 501, a redirect: the endpoint is not what the caller thinks: BackendError at once. No redirect is followed:
  it could lead to another host with the credentials, or to an address inside the caller's network.
- `give_up` requests in a row without any answer: the endpoint is *gone*, and nothing more is sent in this round.

Nothing here is torch or numpy: targets and probes of language models share it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, NoReturn, TypeVar

from stannary.checks.target.http_cache import AnswerCache, request_key
from stannary.checks.target.http_wire import retry_after, trusting
from stannary.core.errors import BackendError, UsageError

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Costs", "Limits", "Pool", "Status"]

T = TypeVar("T")
Status = Literal["answered", "silent", "rejected", "gone", "budget"]
_AGAIN = frozenset({408, 425, 429})
_NOT_BILLED = 400  # from here on
_WRONG = {401: "it wants other credentials", 403: "it forbids this", 404: "there is nothing at this address"}
_WRONG |= {405: "it does not take this method", 501: "it does not take this method"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SHORTEST_SECRET = 6


@dataclass(frozen=True)
class Limits:
    """What may be asked of an endpoint.

    Args:
        concurrency: requests under way at a time.
        rate: requests a second at most; None for no limit.
        timeout: seconds until a request counts as lost.
        tries: of one request.
        patience: seconds that a `Retry-After` is waited for at most.
        give_up: requests in a row without an answer, after which the endpoint is gone.
        answer_bytes: a longer answer is none.
        requests: how many may be sent in all, tries included; None for no limit.
        money: how much may be spent in all, by all runs that share a cache; None for no limit.
    """

    concurrency: int = 8
    rate: float | None = None
    timeout: float = 30.0
    tries: int = 5
    patience: float = 60.0
    give_up: int = 10
    answer_bytes: int = 16 << 20
    requests: int | None = None
    money: float | None = None


@dataclass
class Costs:
    """What was really sent, in requests, and what it cost."""

    sent: int = 0
    retried: int = 0  # of these
    cached: int = 0  # answers that were on disk
    silent: int = 0  # requests without an answer, after all tries
    waited: float = 0.0  # seconds in which the endpoint had asked for quiet
    money: float = 0.0


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of one request: a value, or why there is none."""

    value: T | None
    status: Status
    why: str = ""


@dataclass
class _Job(Generic[T]):
    body: bytes
    price: float
    read: Callable[[bytes], T]
    bill: Callable[[T], float] | None
    answer: Answer[T] | None = None


@dataclass
class _State:
    """What the requests under way share."""

    next_at: float = 0.0
    quiet_until: float = 0.0
    in_a_row: int = 0
    reserved: float = 0.0
    under_way: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    last: str = ""
    fatal: BackendError | None = None
    runner: asyncio.Runner | None = None
    client: httpx.AsyncClient | None = None
    owner: int = field(default_factory=os.getpid)


class Pool:
    """Requests to `url`.

    Args:
        url: of the endpoint, http or https.
        headers: as sent, secrets filled in.
        written: the same as the user wrote them, for the digest of a request; `headers` without secrets when None.
        method: of HTTP.
        limits: what may be asked.
        cache: where answers are kept.
        ca: PEM file with authorities to trust in place of the system's.

    A pool belongs to one process and one thread at a time.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        written: Mapping[str, str] | None = None,
        method: str = "POST",
        limits: Limits | None = None,
        cache: AnswerCache | None = None,
        ca: str | None = None,
    ) -> None:
        self.url, self.method, self.cache, self.ca = url, method, cache, ca
        self.limits = limits or Limits()
        self.headers = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        self.written = dict(written if written is not None else headers or {})
        self.costs = Costs()
        # What a user writes as a variable is secret; so is the value without its scheme ("Bearer ...").
        self._secrets = {
            part for name, value in (headers or {}).items() if value != self.written.get(name) for part in _parts(value)
        }
        self._state = _State()

    def __reduce__(self) -> NoReturn:
        """Refuse to be sent to another process, where limits and costs would be counted apart."""
        msg = "an endpoint is asked by one process alone: its limits and its budget hold there"
        raise UsageError(msg, where=self.url, help="use one worker; requests are sent side by side all the same")

    def ask(
        self,
        bodies: Sequence[bytes],
        read: Callable[[bytes], T],
        *,
        price: Callable[[bytes], float] | None = None,
        bill: Callable[[T], float] | None = None,
    ) -> list[Answer[T]]:
        """Send all bodies and return an answer for each, in their order.

        Args:
            bodies: of the requests.
            read: takes the content of an answer; raises ValueError where it cannot be used.
            price: what a request costs at most, which is kept free in the budget before it is sent.
            bill: what an answer really cost; `price` when None.

        Raises:
            BackendError: the endpoint refuses all requests, redirects them, or cannot be trusted.
            UsageError: the pool is used inside an event loop.
        """
        jobs = [_Job(body, price(body) if price else 0.0, read, bill) for body in bodies]
        state = self._state
        if state.owner != os.getpid():
            self.__reduce__()
        state.fatal = None
        state.reserved, state.under_way = 0.0, 0  # of a round that was interrupted
        state.in_a_row = min(state.in_a_row, max(0, self.limits.give_up - 1))  # one that was gone is tried once more
        todo = [job for job in jobs if not self._from_cache(job)]
        if todo:
            _refuse_a_running_loop(self.url)
            if state.runner is None:
                state.runner = asyncio.Runner()
            state.runner.run(self._all(todo))
        if state.fatal is not None:
            raise state.fatal
        return [job.answer or Answer(None, "gone", state.last) for job in jobs]

    def close(self) -> None:
        """Close connections, the event loop and the cache."""
        state = self._state
        if state.runner is not None:
            if state.client is not None:
                state.runner.run(state.client.aclose())
            state.runner.close()
        self._state = _State()
        if self.cache is not None:
            self.cache.close()

    def clean(self, text: str) -> str:
        """Return a text of the endpoint, short and without the secrets it may echo."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in text)[:200].strip()

    def _from_cache(self, job: _Job[T]) -> bool:
        found = self.cache.get(request_key(self.method, self.url, self.written, job.body)) if self.cache else None
        if found is None:
            return False
        try:
            job.answer = Answer(job.read(found), "answered")
        except ValueError:
            return False  # kept by a version that read it otherwise
        self.costs.cached += 1
        return True

    async def _all(self, jobs: list[_Job[T]]) -> None:
        state = self._state
        if state.client is None:
            import httpx

            limits = httpx.Limits(max_connections=self.limits.concurrency, max_keepalive_connections=self.limits.concurrency)
            state.client = httpx.AsyncClient(
                verify=trusting(self.ca), timeout=self.limits.timeout, limits=limits, follow_redirects=False,
                headers={**self.headers, "Accept-Encoding": "identity", "User-Agent": "stannary"},
            )  # fmt: skip
        left = iter(jobs)

        async def work() -> None:
            for job in left:
                if self._hopeless():
                    job.answer = Answer(None, "gone", state.last)
                else:
                    await self._one(state.client, job)  # type: ignore[arg-type] # made above

        await asyncio.gather(*(work() for _ in range(min(self.limits.concurrency, len(jobs)))))

    async def _one(self, client: httpx.AsyncClient, job: _Job[T]) -> None:
        state, garbage = self._state, 0
        for number in range(self.limits.tries):
            if not await self._may_send(job):
                job.answer = Answer(None, "budget", "the budget is used up")
                return
            await self._turn()
            if self._hopeless():
                self._settle(job, 0.0)
                self.costs.sent -= 1
                job.answer = Answer(None, "gone", state.last)
                return
            self.costs.retried += number > 0
            code, headers, content = await self._send(client, job.body)
            if 200 <= code < 300:  # noqa: PLR2004 - what HTTP calls success
                if self._read(job, content):
                    state.in_a_row = 0
                    return
                garbage += 1
                if garbage > 1:
                    break
                continue
            self._settle(job, job.price if code == 0 and headers.get("sent") else 0.0)
            if code and code not in _AGAIN and (code < 500 or code in _WRONG):  # noqa: PLR2004 - the server's fault
                self._refused(job, code, headers, content)
                return
            state.last = f"HTTP {code}: {self.clean(content.decode('utf-8', 'replace'))}" if code else content.decode()
            if self._hopeless():
                break
            if number + 1 < self.limits.tries:
                self._pause(job.body, number, headers)
        self.costs.silent += 1
        state.in_a_row += 1
        job.answer = Answer(None, "silent", state.last)

    def _hopeless(self) -> bool:
        return self._state.fatal is not None or self._state.in_a_row >= self.limits.give_up

    async def _may_send(self, job: _Job[T]) -> bool:
        """Keep the price of a request free; tell whether that is within the budget, once what is under way has been billed."""
        limits, state = self.limits, self._state
        earlier = self.cache.paid if self.cache else 0.0
        while limits.money is not None and earlier + self.costs.money + state.reserved + job.price > limits.money + 1e-9:
            if state.reserved <= 0:
                return False
            state.settled.clear()
            await state.settled.wait()
        if limits.requests is not None and self.costs.sent >= limits.requests:
            return False
        state.reserved += job.price
        state.under_way += 1
        self.costs.sent += 1
        return True

    def _settle(self, job: _Job[T], money: float) -> None:
        state = self._state
        state.under_way -= 1
        state.reserved = state.reserved - job.price if state.under_way else 0.0  # no rounding error is left over
        self.costs.money += money
        state.settled.set()

    async def _turn(self) -> None:
        """Wait until one more request may be sent."""
        state = self._state
        while True:
            now = time.monotonic()
            quiet = state.quiet_until - now
            if quiet > 0:
                self.costs.waited += quiet
                await asyncio.sleep(quiet)
                continue
            if self.limits.rate is None:
                return
            at = max(now, state.next_at)
            state.next_at = at + 1 / self.limits.rate
            await asyncio.sleep(at - now)
            if state.quiet_until <= time.monotonic():
                return

    async def _send(self, client: httpx.AsyncClient, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Send once: (status, headers, content); status 0 with a reason as content where nothing usable came."""
        import httpx

        try:
            async with asyncio.timeout(self.limits.timeout * 2), client.stream(self.method, self.url, content=body) as got:
                if got.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
                    return 0, {"sent": "1"}, b"a compressed answer, which was not asked for"
                content = bytearray()
                async for part in got.aiter_raw():
                    content += part
                    if len(content) > self.limits.answer_bytes:
                        return 0, {"sent": "1"}, f"an answer of more than {self.limits.answer_bytes} bytes".encode()
                return got.status_code, got.headers, bytes(content)
        except httpx.ConnectError as exc:
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                self._fatal(f"its certificate is not trusted: {self.clean(str(exc))}", help="name its authority: ca: FILE.pem")
            return 0, {}, f"no connection: {self.clean(str(exc))}".encode()
        except (httpx.TimeoutException, TimeoutError):
            return 0, {"sent": "1"}, f"no answer within {self.limits.timeout:g} s".encode()
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            return 0, {"sent": "1"}, f"the connection broke: {type(exc).__name__}: {self.clean(str(exc))}".encode()

    def _read(self, job: _Job[T], content: bytes) -> bool:
        try:
            value = job.read(content)
        except (ValueError, RecursionError) as exc:
            self._state.last = f"an answer that cannot be used: {self.clean(str(exc))}"
            self._settle(job, job.price)
            return False
        money = job.price if job.bill is None else job.bill(value)
        self._settle(job, money)
        job.answer = Answer(value, "answered")
        if self.cache is not None:
            self.cache.put(request_key(self.method, self.url, self.written, job.body), content, money)
        return True

    def _refused(self, job: _Job[T], code: int, headers: Mapping[str, str], content: bytes) -> None:
        said = self.clean(content.decode("utf-8", "replace"))
        if code in _WRONG:
            self._fatal(f"HTTP {code}: {_WRONG[code]}{f' ({said})' if said else ''}")
        elif code < _NOT_BILLED:
            to = self.clean(headers.get("location", "?"))
            self._fatal(f"HTTP {code}: it redirects to {to}", help="no redirect is followed; write the final address")
        self._state.in_a_row = 0  # it answers
        job.answer = Answer(None, "rejected", f"HTTP {code}: {said}")

    def _fatal(self, why: str, *, help: str | None = None) -> None:  # noqa: A002 - the word of errors
        if self._state.fatal is None:
            self._state.fatal = BackendError(why, where=self.url, help=help)

    def _pause(self, body: bytes, number: int, headers: Mapping[str, str]) -> None:
        """Have all requests wait: as long as the endpoint asks, or for a growing time that is not the same for all."""
        asked = retry_after(headers.get("retry-after", ""))
        spread = 0.5 + hashlib.sha256(body + bytes([number])).digest()[0] / 256
        pause = min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE) * spread if asked is None else min(asked, self.limits.patience)
        self._state.quiet_until = max(self._state.quiet_until, time.monotonic() + pause)


def _refuse_a_running_loop(where: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = "an endpoint cannot be asked inside a running event loop"
    raise UsageError(msg, where=where, help="ask in a thread: asyncio.to_thread")


def _parts(value: str) -> list[str]:
    return [part for part in (value, value.rpartition(" ")[2]) if len(part) >= _SHORTEST_SECRET]
