"""Pickle: one or many streams, torch's legacy layout, arrays between opcodes, what is nested inside.

Facts besides those of `pickle_record.py`:
- pickle.stream: index, protocol, start, length, ended (stop | truncated | malformed | limit), reason
- pickle.torch_legacy: storages, bytes; pickle.trailing: length
- pickle.second: agrees (bool), reason; with the names in which the readings differ: first, second
- pickle.gap: length: bytes between two pickles that are neither
- pickle.array_code: the bytes of an array between opcodes would run as opcodes in a plain loader
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats import pickle_credentials, stall
from stannary.formats.identify import is_text
from stannary.formats.interface import Sink, View
from stannary.formats.pickle_embedded import embedded_kind
from stannary.formats.pickle_emit import emit
from stannary.formats.pickle_encodings import MOST, decode_rare, reversed_head
from stannary.formats.pickle_glance import FIRST, glance
from stannary.formats.pickle_machine import Machine
from stannary.formats.pickle_opcodes import OPCODE_NAMES
from stannary.formats.pickle_real import LIMIT, read_for_real
from stannary.formats.pickle_record import Recorder
from stannary.formats.pickle_traits import makes_code
from stannary.formats.pickle_values import Blob

__all__ = ["probe", "read"]

_STREAMS = 4096
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_STREAMS = 5
_ELEMENT = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
            "ComplexDouble": 16, "ComplexFloat": 8, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "Untyped": 1, "": 1}  # fmt: skip
_GAP = 1 << 16
_GLANCE = 256  # opcodes
_LOOKED_AT = 24  # the machine looks into byte strings from this length on
_PROTO = re.compile(rb"\x80[\x00-\x05]" + FIRST)
# Protocols 2 to 5, a global, a mark; gzip, zlib, zip, ELF, xz, bzip2, 7z, Zstandard, marshalled code.
_BASE64 = re.compile(
    rb"(?:gA[A-X]|Y[0-3]|K[FGH]|H4sI|eJ|eNo|eF4|eAE|UEsD|f0VMR|/Td6|Qlpo|N3q8|KLUv|4w[AE]A|YwAA|Z0[EF]|WT[EIM]|S0[Zdg]|ZUp|SDRz|VUVz|ODAw)[A-Za-z0-9+/_\r\n-]{20,}={0,2}\s*\Z"
)
_LAYERS = 3
_MARSHALLED = (b"\xe3\x00", b"\xe3\x01", b"c\x00")
_HEXED = re.compile(rb"(?:80 ?0[0-5]|63|28|78(?:01|5e|9c|da)|1f8b|504b0304)[0-9a-fA-F]{30,}\Z", re.IGNORECASE)


def probe(view: View) -> bool:
    """Tell whether a loader could get somewhere with this as a pickle."""
    head = view.head(4)
    if len(head) < 2:
        return False
    if head[0] == 0x80 and head[1] <= 5:
        # A safetensors header of 128 or 640 bytes begins 80 0x 00: every loader stops there, before anything ran.
        return len(head) < 3 or head[2] in OPCODE_NAMES
    seen = glance(view.data)
    if seen.runs or (seen.stopped and seen.opcodes > 1 and _continues(view.data, seen.end)):
        return True
    # Data only, protocol 0 or 1: no name is imported, but it is a pickle to whoever loads it.
    return (seen.stopped and seen.opcodes > 2 and seen.end == len(view)) or (seen.cut and seen.opcodes > 8)


def read(view: View, sink: Sink) -> None:
    """Read every stream from the start, in both readings."""
    recorder = Recorder()
    recorder.content = view.data
    try:
        _read_streams(view, sink, recorder)
    finally:
        sink.budget.closing = True
        emit(recorder, sink, _carried(sink, recorder))
        sink.budget.closing = False
    _follow(view, sink, recorder)
    pickle_credentials.report(view.data, sink, text=view.head(1) != b"\x80" and is_text(view))


def _carried(sink: Sink, recorder: Recorder) -> set[int]:
    """Read the code that the file carries; return the ids of the arguments of the calls that make it."""
    # Few pickles name what makes code, and there are more calls than names.
    apart = any(found.traits is None or found.traits.apart for found in recorder.globals.values())
    if not (apart and any(makes_code(call[1]) for call in recorder.calls.values())):
        return set()
    from stannary.formats.pickle_code import report  # few pickles carry code
    from stannary.formats.pickle_held import mark

    read = report(recorder, sink)
    mark(recorder, read)
    return read


def _read_streams(view: View, sink: Sink, recorder: Recorder) -> None:
    data, size = view.data, len(view)
    pos = index = 0
    legacy = False
    while pos < size:
        if index >= _STREAMS:
            sink.incomplete(f"more than {_STREAMS} pickles in a row", pos)
            return
        end = _read_stream(view, sink, recorder, pos, index)
        if end is None:
            return
        legacy = legacy or (index == 0 and recorder.last == _TORCH_MAGIC)
        index += 1
        pos = end
        if legacy and index == _TORCH_STREAMS:
            pos = _legacy_storages(view, sink, recorder, pos)
            legacy = False
        elif pos < size:
            found = _next_stream(data, pos)
            if found is None:
                break
            if found > pos:
                sink.fact("pickle.gap", pos, length=found - pos)
            pos = found
    _trailing(view, sink, pos)


def _next_stream(data: memoryview, pos: int) -> int | None:
    """Return where the next pickle starts: here, after padding, or after something short that a program steps over."""
    if _continues(data, pos):
        return pos
    rest = bytes(data[pos : pos + _GAP])
    start = len(rest) - len(rest.lstrip(b"\x00 \t\r\n"))
    if 0 < start < len(rest) and _continues(data, pos + start):
        return pos + start
    for found in _PROTO.finditer(rest):
        if glance(data, pos + found.start()).runs:
            return pos + found.start()
    return None


def _continues(data: memoryview, pos: int) -> bool:
    head = bytes(data[pos : pos + 2])
    if len(head) == 2 and head[0] == 0x80 and head[1] <= 5:
        return True
    seen = glance(data, pos)
    return seen.runs or (seen.stopped and seen.opcodes > 1)


def _read_stream(view: View, sink: Sink, recorder: Recorder, start: int, index: int) -> int | None:
    """Read one stream both ways; return where it ends, None when what follows cannot be told."""
    machine = Machine(view.data, start, recorder, sink.budget)
    machine.former = recorder.memo
    recorder.sequence.clear()
    recorder.parted = None
    ended, reason, end = "stop", "", None
    try:
        end = machine.run()
    except Truncated as exc:
        ended, reason = "truncated", exc.message
    except BudgetExceeded as exc:
        ended, reason = "limit", exc.message
    except MemoryError:
        machine.clear()  # or there is none to tell what was seen
        sink.budget.crowd("pickle")
        ended, reason = "limit", sink.budget.expired
    except FormatError as exc:
        ended, reason = "malformed", exc.message
    stop = machine.base + machine.pos if end is None else end
    recorder.aside.keep(machine.result)
    recorder.last = machine.result if type(machine.result) is int else None
    sink.fact("pickle.stream", start, index=index, protocol=machine.proto, length=stop - start, ended=ended, reason=reason)
    arrays, raw = machine.arrays, machine.raw
    recorder.memo = machine.memo or recorder.memo
    del machine  # its stack and memo, before the second reading makes its own
    for at, after in raw:
        # Not cut at its end: a loader that knows nothing of the array goes on behind it.
        if glance(view.data, at).runs:
            if glance(view.data[at:after]).names:
                sink.fact("pickle.array_code", at, at=at, length=after - at)
            _as_opcodes(view, recorder, sink, at)
    if ended != "limit":
        _second(view, sink, recorder, start, len(view) if end is None else end, arrays)
    if ended != "stop" and not (ended == "malformed" and index == 0 and _mere_text(view, recorder)):
        sink.incomplete(f"pickle {ended}: {reason}", stop)
    return end


def _mere_text(view: View, recorder: Recorder) -> bool:
    """Tell whether it is a text that no unpickler gets into: both readings end in it before any name is imported."""
    if recorder.sequence or stall.avoided() or not is_text(view):
        return False
    return not read_for_real(view.data, 0, min(len(view), LIMIT), []).names


def _as_opcodes(view: View, recorder: Recorder, sink: Sink, at: int) -> None:
    """Read an array's bytes the way a loader that knows nothing of joblib would."""
    sequence = list(recorder.sequence)
    machine = Machine(view.data, at, recorder, sink.budget)
    machine.stack.extend([None] * 8)
    with suppress(FormatError):  # what came before is recorded
        machine.run()
    recorder.sequence[:] = sequence


