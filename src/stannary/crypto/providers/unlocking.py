"""A key that may be protected by a passphrase: it is asked for only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from stannary.core.errors import UsageError
from stannary.crypto.providers.interface import Ask

__all__ = ["unlocked"]

_Key = TypeVar("_Key")


def unlocked(read: Callable[[bytes | None], _Key], ask: Ask, where: str) -> _Key:
    """Return what `read` returns without a passphrase, or with the one that is asked for when it says that one is needed (KEY003).

    Raises what `read` raises otherwise.
    """
    try:
        return read(None)
    except UsageError as error:
        if error.code != "KEY003":
            raise
    return read(ask(where))
