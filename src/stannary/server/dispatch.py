"""From HTTP to an operation and back: who calls, what they sent, what is answered, what is logged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from stannary.access.idempotency import Kept
from stannary.core.errors import InputError, PolicyDenied, UsageError
from stannary.server.cookies import cookie_name
from stannary.server.operations import Call, Operation, Parameter, Reply
from stannary.server.problems import MEDIA_TYPE, Refused, problem_of
from stannary.server.receiving import parts_of
from stannary.server.site import Replies, Site

__all__ = ["authenticated", "endpoint_of", "failed"]

_LOG = logging.getLogger("stannary.server")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_OK = 200
_DOCUMENT = 1 << 16  # from here on an answer is not compared by its ETag


def endpoint_of(site: Site, operation: Operation) -> Any:  # noqa: ANN401 - Starlette's endpoint
    """Return the endpoint of an operation."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        identifier = _identifier(request)
        site.metrics.in_flight += 1
        who = "-"
        try:
            principal = None
            if operation.open:
                _within_rate(site, f"open:{request.client.host if request.client else ''}")
            else:
                principal = await authenticated(site, request)
                who = principal.id
                _within_rate(site, who)
            response = await _answered(site, operation, request, principal)
        except ClientDisconnect:
            response = Response(status_code=499)
        except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - every failure is an answer, and the log has the rest
            response = failed(error, identifier)
        finally:
            site.metrics.in_flight -= 1
        response.headers["x-request-id"] = identifier
        seconds = time.perf_counter() - started
        site.metrics.request(operation.id, request.method, response.status_code, seconds)
        _log(operation, request, response.status_code, seconds, who, identifier)
        return response

    return endpoint


async def authenticated(site: Site, request: Request) -> Any:  # noqa: ANN401 - a Principal
    """Return who sends a request. Raises Refused (401, or 403 for a change that another site asks for)."""
    authorization = request.headers.get("authorization", "")
    cookie = request.cookies.get(cookie_name("stannary", secure=request.url.scheme == "https"), "")
    try:
        # Who was here a moment ago needs no table, and so no thread: most requests are theirs.
        principal = site.guard.remembered(authorization, cookie)
        if principal is None:
            principal = await asyncio.to_thread(site.guard.authenticate, authorization, cookie)
    except PolicyDenied as error:
        # The same answer for a token that is wrong, expired or revoked: which, is in the ledger.
        raise Refused(
            401, "Not authenticated", "there are no credentials, or none that hold", code="ACC001",
            headers={"www-authenticate": 'Bearer realm="stannary"'},
        ) from error  # fmt: skip
    # A cookie comes along from anywhere: what changes something has to come from a page of ours.
    changes = not authorization and request.method not in ("GET", "HEAD")
    if changes and request.headers.get("sec-fetch-site") not in ("same-origin", "none"):
        raise Refused(403, "Not allowed", "the request comes from another site", code="API006")
    return principal


def _within_rate(site: Site, caller: str) -> None:
    wait = site.limit.take(caller)
    if wait:
        text = f"more than {site.limit.rate:g} requests a second"
        raise Refused(429, "Too many requests", text, code="API005", headers={"retry-after": str(max(1, round(wait)))})


async def _answered(site: Site, operation: Operation, request: Request, principal: Any) -> Response:  # noqa: ANN401 - a Principal
    registry = site.registry if principal is None else site.seen_by(principal)
    call = Call(
        site=site,
        principal=principal,
        registry=registry,
        path=dict(request.path_params),
        query={item.name: _parameter(item, request) for item in operation.query},
        headers=dict(request.headers),
        body=await _body(site, operation, request),
        range=_range(request),
    )
    key = request.headers.get("idempotency-key")
    if key is not None and operation.kept and request.method == "POST" and principal is not None and site.replies is not None:
        return await _once(site.replies, operation, request, call, key)
    return await _done(operation, request, call)


async def _done(operation: Operation, request: Request, call: Call) -> Response:
    if operation.body is bytes:  # it takes as long as whoever sends it likes
        found = await call.place.slow.run(call.principal.id, lambda: operation.run(call))
    else:
        quick = operation.quick and call.place.at_hand
        found = operation.run(call) if quick else await asyncio.to_thread(operation.run, call)
    reply = found if isinstance(found, Reply) else Reply(body=found, status=operation.status, media_type=operation.media_type)
    return _response(reply, request)


