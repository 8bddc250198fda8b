"""Keys in the keyring of the operating system: macOS Keychain, Windows Credential Locker, Secret Service, KWallet.

An entry holds the content of a key file, under the service `stannary` and the name of the key.
"""

from __future__ import annotations

from typing import Any

from stannary.core.errors import BackendError, UsageError
from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.keys import PrivateKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.remote import missing
from stannary.crypto.providers.unlocking import unlocked
from stannary.crypto.wrapping import WrappingKey

__all__ = ["open_signer", "open_wrapper", "store"]

_SERVICE = "stannary"


def open_signer(address: str, ask: Ask) -> Signer:
    """Read the key of a name. Raises UsageError, InputError, or BackendError when there is no keyring."""
    where, content = _content(address)
    return unlocked(lambda passphrase: PrivateKey.of_pem(content, passphrase, where), ask, where)


def open_wrapper(address: str, ask: Ask) -> Wrapper:
    """Read the wrapping key of a name. Raises UsageError, InputError, or BackendError when there is no keyring."""
    where, content = _content(address)
    return unlocked(lambda passphrase: WrappingKey.of_pem(content, passphrase, where), ask, where)


def store(name: str, key: PrivateKey | WrappingKey, passphrase: bytes | None) -> None:
    """Keep a new key. Raises UsageError when there is one of that name, BackendError when there is no keyring."""
    where = f"keyring:{name}"
    if _call("get_password", where, _SERVICE, name):
        msg = "is there already; a key is never overwritten"
        raise UsageError(msg, where=where, code="KEY005", help="choose another name")
    _call("set_password", where, _SERVICE, name, key.pem(passphrase).decode())


def _content(name: str) -> tuple[str, bytes]:
    where = f"keyring:{name}"
    text = _call("get_password", where, _SERVICE, name)
    if not text:
        msg = "the keyring has no such key"
        raise UsageError(msg, where=where, code="KEY013", help=f"`stannary keys generate {where}` makes one")
    return where, text.encode()


def _call(function: str, where: str, *arguments: str) -> Any:  # noqa: ANN401 - text, or nothing
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        missing("keyring", "keyring", where)
    try:
        return getattr(keyring, function)(*arguments)
    except KeyringError as error:
        msg = f"the keyring cannot be used: {str(error)[:200] or type(error).__name__}"
        raise BackendError(msg, where=where, code="KEY014", help="unlock it, or keep the key in a file") from error
