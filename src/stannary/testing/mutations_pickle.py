"""Mutations of pickle streams that know opcodes: what a fuzzer of bytes would need years for.

Half of them keep the meaning (another encoding of the same value, padding, frames, memo traffic),
so that a payload still runs in a stream that looks different; the others break something.
"""

from __future__ import annotations

import pickletools
import random
import struct
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

from stannary.testing.pickle_assembler import OPCODES

__all__ = ["mutate_pickle", "tokens"]

_EDGES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_COUNTED = {b"U": 1, b"\x8c": 1, b"C": 1, b"\x8a": 1, b"T": 4, b"X": 4, b"B": 4, b"\x8b": 4, b"\x8d": 8, b"\x8e": 8, b"\x96": 8}
_MEMO = {b"q": ("put", 1), b"r": ("put", 4), b"p": ("put", 0), b"h": ("get", 1), b"j": ("get", 4), b"g": ("get", 0)}
_PUTS = {1: b"q", 4: b"r", 0: b"p"}
_GETS = {1: b"h", 4: b"j", 0: b"g"}
_BARE = [code for code, _ in OPCODES.values()]
_PAIRS = (
    b"N0", b"(1", b"(0", b"K\x010", b"20", b"I1\n0", b"I01\n0", b"L1L\n0", b"F1\n0", b"S'x'\n0", b"Vx\n0", b"U\x01x0", b"]0", b"}0", b")0",
    b"\x8f0", b"(l0", b"(d0", b"(t0", b"(N1", b"((11", b"\x8c\x00\x940", b"N\x940", b"Np9\n0", b"Nq\xff0", b"Nr\x00\x01\x00\x000",
    b"\x95" + bytes(8), b"\x95" + b"\xff" * 8, b"\x95\x05" + bytes(7), b"\x80\x00", b"\x80\x02", b"\x80\x04", b"\x80\x05",
    b"\x88\x850", b"\x8a\x000", b"\x8b" + bytes(4) + b"0", b"]NaN0", b"](e0", b"}(u0", b"\x8f(\x900", b"](Ne0", b"}NNs0", b"(\x910",
    b"G" + bytes(8) + b"0", b"\x96" + bytes(8) + b"0", b"C\x0100", b"ccollections\nOrderedDict\n0", b"ccollections\nOrderedDict\n)R0",
    b"ccollections\nOrderedDict\n)R}b0", b"ccollections\nOrderedDict\n)\x810", b"cbuiltins\ngetattr\n0",
)  # fmt: skip


