"""Time stamps of authorities (RFC 3161), verified by `rfc3161-client` (extra `timestamps`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stannary.core.errors import IntegrityError, UsageError
from stannary.evidence.sigstore.trusted_root import Authority

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

__all__ = ["verify_time_stamp"]


def verify_time_stamp(content: bytes, signature: bytes, authorities: Sequence[Authority]) -> datetime:
    """Return when a trusted authority saw a signature. Raises IntegrityError, and UsageError without the extra.

    1. it is a time stamp;
    2. an authority of the trusted root signed it, on this signature;
    3. at a time when that authority counted.
    """
    try:
        from rfc3161_client import decode_timestamp_response
    except ImportError:
        msg = "has a time stamp (RFC 3161), and what verifies it is not installed"
        raise UsageError(msg, code="SIG039", help="pip install 'stannary[timestamps]'") from None
    # 1.
    try:
        response = decode_timestamp_response(content)
        at: datetime = response.tst_info.gen_time
    except ValueError as error:
        msg = f"its time stamp cannot be read: {str(error)[:120]}"
        raise IntegrityError(msg, code="SIG039") from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    for authority in authorities:
        # 2. and 3.
        if _signed(response, signature, authority) and authority.period.holds(at):
            return at
    msg = f"its time stamp ({at:%Y-%m-%d %H:%M} UTC) is not of an authority of the trusted root, on this signature and at that time"
    raise IntegrityError(msg, code="SIG039", help="verify it with the trusted root of where it was signed")


def _signed(response: TimeStampResponse, signature: bytes, authority: Authority) -> bool:
    from rfc3161_client import VerificationError, VerifierBuilder

    chain = authority.chain
    builder = VerifierBuilder().tsa_certificate(chain[0]).add_root_certificate(chain[-1])
    for certificate in chain[1:-1]:
        builder = builder.add_intermediate_certificate(certificate)
    try:
        builder.build().verify_message(response, signature)
    except VerificationError:
        return False
    return True
