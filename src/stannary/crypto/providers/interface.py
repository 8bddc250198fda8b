"""What a place for keys is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stannary.crypto.interface import Signer, Wrapper

__all__ = ["Ask", "OpenSigner", "OpenWrapper"]

# Returns the passphrase or PIN for what is named, or None when there is nobody to ask.
Ask = Callable[[str], bytes | None]


class OpenSigner(Protocol):
    """Opens the key at an address: what stands behind the scheme, and the whole of it for messages."""

    def __call__(self, address: str, ask: Ask) -> Signer:
        """Return the key. Raises UsageError (address, passphrase), InputError (the key), BackendError (the place)."""
        ...


class OpenWrapper(Protocol):
    """Opens the wrapping key at an address."""

    def __call__(self, address: str, ask: Ask) -> Wrapper:
        """Return the key. Raises as `OpenSigner` does."""
        ...
