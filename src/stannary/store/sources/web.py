"""`https://…`: one file. A `#sha256=…` fragment is verified; plain http is for loopback only."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

from stannary.core.errors import UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, safe_path

__all__ = ["check_scheme", "fetch"]

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def check_scheme(url: str) -> urllib.parse.SplitResult:
    """Return the parts of a URL. Raises UsageError for http to anything but this machine."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
        msg = "only https, or http to this machine"
        raise UsageError(msg, where=url, code="FET003", help="use https://")
    return parts


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Download one file."""
    parts = check_scheme(target)
    pin = re.fullmatch(r"sha256=([0-9a-f]{64})", parts.fragment)
    url = urllib.parse.urlunsplit(parts._replace(fragment=""))
    name = urllib.parse.unquote(parts.path.rpartition("/")[2]) or "index"
    path = safe_path(dest, name, target)
    got = fetcher.download(url, path, sha256=pin.group(1) if pin else "")
    return Resolved(
        path, target, {"kind": "https", "url": url, "sha256": got.sha256, "etag": got.headers.get("etag", ""), "pinned": bool(pin)}
    )
