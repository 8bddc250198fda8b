"""Strings found in metadata: pass on what they hold, and name the code-like things in them.

Shared by every reader of a format whose metadata is free text (GGUF, safetensors, Parquet,
Arrow, XGBoost, ...). Nothing here decides; a fact says what was seen and where.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from stannary.formats import secrets
from stannary.formats.interface import Sink, clip
from stannary.formats.pickle_encodings import decode_rare, rare_head
from stannary.formats.pickle_glance import glance

__all__ = ["PAYLOAD_MAGIC", "hand_on", "is_marshalled", "note_code", "opens_encoded"]

# First bytes of content that a string has no honest reason to carry in base64 or hex.
PAYLOAD_MAGIC = (
    b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x7fELF",
    b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\x93NUMPY", b"cposix\n", b"cos\n", b"cbuiltins\n", b"c__builtin__\n",
    b"csubprocess\n", b"(cos\n", b"(S'", b'(S"', b"(U", b"(X", b"(V", b"(cposix\n", b"(c__builtin__\n", b"(cbuiltins\n", b"(dp0\n",
    b"(lp0\n", b"#!/", b"import ", b"from ", b"x\x9c", b"x\xda",
)  # fmt: skip

#: How text begins that may be base64 or hex of a pickle, an archive, a program, a script or code.
_ENCODED = (
    *(f"gA{char}" for char in "ABCDEFGHIJKLMNOPQRSTUVWX"),
    "UEsD", "H4sI", "f0VM", "TVqQ", "TVp", "Y29z", "Y3Bvc", "KGN", "KFMn", "KFMi", "KFU", "KFg", "KFY",
    "KGRw", "KGxw", "IyEv", "aW1wb3J0", "eJ", "Z0F", "SDRz", "VUVz", "WTI5", "4wAAAA", "4wEAAA", "4wIAAA", "YwAAAA", "YwEAAA",
    "YwIAAA", "8005", "8004", "8003", "8002", "2853", "2863", "636f730a",
)  # fmt: skip
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{20,}={0,2}\s*")
_BASE32 = re.compile(r"[A-Z2-7]+=*")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){16,}")
_TEMPLATE = re.compile(r"\{%-?\s*\w|\{\{")
_PICKLE_FIRST = frozenset("c(]}l")  # of protocol 0, which is text
_LIMIT = 4 << 20  # longest string looked at, in characters
_HITS = 16  # excerpts of one kind from one string

_CODE = {
    "python": re.compile(
        r"__import__\s*\(|\b(?:os|posix|nt)\.(?:system|popen|exec[lv]\w*|spawn\w*)\s*\(|\bpty\.spawn\b"
        r"|\bsubprocess\.(?:run|Popen|call|check_\w+|getoutput)\b|\b(?:pickle|marshal|dill|cloudpickle)\.loads?\s*\("
        r"|\b(?:eval|exec)\s*\(\s*(?:compile|base64|bytes|requests|urllib|open|zlib|codecs|__|input|['\"])|\bsocket\.socket\s*\("
        r"|__subclasses__|__globals__|__builtins__|\blambda\b[^:\n]{0,40}:\s*(?:exec|eval|__import__)\b"
    ),
    "shell": re.compile(
        r"/dev/tcp/|\b(?:curl|wget)\b[^|\n]{1,200}\|\s*(?:ba|z|da|k)?sh\b|\bpowershell(?:\.exe)?\s+-(?:e|enc|nop|w|c|command)\b"
        r"|\brm\s+-rf\s+[/~]|\bbash\s+-[ci]\s|\bnc\s+(?:-\w+\s+)*-e\b|\bcmd(?:\.exe)?\s+/c\s|\bsh\s+-c\s|\$\(curl|base64\s+-d\s*\|"
    ),
    "markup": re.compile(r"<script\b|javascript:|\bonerror\s*=|<iframe\b"),
    "lookup": re.compile(r"\$\{jndi:"),
}
# One of these is in every text that a pattern can match: searching for words is 50 times faster than for patterns.
_ANY_CASE = frozenset({"markup", "lookup"})
_WORDS = {
    "python": (
        "__import__",
        "os.",
        "posix.",
        "nt.",
        "pty.",
        "subprocess.",
        "loads",
        "load(",
        "load (",
        "eval",
        "exec",
        "socket.",
        "__",
    ),
    "shell": ("/dev/tcp/", "curl", "wget", "owershell", "rm ", "sh ", "nc ", "cmd", "$(", "base64"),
    "markup": ("<script", "<iframe", "javascript:", "onerror"),
    "lookup": ("${",),
}

_ANY_WORD = {what: re.compile("|".join(map(re.escape, words))) for what, words in _WORDS.items()}


def hand_on(sink: Sink, name: str, text: str, offset: int | None = None) -> None:
    """Read a metadata string as what it may be: template, encoded payload, or text with code in it.

    `name` is the metadata key. A string over 4 Mi characters is reported incomplete.
    """
    if len(text) > _LIMIT:
        sink.incomplete(f"{clip(name)}: a text of {len(text)} characters was not read", offset)
        return
    if len(text) >= secrets.SHORTEST:
        secrets.report(text.encode("utf-8", "surrogatepass"), sink, base=offset or 0, lines=False)
    if _TEMPLATE.search(text):
        sink.child(f"{name}.jinja", text.encode("utf-8", "surrogatepass"), offset=offset, hint="jinja")
    payload = _decoded(text)
    if payload is not None:
        encoding, content = payload
        # Stable-Baselines3 announces the pickles of an agent by this key; what they do is judged below.
        told = "text.serialized" if name.endswith(":serialized:") else "text.encoded"
        sink.fact(told, offset, key=clip(name), encoding=encoding, size=len(content), head=content[:8].hex())
        sink.child(f"{name}#{encoding}", content, offset=offset)
    elif text[:1] == "\x80":
        _one_a_byte(sink, name, text, offset)
    if text[:1] in "{[" and len(text) > len('{"_type": ""}') and text.rstrip()[-1:] in "}]" and '"' in text:
        # Hugging Face, pandas and ComfyUI keep whole documents in metadata; what they name is judged as in a file.
        sink.child(f"{clip(name, 80)}.json", text.encode("utf-8", "surrogatepass"), offset=offset, hint="json")
    if text[:1] in _PICKLE_FIRST and "\n" in text and glance(text.encode("utf-8", "surrogatepass")).runs:
        sink.fact("text.encoded", offset, key=clip(name), encoding="text", size=len(text), head=text[:8].encode().hex())
        sink.child(f"{name}#text", text.encode("utf-8", "surrogatepass"), offset=offset, hint="pickle")
    note_code(sink, name, text, offset)


def opens_encoded(text: str) -> bool:
    """Tell whether a text is worth `hand_on` for how it begins: encoded content, or a pickle of one character a byte."""
    start = text[:64].lstrip()
    if start.startswith(_ENCODED):
        return True
    if start[:1] == "\x80":
        return start[1:2] in ("\x02", "\x03", "\x04", "\x05")
    return rare_head(start.encode("utf-8", "replace"))


def note_code(sink: Sink, name: str, text: str, offset: int | None = None) -> None:
    """Report excerpts of a string that read as code: `text.code` with `what` python, shell, markup or lookup."""
    for what, pattern in _CODE.items():
        searched = text.lower() if what in _ANY_CASE else text
        if not _ANY_WORD[what].search(searched):
            continue
        shown, count = 0, 0
        for match in pattern.finditer(searched):
            if match.end() <= shown:
                continue  # seen in the excerpt before
            shown, count = match.end() + 60, count + 1
            excerpt = text[max(0, match.start() - 20) : shown]
            sink.fact("text.code", offset, key=clip(name), what=what, excerpt=clip(excerpt, 160))
            if count >= _HITS:
                break


def _decoded(text: str, layers: int = 3) -> tuple[str, bytes] | None:
    stripped = text.strip()
    if _HEX.fullmatch(stripped):
        content = bytes.fromhex(stripped)
        if _is_payload(content):
            return "hex", content
    if len(stripped) >= 24 and _BASE32.fullmatch(stripped) and rare_head(stripped[:64].encode()):
        content = decode_rare(stripped.encode())
        if content and (_is_payload(content) or glance(content).runs):
            return "rare", content
    if len(stripped) >= 24 and _BASE64.fullmatch(stripped):
        compact = "".join(stripped.split()).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            content = base64.b64decode(compact + "=" * (-len(compact) % 4))
        except (binascii.Error, ValueError):
            return None
        if _is_payload(content):
            return "base64", content
        if layers and content.isascii():  # encoded twice
            return _decoded(content.decode("ascii"), layers - 1)
        return None
    if len(stripped) >= 24 and rare_head(stripped[:64].encode("utf-8", "replace")) and stripped.isascii():
        content = decode_rare(stripped.encode("ascii"))
        if content and (_is_payload(content) or glance(content).runs):
            return "rare", content
    return None


def _one_a_byte(sink: Sink, name: str, text: str, offset: int | None) -> None:
    """Read a pickle that was written as text, one character a byte."""
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return
    if glance(content).runs:
        sink.fact("text.encoded", offset, key=clip(name), encoding="latin-1", size=len(content), head=content[:8].hex())
        sink.child(f"{name}#latin-1", content, offset=offset, hint="pickle")


def is_marshalled(content: bytes) -> bool:
    """Tell whether bytes begin as `marshal.dumps` writes code: its type, and three small counts of arguments."""
    counts = content[2:5] + content[6:9] + content[10:13]
    return len(content) > 40 and content[:1] in (b"\xe3", b"c") and counts == bytes(9) and content[1] < 64


def _is_payload(content: bytes) -> bool:
    """Tell content from a digest or an identifier that begins like it by chance."""
    if is_marshalled(content):
        return True
    if not content.startswith(PAYLOAD_MAGIC):
        return False
    if content[:1] == b"\x80":
        return content.rstrip(b"\0")[-1:] == b"." or glance(content).runs
    if content[:1] == b"(":
        return glance(content).runs
    if content[:1] == b"x":
        try:
            zlib.decompressobj().decompress(content[:256], 64)
        except zlib.error:
            return False
    return content[:2] != b"MZ" or len(content) > 64
