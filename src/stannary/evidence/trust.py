"""Whose signatures count: a file of public keys with the names they stand for.

`trust.json` lies in the workspace. Every change is a ledger entry too; the file says what holds now, the
ledger since when. A key that was removed verifies nothing any more, old evidence included.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stannary.core.errors import InputError, UsageError
from stannary.crypto.interface import Verifier
from stannary.crypto.keys import PublicKey

__all__ = ["TrustFile", "TrustedKey", "read_trust", "write_trust"]


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key in PEM and the identity it stands for."""

    identity: str
    keyid: str
    pem: str


class TrustFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `trust.json`."""

    schema: str = "stannary.trust/1"
    keys: tuple[TrustedKey, ...] = ()

    def verifiers(self) -> dict[str, tuple[Verifier, str]]:
        """Return key ids → (key, identity). Raises InputError when an entry's key id is not its key's."""
        found: dict[str, tuple[Verifier, str]] = {}
        for row in self.keys:
            key = PublicKey.of_pem(row.pem.encode(), f"trusted key of {row.identity}")
            if key.keyid != row.keyid:
                msg = f"the key of {row.identity!r} is {key.keyid[:16]}, and the file says {row.keyid[:16]}"
                raise InputError(msg, where="trust.json", code="TRU001")
            found[key.keyid] = (key, row.identity)
        return found

    def with_key(self, identity: str, key: PublicKey) -> TrustFile:
        """Return the file with one more key. Raises UsageError when it is there, or the identity is not one word."""
        if not identity or not identity.isprintable() or any(ch.isspace() for ch in identity):
            msg = f"an identity is one word, such as ci or alice@example.com; got {identity[:80]!r}"
            raise UsageError(msg, code="TRU002")
        if any(row.keyid == key.keyid for row in self.keys):
            msg = f"the key {key.keyid[:16]} is trusted already"
            raise UsageError(msg, code="TRU003", help="`stannary trust list` shows as whom")
        row = TrustedKey(identity=identity, keyid=key.keyid, pem=key.pem().decode())
        return TrustFile(keys=(*self.keys, row))

    def without(self, name: str) -> tuple[TrustFile, Sequence[TrustedKey]]:
        """Return the file without the keys of an identity, or without one key id, and what was taken out. Raises UsageError."""
        out = [row for row in self.keys if row.identity == name or (len(name) >= 8 and row.keyid.startswith(name))]  # noqa: PLR2004
        if not out:
            msg = f"nothing that is trusted is called {name!r}"
            raise UsageError(msg, code="TRU004", help="`stannary trust list`")
        return TrustFile(keys=tuple(row for row in self.keys if row not in out)), out


def read_trust(path: Path) -> TrustFile:
    """Read `trust.json`; nobody is trusted when there is none. Raises InputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrustFile)
    except FileNotFoundError:
        return TrustFile()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"is no trust file: {error}"
        raise InputError(msg, where=str(path), code="TRU001") from error


def write_trust(path: Path, trust: TrustFile) -> None:
    """Replace the file as a whole."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".trust.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(trust), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    Path(scratch).chmod(0o644)
    Path(scratch).replace(path)
