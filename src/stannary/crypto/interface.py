"""What the rooms above know of keys: something signs, something verifies, something wraps other keys; all have a name."""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["Algorithm", "Signer", "Verifier", "Wrapper"]

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


class Wrapper(Protocol):
    """A key that encrypts other keys, wherever it is kept."""

    @property
    def provider(self) -> str:
        """Return what kind of place the key is in: `local`, `awskms`, `vault`, `pkcs11`, `namespace`."""
        ...

    @property
    def key_id(self) -> str:
        """Return what names the key there. It is written beside what the key wraps, and is no secret."""
        ...

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return 32 bytes of key encrypted, bound to a context. Raises BackendError when the provider fails."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key. Raises IntegrityError when it was wrapped by another, for another context, or altered; BackendError."""
        ...
