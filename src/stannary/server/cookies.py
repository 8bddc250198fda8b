"""What cookies are called: over TLS so that no other host, nor a page without TLS, can have planted one (RFC 6265bis, 4.1.3.2)."""

from __future__ import annotations

__all__ = ["cookie_name"]


def cookie_name(name: str, *, secure: bool) -> str:
    """Return the name of a cookie. Over TLS a browser keeps it only from this very host, for all of it, and for TLS alone."""
    return f"__Host-{name}" if secure else name
