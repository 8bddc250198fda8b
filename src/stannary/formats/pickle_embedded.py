"""Byte strings inside a pickle that are something a loader might be given: told by their first bytes."""

from __future__ import annotations

import re
import zlib

from stannary.formats.pickle_encodings import rare_head
from stannary.formats.pickle_glance import glance
from stannary.formats.pickle_opcodes import OPCODE_NAMES

__all__ = [
    "OPENERS",
    "SHORTEST",
    "embedded_kind",
    "encoded_head",
    "latin_head",
    "may_go_on",
    "may_open",
    "short_pickle",
    "unmarked_pickle",
]

SHORTEST = 14  # bytes of a pickle that calls something

# First characters of base64 and hex of pickles (protocols 2 to 5, a global, a mark), gzip, zlib, zip, ELF, xz, bzip2, 7z,
# Zstandard and marshalled code, and of these encoded twice. The longest string of a vocabulary is shorter than what is asked for.
_ENCODED_HEAD = re.compile(
    rb"(?:gA[A-X]|Y[0-3]|K[FGH]|H4sI|eJ|eNo|eF4|eAE|UEsD|f0VMR|/Td6|Qlpo|N3q8|KLUv|4w[AE]A|YwAA|Z0[EF]|WT[EIM]|S0[Zdg]|ZUp|SDRz|VUVz|ODAw)[A-Za-z0-9+/_\r\n-]{18}"
    rb"|(?i:80 ?0[0-5]|63|28|78(?:01|5e|9c|da)|1f8b|504b0304)[0-9a-fA-F]{20}"
)
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b\x08", "gzip"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\xfd7zXZ\x00", "xz"),
    (b"\x93NUMPY", "numpy"), (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"\x7fELF", "elf"), (b"MZ\x90\x00", "pe"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh91AY&SY", "bzip2"), (b"BZh61AY&SY", "bzip2"), (b"BZh11AY&SY", "bzip2"),
    (b"\xe3\0\0\0\0\0\0\0\0", "marshal"), (b"c\0\0\0\0\0\0\0\0", "marshal"),
)  # fmt: skip
_LATIN = tuple(
    magic.decode("latin-1").encode() for magic in (b"\x80", b"x\x9c", b"x\xda", b"x\x01", b"x^", *(m for m, _ in _MAGICS))
)
# Protocol 0 and 1 open with no magic: the global that they import stands in the first lines.
_TEXT_PICKLE = re.compile(
    rb"[(\[\]}ld]{0,4}(?:(?:S(?:'[^'\n]{0,60}'|\"[^\"\n]{0,60}\")|V[^\n]{0,60}|[ILFgp][-\w.]{1,20})\r?\n){0,6}[ci][A-Za-z_][\w.]{0,60}\r?\n[A-Za-z_][\w.]{0,60}\r?\n"
    rb"|[(\[\]}ld]{1,4}(?:S['\"]|V)[^\n]{40,}\Z"  # a text that goes on behind what is looked at
)
_NAMED = re.compile(rb"[ci][A-Za-z_][\w.]{0,60}\r?\n")
_COUNTED = 8
_ENCODED_FIRST = frozenset(bytes((c,)) for c in b"gYKHeUf/QN4867215ZWSVOc(]}ldCALPUe{J@-G+Ir6:?<MFD7=")
_PICKLE_NEXT = frozenset(b"\x95}](cC)XU\x8c\x8aKNMJGV\x88\x89\x8f\x8d\x8e\x96")
# What no pickler writes there, and a loader takes all the same: another protocol, lines, long strings, extensions, buffers.
_SELDOM_NEXT = re.compile(
    rb"\x80[\x00-\x05]|S['\"]|[ILF][-+0-9a-zA-Z._ ]{1,40}L?\r?(?:\n|\Z)|P[\x20-\x7e]{0,40}(?:\r?\n|[\x20-\x7e]\Z)"
    rb"|[BT\x8b]...[\x00-\x0f]|\x82[^\x00](?=[^\x00])|\x83..(?=[^\x00])|\x84....(?=[^\x00])|\x97(?=[^\x00])",
    re.DOTALL,
)

# Opcodes that push something: a stream may begin with what it throws away. Lines of text are left out, which lists of words are.
_PUSHES = frozenset(b"NKMJILFGUXTBC()]}S\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96\x97")
_MOST_OPCODES = 256
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")

#: First bytes of everything that `embedded_kind` and `encoded_head` know.
OPENERS = _PUSHES | frozenset(b"\x80\xc2x.") | {magic[0] for magic, _ in _MAGICS} | {first[0] for first in _ENCODED_FIRST}

