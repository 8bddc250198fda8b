"""Pages and pictures with script in them: where they send to, or take their script from."""

from __future__ import annotations

import html
import re

__all__ = ["hides", "is_active", "sends_to", "takes"]

_ACTIVE = re.compile(
    r"<script\b|<iframe\b|<object\b|<embed\b|\bon(?:load|error|click|mouse\w+|focus\w*|toggle|begin|pointer\w+|animation\w+)\s*=|javascript:",
    re.IGNORECASE,
)
_REMOTE = re.compile(
    r"""<(?:script|iframe|object|embed)\b[^>]{0,300}?\b(?:src|data)\s*=\s*["']?(https?://[^\s"'>]+)""", re.IGNORECASE
)
# What a script of a page calls or sends to.
_SENT = re.compile(
    r"""(?:\b(?:fetch|open|import|sendBeacon|WebSocket)\s*\(|\.src\s*=|\blocation(?:\.href)?\s*=)\s*(?:["'][A-Z]{3,4}["']\s*,\s*)?["'`]((?:https?:|wss?:)?//[^\s"'`]+)"""
)
# A kernel is told to run something; libraries that clean up behind a plot pass a variable.
_KERNEL = re.compile(
    r"""kernel\s*(?:\.|\[["'])\s*execute(?:["']\])?\s*\(\s*(?:["'`](?:[^"'`\n]|\\.){0,400}?(?:!|%|\bos\b|subprocess|system|popen|exec|eval|open\s*\(|urllib|requests|socket|shutil|__import__)|atob)"""
    r"""|requestExecute\s*\(\s*\{\s*code\s*:|/api/(?:terminals|kernels)\b["'`]|<i?frame\b[^>]{0,200}\bsrc\s*=\s*["']?\s*javascript:""",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    r"\b(?:fetch|sendBeacon|XMLHttpRequest|Image|WebSocket|open|assign|location|src|href)\b[^;\n]{0,200}(?:document\.cookie|(?:local|session)Storage|_xsrf)"
    r"|(?:document\.cookie|(?:local|session)Storage|_xsrf)[^;\n]{0,40};[^\n]{0,200}\b(?:fetch|sendBeacon|Image)\s*\("
)
# Script that is written so that nobody reads it, and a handler in a tag that evaluates.
_HIDDEN = re.compile(
    r"\b(?:eval|Function|setTimeout|document\.write(?:ln)?)\s*\(\s*(?:window\.)?(?:atob|unescape|decodeURIComponent|String\.fromCharCode)\s*\("
    r"|<[a-z][^<>]{0,400}\son(?:load|error|begin|toggle|focus|mouse\w+|animation\w+)\s*=\s*[\"']?[^\"'<>]{0,80}\b(?:eval|Function|atob)\s*\(",
    re.IGNORECASE,
)
_MOST = 4 << 20


def is_active(text: str) -> bool:
    """Tell whether a page or a picture has script, a frame or an embedded object."""
    return _ACTIVE.search(text[:_MOST]) is not None


def sends_to(text: str) -> str:
    """Return the address that the script of a page comes from or sends to, or nothing."""
    if not is_active(text):
        return ""
    found = _REMOTE.search(text[:_MOST]) or _SENT.search(text[:_MOST])
    if found is None:
        return ""
    return f"http:{found[1]}" if found[1].startswith("//") else found[1]


def hides(text: str) -> str:
    """Return how the script of a page hides what it runs, or nothing."""
    found = _HIDDEN.search(text[:_MOST]) if is_active(text) else None
    return found[0][-120:] if found is not None else ""


def takes(text: str) -> str:
    """Say what the script of a page takes: `kernel` (runs code in a notebook's), `secrets` (sends cookies out), or nothing."""
    part = html.unescape(text[:_MOST])
    if _KERNEL.search(part):
        return "kernel"
    return "secrets" if ("cookie" in part or "Storage" in part or "_xsrf" in part) and _SECRETS.search(part) else ""
