"""Keys in environment variables: a key file's content, as CI systems hand out secrets."""

from __future__ import annotations

import os

from stannary.core.errors import UsageError
from stannary.crypto.interface import Signer
from stannary.crypto.keys import PrivateKey
from stannary.crypto.providers.interface import Ask

__all__ = ["open_signer"]


def open_signer(address: str, ask: Ask) -> Signer:
    """Read the key in a variable. Raises UsageError or InputError."""
    where = f"env:{address}"
    text = os.environ.get(address)
    if not text:
        msg = "is not set"
        raise UsageError(msg, where=where, code="KEY011", help=f"put the content of a key file into {address}")
    content = text.replace("\\n", "\n").encode()  # some systems keep secrets in one line
    try:
        return PrivateKey.of_pem(content, None, where)
    except UsageError as error:
        if error.code != "KEY003":
            raise
    return PrivateKey.of_pem(content, ask(where), where)
