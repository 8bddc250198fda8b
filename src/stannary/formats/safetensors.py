"""safetensors: an 8-byte length, a JSON header of tensor extents, and nothing else.

Format: https://github.com/huggingface/safetensors (README, "Format"), checks of the Rust
reference implementation: header at most 100 MB and inside the file, extents contiguous from 0,
dtype x shape equal to the extent, no bytes left over. The header is walked entry by entry, so
that a header of the largest legal size costs neither memory nor time.
"""

from __future__ import annotations

import itertools
import json
import re
from array import array
from collections.abc import Iterator

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.bounded_json import DUPLICATE
from stannary.formats.embedded_payload import note_payload
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip

__all__ = ["MAX_HEADER", "probe", "read"]

MAX_HEADER = 100_000_000  # bytes; the reference implementation refuses more
MAX_TENSORS = 200_000  # entries that are checked; the largest public model has 91,000
_MAX_LOOK = 20_000  # tensors whose first bytes are looked at
_MAX_ENTRY = 1 << 20  # bytes of one entry's value
_MAX_METADATA = 24 << 20

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "C128": 128, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

_CLIMBS = re.compile(rb"(?:^|[\\/])\.\.(?:[\\/]|$)")
_WS = rb"[ \t\r\n]*"
_STRING = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_KEY = re.compile(_WS + _STRING + _WS + rb":" + _WS, re.DOTALL)
_ENTRY = re.compile(rb'\{"dtype":"(\w{1,12})","shape":\[([0-9,]{0,400})\],"data_offsets":\[(\d{1,20}),(\d{1,20})\]\}', re.DOTALL)
_TOKEN = re.compile(rb'[^"{}\[\]]*+(?:' + _STRING + rb"|([{}\[\]]))", re.DOTALL)
_NEXT = re.compile(_WS + rb"([,}])")


def probe(view: View) -> bool:
    """Tell whether there is a plausible header length with an opening brace behind it."""
    head = view.head(10)
    if len(head) < 10 or head[8:9] != b"{" or head[9:10] not in b'"} \n\r\t':
        return False
    length = int.from_bytes(head[:8], "little")
    return 2 <= length < 1 << 34


def read(view: View, sink: Sink) -> None:
    """Report the header, every lie in it, the metadata, and what lies outside the tensors.

    Raises Truncated when the header does not fit the file, FormatError when it is not such JSON.
    """
    if len(view) < 8:
        msg = "shorter than its 8-byte header length"
        raise Truncated(msg, len(view))
    length = int.from_bytes(view.bytes(0, 8), "little")
    if length > MAX_HEADER:
        sink.fact(
            "safetensors.problem", 0, what="header_size", detail=f"header of {length} bytes; readers refuse more than {MAX_HEADER}"
        )
    if 8 + length > len(view):
        sink.fact("safetensors.problem", 0, what="header_outside", detail=f"header of {length} bytes in a file of {len(view)}")
        msg = f"header of {length} bytes, {len(view) - 8} are left"
        raise Truncated(msg, 0)
    if length > MAX_HEADER:
        msg = f"header of {length} bytes is over the limit of {MAX_HEADER}"
        raise BudgetExceeded(msg, 0)
    header = _Header(view, sink, 8, 8 + length)
    header.walk()
    header.finish(len(view) - 8 - length)


