"""What a log entry is about: it has to be this signature, by this certificate, on this content.

Without this an entry of anything else that the same log took could be put beside a signature. Kinds: `dsse` and
`hashedrekord` 0.0.1 (Rekor 1) and 0.0.2 (Rekor 2), `intoto` 0.0.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from stannary.core.errors import IntegrityError, StannaryError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of, parse_der, parse_pem
from stannary.evidence.oms.bundle import decoded, strict_json
from stannary.evidence.sigstore.bundle import Envelope, LogEntry, SigstoreBundle

__all__ = ["check_body", "dsse_body"]


class _Said(NamedTuple):
    """What an entry says: digests by algorithm, signature, certificate (DER)."""

    algorithm: str
    digest: bytes
    signature: bytes
    certificate: bytes


def dsse_body(envelope: dsse.Envelope, pem: bytes) -> bytes:
    """Return the entry (kind `dsse`, 0.0.1) that a log takes of an envelope signed with one certificate."""
    from stannary.core.canonical import canonical_json

    payload = dsse.payload_of(envelope)
    signatures = [{"signature": item.sig, "verifier": base64.b64encode(pem).decode()} for item in envelope.signatures]
    return canonical_json({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(dsse.encode(envelope)).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": signatures,
        },
    })  # fmt: skip


def check_body(entry: LogEntry, bundle: SigstoreBundle, digest: Callable[[str], bytes]) -> None:
    """Return when the entry is about the bundle. Raises IntegrityError.

    `digest` gives the digest of what was signed by the name of an algorithm: of the file of a message signature.
    """
    try:
        value = strict_json(entry.body)
        if (value["kind"], value["apiVersion"]) != (entry.kind, entry.version):
            _other(f"it is of kind {str(value['kind'])[:40]}, and the bundle says {entry.kind[:40]}")
        reader = _READERS.get((entry.kind, entry.version, isinstance(bundle.content, Envelope)))
        if reader is None:
            _other(f"{entry.kind[:40]} {entry.version[:20]} is no kind of entry for such a signature")
        said = reader(value["spec"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        _other(f"it cannot be read: {type(error).__name__} {str(error)[:80]}")
    except StannaryError as error:
        if error.code == "SIG036":
            raise
        _other(error.message)
    if said.signature != bundle.signature:
        _other("it has another signature")
    if said.certificate != der_of(bundle.leaf):
        _other("it has another certificate")
    if said.digest != digest(said.algorithm):
        _other("it has another digest")


def _dsse_1(spec: Mapping[str, Any]) -> _Said:
    (row,) = spec["signatures"]
    algorithm, digest = _hash(spec["payloadHash"])
    return _Said(algorithm, digest, decoded(row["signature"], "signature"), _pem(row["verifier"]))


def _intoto_2(spec: Mapping[str, Any]) -> _Said:
    content = spec["content"]
    (row,) = content["envelope"]["signatures"]
    algorithm, digest = _hash(content["payloadHash"])
    # Rekor encodes the signature once more than the envelope did.
    signature = decoded(decoded(row["sig"], "signature").decode("ascii"), "signature")
    return _Said(algorithm, digest, signature, _pem(row["publicKey"]))


def _hashedrekord_1(spec: Mapping[str, Any]) -> _Said:
    algorithm, digest = _hash(spec["data"]["hash"])
    signature = spec["signature"]
    return _Said(algorithm, digest, decoded(signature["content"], "signature"), _pem(signature["publicKey"]["content"]))


def _hashedrekord_2(spec: Mapping[str, Any]) -> _Said:
    row = spec["hashedRekordV002"]
    signature = row["signature"]
    return _Said(*_hash_2(row["data"]), decoded(signature["content"], "signature"), _raw(signature["verifier"]))


def _dsse_2(spec: Mapping[str, Any]) -> _Said:
    row = spec["dsseV002"]
    (signature,) = row["signatures"]
    return _Said(*_hash_2(row["payloadHash"]), decoded(signature["content"], "signature"), _raw(signature["verifier"]))


def _envelope_2(spec: Mapping[str, Any]) -> _Said:
    """Return a `hashedrekord` of an envelope: its digest is that of the pre-authentication encoding."""
    said = _hashedrekord_2(spec)
    return said._replace(algorithm=f"pae-{said.algorithm}")


_READERS: Mapping[tuple[str, str, bool], Callable[[Mapping[str, Any]], _Said]] = {
    ("dsse", "0.0.1", True): _dsse_1,
    ("dsse", "0.0.2", True): _dsse_2,
    ("intoto", "0.0.2", True): _intoto_2,
    ("hashedrekord", "0.0.2", True): _envelope_2,
    ("hashedrekord", "0.0.1", False): _hashedrekord_1,
    ("hashedrekord", "0.0.2", False): _hashedrekord_2,
}
_NAMES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


def _hash(row: Mapping[str, str]) -> tuple[str, bytes]:
    return row["algorithm"], bytes.fromhex(row["value"])


def _hash_2(row: Mapping[str, str]) -> tuple[str, bytes]:
    return _NAMES[row["algorithm"]], decoded(row["digest"], "digest")


def _pem(text: str) -> bytes:
    (certificate,) = parse_pem(decoded(text, "certificate"), "entry of the log")
    return der_of(certificate)


def _raw(row: Mapping[str, Any]) -> bytes:
    return der_of(parse_der(decoded(row["x509Certificate"]["rawBytes"], "certificate"), "entry of the log"))


def _other(why: str) -> NoReturn:
    msg = f"the log entry is of something else than this signature: {why}"
    raise IntegrityError(msg, code="SIG036", help="the bundle was put together from others: get it again from where it was signed")
