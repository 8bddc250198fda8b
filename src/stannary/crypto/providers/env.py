"""Keys in environment variables: a key file's content, as CI systems hand out secrets."""

from __future__ import annotations

import os

from stannary.core.errors import UsageError
from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.keys import PrivateKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.unlocking import unlocked
from stannary.crypto.wrapping import WrappingKey

__all__ = ["open_signer", "open_wrapper"]


def open_signer(address: str, ask: Ask) -> Signer:
    """Read the key in a variable. Raises UsageError or InputError."""
    where, content = _content(address)
    return unlocked(lambda passphrase: PrivateKey.of_pem(content, passphrase, where), ask, where)


def open_wrapper(address: str, ask: Ask) -> Wrapper:
    """Read the wrapping key in a variable. Raises UsageError or InputError."""
    where, content = _content(address)
    return unlocked(lambda passphrase: WrappingKey.of_pem(content, passphrase, where), ask, where)


def _content(name: str) -> tuple[str, bytes]:
    text = os.environ.get(name)
    if not text:
        msg = "is not set"
        raise UsageError(msg, where=f"env:{name}", code="KEY011", help=f"put the content of a key file into {name}")
    return f"env:{name}", text.replace("\\n", "\n").encode()  # some systems keep secrets in one line