def _second(view: View, sink: Sink, recorder: Recorder, start: int, end: int, arrays: list[tuple[int, int]]) -> None:
    length = end - start - sum(b - a for a, b in arrays) - recorder.skipped
    if length > LIMIT or recorder.dropped_values or recorder.bombs:
        sink.fact("pickle.second", start, agrees=True, reason=f"{length} bytes of opcodes, read once")
        return
    if stall.avoided():
        sink.fact("pickle.second", start, agrees=True, reason="left out: a worker died")
        sink.incomplete("the unpickler of CPython did not come to an end with it in time", start)
        return
    if recorder.torn:
        # CPython's C unpickler drops the rest of the frame when it reads a file. What it takes for opcodes then is not
        # read here: it might store under any index of its memo, an array as long as the largest.
        sink.fact("pickle.second", start, agrees=False, reason="a frame that ends inside an opcode",
                  first=[".".join(n) for n in recorder.sequence[:3]], second=["what lies behind the frame's end"])  # fmt: skip
        return
    reading = read_for_real(view.data, start, end, arrays)
    first = recorder.sequence
    second = reading.names
    same = second == first if not reading.error else second == first[: len(second)]
    if recorder.nested_streams:
        # Object arrays are streams of their own: their imports stand between ours.
        same = set(second) <= set(first)
    if same and recorder.parted is not None:
        sink.fact("pickle.second", start, agrees=False, reason="a number that only CPython's C unpickler takes",
                  first=[], second=[".".join(n) for n in second[recorder.parted :][:3]])  # fmt: skip
    elif not same:
        at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
        sink.fact("pickle.second", start, agrees=False, reason=reading.error,
                  first=[".".join(n) for n in first[at : at + 3]], second=[".".join(n) for n in second[at : at + 3]])  # fmt: skip
    elif reading.error:
        sink.fact("pickle.second", start, agrees=True, reason=reading.error)


