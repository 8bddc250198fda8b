"""Verifying a Sigstore bundle: who signed, when, that it was logged, and that it is this.

1. every log entry is of a trusted log, promised and proven; every time stamp of a trusted authority: together they
   say when it was signed, at least once;
2. at each of these times the certificate was valid and vouched for by an authority that counted then;
3. a trusted certificate log promised to keep the certificate;
4. the certificate names the identity and the provider that are wanted;
5. the signature is the certificate's key's, on the content;
6. every log entry is about this signature, this certificate and this content;
7. nothing of it was revoked.

Nothing is fetched, nothing is trusted that the trusted root does not have, and no step is left out when another
succeeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from stannary.core.errors import InputError, IntegrityError, StannaryError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of, key_of, verify_chain
from stannary.crypto.keys import PublicKey
from stannary.crypto.sct import promises_of, verify_promise
from stannary.evidence.sigstore.body import check_body
from stannary.evidence.sigstore.bundle import Envelope, SigstoreBundle
from stannary.evidence.sigstore.entry import verify_entry
from stannary.evidence.sigstore.identity import Owner, Wanted, check_owner, owner_of
from stannary.evidence.sigstore.revocation import Revocations
from stannary.evidence.sigstore.timestamps import verify_time_stamp
from stannary.evidence.sigstore.trusted_root import TrustedRoot, known

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Digests", "SignatureFacts", "verify_bundle"]

Digests = Callable[[str], bytes]  # the digest of the signed file by the name of an algorithm


class SignatureFacts(NamedTuple):
    """What a bundle proves: `time` is the earliest that is trusted."""

    owner: Owner
    key: PublicKey
    fingerprint: str
    time: datetime
    certificate: x509.Certificate


def verify_bundle(
    bundle: SigstoreBundle,
    root: TrustedRoot,
    wanted: Wanted,
    *,
    file: Digests | None = None,
    revoked: Revocations | None = None,
) -> SignatureFacts:
    """Return who signed and when. Raises IntegrityError.

    `file` gives digests of the file, for a bundle with a message signature; what an envelope says of files is the
    caller's to compare.
    """
    # 1.
    times = _times(bundle, root)
    # 2.
    issuer = _issuer_at(bundle.leaf, root, times)
    # 3.
    _check_promises(bundle.leaf, issuer, root)
    # 4.
    owner = owner_of(bundle.leaf)
    check_owner(owner, wanted)
    # 5.
    key = _key_of(bundle.leaf)
    digests = _check_signature(bundle, key, file)
    # 6.
    for entry in bundle.entries:
        check_body(entry, bundle, digests)
    # 7.
    facts = SignatureFacts(owner, key, hashlib.sha256(der_of(bundle.leaf)).hexdigest(), min(times), bundle.leaf)
    (revoked or Revocations()).check(facts)
    return facts


def _times(bundle: SigstoreBundle, root: TrustedRoot) -> list[datetime]:
    if not bundle.entries:
        msg = "is in no log"
        raise IntegrityError(msg, code="SIG035", help="sign it with a tool that logs what it signs")
    taken = [verify_entry(entry, root) for entry in bundle.entries]
    stamped = [verify_time_stamp(item, bundle.signature, root.time_stamps) for item in bundle.time_stamps]
    times = [at for at in (*taken, *stamped) if at is not None]
    if not times:
        msg = "nothing that is trusted says when it was signed: it has neither a log's promise nor a time stamp"
        raise IntegrityError(msg, code="SIG033", help="a certificate of minutes says nothing without a time")
    return times


def _issuer_at(leaf: x509.Certificate, root: TrustedRoot, times: list[datetime]) -> x509.Certificate:
    """Return the certificate that issued `leaf`, when it was valid and trusted at each time."""
    issuer: x509.Certificate | None = None
    for at in times:
        problem: IntegrityError | None = None
        for authority in root.authorities_at(at):
            try:
                verify_chain(leaf, (), authority.chain, at)
            except IntegrityError as error:
                problem = error
                continue
            issuer = next((item for item in authority.chain if _issued(leaf, item)), None)
            break
        else:
            why = problem.message if problem else f"no authority of the trusted root counted at {at:%Y-%m-%d %H:%M} UTC"
            code = problem.code if problem and problem.code in ("SIG021", "SIG022", "SIG024") else "SIG031"
            raise IntegrityError(why, code=code, help="verify it with the trusted root of where it was signed")
    if issuer is None:
        msg = "the certificate is an authority of the trusted root, and not issued by one"
        raise IntegrityError(msg, code="SIG031")
    return issuer


def _issued(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - another name, another key, an algorithm that is not known: not the issuer
        return False
    return True


def _check_promises(leaf: x509.Certificate, issuer: x509.Certificate, root: TrustedRoot) -> None:
    found = promises_of(leaf)
    if not found:
        msg = "no certificate log has promised to keep the certificate"
        raise IntegrityError(msg, code="SIG032", help="a certificate that nobody could see proves nothing")
    by = _key_of(issuer)
    for promise in found:
        try:
            at = promise.timestamp.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            msg = "the certificate log's promise in the certificate has no time that there is"
            raise IntegrityError(msg, code="SIG032") from error
        logs = [log.key for log in known(root.certificate_logs, promise.log_id, at) if log.key is not None]
        if not logs:
            msg = f"the certificate is in the log {promise.log_id.hex()[:16]}, which is no certificate log of the trusted root then"
            raise IntegrityError(msg, code="SIG032", help="verify it with the trusted root of where it was signed")
        try:
            verify_promise(promise, leaf, by, logs[0])
        except IntegrityError as error:
            msg = "the certificate log did not promise to keep this certificate: the signature in it does not hold"
            raise IntegrityError(msg, code="SIG032") from error


def _check_signature(bundle: SigstoreBundle, key: PublicKey, file: Digests | None) -> Digests:
    """Return digests of what was signed. Raises IntegrityError."""
    content = bundle.content
    if isinstance(content, Envelope):
        encoding = dsse.pae(content.payload_type, content.payload)
        key.verify(content.signature, encoding)

        def of_envelope(name: str) -> bytes:
            what = encoding if name.startswith("pae-") else content.payload
            return _hashed(name.removeprefix("pae-"), what)

        return of_envelope
    if file is None:
        msg = "is a signature on one file, not on a statement about a model"
        raise IntegrityError(msg, code="SIG011", help="verify the file it is on")
    name = {"ecdsa-p256-sha256": "sha256", "ecdsa-p384-sha384": "sha384", "ecdsa-p521-sha512": "sha512"}.get(key.algorithm)
    if name is None:
        msg = f"a signature on a file by a key of kind {key.algorithm} is not verified here"
        raise IntegrityError(msg, code="SIG001")
    said = content.digest
    if said is not None and said[1] != file(_ALGORITHMS.get(said[0], name)):
        msg = "the file is not the one that was signed: the bundle has another digest"
        raise IntegrityError(msg, code="SIG005", help="get the file again from where it was signed")
    key.verify_digest(content.signature, file(name), name)
    return file


_ALGORITHMS = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


def _hashed(name: str, content: bytes) -> bytes:
    if name not in _ALGORITHMS.values():
        msg = f"the log entry has a digest by {name[:40]!r}"
        raise IntegrityError(msg, code="SIG036")
    return hashlib.new(name, content).digest()


def _key_of(certificate: x509.Certificate) -> PublicKey:
    try:
        return key_of(certificate)
    except InputError as error:
        raise IntegrityError(error.message, where=error.where, code=error.code, help=error.help) from error
    except StannaryError:
        raise
