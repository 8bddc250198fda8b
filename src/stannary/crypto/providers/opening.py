"""From the address of a key to its signer, or to what wraps other keys by it.

keys/signing.pem, file:keys/signing.pem     a file (PKCS #8)
env:NAME                                    an environment variable that holds one
keyring:NAME                                the keyring of the operating system
pkcs11:token=T;object=K?module-path=/L.so   a token (RFC 7512)
awskms:///KEY-ID, awskms:///alias/NAME      AWS KMS
vault:MOUNT/KEY                             the transit engine of HashiCorp Vault or OpenBao
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

from stannary.core.errors import UsageError, named_by_caller
from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.providers.interface import Ask

__all__ = ["SCHEMES", "environment_passphrase", "is_address", "is_local", "open_signer", "open_wrapper"]

# scheme → module:function; the module has `open_wrapper` too
SCHEMES: dict[str, str] = {
    "file": "stannary.crypto.providers.file:open_signer",
    "env": "stannary.crypto.providers.env:open_signer",
    "keyring": "stannary.crypto.providers.keyring:open_signer",
    "pkcs11": "stannary.crypto.providers.pkcs11:open_signer",
    "awskms": "stannary.crypto.providers.awskms:open_signer",
    "vault": "stannary.crypto.providers.vault:open_signer",
}
_LOCAL = frozenset({"file", "env", "keyring", "pkcs11"})
_GROUP = "stannary.keys"
_WRAPPING = "stannary.wrapping-keys"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")  # two letters at least: C:\\ is a path elsewhere


def open_signer(address: str, passphrase: bytes | Ask | None = None) -> Signer:
    """Return the key at an address. Raises UsageError or BackendError.

    Args:
        address: a path, or one of the forms above.
        passphrase: the secret that opens it, or what asks for it; STANNARY_PASSPHRASE when it is None.
    """
    found, rest = _found(address, "open_signer", _GROUP)
    with named_by_caller():
        signer: Signer = found(rest, _asking(passphrase))
    return signer


def open_wrapper(address: str, passphrase: bytes | Ask | None = None) -> Wrapper:
    """Return the wrapping key at an address. Takes and raises what `open_signer` does."""
    found, rest = _found(address, "open_wrapper", _WRAPPING)
    with named_by_caller():
        wrapper: Wrapper = found(rest, _asking(passphrase))
    return wrapper


def _found(address: str, function: str, group: str) -> tuple[Any, str]:
    """Return what opens an address (OpenSigner, OpenWrapper), and what it opens."""
    scheme, _, rest = address.partition(":")
    if scheme in SCHEMES:
        return _built_in(scheme, function), rest
    if not is_address(address):
        return _built_in("file", function), address
    return _plugin(scheme, address, group), rest


def is_address(text: str) -> bool:
    """Tell whether a text has a scheme; a path has none."""
    return text.partition(":")[0] in SCHEMES or (_SCHEME.match(text) is not None and not Path(text).exists())


def is_local(address: str) -> bool:
    """Tell whether a key can be used without a socket. That of a plug-in is taken to need one."""
    return not is_address(address) or address.partition(":")[0] in _LOCAL


def environment_passphrase(_: str = "") -> bytes | None:
    """Return STANNARY_PASSPHRASE, or None when it is not set."""
    text = os.environ.get("STANNARY_PASSPHRASE")
    return text.encode() if text else None


def _asking(passphrase: bytes | Ask | None) -> Ask:
    if passphrase is None:
        return environment_passphrase
    if isinstance(passphrase, bytes):
        return lambda _: passphrase
    return passphrase


def _built_in(scheme: str, function: str) -> Any:  # noqa: ANN401 - what opens a key, of either kind
    return getattr(importlib.import_module(SCHEMES[scheme].partition(":")[0]), function)


def _plugin(scheme: str, address: str, group: str) -> Any:  # noqa: ANN401 - the same
    from importlib.metadata import entry_points

    for entry in entry_points(group=group, name=scheme):
        return entry.load()
    msg = f"there are no keys of the kind {scheme!r}"
    known = ", ".join(f"{name}:" for name in SCHEMES)
    raise UsageError(msg, where=address, code="KEY010", help=f"name a file, or one of {known}")
