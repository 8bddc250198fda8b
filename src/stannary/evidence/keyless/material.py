"""Signing by an identity: a key that lives for one signature, a certificate of ten minutes, an entry in the log.

1. the token is verified: by the keys of its provider, for our audience, now;
2. a key is made, and a certificate that names the identity is issued for it, with the certificate log's promise;
3. that it was issued is in the ledger of the workspace before it is used;
4. the statement is signed, and the key is let go of;
5. the signature is in the log, durably, while the certificate is valid, before anybody gets it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from stannary.core.errors import Bug, UsageError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of, key_of
from stannary.crypto.keys import PublicKey, generate
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.certificates import issue
from stannary.evidence.keyless.log import Logged
from stannary.evidence.keyless.token import Identity, identity_of
from stannary.evidence.oms.bundle import Bundle, Certificate, Material, encoded, make_bundle
from stannary.evidence.sigstore.body import dsse_body
from stannary.evidence.trust_log import log_event

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["KeylessMaterial", "Stamped", "bundle_of", "sign_keyless", "tlog_entry"]


class Stamped(NamedTuple):
    """An envelope, the certificate of who signed it, and where it was logged."""

    envelope: dsse.Envelope
    certificate: x509.Certificate
    logged: Logged


class KeylessMaterial:
    """Signs as the identity that a token names."""

    def __init__(self, authority: Authority, token: str, *, nonce: str | None = None) -> None:
        """Verify the token. Raises IntegrityError, or InputError for a provider whose keys cannot be read."""
        provider, keys = authority.provider(token)
        self.authority = authority
        self.who = identity_of(token, provider, keys, authority.workspace.clock(), nonce=nonce)
        self.identity, self.issuer = self.who.name, self.who.issuer
        self._public: PublicKey | None = None

    @property
    def public(self) -> PublicKey:
        """Return the key of the last signature. Raises Bug before there is one."""
        if self._public is None:
            msg = "a key is made with each signature; there was none yet"
            raise Bug(msg)
        return self._public

    def bundle(self, payload: bytes) -> Bundle:
        """Return the signed bundle. Raises UsageError, InputError or BackendError."""
        stamped = sign_keyless(self.authority, self.who, payload)
        self._public = key_of(stamped.certificate)
        return bundle_of(stamped)


def sign_keyless(authority: Authority, identity: Identity, payload: bytes, payload_type: str = dsse.IN_TOTO) -> Stamped:
    """Return a payload signed by an identity that was verified, logged. Raises UsageError when the authority has run out."""
    now = authority.workspace.clock()
    if now >= identity.expires:
        msg = "the token has expired while the model was read"
        raise UsageError(msg, where="token", code="OID006", help="ask the provider for a new one, or for one that holds longer")
    issuer = authority.issuer
    # 2.
    key = generate("ecdsa-p256-sha256")
    certificate = issue(identity, key.public, issuer, now)
    if certificate.not_valid_after_utc > issuer.certificate.not_valid_after_utc:
        msg = f"the authority's certificate runs out on {issuer.certificate.not_valid_after_utc:%Y-%m-%d}"
        raise UsageError(msg, code="TRU014", help="`stannary trust rotate ca` makes the next one")
    # 3.
    log_event(authority.workspace, "issued", {
        "identity": identity.name,
        "provider": identity.issuer,
        "subject": identity.subject,
        "certificate": hashlib.sha256(der_of(certificate)).hexdigest(),
        "keyid": key.public.keyid,
        "der": encoded(der_of(certificate)),
    })  # fmt: skip
    # 4.
    envelope = dsse.sign(payload, key, payload_type)
    # 5.
    with authority.signature_log(write=True) as log:
        logged = log.append(dsse_body(envelope, _pem(certificate)), ("dsse", "0.0.1"), authority.workspace.clock())
    return Stamped(envelope, certificate, logged)


def bundle_of(stamped: Stamped) -> Bundle:
    """Return the Sigstore bundle of a signature."""
    material = Material(certificate=Certificate(encoded(der_of(stamped.certificate))), tlog_entries=(tlog_entry(stamped.logged),))
    return make_bundle(material, stamped.envelope)


def tlog_entry(logged: Logged) -> dict[str, object]:
    """Return a log entry as bundles have it."""
    receipt = logged.receipt
    return {
        "logIndex": str(receipt.index),
        "logId": {"keyId": encoded(logged.log)},
        "kindVersion": {"kind": logged.kind[0], "version": logged.kind[1]},
        "integratedTime": str(logged.integrated),
        "inclusionPromise": {"signedEntryTimestamp": encoded(logged.promise)},
        "inclusionProof": {
            "logIndex": str(receipt.index),
            "rootHash": encoded(bytes.fromhex(receipt.root)),
            "treeSize": str(receipt.size),
            "hashes": [encoded(bytes.fromhex(item)) for item in receipt.proof],
            "checkpoint": {"envelope": receipt.checkpoint},
        },
        "canonicalizedBody": encoded(logged.body),
    }


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
