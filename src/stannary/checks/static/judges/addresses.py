# ruff: noqa: E501 - lists of hosts
"""Addresses that nothing honest fetches from or sends to: judged by what the host is, not by the words in it.

A host is doubtful when it is a bare number in any spelling; a service by which anybody takes in what is sent, or hands out what
somebody left there without a name (pastes, drops, catchers of requests, bots and hooks of chats); a tunnel to a machine at
somebody's home, or a name for an address that changes; a shortened link, whose end nobody sees; a domain that costs nothing and is
used for little else; a name that RFC 6761 keeps out of the net; written to look like another (a host in front of the `@`, letters
of another script).
"""

from __future__ import annotations

import re

__all__ = ["doubtful_address", "hostile_address"]

_PASTES = (
    r"pastebin\.(?:com|pl|fr)|paste\.ee|hastebin\.com|rentry\.co|dpaste\.(?:com|org)|termbin\.com|ix\.io|sprunge\.us|0x0\.st|"
    r"transfer\.sh|temp\.sh|file\.io|gofile\.io|catbox\.moe|bashupload\.com|anonfiles?\.(?:com|me|cc)|cdn\.discordapp\.com"
)
_CATCHERS = (
    r"webhook\.site|requestbin\.(?:com|net|io)|requestcatcher\.com|pipedream\.net|beeceptor\.com|burpcollaborator\.net|canarytokens\.(?:com|org)|"
    r"oast\.(?:fun|pro|live|site|online|me|com)|oastify\.com|interact\.sh|discord(?:app)?\.com/api/webhooks|api\.telegram\.org"
)
_TUNNELS = (
    r"ngrok(?:-free)?\.(?:io|app|dev|com)|serveo\.net|localhost\.run|lhr\.life|loca\.lt|localtunnel\.me|trycloudflare\.com|"
    r"duckdns\.org|ddns\.net|hopto\.org|zapto\.org|sytes\.net|no-ip\.(?:com|org|biz|info)|dynu\.net"
)
_SHORTENED = r"bit\.ly|tinyurl\.com|t\.co(?=/)|is\.gd|goo\.gl(?=/)|cutt\.ly|rb\.gy"
_SERVICES = rf"(?<![\w-])(?:{_PASTES}|{_CATCHERS}|{_TUNNELS}|{_SHORTENED})(?!\w|-)(?!\.\w)"
_HOST = r"(?:[^@/\s]{1,80}@)?(?:[\w-]+\.)+"
# In code and in settings `self.top` is no host: a scheme stands before one, or a path or port behind it.
_DOMAINS = rf"//{_HOST}(?:onion|xyz|top|tk|invalid|test|example)(?![\w.-]*\w)|(?<![\w.-])(?:[\w-]+\.)+(?:onion|xyz|top|tk)(?:/|:\d)|\.onion\b"
_NUMBER = r"0x[0-9a-f]{6,8}|\d{8,10}|\[(?!::1\])[0-9a-f:.]+\]"
_DISGUISED = rf"//(?:[^@/\s]{{1,80}}@)?(?:{_NUMBER})(?=[/:?#\s\"']|$)|//(?:[\w-]+\.)+(?:com|org|net|io|co|ai)@|//[^/\s]*\bxn--"
_SITES = rf"{_SERVICES}|{_DOMAINS}|{_DISGUISED}"
_SCHEMES = r"(?:https?|s?ftps?|ssh|git)"
_DOUBTFUL = re.compile(
    rf"http://(?!localhost|127\.0\.0\.1)|{_SCHEMES}://(?:[^@/\s]{{1,80}}@)?\d{{1,3}}(?:\.\d{{1,3}}){{3}}|{_SITES}", re.IGNORECASE
)
_OWN = r"(?!(?:10|127|0)\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)"  # addresses of one's own network
_HOSTILE = re.compile(
    rf"(?:https?|s?ftps?|ssh|git|wss?)://(?:[^@/\s]{{1,80}}@)?{_OWN}\d{{1,3}}(?:\.\d{{1,3}}){{3}}|{_SITES}", re.IGNORECASE
)


def doubtful_address(text: str) -> str:
    """Return an address in `text` that legitimate installers do not use (no TLS, a bare number, a paste site), or nothing."""
    match = _DOUBTFUL.search(text)
    return text[max(0, match.start() - 8) : match.end() + 60].split(maxsplit=1)[0] if match else ""


def hostile_address(text: str) -> str:
    """Return an address in `text` that is doubtful for more than a lack of TLS, and that does not lie in a network of one's own."""
    match = _HOSTILE.search(text)
    return text[match.start() : match.end() + 60].split(maxsplit=1)[0] if match else ""
