"""What strings given to an unknown callable look like: a command, code, a URL, a path, a pickle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["shape_of", "strings", "worst_shape"]

_SHELL = re.compile(
    r"(?:^|[\s;&|`(])(?:sh|bash|zsh|dash|cmd(?:\.exe)?|powershell|pwsh|curl|wget|nc|ncat|netcat|socat|python[0-9.]*|perl|ruby|php|node|echo|touch"
    r"|rm|cp|mv|cat|chmod|chown|id|whoami|uname|ls|ping|nslookup|dig|kill|nohup|sudo|ssh|scp|telnet|mkfifo|crontab|xterm|calc(?:\.exe)?|open|start|certutil"
    r"|mshta|rundll32|regsvr32|base64|eval|exec|sleep|env|export|tee|dd|awk|sed|find|xargs|pip3?|conda|apt(?:-get)?|yum|docker)(?:\s+\S|[;&|])"
    r"|^\s*(?:id|whoami|uname|ls|sh|bash|cmd\.exe|calc\.exe|powershell|xterm|env)\s*$"
    r"|\$\(|`[^`]+`|&&|\|\||;\s*\w+\s|[12]?>\s*[/&\w]|\|\s*\w+",
)
_CODE = re.compile(
    r"\b(?:import\s+\w|from\s+[\w.]+\s+import\b|exec\s*\(|eval\s*\(|compile\s*\(|__\w+__|lambda\s*[\w,]*:|def\s+\w+\s*\(|open\s*\(|getattr\s*\(|os\.\w+"
    r"|subprocess|globals\s*\(|builtins|print\s*\()|^\s*@?\w[\w.]*\([^)]*\)\s*$",
)
_URL = re.compile(
    r"^[a-z][a-z0-9+.-]{1,24}://|^//[\w.-]+/|^\\\\[\w.-]+\\|^\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?$",
    re.IGNORECASE,
)
_PATH = re.compile(
    r"^(?:~?/|\.{1,2}/|[A-Za-z]:[\\/])\S|^/(?:etc|bin|usr|tmp|var|home|root|proc|dev)\b|\.(?:so|dll|dylib|exe|sh|bat|ps1|pkl|pickle|py|pyc)$"
)
# No shell and no compiler takes a NUL: this much of what cannot be printed around one is packed numbers.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_PACKED = 8
_PICKLED = re.compile(r"^(?:\\x80\\x0[2-5]|c\w[\w.]*\n\w|gASV|gAN|gAJ|\(?dp\d)")
_ORDER = ("pickle", "shell", "code", "url", "path")


def shape_of(text: str) -> str:
    """Return pickle, shell, code, url, path, or '' for text that looks like none of them."""
    if _PICKLED.search(text):
        return "pickle"
    if _URL.search(text):
        return "url"
    if "\x00" in text and len(_UNPRINTABLE.findall(text)) > max(_PACKED, len(text) // 4):
        return ""
    if _SHELL.search(text):
        return "shell"
    if _CODE.search(text):
        return "code"
    return "path" if _PATH.search(text) else ""


def strings(value: Any, depth: int = 0) -> Iterator[str]:  # noqa: ANN401 - rendered JSON
    """Yield the strings of a rendered value, and what bytes begin with."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value if depth < 8 else ():  # noqa: PLR2004 - rendered values are shallow
            yield from strings(item, depth + 1)
    elif isinstance(value, dict):
        if "bytes" in value or "text" in value:
            yield str(value.get("head", ""))
            return
        for key in ("args", "list", "dict"):
            if key in value and depth < 8:  # noqa: PLR2004 - rendered values are shallow
                yield from strings(value[key], depth + 1)


def worst_shape(value: Any) -> tuple[str, str]:  # noqa: ANN401 - rendered JSON
    """Return (shape, the string) of the most dangerous looking string, ('', '') when all are plain."""
    found = [(shape, text) for text in strings(value) if (shape := shape_of(text))]
    return min(found, key=lambda pair: _ORDER.index(pair[0]), default=("", ""))
