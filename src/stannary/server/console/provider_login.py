"""Login by an identity provider: to the provider and back, bound to the browser that began it.

1. Whoever begins comes from a page of ours. The browser gets a new secret in a cookie for this login alone; the state, the nonce
   and the verifier of the code are kept on the server, bound to that secret (`access/code_flow.py`).
2. What comes back is believed only with that cookie, and uses it up. The session is a new one, whatever cookies there were.
3. One is led on to a page of ours by a page, not by a redirect: a navigation that began at the provider does not bring the
   session's cookie along (`SameSite=Strict`), and one that begins here does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from stannary.core.errors import PolicyDenied, StannaryError
from stannary.server.console.frame import HEADERS, Console, page_of, problem_page
from stannary.server.console.page import Shown
from stannary.server.console.sessions import (
    SESSION,
    TOKEN,
    Sessions,
    cookie_of,
    delete_cookie,
    is_secure,
    local,
    set_cookie,
)  # fmt: skip
from stannary.server.cookies import cookie_name
from stannary.server.problems import Refused, problem_of

__all__ = ["Known", "known_providers", "login_form", "not_too_often", "provider_routes"]

_LASTS = 600  # seconds; as long as the server remembers that a login is under way
_BACK = "/login/provider/back"
_COOKIE = "stannary-login"


class Known(msgspec.Struct, frozen=True):
    """A provider as the login page names it."""

    issuer: str
    name: str


def known_providers(sessions: Sessions | None) -> tuple[Known, ...]:
    """Return the providers by which people log in."""
    issuers = sessions.issuers() if sessions is not None else []
    return tuple(Known(issuer, urlsplit(issuer).netloc) for issuer in issuers)


def login_form(providers: tuple[Known, ...], back: str, problem: str = "", status: int = 200) -> Shown:
    """Return the page by which one logs in."""
    data = {"next": back, "problem": problem, "providers": msgspec.to_builtins(providers)}
    return Shown(template="login.html", title="Log in", data=data, status=status)


def not_too_often(console: Console, request: Request) -> None:
    """Return unless somebody tries to log in too often. Raises Refused."""
    if console.site.logins.take(f"login:{request.client.host if request.client else ''}"):
        raise Refused(429, "Too many requests", "too many logins from here: wait a moment", code="API005")


def provider_routes(console: Console) -> list[BaseRoute]:
    """Return the routes of a login by a provider."""
    return [Route("/login/provider", _begin(console)), Route(_BACK, _back(console))]


def _begin(console: Console) -> Any:  # noqa: ANN401 - Starlette's endpoint
    async def begin(request: Request) -> Response:
        try:
            if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                raise Refused(403, "Not allowed", "the request comes from another site", code="API006")
            not_too_often(console, request)
            browser, back = secrets.token_urlsafe(32), local(request.query_params.get("next", "/models"))
            redirect = f"{request.url.scheme}://{request.url.netloc}{_BACK}"
            issuer = request.query_params.get("issuer", "")
            where = await asyncio.to_thread(_sessions(console).begin_at, issuer, redirect, browser)
        except StannaryError as error:
            return problem_page(problem_of(error, secrets.token_hex(16)))
        response = RedirectResponse(where, 303, HEADERS)
        value = f"{browser}.{base64.urlsafe_b64encode(back.encode()).decode().rstrip('=')}"
        name, secure = _cookie(request)
        # Lax: the provider sends the browser back, and a strict cookie would stay at home.
        response.set_cookie(name, value, max_age=_LASTS, path="/", secure=secure, httponly=True, samesite="lax")
        return response

    return begin


def _back(console: Console) -> Any:  # noqa: ANN401 - Starlette's endpoint
    async def back(request: Request) -> Response:
        name, secure = _cookie(request)
        browser, where = _read(request.cookies.get(name, ""))
        previous = cookie_of(request, SESSION)
        try:
            not_too_often(console, request)
            value = await asyncio.to_thread(_sessions(console).complete_at, dict(request.query_params), browser, previous)
        except PolicyDenied as error:
            providers = await asyncio.to_thread(known_providers, console.sessions)
            response = page_of(login_form(providers, where, error.message, 401))
        except StannaryError as error:
            response = problem_page(problem_of(error, secrets.token_hex(16)))
        else:
            response = page_of(Shown(template="went.html", title="Logged in", data={"next": where}))
            delete_cookie(request, response, TOKEN)
            set_cookie(request, response, SESSION, value)
        response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")
        return response

    return back


def _sessions(console: Console) -> Sessions:
    if console.sessions is None:
        msg = "nobody logs in by a provider here"
        raise PolicyDenied(msg, code="ACC001")
    return console.sessions


def _cookie(request: Request) -> tuple[str, bool]:
    """Return the name of the cookie of a login, and whether it is for TLS alone: then no other host can have planted it."""
    secure = is_secure(request)
    return cookie_name(_COOKIE, secure=secure), secure


def _read(value: str) -> tuple[str, str]:
    """Return the secret of a browser, and where it wanted to go; both empty-handed for a cookie that is none of ours."""
    browser, _, text = value.partition(".")
    try:
        where = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        where = "/models"
    return browser, local(where)
