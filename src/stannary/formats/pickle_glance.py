"""A glance at bytes as if they were opcodes: cheap enough to try on anything.

No stack, no memo: opcode by opcode with each argument's length, until something is no opcode.
It answers whether a loader that were given these bytes would get as far as importing a name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stannary.formats.pickle_opcodes import OPCODE_NAMES

__all__ = ["FIRST", "Glance", "glance", "line_end"]

#: A set of a regular expression: every opcode that a loader takes while nothing is on its stack, after a protocol or without one.
FIRST = rb"[()\]}NKMJILFGUXTBCVSPc\x80\x82-\x84\x88-\x8f\x95-\x97]"
_REACH = 1 << 16
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_FIXED = {
    0x47: 8, 0x4A: 4, 0x4B: 1, 0x4D: 2, 0x68: 1, 0x6A: 4, 0x71: 1, 0x72: 4, 0x80: 1, 0x82: 1, 0x83: 2, 0x84: 4, 0x95: 8,
}  # fmt: skip
_COUNTED = {
    0x54: 4, 0x55: 1, 0x58: 4, 0x42: 4, 0x43: 1, 0x8C: 1, 0x8D: 8, 0x8E: 8, 0x96: 8, 0x8A: 1, 0x8B: 4,
}  # fmt: skip
_LINES = {0x46: 1, 0x49: 1, 0x4C: 1, 0x50: 1, 0x53: 1, 0x56: 1, 0x63: 2, 0x67: 1, 0x69: 2, 0x70: 1}
_NUMBER = {0x46, 0x49, 0x4C, 0x67, 0x70}
# As int() and float() take them: with spaces around. The C unpickler takes what is before a NUL.
_DIGITS = re.compile(rb"\s*(?:[-+0-9a-fA-FxXnNiItTyY.eE_]+L?\s*(?:\x00|\Z)|\x00)")
_DIGIT_RUN = re.compile(rb"\s*[-+0-9a-fA-FxXnNiItTyY.eE_]*L?\s*\Z")
_CALLS = frozenset((0x52, 0x69, 0x6F, 0x81, 0x92, 0x62))


class Glance(NamedTuple):
    """What was seen: opcodes walked, plausible imports, whether something was called, how it ended."""

    opcodes: int
    names: int
    called: bool
    stopped: bool
    end: int
    cut: bool = False  # nothing was wrong as far as the glance reached

    @property
    def runs(self) -> bool:
        """True when a loader would import a name and call something, or finish having imported one."""
        return self.names > 0 and (self.called or self.stopped)


def glance(
    data: bytes | memoryview, start: int = 0, most: int = 4096, *, hops: int = 8, before: tuple[int, int, int] = (0, 0, 0)
) -> Glance:
    """Walk up to `most` opcodes from `start`, over up to `hops` long arguments. Never raises.

    `before`: opcodes, names and strings of what was walked before such an argument.
    """
    buf = bytes(data[start : start + _REACH])
    pos = 0
    count, names, strings = before
    called = stopped = cut = False
    try:
        while count < most:
            op = buf[pos]
            if op not in OPCODE_NAMES:
                break
            pos += 1
            if op in _FIXED:
                pos += _FIXED[op]
            elif op in _COUNTED:
                width = _COUNTED[op]
                pos += width + int.from_bytes(buf[pos : pos + width], "little")
                strings += op in (0x8C, 0x58, 0x8D, 0x55, 0x54)
            elif op in _LINES:
                ends = _lines(buf, pos, op)
                if ends is None:
                    cut = len(buf) == _REACH and op not in (0x63, 0x69) and b"\n" not in buf[pos:]
                    if cut and hops and _begins(op, buf, pos) and (end := line_end(data, start + pos)):
                        return glance(data, end, most, hops=hops - 1, before=(count + 1, names, strings + (op in (0x53, 0x56))))
                    break
                names += op in (0x63, 0x69)
                strings += op in (0x53, 0x56)
                pos = ends
            elif op == 0x93:
                names += strings >= 2
            elif op == 0x2E:
                stopped = True
                count += 1
                break
            called = called or (op in _CALLS and names > 0)
            count += 1
        else:
            cut = True
    except IndexError:
        cut = len(buf) == _REACH
        if cut and hops and pos > len(buf) and start + pos < len(data):
            return glance(data, start + pos, most, hops=hops - 1, before=(count + 1, names, strings))
    return Glance(count, names, called, stopped, start + pos, cut)


def _begins(op: int, buf: bytes, pos: int) -> bool:
    """Tell whether what there is of a line may be the argument of an opcode."""
    if op in _NUMBER:
        return _DIGIT_RUN.match(buf, pos) is not None
    if op == 0x50:
        return 0 not in buf[pos:] and buf[pos:].isascii()
    return op == 0x56 or buf[pos : pos + 1] in (b"'", b'"')


def line_end(data: bytes | memoryview, at: int) -> int:
    """Return where the line after this one begins, 0 when there is none."""
    for start in range(at, len(data), 1 << 20):
        end = bytes(data[start : start + (1 << 20)]).find(b"\n")
        if end >= 0:
            return start + end + 1
    return 0


def _lines(buf: bytes, pos: int, op: int) -> int | None:
    for _ in range(_LINES[op]):
        end = buf.find(b"\n", pos, pos + 8192 if op in (0x63, 0x69) else len(buf))
        if end < 0:
            return None
        raw = buf[pos:end]
        if op in (0x63, 0x69):
            try:
                if not _NAME.match(raw.decode("utf-8").strip()):
                    return None
            except UnicodeDecodeError:
                return None
        elif (
            (op in _NUMBER and not _DIGITS.match(raw))
            or (op == 0x50 and (0 in raw or not raw.isascii()))
            or (op == 0x53 and raw[:1] not in (b"'", b'"'))
        ):
            return None
        pos = end + 1
    return pos
