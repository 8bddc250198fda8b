"""A model signature as evidence: what the bundle states, about the artifact's identity, signed by the workspace and logged.

The subject of a bundle is the OMS root, which does not bind names; the subject of evidence is the artifact, with the
root as a second digest, so that either leads to the other.
"""

from __future__ import annotations

import hashlib

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Resource
from stannary.crypto.certificates import parse_der
from stannary.evidence.chain import Chain, Recorded
from stannary.evidence.oms.bundle import decoded, write_bundle
from stannary.evidence.oms.sign import Signed
from stannary.evidence.sigstore.identity import owner_of
from stannary.evidence.statement import decode
from stannary.evidence.workspace import Workspace

__all__ = ["record_signature"]

_SIGNED = "urn:stannary:signature:v1"


def record_signature(workspace: Workspace, signed: Signed) -> Recorded:
    """Log a `model-signature` statement. Raises InputError for a signature that covers a part of the model only."""
    if signed.artifact is None:
        msg = "covers a part of the model, or shards of its files, so it says nothing about the whole artifact"
        raise InputError(msg, where=signed.name, code="SIG046", help="sign all of it, without --ignore and --shard-size")
    subject = Resource(name=signed.name, digest={"dirHash1": signed.artifact.hex, "sha256": signed.root})
    predicate = dict(decode(signed.bundle.payload, "signature").predicate)
    predicate[_SIGNED] = {
        "bundle": {"sha256": hashlib.sha256(write_bundle(signed.bundle)).hexdigest()},
        "method": signed.bundle.verification_material.method,
        "keyid": signed.bundle.dsse_envelope.signatures[0].keyid,
    }
    certificate = signed.bundle.verification_material.certificate
    if not isinstance(certificate, msgspec.UnsetType):
        # By identity: the key was of this signature alone, and says nothing.
        owner = owner_of(parse_der(decoded(certificate.raw_bytes, "certificate"), signed.name))
        predicate[_SIGNED] |= {"identity": owner.names[0], "issuer": owner.issuer}
    chain = Chain(workspace, write=True)
    try:
        return chain.state(subject, "model-signature", predicate)
    finally:
        chain.ledger.close()
