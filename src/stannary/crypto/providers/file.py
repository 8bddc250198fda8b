"""Keys in files: PKCS #8 in PEM, protected with a passphrase unless that was declined when it was made."""

from __future__ import annotations

from stannary.core.errors import UsageError
from stannary.crypto.interface import Signer
from stannary.crypto.keys import read_private
from stannary.crypto.providers.interface import Ask

__all__ = ["open_signer"]


def open_signer(address: str, ask: Ask) -> Signer:
    """Read the key file at a path. Asks only when the file is protected. Raises UsageError or InputError."""
    try:
        return read_private(address)
    except UsageError as error:
        if error.code != "KEY003":
            raise
    return read_private(address, ask(address))
