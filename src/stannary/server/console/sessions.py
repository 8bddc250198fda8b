"""How a browser is let in: a session's cookie for name and password, or a token kept in a cookie.

A token that is logged in with is its own session: what it is not good for, the browser is not either, and it ends when it does.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response

from stannary.access import code_flow
from stannary.access.access import Access
from stannary.access.federation import providers
from stannary.access.login import end_session, log_in
from stannary.server.cookies import cookie_name

__all__ = [
    "SESSION", "TOKEN", "AccessSessions", "Credentials", "Sessions", "cookie_of", "credentials", "delete_cookie", "form_token",
    "is_form_token", "is_secure", "local", "set_cookie",
]  # fmt: skip

SESSION = "stannary"  # the cookie that the API takes as well
TOKEN = "stannary-token"  # noqa: S105 - the name of a cookie
_LONGEST = 2000


class Sessions(Protocol):
    """Begins and ends sessions of people, by password or by an identity provider."""

    def begin(self, name: str, password: str, previous: str = "") -> str:
        """Return the value of a new session's cookie; the previous one ends. Raises PolicyDenied."""
        ...

    def end(self, cookie: str) -> None:
        """End a session."""
        ...

    def issuers(self) -> list[str]:
        """Return the identity providers by which people log in."""
        ...

    def begin_at(self, issuer: str, redirect: str, browser: str) -> str:
        """Return where to send a browser to log in at a provider; `browser` is a secret of this browser and this login."""
        ...

    def complete_at(self, answer: dict[str, str], browser: str, previous: str = "") -> str:
        """Return the value of a new session's cookie for what a provider answered. Raises PolicyDenied, BackendError."""
        ...


class AccessSessions:
    """Sessions of the accounts of a workspace."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def begin(self, name: str, password: str, previous: str = "") -> str:
        """Return the value of a new session's cookie. Raises PolicyDenied (ACC001)."""
        return str(log_in(self._access, name, password, previous=previous).secret)

    def end(self, cookie: str) -> None:
        """End a session."""
        end_session(self._access, cookie)

    def issuers(self) -> list[str]:
        """Return the identity providers by which people log in."""
        return [provider.issuer for provider in providers(self._access)]

    def begin_at(self, issuer: str, redirect: str, browser: str) -> str:
        """Return where to send a browser to log in at a provider. Raises UsageError, BackendError."""
        return code_flow.begin(self._access, issuer, redirect, browser)

    def complete_at(self, answer: dict[str, str], browser: str, previous: str = "") -> str:
        """Return the value of a new session's cookie for what a provider answered. Raises PolicyDenied (ACC001), BackendError."""
        return str(code_flow.complete(self._access, answer, browser, previous=previous).secret)


class Credentials(NamedTuple):
    """What a browser showed: an `Authorization` header (or a token's cookie as one), or a session's cookie."""

    authorization: str
    session: str

    @property
    def secret(self) -> str:
        """Return what nobody else knows."""
        return self.authorization or self.session


def cookie_of(request: Request, name: str) -> str:
    """Return the value of a cookie of ours, empty without one."""
    return request.cookies.get(cookie_name(name, secure=is_secure(request)), "")


def is_secure(request: Request) -> bool:
    """Tell whether a browser is here over TLS."""
    return request.url.scheme == "https"


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Have a browser keep a cookie until it is closed."""
    secure = is_secure(request)
    response.set_cookie(cookie_name(name, secure=secure), value, path="/", secure=secure, httponly=True, samesite="strict")


def delete_cookie(request: Request, response: Response, name: str) -> None:
    """Have a browser forget a cookie."""
    secure = is_secure(request)
    response.delete_cookie(cookie_name(name, secure=secure), path="/", secure=secure, httponly=True, samesite="strict")


def credentials(request: Request) -> Credentials:
    """Return what was shown, each of it once: a header before a session, a session before a token."""
    shown = request.headers.get("authorization", "")
    session = "" if shown else cookie_of(request, SESSION)
    token = "" if shown or session else cookie_of(request, TOKEN)
    return Credentials(shown or (f"Bearer {token}" if token else ""), session)


def form_token(secret: str) -> str:
    """Return what a form has to bring along: it follows from the credentials, which no other site can read."""
    return hmac.new(secret.encode("utf-8", "surrogateescape"), b"stannary console form", hashlib.sha256).hexdigest()


def is_form_token(sent: str, secret: str) -> bool:
    """Tell whether a form was made for these credentials."""
    return bool(secret) and hmac.compare_digest(sent.encode("utf-8", "replace"), form_token(secret).encode())


def local(where: str) -> str:
    """Return an address to go to after a login: a path of ours, whatever was asked for."""
    plain = where.isascii() and where.isprintable() and "\\" not in where and len(where) <= _LONGEST
    return where if plain and where.startswith("/") and not where.startswith("//") else "/models"