class _Header:
    """One pass over the JSON text between `start` and `end`."""

    def __init__(self, view: View, sink: Sink, start: int, end: int) -> None:
        self.data = view.data
        self.sink = sink
        self.start = start
        self.end = end
        self.begins = array("Q")
        self.ends = array("Q")
        self.names = array("q")  # hashes: 8 bytes each where a set of names would take 100
        self.metadata = False
        self.view = view

    def problem(self, what: str, offset: int | None, detail: str) -> None:
        self.sink.fact("safetensors.problem", offset, what=what, detail=clip(detail))

    def walk(self) -> None:
        opening = re.compile(_WS + rb"\{").match(self.data, self.start, self.end)
        if opening is None:
            msg = "the header is not a JSON object"
            raise FormatError(msg, self.start)
        if opening.end() != self.start + 1:
            self.problem("header_start", self.start, "white space before the opening brace")
        pos = opening.end()
        empty = re.compile(_WS + rb"\}").match(self.data, pos, self.end)
        if empty is not None:
            self._after(empty.end())
            return
        while True:
            pos = self._entry(pos)
            following = _NEXT.match(self.data, pos, self.end)
            if following is None:
                msg = "a comma or a closing brace is missing"
                raise FormatError(msg, pos)
            pos = following.end()
            if following.group(1) == b"}":
                self._after(pos)
                return

    def _after(self, pos: int) -> None:
        rest = bytes(self.data[pos : min(self.end, pos + 4096)]).strip(b" \t\r\n")
        if not rest and self.end - pos > 4096:
            rest = bytes(self.data[pos : self.end]).strip(b" \t\r\n")
        if rest:
            self.problem("header_trailing", pos, "the header goes on after its JSON object")
            self.sink.child("header-tail", self.data[pos : self.end], offset=pos)

    def _entry(self, pos: int) -> int:
        key = _KEY.match(self.data, pos, self.end)
        if key is None:
            msg = "a key is missing"
            raise FormatError(msg, pos)
        name = key.group(1)
        if b"\\" in name:
            name = str(_loads(b'"' + name + b'"', pos)).encode("utf-8", "surrogatepass")
        elif not name.isascii() and not _is_utf8(name):
            self.problem(
                "name_encoding", pos, f"tensor {name.decode('utf-8', 'backslashreplace')} is named in bytes that are no UTF-8"
            )
        self.names.append(hash(name))
        if len(self.names) > MAX_TENSORS:
            self.problem("too_many", pos, f"more than {MAX_TENSORS} tensors")
            msg = f"more than {MAX_TENSORS} tensors"
            raise BudgetExceeded(msg, pos)
        if not len(self.names) & 0xFFF:
            self.sink.budget.check_time()
        if name == b"__metadata__":
            return self._metadata(key.end())
        usual = _ENTRY.match(self.data, key.end(), self.end)
        if usual is not None:
            dtype, shape, begin, end = usual.groups()
            dims = [int(n) for n in shape.split(b",")] if shape else []
            self._tensor(pos, name, dtype.decode(), dims, int(begin), int(end))
            return usual.end()
        return self._unusual(key.end(), name)

    def _unusual(self, pos: int, name: bytes) -> int:
        end = self._extent(pos, _MAX_ENTRY, 64)
        entry = _loads(bytes(self.data[pos:end]), pos)
        shown = name.decode("utf-8", "replace")
        if not isinstance(entry, dict):
            msg = f"tensor {clip(shown)!r} is not an object"
            raise FormatError(msg, pos)
        if DUPLICATE in entry:
            self.problem("duplicate_key", pos, f"tensor {shown} has a key twice")
        dims, extent, dtype = _whole(entry.get("shape")), _whole(entry.get("data_offsets")), entry.get("dtype")
        if dims is None or extent is None or len(extent) != 2 or not isinstance(dtype, str):
            self.problem("entry", pos, f"tensor {shown} lacks a dtype, a shape or two offsets")
            return end
        extra = sorted(set(entry) - {"dtype", "shape", "data_offsets", DUPLICATE})
        if extra:
            self.problem("entry_extra", pos, f"tensor {shown} has also {', '.join(map(str, extra[:5]))}")
        self._tensor(pos, name, dtype, dims, extent[0], extent[1])
        return end

    def _extent(self, pos: int, size: int, tokens: int) -> int:
        depth, stop = 0, min(self.end, pos + size)
        first = pos
        for _ in range(tokens):
            token = _TOKEN.match(self.data, pos, stop)
            if token is None:
                break
            bracket = token.group(2)
            if bracket is not None:
                depth += 1 if bracket in b"{[" else -1
            pos = token.end()
            if depth <= 0:
                return pos
        self.problem("entry", first, "an entry has no end, or is larger than any tensor needs")
        msg = "an entry is too large or too deeply nested"
        raise FormatError(msg, first)

    def _tensor(self, pos: int, name: bytes, dtype: str, dims: list[int], begin: int, end: int) -> None:
        if b".." in name and _CLIMBS.search(name):
            self.problem("name_path", pos, f"tensor {name.decode('utf-8', 'replace')} is named like a file outside of the folder")
        bits = _BITS.get(dtype)
        count = 1
        for dim in dims:
            count *= dim
        if count >= 1 << 63:
            self.problem("dims_overflow", pos, f"tensor {name.decode('utf-8', 'replace')} has {count} elements")
        elif bits is None:
            self.problem("dtype", pos, f"unknown dtype {dtype}")
        elif (count * bits + 7) // 8 != end - begin:
            self.problem(
                "size_mismatch", pos, f"tensor {name.decode('utf-8', 'replace')}: {dtype} {dims[:8]} is not {end - begin} bytes"
            )
        if begin >= 1 << 64 or end >= 1 << 64 or end < begin:
            self.problem("offsets", pos, f"tensor {name.decode('utf-8', 'replace')} runs from {begin} to {end}")
            return
        self.begins.append(begin)
        self.ends.append(end)

    def _metadata(self, pos: int) -> int:
        end = self._extent(pos, _MAX_METADATA, 400_000)
        self.metadata = True
        values = _loads(bytes(self.data[pos:end]), pos)
        if not isinstance(values, dict):
            self.problem("metadata", pos, "__metadata__ is not an object of strings")
            return end
        if values.pop(DUPLICATE, None) is not None:
            self.problem("duplicate_key", pos, "__metadata__ has a key twice")
        for key, value in values.items():
            if not isinstance(value, str):
                self.problem("metadata", pos, f"__metadata__ {key} is not a string")
            if len(key) >= 12 or "{" in key:
                hand_on(self.sink, "__metadata__ key", key, pos)
            text = value if isinstance(value, str) else json.dumps(value)
            hand_on(self.sink, f"__metadata__.{clip(key, 80)}", text, pos)
        self.sink.fact("safetensors.metadata", pos, keys=sorted(clip(k, 80) for k in values)[:100])
        return end

    def finish(self, size: int) -> None:
        """Compare the extents with one another and with the `size` bytes behind the header."""
        ordered = sorted(self.names)
        if any(a == b for a, b in itertools.pairwise(ordered)):
            self.problem("duplicate_key", self.start, "two entries have the same name; loaders differ in which they take")
        data = self.end
        covered = 0
        for begin, end in _pairs(self.begins, self.ends):
            if begin > covered:
                self._hidden("gap", data + covered, data + min(begin, size))
            elif begin < covered and end > begin:
                self.problem("overlap", data + begin, f"two tensors share bytes {begin} to {min(end, covered)}")
            covered = max(covered, end)
        if covered > size:
            self.problem("outside", data, f"tensors end at {covered}, the file has {size} bytes for them")
            self.sink.incomplete(f"tensor data ends {covered - size} bytes early", data + size)
        elif covered < size:
            self._hidden("trailing", data + covered, data + size)
        self._look(size)
        self.sink.fact("safetensors.header", 0, size=self.end - self.start, tensors=len(self.begins), data=size)

    def _look(self, size: int) -> None:
        """Look at how each tensor begins: one that is a program or a pickle is no tensor."""
        for begin, end in itertools.islice(zip(self.begins, self.ends, strict=True), _MAX_LOOK):
            if end <= size:
                note_payload(self.sink, f"tensor at {begin}", self.data[self.end + begin : self.end + end], self.end + begin)

    def _hidden(self, what: str, begin: int, end: int) -> None:
        self.problem(what, begin, f"{end - begin} bytes belong to no tensor")
        if end > begin:
            self.sink.child(what, self.data[begin:end], offset=begin)


def _pairs(begins: array[int], ends: array[int]) -> Iterator[tuple[int, int]]:
    for index in sorted(range(len(begins)), key=lambda i: (begins[i], ends[i])):
        yield begins[index], ends[index]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _whole(value: Json) -> list[int] | None:
    """Return a list of sizes, None when it is anything else."""
    return value if isinstance(value, list) and all(type(v) is int and v >= 0 for v in value) else None


def _loads(raw: bytes, offset: int) -> Json:
    """Parse one value; a repeated key of an object leaves `DUPLICATE` in it."""
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        msg = f"not JSON: {exc}"
        raise FormatError(clip(msg), offset) from exc


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        result[DUPLICATE] = True
    return result
