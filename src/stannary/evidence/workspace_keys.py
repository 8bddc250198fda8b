"""Keys of a workspace that are kept elsewhere: in a variable, a keyring, a token, a service.

`workspace.json` then has an address that `open_signer` takes in place of a path. A workspace may lie in a folder
that came from somebody else, so what the address says is limited: which library speaks to a token is said by
STANNARY_PKCS11_MODULE, never by the folder, and a PIN has no place in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stannary.core.errors import UsageError
from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.opening import is_address, is_local, open_signer, open_wrapper

__all__ = ["Elsewhere", "NamedKey", "name_key", "open_named", "open_named_wrapper"]

_Ask = Callable[[], bytes | None]
_FORBIDDEN = {
    "module-path": "set STANNARY_PKCS11_MODULE=/path.so: a folder must not say which library is loaded",
    "pin-value": "set STANNARY_PKCS11_PIN, or use pin-source=file:/path: a PIN has no place in workspace.json",
}


class NamedKey(NamedTuple):
    """A key that is there already: its address as a workspace keeps it, and the key, opened."""

    address: str
    signer: Signer

    @property
    def public(self) -> PublicKey:
        """Return the public half."""
        return PublicKey.of_der(self.signer.public.spki)


class Elsewhere(NamedTuple):
    """Which keys of a new workspace are there already."""

    signing: NamedKey | None = None
    ledger: NamedKey | None = None


def name_key(address: str, ask: _Ask, *, offline: bool = False) -> NamedKey:
    """Open a key for a new workspace. Raises UsageError, InputError or BackendError."""
    if not is_address(address):
        address = str(Path(address).resolve())
    elif address.startswith("file:"):
        address = str(Path(address.removeprefix("file:")).resolve())
    return NamedKey(address, open_named(address, Path(), ask, offline=offline))


def open_named(address: str, root: Path, ask: _Ask, *, offline: bool = False) -> Signer:
    """Open the key that a workspace at `root` names. Raises UsageError, InputError or BackendError."""
    if not is_address(address):
        return open_signer(f"file:{root / address}", lambda _: ask())
    if address.startswith("pkcs11:"):
        _check_token(address)
    if offline and not is_local(address):
        msg = "is a key in a service, and no socket may be opened"
        raise UsageError(msg, where=address, code="KEY017", help="name a key that is here, or leave out --offline")
    return open_signer(address, lambda _: ask())


def open_named_wrapper(address: str, root: Path, ask: _Ask, *, offline: bool = False) -> Wrapper:
    """Open the wrapping key that a workspace at `root` names. Raises UsageError, InputError or BackendError."""
    if not is_address(address):
        return open_wrapper(f"file:{root / address}", lambda _: ask())
    if address.startswith("pkcs11:"):
        _check_token(address)
    if offline and not is_local(address):
        msg = "is a key in a service, and no socket may be opened"
        raise UsageError(msg, where=address, code="KEY017", help="name a key that is here, or leave out --offline")
    return open_wrapper(address, lambda _: ask())


def _check_token(address: str) -> None:
    path, _, query = address.partition("?")
    for part in query.split("&"):
        name = part.partition("=")[0]
        if name in _FORBIDDEN:
            msg = f"a workspace's key cannot have {name}"
            raise UsageError(msg, where=path, code="WSP004", help=_FORBIDDEN[name])