def _legacy_storages(view: View, sink: Sink, recorder: Recorder, pos: int) -> int:
    """Step over the raw storages of torch's legacy layout: each an 8-byte count, then the elements."""
    start = pos
    sizes = {key: (_ELEMENT.get(kind.removesuffix("Storage"), 0), count) for kind, key, count in recorder.storages}
    for _ in sizes:
        if pos + 8 > len(view):
            break
        count = int.from_bytes(view.bytes(pos, 8), "little")
        width = next((w for w, n in sizes.values() if n == count), 0)
        if not width or pos + 8 + count * width > len(view):
            break
        pos += 8 + count * width
    else:
        sink.fact("pickle.torch_legacy", start, storages=len(sizes), bytes=pos - start)
        return pos
    if glance(view.data, pos).runs:
        return pos  # no storage there: another pickle, for a program that loads one after the other
    # Storages that cannot be stepped over one by one are still what torch reads here: raw numbers.
    sink.fact("pickle.torch_legacy", start, storages=len(sizes), bytes=len(view) - start)
    return len(view)


def _trailing(view: View, sink: Sink, pos: int) -> None:
    rest = len(view) - pos
    if rest <= 0:
        return
    head = view.bytes(pos, min(rest, 4096))
    if rest <= len(head) and not head.strip(b"\x00 \t\r\n"):
        return
    sink.fact("pickle.trailing", pos, length=rest)
    sink.child("trailing", view.data[pos:], offset=pos)


