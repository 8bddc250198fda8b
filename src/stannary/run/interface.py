"""The executor protocol: bytes in, outcomes out; what a job means is the caller's.

A job is a pure function of its payload, so running it twice is safe: executors promise at
least once, and exactly one outcome for each ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

__all__ = ["Done", "Executor", "Failed", "Handler", "Job", "Lost", "Outcome", "Setup", "Ticket"]

Ticket = int

# Called in the worker: payload, and whether this is the second try after a worker died.
Handler = Callable[[bytes, bool], bytes]


class Job(msgspec.Struct, frozen=True):
    """Work to do: what the handler is given, and roughly how many bytes it will read."""

    payload: bytes
    weight: int = 0


class Setup(msgspec.Struct, frozen=True):
    """How a worker becomes ready: `factory` ("module:function") is called once with `data` and returns the handler."""

    factory: str
    data: bytes = b""


class Done(msgspec.Struct, frozen=True):
    """The handler returned."""

    ticket: Ticket
    value: bytes
    degraded: bool = False


class Failed(msgspec.Struct, frozen=True):
    """The handler raised; `error` is the exception as text."""

    ticket: Ticket
    error: str
    degraded: bool = False


class Lost(msgspec.Struct, frozen=True):
    """The worker died or ran out of time on this job, twice; or the executor was closed."""

    ticket: Ticket
    reason: str


Outcome = Done | Failed | Lost


class Executor(Protocol):
    """Runs jobs somewhere."""

    def submit(self, job: Job) -> Ticket:
        """Queue a job and return its ticket. Never blocks."""
        ...

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        ...

    def cancel(self, ticket: Ticket) -> None:
        """Forget a job. If it has not started it never runs; its outcome is not reported."""
        ...

    def close(self) -> None:
        """End the workers at once. Jobs without an outcome get none."""
        ...
