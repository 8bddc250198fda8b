"""Pages and pictures with script in them: where they send to, or take their script from."""

from __future__ import annotations

import re

__all__ = ["is_active", "sends_to"]

_ACTIVE = re.compile(r"<script\b|<iframe\b|<object\b|<embed\b|\bon(?:load|error|click|mouseover)\s*=|javascript:", re.IGNORECASE)
_REMOTE = re.compile(
    r"""<(?:script|iframe|object|embed)\b[^>]{0,300}?\b(?:src|data)\s*=\s*["']?(https?://[^\s"'>]+)""", re.IGNORECASE
)
# What a script of a page calls or sends to.
_SENT = re.compile(
    r"""(?:\b(?:fetch|open|import|sendBeacon|WebSocket)\s*\(|\.src\s*=|\blocation(?:\.href)?\s*=)\s*(?:["'][A-Z]{3,4}["']\s*,\s*)?["'`]((?:https?:|wss?:)?//[^\s"'`]+)"""
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
