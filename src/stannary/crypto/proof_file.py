"""`.tlog-proof` files (https://c2sp.org/tlog-proof): index, inclusion proof and checkpoint as one text.

With the entry and the log's public key it is verified offline, by anybody's implementation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from stannary.core.errors import IntegrityError

__all__ = ["decode_proof", "encode_proof"]

_FIRST = "c2sp.org/tlog-proof@v1"


def encode_proof(index: int, proof: Sequence[bytes], checkpoint: str) -> str:
    """Return the text of a proof."""
    lines = [_FIRST, f"index {index}", *(base64.b64encode(item).decode() for item in proof), "", checkpoint]
    return "\n".join(lines)


def decode_proof(text: str) -> tuple[int, list[bytes], str]:
    """Return the index, the hashes and the checkpoint, none of them verified. Raises IntegrityError.

    Extra data, which nothing authenticates, is skipped.
    """
    head, blank, checkpoint = text.partition("\n\n")
    first, *lines = head.split("\n")
    if lines and lines[0].startswith("extra "):
        lines.pop(0)
    if first != _FIRST or not blank or not lines:
        msg = f"it does not begin with {_FIRST!r} and an index"
        raise _malformed(msg)
    word, _, number = lines.pop(0).partition(" ")
    if word != "index" or not (number.isascii() and number.isdigit()) or str(int(number)) != number:
        msg = "its index is not a number"
        raise _malformed(msg)
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines]
    except (binascii.Error, ValueError):
        msg = "its hashes are not base64"
        raise _malformed(msg) from None
    if [base64.b64encode(item).decode() for item in proof] != lines:
        msg = "its hashes are not in canonical base64"
        raise _malformed(msg)
    return int(number), proof, checkpoint


def _malformed(why: str) -> IntegrityError:
    msg = f"the proof is malformed: {why}"
    return IntegrityError(msg, code="LED005", help="`stannary ledger prove` writes one")
