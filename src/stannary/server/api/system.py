"""The API itself: its description, who is asking."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from stannary.server.openapi import describe
from stannary.server.operations import Call, Operation, Reply

__all__ = ["OPERATIONS"]


class Whoami(msgspec.Struct, frozen=True, kw_only=True):
    """Who the server takes the caller for."""

    principal: str


@lru_cache(maxsize=1)
def _document(version: str) -> bytes:
    from stannary.server.api import OPERATIONS as EVERYTHING

    found: dict[str, Any] = describe(EVERYTHING, version)
    return msgspec.json.encode(found)


def _openapi(call: Call) -> Reply:
    return Reply(body=_document(call.place.version))


def _whoami(call: Call) -> Whoami:
    return Whoami(principal=call.principal.id)


OPERATIONS = (
    Operation(
        id="openapi",
        method="GET",
        path="/openapi.json",
        run=_openapi,
        tag="server",
        reply=dict,
        quick=True,
        open=True,
        summary="This description.",
    ),
    Operation(
        id="whoami",
        method="GET",
        path="/whoami",
        run=_whoami,
        tag="server",
        reply=Whoami,
        quick=True,
        summary="Who the server takes you for.",
    ),
)
