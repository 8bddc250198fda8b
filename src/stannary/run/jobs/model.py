"""A job and what comes of it."""

from __future__ import annotations

from functools import cached_property

import msgspec

from stannary.core.canonical import digest_of
from stannary.core.model import Json

__all__ = ["Done", "Failed", "Job", "JobLimits", "JobSetup", "Lost", "Outcome"]


class Job(msgspec.Struct, frozen=True, dict=True):
    """Work as a pure description: the same description is the same work, and may be done twice without harm.

    `inputs` are digests where there are any; what a name stands for changes, so `params` then say as of when.
    """

    kind: str
    inputs: tuple[str, ...] = ()
    params: dict[str, Json] = {}

    @cached_property
    def key(self) -> str:
        """Return the idempotency key: the digest of the canonical JSON (RFC 8785) of the description."""
        return str(digest_of({"kind": self.kind, "inputs": list(self.inputs), "params": self.params}))


class JobLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor allows.

    Attributes:
        in_flight: jobs that were submitted and whose outcome was not taken yet.
        seconds: that one run of a job may last.
        tries: runs of a job that fails for a reason that may pass.
        crashes: after so many processes were lost to a job, it is lost.
        backoff: seconds before a second try; twice as long each time, a minute at most.
    """

    in_flight: int = 64
    seconds: float = 600.0
    tries: int = 3
    crashes: int = 3
    backoff: float = 0.5


class JobSetup(msgspec.Struct, frozen=True):
    """How a worker becomes ready: `factory` ("module:function") is called with `data` and returns the handler.

    `progress` is a folder for what handlers say about how far they are; nothing is written without one.
    """

    factory: str
    data: bytes = b""
    progress: str = ""


class Done(msgspec.Struct, frozen=True):
    """The handler returned a value."""

    key: str
    value: bytes


class Failed(msgspec.Struct, frozen=True):
    """The handler raised, at every try; `passing` when the last reason may pass with time."""

    key: str
    error: str
    passing: bool = False


class Lost(msgspec.Struct, frozen=True):
    """The job took `crashes` processes with it, or ran out of time as often: it is not tried again."""

    key: str
    reason: str
    crashes: int


Outcome = Done | Failed | Lost
