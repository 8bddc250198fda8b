"""Small parts of talking HTTP: what `Retry-After` asks for, and whose certificates are trusted."""

from __future__ import annotations

import email.utils
import ssl
import time

from stannary.core.errors import UsageError

__all__ = ["retry_after", "trusting"]


def retry_after(text: str) -> float | None:
    """Return the seconds that a `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date), or None."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def trusting(ca: str | None) -> ssl.SSLContext:
    """Return a context that verifies certificates and names."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as exc:
        msg = f"no certificates can be read from it: {exc}"
        raise UsageError(msg, where=ca) from exc
