"""Hostile text made visible: names, messages and evidence come from artifacts.

Terminal escapes, bidirectional overrides (Trojan Source, CVE-2021-42574), zero-width and tag
characters, markup of the page they are put in: all become harmless and visible, never dropped.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["code_span", "ellipsis", "encodable", "inline", "json_text", "relative_uri", "visible"]

# Letters by category, blank on the screen: Hangul fillers, Khmer inherent vowels, Braille blank.
_BLANKS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_BACKTICKS = re.compile(r"`+")
# C1 controls, zero-width, line separators, bidirectional controls, byte order mark, tags: legal in JSON
# strings, but a terminal or an editor acts on them.
_UNSAFE_IN_JSON = re.compile(
    "[\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    r"""Return one line in which every control, format, private or invisible character is written as `\xNN`."""
    if text.isprintable() and not _BLANKS.intersection(text):
        return text
    return "".join(ch if ch.isprintable() and ch not in _BLANKS else _escaped(ch) for ch in text)


def inline(value: object, limit: int = 400) -> str:
    """Return any evidence value as one visible line of at most `limit` characters."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return ellipsis(visible(value[: limit + 1]), limit)
    if isinstance(value, (list, tuple)):
        return ellipsis(", ".join(inline(item, limit) for item in value[:50]), limit)
    if isinstance(value, dict):
        return ellipsis(", ".join(f"{inline(k, 60)}={inline(v, limit)}" for k, v in list(value.items())[:50]), limit)
    return ellipsis(visible(str(value)), limit)


def ellipsis(text: str, limit: int) -> str:
    """Cut to `limit` characters, the last of which then says so."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def code_span(text: str, *, table: bool = False, limit: int = 400) -> str:
    r"""Return a Markdown code span: no markup, mention, link or HTML in it is acted on.

    The fence is longer than any run of backticks inside (CommonMark 0.31 §6.1); in a table cell
    `|` is written `\|` (GFM §4.10).
    """
    body = inline(text, limit) or " "
    longest = max((len(run) for run in _BACKTICKS.findall(body)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if body[0] in "` " or body[-1] in "` " else ""
    if table:
        body = body.replace("|", "\\|")
    return f"{fence}{pad}{body}{pad}{fence}"


def json_text(encoded: bytes) -> str:
    r"""Return JSON text in which what a terminal or an editor acts on is written `\uNNNN`: the same value."""
    return _UNSAFE_IN_JSON.sub(_json_escape, encoded.decode("utf-8"))


def relative_uri(path: str) -> str:
    """Return a path as a percent-encoded relative URI reference (RFC 3986 §4.2) without host, drive or `..`."""
    from urllib.parse import quote

    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    uri = "/".join(quote(part, safe="-._~!$&'()*+,;=@", errors="backslashreplace") for part in parts)
    return uri or "unnamed"


def encodable(value: Any) -> Any:  # noqa: ANN401 - builtins of any shape
    """Return builtins that any JSON encoder takes: undecodable bytes of names (PEP 383) and integers over 64 bits as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(k): encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(v) for v in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return hex(value)
    return value


def _escaped(ch: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(ch)
    if short is not None:
        return short
    if "\udc80" <= ch <= "\udcff":  # an undecodable byte of a file name (PEP 383)
        return f"\\x{ord(ch) - 0xDC00:02x}"
    return ch.encode("unicode_escape", "surrogatepass").decode("ascii")


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")  # JSON escapes are UTF-16 code units (RFC 8259 §7)
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
