"""GGUF: metadata pairs and tensor infos (ggml `docs/gguf.md`)."""

from __future__ import annotations

import struct

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.headers.model import Header, Tally
from stannary.formats.interface import Budget, View, clip

__all__ = ["legacy", "read"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST = 200_000
_KEPT = 200
_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
# general.file_type: llama.cpp's llama_ftype
_FILES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L",
    14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M",
    32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip
_PLAIN = frozenset({"F32", "F16", "F64", "BF16", "I8", "I16", "I32", "I64"})


def legacy(_view: View, _budget: Budget) -> Header:
    """Recognise the formats before GGUF."""
    return Header(format="ggml", framework="llama.cpp", incomplete="a format before GGUF, whose header names nothing")


def read(view: View, budget: Budget) -> Header:
    """Read pairs and tensor infos. Raises FormatError, Truncated, BudgetExceeded."""
    reader = _Reader(view, budget)
    pairs = reader.pairs()
    tally = reader.tensors()
    found = {key: value for key, value in pairs.items() if not key.startswith("tokenizer.chat_template")}
    kind = found.get("general.file_type")
    quantisation = _FILES.get(kind, "") if isinstance(kind, int) else ""
    if not quantisation and tally.dtypes:
        quantisation = max(tally.dtypes, key=lambda name: tally.dtypes[name])
    return Header(
        format="gguf",
        framework="llama.cpp",
        architecture=str(found.get("general.architecture", "")),
        quantisation="" if quantisation in _PLAIN else quantisation,
        metadata=dict(list(found.items())[:_KEPT]),
        **tally.fields(),  # type: ignore[arg-type]
    )


class _Reader:
    def __init__(self, view: View, budget: Budget) -> None:
        self.data = view.data
        self.size = len(view)
        self.budget = budget
        self.pos = 4
        self.endian = ">" if view.head(4) == b"FUGG" else "<"
        version = int(self._one("I"))
        if version & 0xFFFF == 0 and version:
            self.endian = ">" if self.endian == "<" else "<"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (1, 2, 3):
            msg = f"unknown GGUF version {version}"
            raise FormatError(msg)
        self.wide = version > 1
        self._tensors, self._pairs = self._count(), self._count()
        if max(self._tensors, self._pairs) > _MOST:
            msg = f"{self._tensors} tensors and {self._pairs} pairs announced"
            raise BudgetExceeded(msg)

    def pairs(self) -> dict[str, str | int | float | bool]:
        found: dict[str, str | int | float | bool] = {}
        for _ in range(self._pairs):
            key = clip(self._text(), 120)
            value = self._value(self._one("I"), key, found, 0)
            if value is not None:
                found[key] = value
        return found

    def tensors(self) -> Tally:
        tally = Tally()
        for _ in range(self._tensors):
            self.budget.take_operations(8)
            self._text()
            rank = self._one("I")
            if rank > 64:
                msg = f"a tensor of {rank} dimensions"
                raise FormatError(msg)
            dims = [self._count() for _ in range(rank)]
            kind = self._one("I")
            self._one("Q")
            tally.add(_TYPES.get(kind, f"type {kind}"), dims)
        return tally

    def _value(
        self, kind: int, key: str, found: dict[str, str | int | float | bool], depth: int
    ) -> str | int | float | bool | None:
        if kind == _STRING:
            return clip(self._text(), 300)
        if kind in _SCALARS:
            value: int | float | bool = self._one(_SCALARS[kind])
            return value
        if kind != _ARRAY or depth > 8:
            msg = f"metadata of type {kind}"
            raise FormatError(msg)
        self._array(key, found, depth)
        return None

    def _array(self, key: str, found: dict[str, str | int | float | bool], depth: int) -> None:
        kind, count = self._one("I"), self._count()
        self.budget.take_operations(min(count, 1 << 40))
        if key == "tokenizer.ggml.tokens":
            found["tokenizer.vocabulary"] = count
        if kind in _SCALARS:
            self._skip(count * struct.calcsize(_SCALARS[kind]))
            return
        texts: list[str] = []
        for index in range(count):
            if kind == _STRING:
                text = self._text() if index < 20 else self._pass()
                texts.append(clip(text, 120))
                del texts[20:]
            else:
                self._value(kind, key, found, depth + 1)
        if texts and key.startswith("general."):
            found[key] = ", ".join(texts)

    def _one(self, code: str) -> int:
        width = struct.calcsize(code)
        self._skip(width)
        (value,) = struct.unpack_from(self.endian + code, self.data, self.pos - width)
        return value  # type: ignore[no-any-return]

    def _count(self) -> int:
        return self._one("Q" if self.wide else "I")

    def _text(self) -> str:
        length = self._count()
        self._skip(length)
        return bytes(self.data[self.pos - length : self.pos][:4096]).decode("utf-8", "replace")

    def _pass(self) -> str:
        self._skip(self._count())
        return ""

    def _skip(self, count: int) -> None:
        if count > self.size - self.pos:
            msg = f"needs {count} bytes, {self.size - self.pos} are left"
            raise Truncated(msg, self.pos)
        self.pos += count
