"""Values inside model files that are worth reading as content of their own: pickles, archives, programs, code.

Metadata fields, string tensors and attributes are mostly names and numbers. Handing each of them
to every reader would cost time and say nothing; `carve` hands on those whose bytes look like
something that a loader or a person could run. It looks; it does not judge.
"""

from __future__ import annotations

import re

from stannary.formats.embedded_text import hand_on, note_code
from stannary.formats.interface import Sink

__all__ = ["carve", "looks_embedded"]

_HEAD = 1 << 16
_TEXT = 8 << 20
_SHORTEST = 3
_SOLID = re.compile(rb"[A-Za-z0-9+/_\-]{24}")  # no blanks: possibly encoded
_START = re.compile(
    rb"""[\s\x00]{0,64}(?:
        # a pickle: its protocol and the opcode after it
        \x80[\x02-\x05][\x00().BCFGIJKLMNPSTUVX\]c}\x80\x82-\x84\x88-\x8f\x94-\x97]
      | PK\x03\x04 | PK\x05\x06 | \x7fELF | MZ[\x90\x00\x50\x60\x80] | \x1f\x8b\x08 | BZh[1-9]1AY | \xfd7zXZ\x00
      | 7z\xbc\xaf\x27\x1c | Rar!\x1a\x07 | \x28\xb5\x2f\xfd | \x93NUMPY | GGUF | \#!/ | \x89HDF\r\n\x1a\n
      | \([SV]['"]?[^\n]{0,400}\n(?:[ILFgp][-\w.]{1,20}\n|[SV][^\n]{0,400}\n){0,6}     # and with a text before the name
        [ci][A-Za-z_][\w.]{0,80}\r?\n[A-Za-z_][\w.]{0,80}\r?\n
      | [\(\]\}l]{0,4}c[A-Za-z_][\w.]{0,80}\r?\n[A-Za-z_][\w.]{0,80}\r?\n                  # pickle, protocol 0
      | <\?php | <script | <!DOCTYPE | <!ENTITY
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_ANYWHERE = re.compile(
    rb"__import__|__reduce__|__subclasses__|__globals__|__builtins__|\bexec\s*\(|\beval\s*\(|\bos\.(?:system|popen|exec)|\bsubprocess\b"
    rb"|\bimport\s+(?:os|sys|socket|subprocess|ctypes|pickle|marshal)\b|b64decode|pickle\.loads|marshal\.loads|powershell|cmd\.exe"
    rb"|/bin/(?:ba|z|da)?sh\b|\bcurl\s+-?|\bwget\s+|/dev/tcp/|Runtime\.getRuntime|ProcessBuilder|<script|javascript:"
    rb"|BEGIN [A-Z ]*PRIVATE KEY"
    rb"|\{\{|\{%|\$\{|AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{30}|gh[pousr]_[A-Za-z0-9]{30}",
    re.IGNORECASE,
)


def looks_embedded(raw: memoryview | bytes) -> bool:
    """Tell whether a value starts like content of its own: a pickle, an archive, a program."""
    return len(raw) > _SHORTEST and _START.match(bytes(raw[:_HEAD])) is not None


def carve(sink: Sink, name: str, raw: memoryview | bytes, offset: int | None = None) -> bool:
    """Hand `raw` on when it looks like content of its own; return whether it did.

    Text is passed to `embedded_text.hand_on` when it could be code, a template or an encoded payload.
    """
    if len(raw) <= _SHORTEST:
        return False
    head = bytes(raw[:_HEAD])
    if _START.match(head) is not None:
        sink.child(name, raw, offset=offset)
        if head.lstrip()[:1] == b"<":  # a page of its own, and a text that a page may show
            note_code(sink, name, head.decode("utf-8", "replace"), offset)
        return True
    if _ANYWHERE.search(head) is None and not _SOLID.match(head):
        return False
    hand_on(sink, name, bytes(raw[:_TEXT]).decode("utf-8", "replace"), offset)
    return True
