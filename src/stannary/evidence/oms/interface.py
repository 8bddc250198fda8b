"""What a method of signing is: a Material signs, a Trust verifies. Both work on bundles alone, never on models."""

from __future__ import annotations

from typing import Protocol

import msgspec

from stannary.crypto.interface import Verifier
from stannary.evidence.oms.bundle import Bundle, Method

__all__ = ["Material", "SignedBy", "Trust"]


class SignedBy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who signed, as far as the method can tell: a key always, a subject and an issuer with a certificate."""

    method: Method
    keyid: str
    algorithm: str
    subject: str = ""
    issuer: str = ""
    valid_until: str = ""
    signed_at: str = ""  # as a log or a time stamp authority says; empty where nobody does


class Material(Protocol):
    """Something that signs payloads and writes into the bundle what verifiers need."""

    @property
    def public(self) -> Verifier:
        """Return the key that signs; where each signature has one of its own, the last one's."""
        ...

    @property
    def identity(self) -> str:
        """Return whom the signature is of, where a certificate names somebody; else nothing."""
        ...

    @property
    def issuer(self) -> str:
        """Return who vouches for the identity; nothing where nobody does."""
        ...

    def bundle(self, payload: bytes) -> Bundle:
        """Return the signed bundle of an in-toto statement. Raises BackendError when the key's provider fails."""
        ...


class Trust(Protocol):
    """What a verifier trusts."""

    def check(self, bundle: Bundle) -> SignedBy:
        """Return who signed, when a signature that is trusted holds on the payload. Raises IntegrityError."""
        ...
