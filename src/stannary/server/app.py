"""The ASGI application: operations under `/api/v1`, MLflow's under `/api/2.0`, health, metrics; what every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from stannary.server.api import OPERATIONS
from stannary.server.dispatch import endpoint_of
from stannary.server.hosts import is_here
from stannary.server.mlflow import routes_of
from stannary.server.problems import MEDIA_TYPE, Problem
from stannary.server.scraping import metrics_of
from stannary.server.site import Site

__all__ = ["build"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_ONCE = (b"host", b"authorization", b"content-length", b"content-type", b"idempotency-key", b"origin", b"sec-fetch-site")
_ELSEWHERE = (
    "the header host names another machine than this one, and without TLS only this one is answered for: "
    "ask 127.0.0.1 or localhost, or start the server with TLS, or with --proxy for a proxy that has it"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


def build(site: Site, pages: list[BaseRoute] | None = None) -> Any:  # noqa: ANN401 - an ASGI application
    """Return the application of a site; `pages` are those of the console."""
    # Routes are tried in their order: what is quick is asked most, and comes first.
    ordered = sorted(OPERATIONS, key=lambda row: not row.quick)
    operations = [Route(row.path, endpoint_of(site, row), methods=[row.method], name=row.id) for row in ordered]

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    def ready(_: Request) -> Response:
        found = site.ready()
        return JSONResponse(found, 200 if set(found.values()) == {"ok"} else 503)

    routes: list[BaseRoute] = [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/metrics", metrics_of(site)),
        Mount("/api/v1", routes=operations, name="api"),
        Mount("/api/2.0", routes=routes_of(site), name="mlflow"),
        *(pages or []),
    ]
    handlers: Any = {404: _absent, 405: _method}
    return _Headers(Starlette(routes=routes, exception_handlers=handlers), here=site.here)


class _Headers:
    """Puts the headers of security on every answer, unless the answer has its own; refuses what is not asked of us."""

    def __init__(self, app: Any, *, here: bool) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app
        self._here = here

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = [name for name, _ in scope["headers"]]
        doubled = next((name for name in _ONCE if names.count(name) > 1), None)
        if doubled is not None:
            # A proxy in front may have gone by the other one.
            refused = _problem(400, "Bad request", f"the header {doubled.decode()} stands there more than once")
            await refused(scope, receive, send)
            return
        if self._here and not is_here(next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")):
            await _problem(421, "Misdirected request", _ELSEWHERE)(scope, receive, send)
            return
        secure = [(b"strict-transport-security", b"max-age=31536000")] if scope.get("scheme") == "https" else []

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((k, v) for k, v in (*_HEADERS, *secure) if k not in have)]
            await send(message)

        await self._app(scope, receive, sent)


async def _absent(_: Request, __: Exception) -> Response:
    return _problem(404, "Not found", "there is nothing at this address")


async def _method(_: Request, error: Any) -> Response:  # noqa: ANN401 - Starlette's signature
    return _problem(405, "Method not allowed", "the address does not take this method", dict(error.headers or {}))


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    found = Problem(type="about:blank", title=title, status=status, detail=detail, help="GET /api/v1/openapi.json")
    return Response(msgspec.json.encode(found), status, headers, MEDIA_TYPE)
