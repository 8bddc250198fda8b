"""GGUF (versions 1 to 3, either byte order) and the older ggml files.

Format: ggml `docs/gguf.md`. Every count, length, dimension and offset is compared with the
file before it is used: these are what CVE-2024-21802, -21825, -21836, -23496, -23605 and
CVE-2025-53630 overflow. Chat templates go to the Jinja reader (CVE-2024-34359).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.embedded_payload import note_payload
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.setting_values import outside

__all__ = ["read", "read_ggml"]

# Value types of metadata: struct codes for the scalars.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_NAME = 64  # bytes; GGML_MAX_NAME
_FAR = 1 << 12  # no loader, and no fork of one, has types up here: a table of them is read out of bounds
_MAX_DIMS = 4  # GGML_MAX_DIMS
_MAX_KV = 100_000
_MAX_TENSORS = 200_000
_MAX_NESTING = 8
_MAX_TEXT = 32 << 20  # bytes of one string
_MAX_ARRAYS = 200_000  # arrays within arrays
_MAX_LONG = 10_000  # long array elements that are looked at
_LONG = 160  # characters from which an array element is looked at as a text
_TEMPLATE_KEY = "tokenizer.chat_template"

# ggml tensor types: elements and bytes of one block (ggml.c, type_traits). 4, 5, 31-33 and 36-38 were removed.
_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class _Tensor(NamedTuple):
    name: str
    offset: int  # from the start of the data section
    size: int | None  # None when the type is unknown
    at: int


def read(view: View, sink: Sink) -> None:
    """Report header, metadata strings, templates, tensors and every count or offset that does not hold.

    Raises Truncated when the file ends inside the structure, FormatError for an unknown version.
    """
    _Gguf(view, sink).read()


def read_ggml(view: View, sink: Sink) -> None:
    """Recognise the formats before GGUF: hyper-parameters, a vocabulary and raw tensors."""
    magic = view.head(4)[::-1].decode("ascii", "replace")
    version = int.from_bytes(view.bytes(4, 4), "little")
    sink.fact("gguf.legacy", 0, magic=magic, version=version)
    words = 0 if magic == "ggla" else int.from_bytes(view.bytes(4 if magic == "ggml" else 8, 4), "little")  # adapters have none
    if words > len(view) // 4:  # each has its length in four bytes
        sink.fact("gguf.problem", 4, what="count_overflow", detail=f"a vocabulary of {words} words in a file of {len(view)} bytes")
    sink.inert(f"{magic} weights (before GGUF): numbers and a vocabulary")


class _Gguf:
    def __init__(self, view: View, sink: Sink) -> None:
        self.view = view
        self.data = view.data
        self.sink = sink
        self.size = len(view)
        self.pos = 4
        self.wide = True  # 64-bit counts (version 2 on)
        self.endian = "<"
        self.alignment = 32
        self.arrays = _MAX_ARRAYS
        self.long_texts = _MAX_LONG

    def problem(self, what: str, offset: int, detail: str) -> None:
        self.sink.fact("gguf.problem", offset, what=what, detail=clip(detail))

    def read(self) -> None:
        version = self._version()
        tensors, pairs = self._count(), self._count()
        self.sink.fact("gguf.header", 0, version=version, tensors=tensors, pairs=pairs, big_endian=self.endian == ">")
        # A pair takes 13 bytes at least, a tensor 24: more than that cannot be in the file.
        for what, count, least, limit in (
            ("tensor", tensors, 24, _MAX_TENSORS),
            ("metadata", pairs, 13 if self.wide else 9, _MAX_KV),
        ):
            if count > limit or count * least > self.size:
                self.problem("count_overflow", 8, f"{count} {what} entries announced in a file of {self.size} bytes")
                msg = f"{count} {what} entries cannot be in {self.size} bytes"
                raise FormatError(msg, 8)
        self._pairs(pairs)
        found = self._tensor_infos(tensors)
        self._layout(found)

    def _version(self) -> int:
        if self.view.head(4) == b"FUGG":
            self.endian = ">"
        version = self._unpack("I")
        if version & 0xFFFF == 0 and version:
            self.endian = ">" if self.endian == "<" else "<"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in {1, 2, 3}:
            msg = f"unknown GGUF version {version}"
            raise FormatError(msg, 4)
        self.wide = version > 1
        return int(version)

    # Scalars

    def _unpack(self, code: str) -> Json:
        try:
            (value,) = struct.unpack_from(self.endian + code, self.data, self.pos)
        except struct.error as exc:
            msg = f"needs {struct.calcsize(code)} bytes, {max(0, self.size - self.pos)} are left"
            raise Truncated(msg, self.pos) from exc
        self.pos += struct.calcsize(self.endian + code)
        return value

    def _count(self) -> int:
        number: int = self._unpack("Q" if self.wide else "I")
        return number

    def _text(self, what: str) -> str:
        at = self.pos
        length = self._count()
        if length > self.size - self.pos:
            self.problem("string_overflow", at, f"{what} of {length} bytes, {self.size - self.pos} are left")
            msg = f"{what} of {length} bytes, {self.size - self.pos} are left"
            raise Truncated(msg, at)
        if length > _MAX_TEXT:
            msg = f"{what} of {length} bytes is over the limit of {_MAX_TEXT}"
            raise BudgetExceeded(msg, at)
        raw = bytes(self.data[self.pos : self.pos + length])
        self.pos += length
        return raw.decode("utf-8", "replace")

    # Metadata

    def _pairs(self, count: int) -> None:
        seen: set[str] = set()
        for _ in range(count):
            at = self.pos
            key = self._text("key")
            if key in seen:
                self.problem("duplicate_key", at, f"{key} is there twice; loaders differ in which they take")
            seen.add(key)
            if "{" in key or len(key) > 80:
                hand_on(self.sink, "key", key, at)
            kind = self._unpack("I")
            if kind == _STRING:
                value: Json = self._string_value(key)
            elif kind == _ARRAY:
                value = None
                self._array(key, 0)
            elif kind in _SCALARS:
                value = self._unpack(_SCALARS[kind])
            else:
                self.problem("value_type", at, f"{key} has the unknown type {kind}")
                msg = f"unknown metadata type {kind}"
                raise FormatError(msg, at)
            if key == "general.alignment":
                self._set_alignment(value, at)

    def _set_alignment(self, value: Json, at: int) -> None:
        if isinstance(value, int) and value > 0 and value & (value - 1) == 0 and value <= 1 << 20:
            self.alignment = value
        else:
            self.problem("alignment", at, f"alignment of {value!r}; a power of two is needed")

    def _string_value(self, key: str) -> str:
        at = self.pos
        text = self._text(key)
        if key.startswith(_TEMPLATE_KEY):
            self.sink.fact("gguf.template", at, key=clip(key), size=len(text))
            self.sink.child(key, text.encode(), offset=at, hint="jinja")
        elif key == "tokenizer.huggingface.json":
            self.sink.child(f"{key}.json", text.encode(), offset=at, hint="json")
        else:
            begin = at + (8 if self.wide else 4)
            if not note_payload(self.sink, clip(key, 80), self.data[begin : self.pos], begin):
                hand_on(self.sink, key, text, at)
        return text

    def _array(self, key: str, depth: int) -> None:
        at = self.pos
        self.arrays -= 1
        if self.arrays < 0:
            msg = f"more than {_MAX_ARRAYS} arrays"
            raise BudgetExceeded(msg, at)
        kind, count = self._unpack("I"), self._count()
        if depth >= _MAX_NESTING:
            self.problem("nesting", at, f"{key}: arrays nested deeper than {_MAX_NESTING}")
            msg = "arrays nested too deep"
            raise FormatError(msg, at)
        least = 12 if kind == _ARRAY else (8 if self.wide else 4) if kind == _STRING else struct.calcsize(_SCALARS.get(kind, "B"))
        if count * least > self.size - self.pos:
            self.problem("array_overflow", at, f"{key}: {count} elements announced, {self.size - self.pos} bytes are left")
            msg = f"array of {count} elements, {self.size - self.pos} bytes are left"
            raise Truncated(msg, at)
        if kind in _SCALARS:
            if least == 1:
                note_payload(self.sink, clip(key, 80), self.data[self.pos : self.pos + count], self.pos)
            self.pos += count * least
        elif kind == _STRING:
            self._strings(key, count)
        elif kind == _ARRAY:
            self.sink.budget.take_operations(count)
            for _ in range(count):
                self._array(key, depth + 1)
        else:
            self.problem("value_type", at, f"{key}: elements of the unknown type {kind}")
            msg = f"unknown element type {kind}"
            raise FormatError(msg, at)

    def _strings(self, key: str, count: int) -> None:
        self.sink.budget.take_operations(count)
        width = 8 if self.wide else 4
        # A vocabulary has any short text in it; elsewhere a short text may be a template.
        least = _LONG if key.startswith("tokenizer.ggml.") else 8
        unpack = struct.Struct(self.endian + ("Q" if self.wide else "I")).unpack_from
        pos, size, data = self.pos, self.size, self.data
        for index in range(count):
            if pos + width > size:
                msg = f"{key}: ends in its element {index}"
                raise Truncated(msg, pos)
            (length,) = unpack(data, pos)
            pos += width
            if length > size - pos:
                self.problem("string_overflow", pos - width, f"{key}[{index}] of {length} bytes, {size - pos} are left")
                msg = f"{key}[{index}] of {length} bytes, {size - pos} are left"
                raise Truncated(msg, pos)
            if length >= least:
                self.long_texts -= 1
                if self.long_texts < 0:
                    msg = f"more than {_MAX_LONG} long texts in arrays"
                    raise BudgetExceeded(msg, pos)
                hand_on(
                    self.sink, f"{key}[{index}]", bytes(data[pos : pos + min(length, _MAX_TEXT)]).decode("utf-8", "replace"), pos
                )
            pos += length
        self.pos = pos

    # Tensors

    def _tensor_infos(self, count: int) -> list[_Tensor]:
        found: list[_Tensor] = []
        names: set[str] = set()
        self.sink.budget.take_operations(count)
        for _ in range(count):
            tensor = self._tensor_info()
            if tensor.name in names:
                self.problem("duplicate_tensor", tensor.at, f"tensor {tensor.name} is there twice")
            names.add(tensor.name)
            found.append(tensor)
        return found

    def _tensor_info(self) -> _Tensor:
        at = self.pos
        name = self._text("tensor name")
        if len(name.encode()) >= _MAX_NAME:
            self.problem("name_length", at, f"tensor name of {len(name.encode())} bytes, the loader keeps {_MAX_NAME - 1}")
        if outside(name):
            self.problem("name_path", at, f"tensor {name[:80]} is named as a path out of the folder")
        rank = self._unpack("I")
        if rank > _MAX_DIMS:
            self.problem("dims", at, f"tensor {name} has {rank} dimensions, the loader has room for {_MAX_DIMS}")
            if rank > 64:
                msg = f"tensor of {rank} dimensions"
                raise FormatError(msg, at)
        dims = [self._count() for _ in range(rank)]
        kind, offset = self._unpack("I"), self._unpack("Q")
        elements = 1
        for dim in dims:
            elements *= dim
        if elements >= 1 << 63 or any(d >= 1 << 63 for d in dims):
            self.problem("dims_overflow", at, f"tensor {name} of {dims} elements overflows 64 bits")
        if 0 in dims:
            self.problem("zero_dim", at, f"tensor {name} has the shape {dims}")
        if kind not in _TYPES:
            self.problem("tensor_type" if kind < _FAR else "no_type", at, f"tensor {name} has the unknown type {kind}")
            return _Tensor(name, offset, None, at)
        block, width = _TYPES[kind]
        if dims and dims[0] % block:
            self.problem("block", at, f"tensor {name}: rows of {dims[0]} elements are not blocks of {block}")
        return _Tensor(name, offset, (elements + block - 1) // block * width, at)

    def _layout(self, tensors: list[_Tensor]) -> None:
        """Compare the tensors' extents with the file, the alignment and one another."""
        start = (self.pos + self.alignment - 1) // self.alignment * self.alignment
        covered, last = 0, ""
        unknown = False
        for tensor in sorted(tensors, key=lambda t: (t.offset, t.size or 0)):
            if tensor.offset % self.alignment:
                self.problem("unaligned", tensor.at, f"tensor {tensor.name} at {tensor.offset}, alignment {self.alignment}")
            unknown = tensor.size is None
            end = tensor.offset + (tensor.size or 0)
            if tensor.size and end <= self.size - start:
                begin = start + tensor.offset
                note_payload(self.sink, tensor.name, self.data[begin : start + end], begin)
            if end > self.size - start:
                self.problem("outside", tensor.at, f"tensor {tensor.name} ends at {start + end} in a file of {self.size}")
                self.sink.incomplete(f"tensor {clip(tensor.name)} lies outside the file", tensor.at)
            if tensor.offset < covered and tensor.size:
                self.problem("overlap", tensor.at, f"tensors {last} and {tensor.name} share bytes")
            elif tensor.offset > (covered + self.alignment - 1) // self.alignment * self.alignment and not unknown:
                self._unclaimed("gap", start + covered, min(start + tensor.offset, self.size))
            if end > covered:
                covered, last = end, tensor.name
        if not unknown:
            self._unclaimed("trailing", start + covered, self.size)

    def _unclaimed(self, what: str, begin: int, end: int) -> None:
        if end - begin < self.alignment and not any(self.data[begin:end]):
            return  # padding
        if end <= begin:
            return
        blank = end - begin <= 1 << 16 and not any(self.data[begin:end])
        self.problem("padding" if blank else what, begin, f"{end - begin} bytes belong to no tensor")
        if not blank:
            self.sink.child(what, self.data[begin:end], offset=begin)