# The first two bytes of every text that `encoded_head` takes. Most texts begin with a letter that some opening begins with.
_FIRST_TWO = re.compile(
    rb"gA|Y[0-3w]|K[BFGHL]|H4|e[AFJNQR]|U[2E]|f[0C]|/T|Q[Al]|N3|4w|Z[0U]|WT|S[0D]|V[U?@^-`{|]|OD|80|6[3<]|28|7[8U]|1[fF]|50|C[{-~]"
    rb"|c[A-Za-z_$%-]|AB|L[RV]|P[)ABCDV]|\{W|<~|J-|@[m-s]|-[r-u]|G[Q[abh]|\+,|I[;<J]|rA|:e|\?#|MN|FB|D6|=|[(\]}]|[ld][][(}ldSVILFgpci]|\xc2\x80"
)
#: Tell by two bytes, much faster than `encoded_head`, whether a text at an offset is worth being asked about.
may_open = _FIRST_TWO.match


def embedded_kind(head: bytes) -> str:
    """Return which format some bytes open with, '' when none; a pickle is told by two bytes."""
    if head[:1] == b"\x80" and len(head) > 3 and head[1] <= 5 and _goes_on(head):
        return "pickle"
    if _text_pickle(head):
        return "pickle"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[:1] == b"\x78" and _deflated(head):
        return "zlib"
    return "pickle" if unmarked_pickle(head, head) else ""


def _goes_on(head: bytes) -> bool:
    """Tell whether a protocol is followed by something that a loader takes when nothing is on its stack yet."""
    if head[1] < 2:  # as little is written so: it has to import something
        return glance(head).runs or _text_pickle(head[2:]) or (head[2] == 0x80 and bool(embedded_kind(head[2:])))
    if head[2] in _PICKLE_NEXT:
        return True
    seldom = _SELDOM_NEXT.match(head, 2)
    return seldom is not None and (head[2] in b"SILFPBT\x80\x8b" or head[seldom.end()] in OPCODE_NAMES)


def unmarked_pickle(head: bytes, whole: bytes | memoryview) -> bool:
    """Tell whether bytes that open with no magic are opcodes that import and call something. `head`: how `whole` begins."""
    if not head or head[0] not in _PUSHES:
        return False
    seen = glance(head, most=_MOST_OPCODES)
    if not seen.runs and len(head) < len(whole) and seen.end >= len(head):
        seen = glance(whole, most=_MOST_OPCODES)
    # Lists of words read as opcodes now and then, of which one imports; none comes to an end.
    return seen.runs and (seen.stopped or not head.isascii() or _CONTROL.search(head) is not None)


def may_go_on(head: bytes) -> bool:
    """Tell whether what is known of longer bytes are opcodes so far."""
    return head[0] in _PUSHES and glance(head, most=_MOST_OPCODES).end >= len(head)


def short_pickle(raw: bytes) -> bool:
    """Tell whether a byte string too short for other formats is a pickle that imports and calls."""
    return embedded_kind(raw) == "pickle" and glance(raw).runs


def _text_pickle(head: bytes) -> bool:
    """Tell whether bytes open like a pickle of protocol 0 or 1 that imports something at once."""
    if head[:2] in (b"(U", b"(X") and len(head) > _COUNTED:  # a text with its length, and a name after it
        return _NAMED.match(head, 3 + head[2] if head[1:2] == b"U" else 6 + int.from_bytes(head[2:6], "little")) is not None
    return head[:1] in (b"c", b"(", b"]", b"}", b"l", b"d") and _TEXT_PICKLE.match(head) is not None


def encoded_head(head: bytes) -> bool:
    """Tell whether text opens like base64 or hex of something a loader might be given, or like a pickle of protocol 0."""
    if head[:2] == b"\xc2\x80":  # a pickle kept as text, one character a byte
        return len(head) > 2 and head[2] <= 5
    return head[:1] in _ENCODED_FIRST and (_ENCODED_HEAD.match(head) is not None or _text_pickle(head) or rare_head(head))


def latin_head(head: bytes) -> bool:
    """Tell whether UTF-8 opens like something a loader might be given, kept one character a byte."""
    return head.startswith(_LATIN) or _text_pickle(head)


def _deflated(head: bytes) -> bool:
    """Tell whether zlib data opens into something known: its own two bytes of magic are common in arrays of numbers."""
    if head[:2] not in (b"\x78\x9c", b"\x78\xda", b"\x78\x01", b"\x78\x5e"):
        return False
    try:
        inside = zlib.decompressobj().decompress(head, 64)
    except zlib.error:
        return False
    return inside[:1] != b"\x78" and bool(embedded_kind(inside) or inside[:1] in (b"c", b"("))
