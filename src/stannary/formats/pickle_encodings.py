"""Text that is a pickle or an archive in base85, Ascii85, base32 or backwards: told by its first characters.

The openings are those of pickles (protocols 0 and 2 to 5), zlib and gzip in these encodings. What decodes is looked at
again, more strictly, before it is handed on.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

__all__ = ["MOST", "decode_rare", "rare_head", "reversed_head"]

# Two characters of a pickle of each protocol, of zlib, gzip, ZIP, bzip2 and xz; then enough of the alphabet to be no word.
_RARE = re.compile(
    rb"(?:fC|C[{-~]|V[?@^-`{|]|c[$%mw-]|AB|LR|P\)|U2|e[QR]|\{W)[!-~]{19}"  # base85
    rb"|(?:<~)?(?:J-|@[m-s]|-[r-u]|G[Q[abh]|\+,|I[;<]|rA|6<|:e|\?#)[!-uz]{18}"  # Ascii85
    rb"|(?:QA[BC]|M[N][2-5A-Z]|FB[JLRSUW]|P(?:AA|BP|CO|DN|VY)|D6F|7U3|IJN|KBF|LVY)[A-Z2-7]{18}"  # base32
    rb"|={1,2}[A-Za-z0-9+/]{22}"  # base64 backwards, padded
)
_FIRST = frozenset(bytes((c,)) for c in b"fVCcALPUe{J@-G+Ir6:?<QMFD7K=")
_BACKWARDS_END = (
    b"gA"[::-1],
    b"UEsD"[::-1],
    b"H4sI"[::-1],
    b"eJ"[::-1],
    b"Y29z"[::-1],
    b"Y3Bv"[::-1],
    b"KFM"[::-1],
    b"KFU"[::-1],
    b"KFY"[::-1],
    b"KGN"[::-1],
)
_LAST = frozenset(b"Rbuset0\n\x85\x86\x87")  # what stands before the STOP of a pickle
MOST = 40 * 100_000  # characters of a rarer encoding that are decoded: whole groups of each of them


def rare_head(head: bytes) -> bool:
    """Tell whether text opens like base85, Ascii85, base32, or like base64 backwards with its padding."""
    return head[:1] in _FIRST and _RARE.match(head) is not None


def reversed_head(head: bytes) -> bool:
    """Tell whether bytes open like a pickle that is written backwards."""
    return len(head) > 1 and head[0] == 0x2E and head[1] in _LAST


def decode_rare(raw: bytes) -> bytes:
    """Return what such text stands for (of more than `MOST` characters, what these do), empty when it is none of them."""
    text = bytes(raw.strip())
    if text[:1] != b"=":
        text = text[:MOST]
    if text[:1] == b"=":
        forward = text[::-1]
        return _try(base64.b64decode, forward) if text.endswith(_BACKWARDS_END) else b""
    for decoder in (base64.b32decode, base64.b85decode, base64.a85decode):
        if decoder is base64.b32decode and not text[:20].isalnum():
            continue
        plain = text.removeprefix(b"<~").removesuffix(b"~>") if decoder is base64.a85decode else text
        found = _try(decoder, plain)
        if found[:1] in (b"\x80", b"c", b"(", b"x", b"\x1f"):
            return found
    return b""


def _try(decoder: Callable[[bytes], bytes], text: bytes) -> bytes:
    try:
        return decoder(text)
    except (binascii.Error, ValueError):
        return b""
