"""Signing with a key: the bundle carries a hint which one; the verifier has to know the key.

The hint is the SHA-256 of the public key in PEM, as `model_signing` writes and compares it.
"""

from __future__ import annotations

from stannary.core.errors import IntegrityError
from stannary.crypto import dsse
from stannary.crypto.interface import Signer
from stannary.crypto.keys import PublicKey
from stannary.evidence.oms.bundle import UNSET, Bundle, KeyHint, Material, decoded, make_bundle
from stannary.evidence.oms.envelope import check_signature
from stannary.evidence.oms.interface import SignedBy

__all__ = ["KeyMaterial", "KeyTrust"]


class KeyMaterial:
    """Signs with a key."""

    identity = issuer = ""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.public = signer.public

    def bundle(self, payload: bytes) -> Bundle:
        """Return the signed bundle. Raises BackendError."""
        hint = PublicKey.of_der(self.signer.public.spki).pem_hash
        return make_bundle(Material(public_key=KeyHint(hint=hint)), dsse.sign(payload, self.signer))


class KeyTrust:
    """Trusts keys."""

    def __init__(self, *keys: PublicKey) -> None:
        self.keys = keys

    def check(self, bundle: Bundle) -> SignedBy:
        """Return who signed. Raises IntegrityError.

        1. the bundle is one of this method;
        2. what it says about its key fits a key that is trusted;
        3. the signature is that key's.
        """
        found = bundle.verification_material.public_key
        # 1.
        if found is UNSET:
            msg = "was not signed with a bare key: it carries a certificate"
            raise IntegrityError(msg, code="SIG011", help="verify it with --certificate-chain, or --identity and --trust-config")
        # 2.
        fitting = [key for key in self.keys if _fits(found, key)]
        if not fitting:
            raise IntegrityError(self._foreign(bundle, found), code="SIG010", help="verify it with the public key of who signed it")
        # 3.
        for key in fitting[:-1]:  # without a hint, any of them
            try:
                check_signature(bundle, key)
            except IntegrityError:
                continue
            return _signed_by(key)
        check_signature(bundle, fitting[-1])
        return _signed_by(fitting[-1])

    def _foreign(self, bundle: Bundle, found: KeyHint) -> str:
        """Return whose the signature is and who is trusted: by key ids, as `sign` prints them, or as others name keys."""
        named = bundle.dsse_envelope.signatures[0].keyid or ""
        trusted = [key.keyid for key in self.keys]
        note = ""
        if not named or named in trusted:
            named, trusted = str(found.hint or ""), [key.pem_hash for key in self.keys]
            note = " (SHA-256 of the key in PEM)"
        one = named[:16] or "another one"
        return f"the signature is of key {one}, and trusted is {', '.join(key[:16] for key in trusted) or 'none'}{note}"


def _fits(found: KeyHint, key: PublicKey) -> bool:
    if found.hint and found.hint not in key.hints:
        return False
    if not found.raw_bytes:
        return True
    content = decoded(found.raw_bytes, "public key")
    return content == key.spki or content.strip() == key.pem().strip()


def _signed_by(key: PublicKey) -> SignedBy:
    return SignedBy(method="key", keyid=key.keyid, algorithm=key.algorithm)
