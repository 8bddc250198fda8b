"""What a limit kept from being read is swept for the imports of known ways to run code.

A stream that is padded until the reader's time is up says nothing about what comes after. Names
of callables that end nearly every exploit are searched as bytes, a gigabyte a second; what is
around a hit has to be the opcodes of an import. Facts say that the name is there, not that it is
reached: `unread.import`: module ('' when it is not written next to the name), name,
where (words).
"""

from __future__ import annotations

import re

from stannary.formats.interface import Sink

__all__ = ["sweep"]

# Parts of the names at the end of nearly every exploit: popen and Popen, __import__ and import_module, ...
_NEEDLES = (b"system", b"exec", b"open", b"eval", b"import", b"spawn", b"getattr", b"load", b"run", b"call")
_BLOCK = 1 << 20
_TAIL = 8  # blocks
_AROUND = 200
_HITS = 64  # imports told
_LOOKS = 300  # places looked at, of one needle in one block
_CODE = re.compile(
    rb"\b(?:os|posix|nt)\.(?:system|popen|exec[lv]\w*|spawn\w*)\s*\(|\bsubprocess\.\w+\s*\(|__import__\s*\(|\b(?:exec|eval)\s*\(|\bpty\.spawn\b"
)
_LINES = re.compile(rb"([ci])([A-Za-z_][\w.]{0,90})\r?\n([A-Za-z_][\w.]{0,90})\r?\n")
_STRING = rb"(?:\x8c(?P<@1>.)|[XT](?P<@4>.)\0\0\0|U(?P<@2>.))(?P<@>[A-Za-z_][\w.]{0,90})(?:\x94|q.|r.{4})?"
_PAIR = re.compile(_STRING.replace(b"@", b"m") + _STRING.replace(b"@", b"n") + rb"\x93", re.DOTALL)
_ALONE = re.compile(_STRING.replace(b"@", b"n") + rb"\x93", re.DOTALL)


def sweep(data: memoryview, sink: Sink, *, code: bool = False, where: str = "in a part that a limit kept from being read") -> None:
    """Report the imports of well-known names, the end first: time may run out, and padding stands in front of what it hides.

    `where` says in words what the data is. With `code`, the content is source, and calls are reported: `unread.code`: excerpt.
    """
    found: dict[tuple[str, str], int] = {}
    calls: dict[bytes, int] = {}
    starts = list(range(0, len(data), _BLOCK))
    try:
        for at in (*starts[:-_TAIL:-1], *starts[: 1 - _TAIL]) if len(starts) > _TAIL else starts:
            base = max(0, at - _AROUND)
            block = bytes(data[base : at + _BLOCK])
            for needle in _NEEDLES:
                hit, looks = block.find(needle), 0
                while hit >= 0 and looks < _LOOKS:
                    _look(block, hit, base, found)
                    if code and (call := _CODE.search(block, max(0, hit - 12), hit + 24)):
                        calls.setdefault(call[0], base + call.start())
                    hit = block.find(needle, hit + len(needle))
                    looks += 1
            if len(found) + len(calls) >= _HITS:
                break
    finally:
        for (module, name), offset in found.items():
            sink.fact("unread.import", offset, module=module, name=name, where=where)
        for text, offset in calls.items():
            sink.fact("unread.code", offset, excerpt=text.decode("utf-8", "replace"))


def _look(block: bytes, hit: int, base: int, found: dict[tuple[str, str], int]) -> None:
    around = block[max(0, hit - _AROUND) : hit + _AROUND]
    inside = hit - max(0, hit - _AROUND)
    for match in _LINES.finditer(around):
        if match.start(3) <= inside < match.end(3):
            found.setdefault((match[2].decode(), match[3].decode()), base + hit - inside + match.start())
            return
    for pattern in (_PAIR, _ALONE):
        for match in pattern.finditer(around):
            if match.start("n") <= inside < match.end("n") and _exact(match):
                module = match["m"].decode() if pattern is _PAIR else ""
                found.setdefault((module, match["n"].decode()), base + hit - inside + match.start())
                return


def _exact(match: re.Match[bytes]) -> bool:
    """Tell whether the lengths before the strings are theirs."""
    for which in ("m", "n"):
        if which not in match.re.groupindex:
            continue
        length = next(match[which + n] for n in "124" if match[which + n] is not None)
        if length[0] != len(match[which]):
            return False
    return True
