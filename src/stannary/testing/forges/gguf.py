"""GGUF: honest files in both byte orders, templates that reach out, and counts that overflow."""

from __future__ import annotations

import struct
from typing import Any

from stannary.testing.forges import forge

_F = "GGUF"
_SSTI = "{{ cycler.__init__.__globals__.os.popen('echo stannary').read() }}"
_CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Writer:
    """Builds a GGUF file piece by piece, in either byte order and any version."""

    def __init__(self, *, version: int = 3, order: str = "<") -> None:
        self.order = order
        self.version = version
        self.pairs: list[bytes] = []
        self.tensors: list[bytes] = []
        self.data = b""

    def count(self, number: int) -> bytes:
        """Return a length as this version writes it."""
        return struct.pack(self.order + ("Q" if self.version > 1 else "I"), number)

    def text(self, value: str) -> bytes:
        """Return a string with its length."""
        return self.count(len(value.encode())) + value.encode()

    def pair(self, key: str, value: Any) -> Writer:  # noqa: ANN401 - str, int, list or raw bytes of a typed value
        """Add a metadata pair."""
        self.pairs.append(self.text(key) + self._typed(value))
        return self

    def _typed(self, value: Any) -> bytes:  # noqa: ANN401
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return struct.pack(self.order + "I", 8) + self.text(value)
        if isinstance(value, int):
            return struct.pack(self.order + "II", 4, value)
        kind = {str: 8, int: 4, list: 9}[type(value[0])]
        body = b"".join(self._typed(v)[4:] for v in value)
        return struct.pack(self.order + "II", 9, kind) + self.count(len(value)) + body

    def tensor(self, name: str, dims: list[int], *, offset: int = 0, kind: int = 0) -> Writer:
        """Add the description of a tensor."""
        shape = struct.pack(self.order + "I", len(dims)) + b"".join(map(self.count, dims))
        self.tensors.append(self.text(name) + shape + struct.pack(self.order + "IQ", kind, offset))
        return self

    def bytes(self, data: bytes = b"", *, tensors: int | None = None, pairs: int | None = None, alignment: int = 32) -> bytes:
        """Return the file; the counts can lie."""
        head = b"GGUF" + struct.pack(self.order + "I", self.version)
        head += self.count(len(self.tensors) if tensors is None else tensors) + self.count(
            len(self.pairs) if pairs is None else pairs
        )
        head += b"".join(self.pairs) + b"".join(self.tensors)
        return head + bytes(-len(head) % alignment) + data


def _base(**options: Any) -> Writer:  # noqa: ANN401
    return Writer(**options).pair("general.architecture", "llama").pair("tokenizer.ggml.tokens", ["<s>", "</s>", "{{", "{%"])


def _with_template(text: str, key: str = "tokenizer.chat_template") -> bytes:
    return _base().pair(key, text).bytes()


@forge("gguf.plain", filename="model.gguf", family=_F, malicious=False)
def _plain() -> bytes:
    return _base().pair("tokenizer.chat_template", _CHATML).tensor("a", [8]).tensor("b", [4, 2], offset=32).bytes(bytes(64))


@forge("gguf.plain_v1", filename="model.gguf", family=_F, malicious=False)
def _v1() -> bytes:
    return _base(version=1).tensor("a", [8]).bytes(bytes(32))


@forge("gguf.plain_big_endian", filename="model.gguf", family=_F, malicious=False)
def _big() -> bytes:
    return _base(order=">").pair("tokenizer.chat_template", _CHATML).tensor("a", [8]).bytes(bytes(32))


@forge("gguf.nested_arrays", filename="model.gguf", family=_F, malicious=False)
def _nested() -> bytes:
    return _base().pair("x.ragged", [[1, 2], [3]]).bytes()


@forge("gguf.template_ssti", filename="model.gguf", family=_F, malicious=True)
def _ssti() -> bytes:
    return _with_template(_CHATML + _SSTI)


@forge("gguf.template_named", filename="model.gguf", family=_F, malicious=True)
def _named() -> bytes:
    return _with_template(_SSTI, "tokenizer.chat_template.tool_use")


@forge("gguf.template_other_key", filename="model.gguf", family=_F, malicious=True)
def _other() -> bytes:
    return _with_template(_SSTI, "general.prompt_format")


@forge("gguf.template_in_array", filename="model.gguf", family=_F, malicious=True)
def _in_array() -> bytes:
    return _base().pair("tokenizer.chat_templates", [_CHATML, "x" * 200 + _SSTI]).bytes()


@forge("gguf.template_in_short_array", filename="model.gguf", family=_F, malicious=True)
def _in_short_array() -> bytes:
    return _base().pair("tokenizer.chat_templates", [_SSTI]).bytes()


@forge("gguf.template_in_key", filename="model.gguf", family=_F, malicious=True)
def _in_key() -> bytes:
    return _base().pair(_SSTI, "x").bytes()


@forge("gguf.pickle_in_array", filename="model.gguf", family=_F, malicious=True)
def _pickle_in_array() -> bytes:
    payload = b"cposix\nsystem\n(S'echo stannary'\ntR."
    return _base().pair("general.state", struct.pack("<IIQ", 9, 0, len(payload)) + payload).bytes()


@forge("gguf.template_hex", filename="model.gguf", family=_F, malicious=True)
def _hex() -> bytes:
    return _with_template("{{ ''['\\x5f\\x5fclass\\x5f\\x5f']['\\x5f\\x5fmro\\x5f\\x5f'] }}")


