"""What a limit kept from being read is swept for the imports of known ways to run code.

A stream that is padded until the reader's time is up says nothing about what comes after. Names
of callables that end nearly every exploit are searched as bytes, a gigabyte a second; what is
around a hit has to be the opcodes of an import. Facts say that the name is there, not that it is
reached: `unread.import`: module ('' when it is not written next to the name), name.
"""

from __future__ import annotations

import re

from stannary.formats.interface import Sink

__all__ = ["sweep"]

_NEEDLES = (
    b"system", b"popen", b"Popen", b"exec", b"eval", b"__import__", b"import_module", b"check_output", b"spawn", b"runcode",
    b"getattr", b"loads", b"run_", b"call\n", b"call\x94", b"_load_from_bytes", b"_run_code",
)  # fmt: skip
_BLOCK = 1 << 20
_AROUND = 200
_HITS = 64  # imports told
_LOOKS = 4000  # places looked at, of one needle
_LINES = re.compile(rb"([ci])([A-Za-z_][\w.]{0,90})\r?\n([A-Za-z_][\w.]{0,90})\r?\n")
_STRING = rb"(?:\x8c(?P<@1>.)|[XT](?P<@4>.)\0\0\0|U(?P<@2>.))(?P<@>[A-Za-z_][\w.]{0,90})(?:\x94|q.|r.{4})?"
_PAIR = re.compile(_STRING.replace(b"@", b"m") + _STRING.replace(b"@", b"n") + rb"\x93", re.DOTALL)
_ALONE = re.compile(_STRING.replace(b"@", b"n") + rb"\x93", re.DOTALL)


def sweep(data: memoryview, start: int, sink: Sink) -> None:
    """Report the imports of well-known names from `start` on."""
    found: dict[tuple[str, str], int] = {}
    looks = dict.fromkeys(_NEEDLES, _LOOKS)
    for at in range(start, len(data), _BLOCK):
        block = bytes(data[max(start, at - _AROUND) : at + _BLOCK])
        for needle in _NEEDLES:
            hit = block.find(needle)
            while hit >= 0 and looks[needle]:
                looks[needle] -= 1
                base = max(start, at - _AROUND)
                _look(block, hit, base, found)
                hit = block.find(needle, hit + len(needle))
        if len(found) >= _HITS:
            break
    for (module, name), offset in found.items():
        sink.fact("unread.import", offset, module=module, name=name)


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
