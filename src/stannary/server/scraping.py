"""`/metrics`: to whom it is told what the server counts.

By default to this machine without an account, and to anybody else with one that has the action `metrics`. A request that came
through a proxy is not of this machine, wherever the proxy is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stannary.core.errors import StannaryError
from stannary.registry.names import DEFAULT, Name
from stannary.server.dispatch import authenticated, failed
from stannary.server.site import Site

__all__ = ["metrics_of"]

_WHOLE = Name(DEFAULT, "*")
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def metrics_of(site: Site) -> Any:  # noqa: ANN401 - Starlette's endpoint
    """Return the endpoint that tells what a site counts."""

    async def metrics(request: Request) -> Response:
        try:
            if site.scrape == "account" or (site.scrape == "local" and not _is_local(request)):
                principal = await authenticated(site, request)
                await asyncio.to_thread(site.seen_by(principal).allowed, "metrics", _WHOLE)
            text = await asyncio.to_thread(_text, site)
        except StannaryError as error:
            return failed(error, secrets.token_hex(8))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return metrics


def _text(site: Site) -> str:
    return site.metrics.text({"stannary_ledger_entries": float(site.chain.ledger.head().size)})


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _OF_PROXIES):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
