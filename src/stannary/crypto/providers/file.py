"""Keys in files: PKCS #8 in PEM, or a wrapping key, protected with a passphrase unless that was declined when it was made."""

from __future__ import annotations

from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.keys import read_private
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.unlocking import unlocked
from stannary.crypto.wrapping import read_wrapping

__all__ = ["open_signer", "open_wrapper"]


def open_signer(address: str, ask: Ask) -> Signer:
    """Read the key file at a path. Asks only when the file is protected. Raises UsageError or InputError."""
    return unlocked(lambda passphrase: read_private(address, passphrase), ask, address)


def open_wrapper(address: str, ask: Ask) -> Wrapper:
    """Read the wrapping key at a path. Asks only when the file is protected. Raises UsageError or InputError."""
    return unlocked(lambda passphrase: read_wrapping(address, passphrase), ask, address)