@forge("gguf.template_big_endian", filename="model.gguf", family=_F, malicious=True)
def _ssti_big() -> bytes:
    return _base(order=">").pair("tokenizer.chat_template", _SSTI).bytes()


@forge("gguf.tensor_count_overflow", filename="model.gguf", family=_F, malicious=True)
def _tensor_count() -> bytes:
    return _base().tensor("a", [8]).bytes(bytes(32), tensors=0x0AAAAAAAAAAAAAAB)


@forge("gguf.pair_count_overflow", filename="model.gguf", family=_F, malicious=True)
def _pair_count() -> bytes:
    return _base().bytes(pairs=1 << 62)


@forge("gguf.string_overflow", filename="model.gguf", family=_F, malicious=True)
def _string() -> bytes:
    return _base().pair("general.name", struct.pack("<IQ", 8, 0xFFFFFFFFFFFFFFFF) + b"x").bytes()


@forge("gguf.array_overflow", filename="model.gguf", family=_F, malicious=True)
def _array() -> bytes:
    return _base().pair("x.array", struct.pack("<IIQ", 9, 10, 0x2000000000000001)).bytes()


@forge("gguf.dims_overflow", filename="model.gguf", family=_F, malicious=True)
def _dims() -> bytes:
    return _base().tensor("a", [1 << 33, 1 << 33, 4]).bytes(bytes(64))


@forge("gguf.too_many_dims", filename="model.gguf", family=_F, malicious=True)
def _rank() -> bytes:
    return _base().tensor("a", [1] * 9).bytes(bytes(32))


@forge("gguf.outside", filename="model.gguf", family=_F, malicious=True)
def _outside() -> bytes:
    return _base().tensor("a", [8], offset=1 << 40).bytes(bytes(32))


@forge("gguf.overlap", filename="model.gguf", family=_F, malicious=True)
def _overlap() -> bytes:
    return _base().tensor("a", [64]).tensor("b", [64], offset=32).bytes(bytes(288))


@forge("gguf.duplicate_key", filename="model.gguf", family=_F, malicious=True)
def _duplicate() -> bytes:
    return _base().pair("tokenizer.chat_template", _CHATML).pair("tokenizer.chat_template", "{{ messages }}").bytes()


@forge("gguf.duplicate_tensor", filename="model.gguf", family=_F, malicious=True)
def _duplicate_tensor() -> bytes:
    return _base().tensor("a", [8]).tensor("a", [8], offset=32).bytes(bytes(64))


@forge("gguf.alignment", filename="model.gguf", family=_F, malicious=True)
def _alignment() -> bytes:
    return _base().pair("general.alignment", 0).tensor("a", [8]).bytes(bytes(32))


@forge("gguf.deep_arrays", filename="model.gguf", family=_F, malicious=True)
def _deep() -> bytes:
    return _base().pair("x.deep", struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 200 + struct.pack("<IQ", 4, 0)).bytes()


@forge("gguf.trailing_pickle", filename="model.gguf", family=_F, malicious=True)
def _trailing() -> bytes:
    return _base().tensor("a", [8]).bytes(bytes(32)) + b"cposix\nsystem\n(S'echo stannary'\ntR."


@forge("gguf.long_name", filename="model.gguf", family=_F, malicious=True)
def _long_name() -> bytes:
    return _base().tensor("a" * 300, [8]).bytes(bytes(32))


@forge("gguf.unknown_tensor_type", filename="model.gguf", family=_F, malicious=None)
def _type() -> bytes:
    return _base().tensor("a", [8], kind=200).bytes(bytes(32))


@forge("gguf.no_tensor_type", filename="model.gguf", family=_F, malicious=True)
def _no_type() -> bytes:
    return _base().tensor("a", [8], kind=0x7FFFFFFF).bytes(bytes(32))


@forge("gguf.padding", filename="model.gguf", family=_F, malicious=False)
def _padding() -> bytes:
    return _base().tensor("a", [8]).bytes(bytes(32 + 4096))


@forge("gguf.truncated", filename="model.gguf", family=_F, malicious=None)
def _truncated() -> bytes:
    return _base().tensor("a", [8]).bytes(bytes(32))[:70]


@forge("gguf.unknown_version", filename="model.gguf", family=_F, malicious=None)
def _version() -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 77, 0, 0)


@forge("gguf.ggml", filename="model.bin", family=_F, malicious=False)
def _ggml() -> bytes:
    return b"tjgg" + struct.pack("<8I", 3, 1, 8, 1, 1, 1, 8, 1) + bytes(64)


@forge("gguf.ggml_words", filename="model.bin", family=_F, malicious=True)
def _ggml_words() -> bytes:
    return b"lmgg" + struct.pack("<8I", 1 << 31, 8, 1, 1, 1, 8, 1, 1) + bytes(64)


@forge("gguf.ggjt_words", filename="model.bin", family=_F, malicious=True)
def _ggjt_words() -> bytes:
    return b"tjgg" + struct.pack("<8I", 3, 1 << 30, 8, 1, 1, 1, 8, 1) + bytes(64)


@forge("gguf.ggla_plain", filename="adapter.bin", family=_F, malicious=False)
def _ggla() -> bytes:
    return b"algg" + struct.pack("<3I", 1, 4096, 8192) + bytes(64)