async def _once(replies: Replies, operation: Operation, request: Request, call: Call, key: str) -> Response:
    """Do what was asked for, unless that was done already: then answer as then."""
    who = call.principal.id
    # A token that is good for less is not answered what another one of the same account was.
    scope = getattr(call.principal, "scope", None)
    asked = hashlib.sha256(msgspec.json.encode([call.path, call.query, call.body, scope])).hexdigest()
    kept = await asyncio.to_thread(replies.begin, who, key, operation.id, asked)
    if kept is not None:
        return Response(kept.body, kept.status, {**kept.headers, "idempotency-replayed": "true"})
    try:
        response = await _done(operation, request, call)
    except Exception:
        await asyncio.to_thread(replies.finish, who, key, None)
        raise
    whole = not isinstance(response, StreamingResponse)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    await asyncio.to_thread(replies.finish, who, key, Kept(response.status_code, headers, bytes(response.body)) if whole else None)
    return response


async def _body(site: Site, operation: Operation, request: Request) -> Any:  # noqa: ANN401 - a struct, or a reader
    if operation.body is None:
        return None
    length = request.headers.get("content-length", "")
    most = site.largest_content if operation.body is bytes else site.largest
    if length and (not length.isdigit() or int(length) > most):
        raise Refused(413, "Too large", f"at most {most:,} bytes are taken here", code="API003")
    if operation.body is bytes:
        return _Upload(request, asyncio.get_running_loop(), most, int(length) if length else None)
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise Refused(415, "Not JSON", "the content is to be application/json", code="API007")
    sent = b"".join([part async for part in parts_of(request, most)])
    try:
        return msgspec.json.decode(sent, type=operation.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"is not what is asked for: {error}"
        raise InputError(msg, where="body", code="API001", help="GET /api/v1/openapi.json describes it") from error


class _Upload:
    """The bytes of a request, for a thread to read as they come: at most one chunk waits."""

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop, most: int, length: int | None) -> None:
        self._parts: AsyncIterator[bytes] = parts_of(request, most)
        self._loop = loop
        self.length = length

    def __iter__(self) -> Iterator[bytes]:
        while (part := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()) is not None:
            yield part

    async def _next(self) -> bytes | None:
        return await anext(self._parts, None)


def _parameter(item: Parameter, request: Request) -> Any:  # noqa: ANN401 - of the parameter's type
    if item.type is list:
        return request.query_params.getlist(item.name)
    text = request.query_params.get(item.name)
    if text is None:
        return item.default
    if item.type is str:
        return text
    if item.type is bool:
        value: Any = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    else:
        value = int(text) if _WHOLE.fullmatch(text) else None
    too_small = value is not None and item.minimum is not None and value < item.minimum
    too_large = value is not None and item.maximum is not None and value > item.maximum
    if value is None or too_small or too_large:
        msg = f"is not {'true or false' if item.type is bool else f'a number from {item.minimum} to {item.maximum}'}: {text[:40]!r}"
        raise UsageError(msg, where=item.name, code="API002", help="GET /api/v1/openapi.json describes it")
    return value


def _range(request: Request) -> tuple[int, int | None] | None:
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None:
        return None
    start, end = int(match[1]), int(match[2]) if match[2] else None
    return (start, None if end is None else end - start + 1) if end is None or end >= start else None


def _response(reply: Reply, request: Request) -> Response:
    headers = {"cache-control": "no-store", **reply.headers}
    body = reply.body
    if body is None:
        return Response(status_code=reply.status if reply.status != _OK else 204, headers=headers)
    if isinstance(body, Iterator):
        return StreamingResponse(body, reply.status, headers, reply.media_type)
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    if reply.status == _OK and request.method in ("GET", "HEAD") and len(content) <= _DOCUMENT:
        tag = headers.setdefault("etag", f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        headers["cache-control"] = "private, no-cache"
        if tag in [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
    return Response(content, reply.status, headers, reply.media_type)


def failed(error: BaseException, identifier: str) -> Response:
    """Return the answer for an error, which the log has as well when it is ours."""
    problem = problem_of(error, identifier)
    if problem.status >= 500:  # noqa: PLR2004 - ours
        _LOG.error("request %s failed", identifier, exc_info=error)
    headers = error.headers if isinstance(error, Refused) else {}
    return Response(msgspec.json.encode(problem), problem.status, {"cache-control": "no-store", **headers}, MEDIA_TYPE)


def _identifier(request: Request) -> str:
    sent = request.headers.get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)


def _log(operation: Operation, request: Request, status: int, seconds: float, who: str, identifier: str) -> None:
    if _LOG.isEnabledFor(logging.INFO):
        client = request.client.host if request.client else ""
        row = {
            "request": identifier, "operation": operation.id, "method": request.method, "path": request.scope["path"],
            "status": status,
            "seconds": round(seconds, 6), "principal": who, "client": client,
        }  # fmt: skip
        _LOG.info("request", extra={"row": row})
