"""Wrapping keys in memory and in files: 32 random bytes that encrypt other keys (AES key wrap, RFC 3394, SP 800-38F).

A key is not used itself: for each context another is derived from it (HKDF-Expand-SHA-512), so what was wrapped
for one thing does not open as another's. In a file the key is protected with a passphrase (scrypt, RFC 7914)
unless that was declined when it was made.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.key_file import write_key

__all__ = ["WrappingKey", "read_wrapping"]

_KEY = 32
_WRAPPED = _KEY + 8
_SALT = 16
_LARGEST = 1 << 12
_COST = 16  # log2 of scrypt's N: 64 MiB, a fifth of a second
_COSTS = range(14, 21)  # 1 GiB at most: a file decides it
_VERSION = 1
_PEM = re.compile(
    rb"\s*-----BEGIN STANNARY (ENCRYPTED )?WRAPPING KEY-----\s([A-Za-z0-9+/=\s]+)"
    rb"-----END STANNARY (?(1)ENCRYPTED )WRAPPING KEY-----\s*"
)


class WrappingKey:
    """A wrapping key in memory: a Wrapper.

    Args:
        key: 32 bytes from the system's randomness.
        provider: what kind of key it is in the headers of what it wraps.
    """

    def __init__(self, key: bytes, provider: str = "local") -> None:
        if len(key) != _KEY:
            msg = f"a wrapping key has {_KEY} bytes, not {len(key)}"
            raise UsageError(msg, code="KEY030")
        self._key = key
        self.provider = provider
        self.key_id = self._derive(b"name", b"")[:16].hex()

    def __repr__(self) -> str:
        return f"<WrappingKey {self.provider}:{self.key_id}>"

    @classmethod
    def generate(cls) -> WrappingKey:
        """Make a key from the system's randomness."""
        return cls(os.urandom(_KEY))

    @classmethod
    def of_pem(cls, content: bytes, passphrase: bytes | None = None, where: str = "key") -> WrappingKey:
        """Read what `pem` returns. Raises UsageError for a passphrase that is wrong or missing, else InputError."""
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        found = _PEM.fullmatch(content) if len(content) <= _LARGEST else None
        try:
            body = base64.b64decode(b"".join(found.group(2).split()), validate=True) if found else b""
        except binascii.Error:
            body = b""
        if found and not found.group(1) and len(body) == _KEY:
            return cls(body)
        if not found or not found.group(1) or len(body) != 2 + _SALT + _WRAPPED or body[0] != _VERSION or body[1] not in _COSTS:
            msg = "is not a wrapping key"
            raise InputError(msg, where=where, code="KEY031", help="`stannary keys generate --algorithm wrapping` makes one")
        if passphrase is None:
            msg = "is protected with a passphrase, and none was given"
            raise UsageError(msg, where=where, code="KEY003", help="set STANNARY_PASSPHRASE, or run it in a terminal")
        try:
            return cls(aes_key_unwrap(_of_passphrase(passphrase, body[2 : 2 + _SALT], body[1]), body[2 + _SALT :]))
        except InvalidUnwrap:
            msg = "could not be decrypted: the passphrase is wrong or the file is damaged"
            raise UsageError(msg, where=where, code="KEY004", help="check STANNARY_PASSPHRASE") from None

    def pem(self, passphrase: bytes | None) -> bytes:
        """Return the key as a file has it, encrypted when there is a passphrase."""
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        body, kind = self._key, b""
        if passphrase is not None:
            salt, kind = os.urandom(_SALT), b"ENCRYPTED "
            body = bytes([_VERSION, _COST]) + salt + aes_key_wrap(_of_passphrase(passphrase, salt, _COST), self._key)
        text = base64.encodebytes(body)
        return b"-----BEGIN STANNARY %sWRAPPING KEY-----\n%s-----END STANNARY %sWRAPPING KEY-----\n" % (kind, text, kind)

    def write(self, path: Path, passphrase: bytes | None) -> None:
        """Write a new file that only its owner can read. Raises UsageError when it is there already."""
        write_key(path, self.pem(passphrase))

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return a key encrypted, bound to a context."""
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        return aes_key_wrap(self._derive(b"wrap", context), key)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key. Raises IntegrityError."""
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        try:
            return aes_key_unwrap(self._derive(b"wrap", context), wrapped)
        except InvalidUnwrap:
            msg = f"what is wrapped by {self.provider}:{self.key_id} was altered, or belongs to something else"
            raise IntegrityError(msg, code="ENC010") from None

    def _derive(self, purpose: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA512
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

        return HKDFExpand(SHA512(), _KEY, b"stannary wrapping key 1\0" + purpose + b"\0" + context).derive(self._key)


def read_wrapping(path: str | Path, passphrase: bytes | None = None) -> WrappingKey:
    """Read a file with a wrapping key. Raises UsageError or InputError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        msg = "there is no such key file"
        raise UsageError(
            msg, where=str(path), code="KEY007", help="`stannary keys generate --algorithm wrapping FILE` makes one"
        ) from None
    return WrappingKey.of_pem(content, passphrase, str(path))


def _of_passphrase(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=_KEY, n=1 << cost, r=8, p=1).derive(passphrase)
