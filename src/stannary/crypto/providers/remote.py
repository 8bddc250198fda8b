"""Keys that are elsewhere: a signer, whose public half is here and verifies what comes back, and a wrapper."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NoReturn

from stannary.core.errors import BackendError, IntegrityError
from stannary.crypto.interface import Algorithm
from stannary.crypto.keys import PublicKey

__all__ = ["RemoteSigner", "RemoteWrapper", "digest_for", "missing", "not_ours"]

_HASHES: dict[Algorithm, str] = {
    "ecdsa-p256-sha256": "sha256",
    "ecdsa-p384-sha384": "sha384",
    "ecdsa-p521-sha512": "sha512",
}


class RemoteSigner:
    """Signs by a function that gets the message and returns the signature (DER for ECDSA)."""

    def __init__(self, public: PublicKey, sign: Callable[[bytes], bytes], where: str) -> None:
        self.public = public
        self._sign = sign
        self._where = where

    def sign(self, message: bytes) -> bytes:
        """Return the signature. Raises BackendError, also when what came back is not a signature of the key."""
        signature = self._sign(message)
        try:
            # A fault in a token, a key that was rotated or replaced meanwhile: nobody could verify what it made.
            self.public.verify(signature, message)
        except IntegrityError as error:
            msg = f"returned a signature that is not of its key {self.public.keyid[:16]}"
            raise BackendError(
                msg, where=self._where, code="KEY020", help="check that the key was not rotated meanwhile"
            ) from error
        return signature


class RemoteWrapper:
    """Wraps by two functions that get a key, or what it became, and the context it is bound to."""

    def __init__(
        self, provider: str, key_id: str, wrap: Callable[[bytes, bytes], bytes], unwrap: Callable[[bytes, bytes], bytes]
    ) -> None:
        self.provider = provider
        self.key_id = key_id
        self._wrap = wrap
        self._unwrap = unwrap

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return a key encrypted, bound to a context. Raises BackendError."""
        return self._wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key. Raises IntegrityError or BackendError."""
        return self._unwrap(wrapped, context)


def not_ours(where: str) -> IntegrityError:
    """Return the error for something that a key says it did not wrap, or not for that."""
    msg = "what is wrapped was altered, or was wrapped by another key or for something else"
    return IntegrityError(msg, where=where, code="ENC010")


def digest_for(algorithm: Algorithm, message: bytes) -> bytes:
    """Return what an ECDSA key of that kind signs: the hash of the message."""
    return hashlib.new(_HASHES[algorithm], message).digest()


def missing(package: str, extra: str, where: str) -> NoReturn:
    """Raise BackendError for an optional package that is not installed."""
    msg = f"needs the package {package}, which is not there"
    raise BackendError(msg, where=where, code="KEY012", help=f"pip install 'stannary[{extra}]'")
