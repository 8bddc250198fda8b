"""Around every page: who is there, from where a form comes, what the answer forbids the browser, errors as pages.

1. Credentials: a session's cookie, a token's cookie or a header. Without any that hold: to the login, and back to where one was.
2. What changes something comes from a page of ours (Fetch metadata, or the origin) and brings the token of a form that was made for
   these credentials. Either alone would do; a browser that lacks one still has the other.
3. The view asks the registry with the rights of the principal.
4. Every answer forbids inline script and style, foreign sources and frames.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from stannary.core.errors import PolicyDenied, UsageError
from stannary.registry.names import DEFAULT, Name
from stannary.server.console.page import Go, Page, Shown
from stannary.server.console.render import render
from stannary.server.console.sessions import Credentials, Sessions, credentials, form_token, is_form_token, local
from stannary.server.operations import Call
from stannary.server.problems import MEDIA_TYPE, Problem, Refused, problem_of
from stannary.server.receiving import parts_of
from stannary.server.sight import somewhere
from stannary.server.site import Site

__all__ = ["CSP", "HEADERS", "Console", "endpoint_of", "form_of", "page_of", "problem_page", "same_origin"]

_LOG = logging.getLogger("stannary.console")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Forms send their origin only when a referrer may be sent to the same site.
HEADERS = {"content-security-policy": CSP, "referrer-policy": "same-origin", "cache-control": "no-store"}
_LARGEST = 1 << 20
_FIELDS = 50
_WHOLE = Name(DEFAULT, "*")
_UNAUTHENTICATED = 401
_ODD = 500


class Console(NamedTuple):
    """The site that is shown, and who begins sessions; None: nobody logs in by a password."""

    site: Site
    sessions: Sessions | None


class _Frame(NamedTuple):
    """What stands around the data of a page."""

    who: str
    token: str
    rights: dict[str, bool]  # on everything; `some_…`: in some place
    twin: str
    path: str = ""


def endpoint_of(console: Console, page: Page, *, twin: bool = False) -> Any:  # noqa: ANN401 - Starlette's endpoint
    """Return the endpoint of a page, or of its JSON twin."""
    site = console.site

    async def endpoint(request: Request) -> Response:
        started, identifier = time.perf_counter(), secrets.token_hex(16)
        frame = _Frame("", "", {}, "")
        try:
            shown = credentials(request)
            principal = await _principal(site, shown)
            frame = await asyncio.to_thread(_frame, site, principal, request, shown)
            _within_rate(site, principal.id)
            body = await _changes(request, shown) if page.method == "POST" else None
            call = Call(
                site=site,
                principal=principal,
                registry=site.seen_by(principal),
                path={key: str(value) for key, value in request.path_params.items()},
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=body,
            )
            response = await asyncio.to_thread(_answered, page, call, frame, twin=twin)
        except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - every failure is an answer, and the log has the rest
            response = _failed(request, error, identifier, frame, twin=twin)
        response.headers["x-request-id"] = identifier
        seconds = time.perf_counter() - started
        site.metrics.request(f"page.{page.id}", request.method, response.status_code, seconds)
        row = {"page": page.id, "status": response.status_code, "ms": round(seconds * 1000, 2), "principal": frame.who}
        _LOG.info(json.dumps(row | {"request": identifier}))
        return response

    return endpoint


async def _principal(site: Site, shown: Credentials) -> Any:  # noqa: ANN401 - a Principal
    if not shown.secret:
        raise Refused(_UNAUTHENTICATED, "Not authenticated", "you are not logged in", code="ACC001")
    principal = site.guard.remembered(*shown)
    if principal is not None:
        return principal
    try:
        return await asyncio.to_thread(site.guard.authenticate, *shown)
    except PolicyDenied as error:
        raise Refused(_UNAUTHENTICATED, "Not authenticated", "your session is over", code="ACC001") from error


def _frame(site: Site, principal: Any, request: Request, shown: Credentials) -> _Frame:  # noqa: ANN401 - a Principal
    registry = site.seen_by(principal)
    rights = {action: registry.may(action, _WHOLE) for action in ("audit", "administer", "read")}
    rights |= {f"some_{action}": somewhere(registry, action) for action in ("approve", "jobs", "read")}
    query = f"?{request.url.query}" if request.url.query else ""
    return _Frame(principal.id, form_token(shown.secret), rights, f"{quote(request.url.path)}.json{query}", request.url.path)


def _within_rate(site: Site, caller: str) -> None:
    if site.limit.take(caller):
        raise Refused(429, "Too many requests", f"more than {site.limit.rate:g} requests a second", code="API005")


async def _changes(request: Request, shown: Credentials) -> dict[str, str]:
    same_origin(request)
    form = await form_of(request)
    if not is_form_token(form.pop("form", ""), shown.secret):
        raise Refused(
            403, "Not allowed", "the form was not made for this session: go back, reload and send it again", code="API006"
        )
    return form


def same_origin(request: Request) -> None:
    """Return when a request comes from a page of ours. Raises Refused."""
    fetched, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetched is not None:
        ours = fetched == "same-origin"
    else:
        ours = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if not ours:
        raise Refused(403, "Not allowed", "the request comes from another site", code="API006")


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises Refused, UsageError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(415, "Not a form", "the content is to be application/x-www-form-urlencoded", code="API007")
    sent = b"".join([part async for part in parts_of(request, _LARGEST)])
    try:
        return dict(parse_qsl(sent.decode(), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError as error:
        msg = "is no form that can be read"
        raise UsageError(msg, where="body", code="API001") from error


def _answered(page: Page, call: Call, frame: _Frame, *, twin: bool) -> Response:
    found = page.run(call)
    if isinstance(found, Go):
        return RedirectResponse(local(found.where), 303, HEADERS)
    if twin:
        return Response(msgspec.json.encode(found.data), found.status, HEADERS, "application/json")
    return page_of(found, frame)


def page_of(found: Shown, frame: Any = None) -> Response:  # noqa: ANN401 - what stands around it, if anybody is there
    """Return the answer with a page."""
    data = msgspec.to_builtins(found.data, str_keys=True)
    text = render(found.template, data=data, title=found.title, frame=frame or _Frame("", "", {}, ""))
    return HTMLResponse(text, found.status, HEADERS)


def _failed(request: Request, error: BaseException, identifier: str, frame: _Frame, *, twin: bool) -> Response:
    problem = problem_of(error, identifier)
    if problem.status >= _ODD:
        _LOG.error("request %s", identifier, exc_info=error)
    if twin:
        return Response(msgspec.json.encode(problem), problem.status, HEADERS, MEDIA_TYPE)
    if problem.status == _UNAUTHENTICATED:
        query = f"?{request.url.query}" if request.url.query else ""
        back = request.url.path + query if request.method == "GET" else "/models"
        return RedirectResponse(f"/login?next={quote(back, safe='')}", 303, HEADERS)
    return problem_page(problem, frame)


def problem_page(problem: Problem, frame: Any = None) -> Response:  # noqa: ANN401 - what stands around it, if anybody is there
    """Return the page of what went wrong."""
    found = Shown(template="problem.html", title=problem.title, data=problem, status=problem.status)
    return page_of(msgspec.structs.replace(found, data=_whole(problem)), frame)


def _whole(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in problem.__struct_fields__}
