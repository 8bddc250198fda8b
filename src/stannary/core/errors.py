"""Errors, by who is at fault.

StannaryError
├── UsageError        the caller: options, configuration, a path that is not there
├── InputError        the artifact: corrupt, hostile, too large, of the wrong type
│   └── FormatError       one reading of one file failed; carries the offset
│       ├── Truncated         the content ends before the format says it does
│       └── BudgetExceeded    a limit (bytes, depth, members, operations, time) was reached
├── PolicyDenied      a rule said no; nothing is broken
├── IntegrityError    tampering: a digest or a signature does not hold
├── BackendError      a service: network, database, object store
│   └── JailUnavailable   the isolation that was asked for cannot be had here
└── Bug               ours

Each says what, where and why, and names the next command in `help`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = [
    "BackendError",
    "BudgetExceeded",
    "Bug",
    "FormatError",
    "InputError",
    "IntegrityError",
    "JailUnavailable",
    "PolicyDenied",
    "StannaryError",
    "Truncated",
    "UsageError",
    "named_by_caller",
]


class StannaryError(Exception):
    """Root of the tree.

    Args:
        message: what went wrong and why, one sentence.
        where: the file, option or address concerned.
        code: a stable identifier such as `CFG003`, shown as `error[CFG003]`.
        help: the next command or change to try.
    """

    exit_code = 70

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        code: str | None = None,
        help: str | None = None,  # noqa: A002 - the word users read in the output
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.code = code
        self.help = help

    def __str__(self) -> str:
        """Return `where: message`."""
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(StannaryError):
    """The caller asked for something that cannot be done."""

    exit_code = 2


class InputError(StannaryError):
    """The artifact is at fault."""

    exit_code = 3


class FormatError(InputError):
    """One reading of a file failed at `offset` (bytes from the start of the thing read)."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class Truncated(FormatError):
    """The content ends before the format says it does."""


class BudgetExceeded(FormatError):
    """A limit of the scan was reached; what follows was not read."""


class PolicyDenied(StannaryError):
    """A rule said no."""

    exit_code = 1


class IntegrityError(StannaryError):
    """A digest or a signature does not hold."""

    exit_code = 1


class BackendError(StannaryError):
    """A service could not be used."""

    exit_code = 2


class JailUnavailable(BackendError):
    """The isolation level that was asked for cannot be had on this machine."""


class Bug(StannaryError):
    """Ours. Please report it."""


@contextlib.contextmanager
def named_by_caller() -> Iterator[None]:
    """Make an InputError of what is read meanwhile a UsageError: a key or list that the caller named is no artifact to be analysed.

    The exit code is what differs: 2, and not the 3 by which `verify` says that only a part was verified.
    """
    try:
        yield
    except InputError as error:
        raise UsageError(error.message, where=error.where, code=error.code, help=error.help) from error