def tokens(stream: bytes) -> list[bytes]:
    """Cut a stream into opcodes with their arguments; what cannot be read, and what follows STOP, stays whole or is cut again."""
    found: list[bytes] = []
    start = 0
    while start < len(stream) and len(found) < 5000:
        places: list[int] = []
        with suppress(ValueError, IndexError, UnicodeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know is none of ours
            places.extend(pos for _, _, pos in pickletools.genops(stream[start:]) if pos is not None)
        found += [stream[start + a : start + b] for a, b in pairwise(places)]
        if not places:
            break
        start += places[-1]
        if stream[start : start + 1] != b".":
            break
        found.append(b".")
        start += 1
    if start < len(stream):
        found.append(stream[start:])
    return found


def mutate_pickle(stream: bytes, rng: random.Random, pool: Sequence[bytes] = ()) -> bytes:
    """Return the stream with one to five changes. `pool`: streams to splice from."""
    parts = tokens(stream) or [b"."]
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        rng.choice(_CHANGES)(parts, rng, pool)
        if not parts:
            parts.append(b".")
    return b"".join(parts)


def _place(parts: list[bytes], rng: random.Random) -> int:
    return rng.randrange(len(parts))


def _insert(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """Any opcode, with an argument of sorts."""
    code = rng.choice(_BARE)
    if code in _COUNTED:
        length = rng.choice((0, 1, 3))
        code += length.to_bytes(_COUNTED[code], "little") + b"abc"[:length]
    elif code in _MEMO:
        code += rng.randrange(8).to_bytes(_MEMO[code][1], "little") if _MEMO[code][1] else b"%d\n" % rng.randrange(8)
    elif code in {b"c", b"i"}:
        code += rng.choice((b"os\nsystem\n", b"collections\nOrderedDict\n", b"builtins\neval\n", b"\n\n"))
    elif code in {b"I", b"L", b"F", b"P"}:
        code += rng.choice((b"1\n", b"01\n", b"00\n", b"-1\n", b"0x1\n", b" 1\n", b"1L\n", b"1_0\n", b"nan\n"))
    elif code in {b"S", b"V"}:
        code += rng.choice((b"'a'\n", b'"a"\n', b"'\\x41'\n", b" 'a' \n", b"\\u0041\n"))
    else:
        width = {b"J": 4, b"K": 1, b"M": 2, b"G": 8, b"\x80": 1, b"\x82": 1, b"\x83": 2, b"\x84": 4, b"\x95": 8}.get(code, 0)
        code += rng.randrange(1 << min(8 * width, 16)).to_bytes(width, "little") if width else b""
    parts.insert(_place(parts, rng), code)


def _pair(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    parts.insert(_place(parts, rng), rng.choice(_PAIRS) * rng.choice((1, 1, 1, 3, 40)))


def _delete(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    del parts[_place(parts, rng)]


def _replace(parts: list[bytes], rng: random.Random, pool: Sequence[bytes]) -> None:
    _delete(parts, rng, pool)
    if parts:
        _insert(parts, rng, pool)


def _swap(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    a, b = _place(parts, rng), _place(parts, rng)
    parts[a], parts[b] = parts[b], parts[a]


def _repeat(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    a = _place(parts, rng)
    b = min(len(parts), a + rng.randint(1, 6))
    parts[a:a] = parts[a:b] * rng.choice((1, 1, 2, 20))


def _splice(parts: list[bytes], rng: random.Random, pool: Sequence[bytes]) -> None:
    if not pool:
        return
    other = tokens(rng.choice(pool))
    a = rng.randrange(len(other)) if other else 0
    b = rng.choice((len(other), a + rng.randint(1, 12)))
    at = _place(parts, rng)
    parts[at : at + rng.choice((0, 0, 1, 5))] = other[a:b]


def _another_stream(parts: list[bytes], rng: random.Random, pool: Sequence[bytes]) -> None:
    """A whole stream in front or behind, sometimes with something between."""
    other = rng.choice(pool) if pool else b"\x80\x04N."
    between = rng.choice((b"", b"", b"\x00" * 5, b"\n", b"garbage!", b"PK\x03\x04"))
    if rng.random() < 0.5:
        parts[:0] = [other, between]
    else:
        parts.extend([between, other])


def _length(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """A length that is a little or very wrong."""
    places = [i for i, part in enumerate(parts) if part[:1] in _COUNTED]
    if not places:
        return
    at = rng.choice(places)
    code, width = parts[at][:1], _COUNTED[parts[at][:1]]
    real = len(parts[at]) - 1 - width
    wrong = rng.choice((real - 1, real + 1, real + rng.randrange(40), rng.choice(_EDGES), (1 << 8 * width) - 1))
    parts[at] = code + (wrong % (1 << 8 * width)).to_bytes(width, "little") + parts[at][1 + width :]


def _frame(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """A frame over some of what follows: exact, short, long, or nonsense."""
    at = _place(parts, rng)
    rest = sum(map(len, parts[at : at + rng.choice((3, 10, len(parts)))]))
    length = rng.choice((rest, rest, rest - 1, rest + 1, 0, 4, rng.choice(_EDGES), (1 << 64) - 1)) % (1 << 64)
    parts.insert(at, b"\x95" + length.to_bytes(8, "little"))


def _unframe(parts: list[bytes], _rng: random.Random, _pool: Sequence[bytes]) -> None:
    parts[:] = [part for part in parts if part[:1] != b"\x95"]


def _protocol(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    wanted = bytes((0x80, rng.choice((0, 1, 2, 3, 4, 5, 5, 6, 255))))
    places = [i for i, part in enumerate(parts) if part[:1] == b"\x80"]
    if places and rng.random() < 0.7:
        parts[rng.choice(places)] = rng.choice((wanted, wanted, b""))
    else:
        parts.insert(rng.choice((0, _place(parts, rng))), wanted)


def _memo(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """Another index, or the same one written otherwise."""
    places = [i for i, part in enumerate(parts) if part[:1] in _MEMO and len(part) > 1]
    if not places:
        parts.insert(_place(parts, rng), rng.choice((b"\x94", b"q\x00", b"p0\n", b"h\x00", b"g0\n", b"2q\x01")))
        return
    at = rng.choice(places)
    kind, width = _MEMO[parts[at][:1]]
    raw = parts[at][1:]
    try:
        index = int.from_bytes(raw, "little") if width else int(raw)
    except ValueError:
        index = 0
    if rng.random() < 0.5:
        # Every use of one index becomes another: the stream means the same.
        wanted = rng.choice((index + 1000, 300, 70_000, 255, *_EDGES[:11]))
        everywhere = rng.random() < 0.7
        for i in places if everywhere else [at]:
            if _index(parts[i]) == index:
                parts[i] = _memo_op(_MEMO[parts[i][:1]][0], wanted, rng)
        return
    parts[at] = _memo_op(kind, index, rng)


def _index(part: bytes) -> int:
    width = _MEMO[part[:1]][1]
    try:
        return int.from_bytes(part[1:], "little") if width else int(part[1:])
    except ValueError:
        return -1


def _memo_op(kind: str, index: int, rng: random.Random) -> bytes:
    widths = [w for w in (1, 4, 0) if index >= 0 and (not w or index < 1 << 8 * w)] or [0]
    width = rng.choice(widths)
    text = (
        rng.choice((b"%d\n", b" %d\n", b"+%d\n", b"0%d\n", b"%d \n", b"%dL\n")) % index if rng.random() < 0.2 else b"%d\n" % index
    )
    return (_PUTS if kind == "put" else _GETS)[width] + (index.to_bytes(width, "little") if width else text)


def _through_memo(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """Put a value away, drop it, and fetch it again."""
    index = rng.choice((50, 255, 300, 5000, 70_000))
    put, get = _memo_op("put", index, rng), _memo_op("get", index, rng)
    at = _place(parts, rng) + 1
    parts[at:at] = [put, b"0", get]


def _encode(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """The same value by another opcode."""
    places = [i for i, part in enumerate(parts) if part[:1] in _AGAIN and part != b"K"]  # a number cut off at the end
    if places:
        at = rng.choice(places)
        made = _AGAIN[parts[at][:1]](parts[at], rng)
        parts[at] = made if made is not None else parts[at]


def _text_again(part: bytes, rng: random.Random) -> bytes | None:
    width = _COUNTED.get(part[:1], 0)
    raw = part[1 + width :]
    if part[:1] == b"V":
        raw = part[1:-1]
    elif part[:1] == b"S":
        raw = part[1:].strip()[1:-1]
    if not raw.isascii() or b"\n" in raw or b"\\" in raw or b"'" in raw or len(raw) > 200:
        return None
    size = len(raw)
    return rng.choice((
        b"\x8c" + bytes((size,)) + raw, b"X" + struct.pack("<I", size) + raw, b"\x8d" + struct.pack("<Q", size) + raw, b"V" + raw + b"\n",
        b"S'" + raw + b"'\n", b'S"' + raw + b'"\n', b"U" + bytes((size,)) + raw, b"T" + struct.pack("<i", size) + raw,
        b"V" + b"".join(b"\\u%04x" % c for c in raw) + b"\n", b"S'" + b"".join(b"\\x%02x" % c for c in raw) + b"'\n",
        b"S'" + b"".join(b"\\%o" % c for c in raw) + b"'\n",
    ))  # fmt: skip


def _global_again(part: bytes, rng: random.Random) -> bytes | None:
    module, _, name = part[1:-1].partition(b"\n")
    if not (module.isascii() and name.isascii()) or max(len(module), len(name)) > 200:
        return None
    one = b"\x8c" + bytes((len(module),)) + module
    two = b"\x8c" + bytes((len(name),)) + name
    return rng.choice((one + two + b"\x93", _text_again(one, rng) or one, b"\x80\x04" + one + b"\x94" + two + b"\x94\x93", part))


_AGAIN: dict[bytes, Callable[[bytes, random.Random], bytes | None]] = {
    **dict.fromkeys((b"\x8c", b"X", b"\x8d", b"V", b"S", b"U", b"T"), _text_again),
    b"c": _global_again,
    b"N": lambda _p, rng: rng.choice((b"N", b"N2\x861N", b"(NN1N")),
    b")": lambda _p, _r: b"(t",
    b"}": lambda _p, _r: b"(d",
    b"]": lambda _p, _r: b"(l",
    b"\x85": lambda _p, rng: rng.choice((b"q\xfe0(h\xfet", b"\x94\x85", b"p77\n0(g77\nt")),
    b"R": lambda _p, rng: rng.choice((b"N0R", b"2" + b"0R", b"\x950\x00\x00\x00\x00\x00\x00\x00R", b"R\x94", b"RN0")),
    b"K": lambda p, rng: rng.choice((b"M" + p[1:] + b"\x00", b"J" + p[1:] + bytes(3), b"I%d\n" % p[1], b"L%dL\n" % p[1], b"\x8a\x01" + p[1:])),
}  # fmt: skip


def _name(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """A name that loaders take for the same, or nearly."""
    places = [i for i, part in enumerate(parts) if part[:1] in b"ci" and part.count(b"\n") == 2]
    if places:
        at = rng.choice(places)
        module, name, _ = parts[at][1:].split(b"\n")
        changed = rng.choice((
            (module + b"\r", name), (module, name + b"\r"), (b" " + module, name), (module + b".", name), (module, b"." + name),
            (b"builtins", b"getattr"), (b"__builtin__", b"eval"), (b"posix", b"system"), (b"os", b"system"), (module.upper(), name),
            (module, name + b".__call__"), (module, b"__" + name), (module + b"\xc3\xa9", name), (module + b"\xff", name),
        ))  # fmt: skip
        parts[at] = parts[at][:1] + changed[0] + b"\n" + changed[1] + b"\n"


def _flip(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    at = _place(parts, rng)
    if parts[at]:
        raw = bytearray(parts[at])
        raw[rng.randrange(len(raw))] = rng.choice((rng.randrange(256), 0, 0xFF, 0x2E, 0x80))
        parts[at] = bytes(raw)


def _cut(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    at = _place(parts, rng)
    parts[at:] = [parts[at][: rng.randrange(len(parts[at]) + 1)], rng.choice((b"", b"."))]


def _in_a_list(parts: list[bytes], rng: random.Random, _pool: Sequence[bytes]) -> None:
    """The whole as a member of something larger."""
    front, back = rng.choice(
        ((b"]", b"a."), (b"(", b"l."), (b"}K\x01", b"s."), (b"(N", b"1N."), (b"N", b"0."), (b"(", b"d."), (b"(", b"\x91."))
    )
    if parts and parts[-1] == b".":
        parts[-1] = back
        parts.insert(1 if parts[0][:1] == b"\x80" else 0, front)


_CHANGES: tuple[Callable[[list[bytes], random.Random, Sequence[bytes]], None], ...] = (
    _insert, _pair, _pair, _delete, _replace, _swap, _repeat, _splice, _splice, _another_stream, _length, _frame, _frame, _unframe,
    _protocol, _memo, _memo, _through_memo, _encode, _encode, _encode, _name, _flip, _cut, _in_a_list,
)  # fmt: skip
