"""The routes of the console: login, static files, pages and their twins."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from stannary.core.errors import PolicyDenied, StannaryError
from stannary.server.console.frame import HEADERS, Console, endpoint_of, form_of, page_of, problem_page, same_origin
from stannary.server.console.provider_login import known_providers, login_form, not_too_often, provider_routes
from stannary.server.console.render import manifest, static
from stannary.server.console.sessions import (
    SESSION,
    TOKEN,
    Sessions,
    cookie_of,
    credentials,
    delete_cookie,
    is_form_token,
    local,
    set_cookie,
)  # fmt: skip
from stannary.server.console.views import PAGES
from stannary.server.problems import Problem, problem_of
from stannary.server.site import Site

__all__ = ["pages"]


def pages(site: Site, sessions: Sessions | None) -> list[BaseRoute]:
    """Return the routes of the console over a site, for `build`."""
    console = Console(site, sessions)
    routes: list[BaseRoute] = [
        Route("/", _home),
        Route("/login", _login_page(console)),
        Route("/login", _login(console), methods=["POST"]),
        *provider_routes(console),
        Route("/logout", _logout(console), methods=["POST"]),
        Route("/static/{name}", _static),
    ]
    register_url_convertor("whole", _Whole())
    for page in PAGES:
        path = page.path.replace(":int}", ":whole}")
        if page.method == "GET":
            routes.append(Route(f"{path}.json", endpoint_of(console, page, twin=True)))
        routes.append(Route(path, endpoint_of(console, page), methods=[page.method]))
    return [*routes, Route("/{rest:path}", _absent)]


class _Whole(Convertor[int]):
    """A number in an address that is one of a version or of an entry: Starlette's own fails on one of thousands of digits."""

    regex = "[0-9]{1,15}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return its text."""
        return str(value)


async def _home(_: Request) -> Response:
    return RedirectResponse("/models", 303, HEADERS)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    row = manifest().get(name)
    if row is None:
        return await _absent(request)
    headers = {"cache-control": "public, max-age=31536000, immutable", "etag": f'"{row["sha256"]}"'}
    return Response(static(name), headers=headers, media_type=row["type"])


async def _absent(_: Request) -> Response:
    text = "there is nothing at this address"
    return problem_page(Problem(type="about:blank", title="Not found", status=404, detail=text, help="the models are at /models"))


def _login_page(console: Console) -> Any:  # noqa: ANN401 - Starlette's endpoint
    async def login_page(request: Request) -> Response:
        return await _form(console, local(request.query_params.get("next", "/models")))

    return login_page


async def _form(console: Console, back: str, problem: str = "", status: int = 200) -> Response:
    providers = await asyncio.to_thread(known_providers, console.sessions)
    return page_of(login_form(providers, back, problem, status))


def _login(console: Console) -> Any:  # noqa: ANN401 - Starlette's endpoint
    async def login(request: Request) -> Response:
        back = "/models"
        try:
            same_origin(request)
            not_too_often(console, request)
            form = await form_of(request)
            back = local(form.get("next", "/models"))
            name, value = await _hashing(console, request, lambda: _begun(console, form, cookie_of(request, SESSION)))
        except PolicyDenied as error:
            return await _form(console, back, error.message, 401)
        except StannaryError as error:
            return problem_page(problem_of(error, secrets.token_hex(16)))
        response = RedirectResponse(back, 303, HEADERS)
        delete_cookie(request, response, SESSION if name == TOKEN else TOKEN)
        set_cookie(request, response, name, value)
        return response

    return login


async def _hashing(console: Console, request: Request, function: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Do what hashes a password, without keeping others waiting. Raises Refused, and what the function raises."""
    return await console.site.hashing.run(request.client.host if request.client else "", function)


def _begun(console: Console, form: dict[str, str], previous: str) -> tuple[str, str]:
    """Return the name and value of the cookie of somebody who logs in. Raises PolicyDenied."""
    token = form.get("token", "").strip()
    if token:
        try:
            console.site.guard.authenticate(f"Bearer {token}", "")
        except PolicyDenied as error:
            msg = "the token does not hold: it is mistyped, over or revoked"
            raise PolicyDenied(msg, code="ACC001") from error
        if previous and console.sessions is not None:
            console.sessions.end(previous)
        return TOKEN, token
    if console.sessions is None:
        msg = "there are no passwords here: log in with a token"
        raise PolicyDenied(msg, code="ACC001")
    return SESSION, console.sessions.begin(form.get("name", ""), form.get("password", ""), previous)


def _logout(console: Console) -> Any:  # noqa: ANN401 - Starlette's endpoint
    async def logout(request: Request) -> Response:
        try:
            same_origin(request)
            form = await form_of(request)
        except StannaryError as error:
            return problem_page(problem_of(error, secrets.token_hex(16)))
        response = RedirectResponse(f"/login?next={quote('/models', safe='')}", 303, HEADERS)
        if is_form_token(form.get("form", ""), credentials(request).secret):
            session = cookie_of(request, SESSION)
            if session and console.sessions is not None:
                await asyncio.to_thread(console.sessions.end, session)
            for known in (SESSION, TOKEN):
                delete_cookie(request, response, known)
        return response

    return logout