def _follow(view: View, sink: Sink, recorder: Recorder) -> None:
    """Read what is nested in byte strings and, encoded, in strings."""
    for kind, offset, length in recorder.inside:
        if kind == "reversed":
            _backwards(view, sink, offset, length)
            continue
        sink.fact("pickle.embedded", offset, what=kind, length=length)
        sink.child(f"bytes@{offset}", view.data[offset : offset + length], offset=offset, hint="pickle" if kind == "pickle" else "")
    for offset, latin in recorder.latin.values():
        try:
            raw = _content(view, latin).encode("latin-1")
        except UnicodeEncodeError:
            sink.incomplete("bytes written as text that is not Latin-1", offset)
            continue
        if reversed_head(raw):
            _backwards(View(memoryview(raw), view.name), sink, 0, len(raw))
        elif embedded_kind(raw[:64]):
            sink.child(f"latin1@{offset}", raw, offset=offset)
    _given(view, sink, recorder)
    for offset, text in recorder.encoded:
        raw = bytes(view.data[text.offset : text.offset + text.length]) if isinstance(text, Blob) else text
        plain = _as_bytes(raw)
        if plain is not None:
            sink.fact("pickle.embedded", offset, what="pickle", length=len(plain))
            sink.child(f"text@{offset}", plain, offset=offset, hint="pickle")
            continue
        decoded = _decode(raw)
        if not decoded:
            decoded = _decode_rare(raw)
            if decoded and len(raw) > MOST:
                sink.incomplete(f"encoded text of {len(raw)} characters: only the first {MOST} were decoded", offset)
        if decoded:
            sink.fact("pickle.embedded", offset, what="encoded", length=len(decoded))
            sink.child(f"decoded@{offset}", decoded, offset=offset)


def _backwards(view: View, sink: Sink, offset: int, length: int) -> None:
    """Hand on bytes whose end, read backwards, opens a pickle that imports something."""
    if not embedded_kind(bytes(view.data[offset + max(0, length - 64) : offset + length])[::-1]):
        return
    plain = bytes(view.data[offset : offset + length])[::-1]
    if glance(plain, most=_GLANCE).runs:
        sink.fact("pickle.embedded", offset, what="reversed", length=length)
        sink.child(f"reversed@{offset}", plain, offset=offset, hint="pickle")


def _given(view: View, sink: Sink, recorder: Recorder) -> None:
    """Read what calls are given and what a loader would run of it: known unpicklers get a pickle, whatever it looks like."""
    known = {offset for _, offset, _ in recorder.inside}
    for offset, value, unpickled in recorder.given.values():
        if isinstance(value, Blob) and value.kind != "text":
            if value.offset in known:
                continue
            raw: bytes | memoryview = view.data[value.offset : value.offset + value.length]
        else:
            try:
                raw = value if isinstance(value, bytes) else _content(view, value).encode("latin-1")
            except UnicodeEncodeError:
                continue
            if len(raw) >= _LOOKED_AT and embedded_kind(raw[:64]):
                continue  # read already
        zipped = bytes(raw[:4]) == b"PK\x03\x04"
        if len(raw) > 3 and (unpickled or (seen := glance(raw, most=_GLANCE)).runs or seen.cut):
            sink.child(f"given@{offset}", raw, offset=offset, hint="" if zipped else "pickle")


def _content(view: View, text: str | Blob) -> str:
    if isinstance(text, str):
        return text
    return bytes(view.data[text.offset : text.offset + text.length]).decode("utf-8", "replace")


def _as_bytes(raw: bytes) -> bytes | None:
    """Return the pickle that text holds one character a byte, None when it holds none."""
    try:
        plain = raw.decode("utf-8").encode("latin-1")
    except UnicodeError:
        return None
    return plain if embedded_kind(plain[:64]) == "pickle" and glance(memoryview(plain)).runs else None


def _decode(raw: bytes) -> bytes:
    """Return what base64 or hex text stands for, through up to three layers of it; empty when it is neither."""
    content = b""
    for _ in range(_LAYERS):
        inner = _decode_once(content or raw)
        if not inner:
            break
        content = inner
    return content if embedded_kind(content[:64]) or content[:2] in _MARSHALLED else b""


def _decode_rare(raw: bytes) -> bytes:
    """Return a pickle or an archive that text holds in a rarer encoding; empty when there is none."""
    content = decode_rare(raw)
    kind = embedded_kind(content[:64])
    if kind != "pickle":
        return content if kind else b""
    seen = glance(content, most=_GLANCE)
    whole = seen.stopped and not content[seen.end :].strip(b"\0")  # data, but who writes it so? There may be another in it
    return content if seen.runs or whole or len(raw) > MOST else b""


def _decode_once(raw: bytes) -> bytes:
    try:
        if _BASE64.match(raw):
            cleaned = b"".join(raw.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
            return base64.b64decode(cleaned + b"=" * (-len(cleaned) % 4))
        if _HEXED.match(raw):
            return bytes.fromhex(raw.decode())
    except (binascii.Error, ValueError):
        return b""
    return b""
