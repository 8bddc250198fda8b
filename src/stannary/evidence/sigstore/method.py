"""Sigstore as a method of model signatures: what a verifier trusts is a trusted root and an identity."""

from __future__ import annotations

import msgspec

from stannary.core.errors import IntegrityError
from stannary.evidence.oms.bundle import UNSET, Bundle
from stannary.evidence.oms.interface import SignedBy
from stannary.evidence.sigstore.bundle import unfold
from stannary.evidence.sigstore.identity import Wanted
from stannary.evidence.sigstore.revocation import Revocations
from stannary.evidence.sigstore.trusted_root import TrustedRoot
from stannary.evidence.sigstore.verify import SignatureFacts, verify_bundle

__all__ = ["SigstoreTrust", "signed_by"]


class SigstoreTrust:
    """Trusts one identity of one provider, by the word of the authorities and logs of a trusted root."""

    def __init__(self, root: TrustedRoot, wanted: Wanted, revoked: Revocations | None = None) -> None:
        self.root = root
        self.wanted = wanted
        self.revoked = revoked

    def check(self, bundle: Bundle) -> SignedBy:
        """Return who signed. Raises IntegrityError: the steps are those of `verify_bundle`."""
        material = bundle.verification_material
        if material.certificate is UNSET and material.x509_certificate_chain is UNSET:
            msg = "was signed with a bare key, not by an identity"
            raise IntegrityError(msg, code="SIG011", help="verify it with --key")
        return signed_by(verify_bundle(unfold(msgspec.to_builtins(bundle)), self.root, self.wanted, revoked=self.revoked))


def signed_by(facts: SignatureFacts) -> SignedBy:
    """Return what a bundle proves in the words of model signatures."""
    return SignedBy(
        method="sigstore",
        keyid=facts.key.keyid,
        algorithm=facts.key.algorithm,
        subject=facts.owner.names[0],
        issuer=facts.owner.issuer,
        valid_until=f"{facts.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        signed_at=f"{facts.time:%Y-%m-%dT%H:%M:%SZ}",
    )
