"""Credentials among the texts of a pickle: a key in the state of a model is as public as one in a file beside it.

The bytes are searched for words as long as a credential, which arrays do not have, and the text around each is cut out by
the opcode before it: the length of a short text, and the opcode behind it, may be letters themselves.
A pickle over 16 MiB is searched at its beginning and at its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from stannary.formats import secrets
from stannary.formats.interface import Sink

__all__ = ["may_hold", "report"]

_WHOLE = 16 << 20
_HEAD, _TAIL = 4 << 20, 1 << 20
_WORD = 20  # letters and digits: the shortest credential of a known form
_RUN = b"A" * _WORD
_BACK = 300  # bytes from the opcode of a text to a word in it
_OPCODES = 6  # that stand before a text in its line
_MOST = 400  # words that are looked at
_LONGEST = 1 << 16
_PRINTED = bytes(65 if 0x20 <= b < 0x7F else 32 for b in range(256))
# SHORT_BINUNICODE, BINUNICODE, BINSTRING, BINUNICODE8: bytes of their length.
_COUNTED = ((b"\x8c", 1), (b"X", 4), (b"T", 4), (b"\x8d", 8))
_TRIES = 8  # bytes before a word that may be such an opcode
_GUESSED = frozenset(
    {"assignment", "strong-password", "variable", "connection-string", "azure-sas", "kaggle-key"}
)  # texts of a corpus look like these


def report(data: memoryview, sink: Sink, *, text: bool = False) -> None:
    """Report the credentials in the texts of a pickle as `secret.found`.

    `text`: it is of protocol 0 and is read as a text, too; what is found there is not reported again.
    """
    parts = [(0, len(data))] if len(data) <= _WHOLE else [(0, _HEAD), (len(data) - _TAIL, len(data))]
    seen: set[str] = set()
    for start, end in parts:
        for at, piece in _texts(bytes(data[start:end])):
            for found in secrets.scan(piece):
                if text:  # few are: only when there is one, what the reader of texts finds is looked for
                    seen.update(other.digest for first, last in parts for other in secrets.scan(data[first:last]))
                    text = False
                if found.detector not in _GUESSED and found.digest not in seen:
                    seen.add(found.digest)
                    sink.fact(
                        "secret.found", start + at + found.offset, detector=found.detector, title=found.title, mask=found.mask,
                        digest=found.digest, line=None, at="", placeholder=found.placeholder, sequence=found.sequence,
                    )  # fmt: skip


def may_hold(text: bytes) -> bool:
    """Tell whether there is a credential in a text."""
    return len(text) >= _WORD and secrets.words(text).find(_RUN) >= 0 and any(True for _ in secrets.scan(text))


def _texts(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the texts that have a long word, and where they begin."""
    marked = secrets.words(raw)
    at, count = marked.find(_RUN), 0
    while at >= 0 and count < _MOST:
        end = marked.find(b" ", at)
        end = len(raw) if end < 0 else end
        word = raw[at:end]
        if word.isalpha() or (word.islower() and word.replace(b"_", b"").isalpha()):  # the name of a class or of a module
            at = marked.find(_RUN, end)
            continue
        count += 1
        start, stop = _cut(raw, at)
        yield start, raw[start:stop]
        at = marked.find(_RUN, max(end, stop))


def _cut(raw: bytes, at: int) -> tuple[int, int]:
    """Return from where to where the text goes that a word at `at` is in: by the opcode before it, or by what is printable."""
    low = max(0, at - _BACK)
    for kind, width in _COUNTED:
        opcode = raw.rfind(kind, low, at + 1)
        for _ in range(_TRIES):
            if opcode < 0:
                break
            start = opcode + 1 + width
            stop = start + int.from_bytes(raw[opcode + 1 : start], "little")
            # The word may begin with the letter that its length is, or with the opcode.
            if start <= at + 1 + width and at + _WORD <= stop + 1 and stop <= min(len(raw), start + _LONGEST):
                return start, stop
            opcode = raw.rfind(kind, low, opcode)
    printed = raw[low : at + 2 * _BACK].translate(_PRINTED)
    end = printed.find(b" ", at - low)
    start, stop = low + printed.rfind(b" ", 0, at - low) + 1, low + end if end >= 0 else low + len(printed)
    line = raw.find(b"V", start, min(stop, start + _OPCODES)) + 1  # UNICODE of protocol 0, behind other opcodes
    return line or start, stop
