"""Python source: its syntax tree, followed symbolically, or its words when it cannot be parsed.

Facts besides those of `python_flow`:
`python.module`: name (of the file), lines, imports (sorted roots, at most 200), context (`file` or `notebook`).
`python.coding`: the encoding of a PEP 263 cookie other than UTF-8, Latin-1 or ASCII, or what makes the source unlike
    text (`utf-16`, `nul bytes`). Fields: coding.
`python.bidi`: characters that reorder source text (Unicode Bidi controls). Fields: count, line, reorders (overrides
    or isolates).
`python.word`: in source that cannot be parsed, something that looks like a call. Fields: name, line, text.
"""

from __future__ import annotations

import ast
import re

from stannary.core.errors import FormatError
from stannary.formats.interface import Sink, View, clip
from stannary.formats.python_flow import Flow
from stannary.formats.python_names import parse

__all__ = ["analyse", "read"]

_LIMIT = 2 << 20  # bytes; a syntax tree takes a hundred times its source
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_PLAIN_CODINGS = frozenset(
    {"utf-8", "utf8", "utf-8-sig", "latin-1", "latin1", "iso-8859-1", "iso-8859-15", "ascii", "us-ascii", "cp1252"}
)
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_WORDS = re.compile(
    r"\b(os\.(?:system|popen|exec\w+|spawn\w+|fork|dup2)|subprocess\.\w+|(?:eval|exec|compile|__import__)(?=\s*\()|pty\.spawn|socket\.socket"
    r"|urllib\.request\.\w+|requests\.(?:get|post)|base64\.\w*decode\w*|marshal\.loads|pickle\.loads?|ctypes\.\w+)\s*\((.{0,200})"
)
_MAX_WORDS = 200


def read(view: View, sink: Sink) -> None:
    """Read a source file. Raises FormatError when it is not Python that this version can parse."""
    raw = bytes(view.data) if len(view) <= _LIMIT else view.head(_LIMIT)
    name = view.name.replace("\\", "/").rsplit("/", 1)[-1]
    _cookie(raw, sink)
    if len(view) > _LIMIT:
        _words(raw.decode("utf-8", "replace"), sink)
        sink.incomplete(f"Python source of {len(view)} bytes: only the first {_LIMIT} were searched for calls")
        from stannary.formats.unread import sweep  # no honest source is as long

        sweep(view.data[_LIMIT:], sink, code=True)
        return
    try:
        tree = parse(raw, name or "<source>")
    except FormatError:
        _words(raw.decode("utf-8", "replace"), sink)
        raise
    text = raw.decode("utf-8", "replace")
    hidden = list(_BIDI.finditer(text))
    if hidden:
        reorders = any(m[0] in "\u202d\u202e\u2066\u2067\u2068" for m in hidden)
        sink.fact("python.bidi", None, count=len(hidden), reorders=reorders, line=text.count("\n", 0, hidden[0].start()) + 1)
    analyse(tree, sink, name=name, lines=text.count("\n") + 1)


def analyse(tree: ast.Module, sink: Sink, *, name: str, lines: int, context: str = "file") -> None:
    """Report the facts of a parsed module; marks it incomplete when it is nested too deeply to follow."""
    imports = {a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imports |= {(n.module or "").partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
    sink.fact("python.module", None, name=clip(name), lines=lines, imports=sorted(imports - {""})[:200], context=context)
    try:
        Flow(sink).module(tree)
    except RecursionError:
        sink.incomplete("Python source is nested too deeply to be followed")


def _cookie(raw: bytes, sink: Sink) -> None:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:_LIMIT]:
        sink.fact("python.coding", 0, coding="utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "nul bytes")
    for line in re.split(rb"\r\n?|\n", raw[:1024], maxsplit=2)[:2]:
        match = _COOKIE.match(line)
        if match:
            coding = match[1].decode("ascii", "replace").lower().replace("_", "-")
            if coding not in _PLAIN_CODINGS:
                sink.fact("python.coding", None, coding=coding)


def _words(text: str, sink: Sink) -> None:
    for count, match in enumerate(_WORDS.finditer(text)):
        if count >= _MAX_WORDS:
            break
        sink.fact("python.word", None, name=match[1], text=clip(match[2]), line=text.count("\n", 0, match.start()) + 1)
