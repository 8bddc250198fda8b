"""What the rooms above know of keys: something signs, something verifies, both have a name."""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["Algorithm", "Signer", "Verifier"]

# The curve decides the hash (RFC 5480, FIPS 186-5): P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512.
Algorithm = Literal["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519"]


class Verifier(Protocol):
    """A public key."""

    @property
    def algorithm(self) -> Algorithm:
        """Return what the key signs with: fixed by the key, never taken from a message."""
        ...

    @property
    def keyid(self) -> str:
        """Return the SHA-256 of the DER SubjectPublicKeyInfo, in hex."""
        ...

    @property
    def spki(self) -> bytes:
        """Return the DER SubjectPublicKeyInfo."""
        ...

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return when `signature` (DER for ECDSA, 64 bytes for Ed25519) is the key's on `message`. Raises IntegrityError."""
        ...


class Signer(Protocol):
    """A private key, wherever it is kept."""

    @property
    def public(self) -> Verifier:
        """Return the public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature (DER for ECDSA, 64 bytes for Ed25519) on `message`. Raises BackendError when the provider fails."""
        ...
