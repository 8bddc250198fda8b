"""The signature on an envelope, with the deviations of old signers that are still accepted.

`model_signing` 0.2 signed the `repr` of the payload (`b'...'`, escapes and all) behind a `DSSEV1` that should
read `DSSEv1`, always with SHA-256. Such a signature is accepted on the statements of that version alone.
"""

from __future__ import annotations

from stannary.core.errors import IntegrityError
from stannary.crypto import dsse
from stannary.crypto.keys import PublicKey
from stannary.evidence.oms.bundle import Bundle
from stannary.evidence.oms.manifest import is_legacy

__all__ = ["check_signature"]


def check_signature(bundle: Bundle, key: PublicKey) -> None:
    """Return when the one signature of a bundle is the key's. Raises IntegrityError.

    1. the key id, a hint, does not name another key;
    2. the signature holds on the envelope's pre-authentication encoding;
    3. or on the encoding of model_signing 0.2, when the statement is of that version.
    """
    payload, signature = bundle.payload, bundle.signature
    # 1.
    claimed = bundle.dsse_envelope.signatures[0].keyid
    if claimed and claimed not in key.hints:
        msg = f"is signed by key {claimed[:16]}, and the trusted key is {key.keyid[:16]}"
        raise IntegrityError(msg, code="SIG010", help="verify it with the public key of who signed it")
    try:
        # 2.
        key.verify(signature, dsse.pae(bundle.dsse_envelope.payload_type, payload))
    except IntegrityError:
        # 3.
        if not is_legacy(payload):
            raise
        key.verify_sha256(signature, _pae_of_0_2(bundle.dsse_envelope.payload_type, payload))


def _pae_of_0_2(payload_type: str, payload: bytes) -> bytes:
    return f"DSSEV1 {len(payload_type)} {payload_type} {len(payload)} {payload!r}".encode()
