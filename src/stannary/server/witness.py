"""A witness as a server: one path, `add-checkpoint`, and `healthz` (https://c2sp.org/tlog-witness).

It needs no account: whatever is cosigned is signed by a log that is known here and proven, and what is answered is signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stannary.core.errors import StannaryError, UsageError
from stannary.evidence.ledger.witness_http import LARGEST_REQUEST, Answer, add_checkpoint
from stannary.server.listening import Impatient
from stannary.server.serve import Listener, prepare_logging, tls_of

if TYPE_CHECKING:
    from stannary.evidence.ledger.log_keys import LogKeys
    from stannary.evidence.ledger.witness import Witness

__all__ = ["Listener", "build", "config_of", "serve"]

_SECONDS = 10  # for a body to arrive
_AT_ONCE = 64
_log = logging.getLogger("stannary.witness")


def build(witness: Witness, logs: Mapping[str, LogKeys]) -> Starlette:
    """Return the application of a witness; `logs` are those that it cosigns, by name."""

    async def add(request: Request) -> Response:
        try:
            content = await asyncio.wait_for(_body(request), _SECONDS)
        except TimeoutError:
            return PlainTextResponse("the body did not arrive\n", 408)
        if content is None:
            return PlainTextResponse(f"the body has more than {LARGEST_REQUEST} bytes\n", 413)
        try:
            answer = await run_in_threadpool(add_checkpoint, witness, logs, content)
        except StannaryError as error:  # its own ledger cannot be read or written: nothing was signed
            _log.exception("nothing was signed")
            answer = Answer(503, f"the witness cannot sign now ({error.code})\n")
        _log.info("add-checkpoint", extra={"row": {"event": "add-checkpoint", "status": answer.status}})
        return Response(answer.body, answer.status, {"Content-Type": answer.type})  # as it is: Starlette adds a charset to text

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/add-checkpoint", add, methods=["POST"]), Route("/healthz", healthz, methods=["GET"])])


async def _body(request: Request) -> bytes | None:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_REQUEST:
            return None
    return bytes(content)


def serve(witness: Witness, logs: Mapping[str, LogKeys], listener: Listener, *, log_json: bool = True) -> None:
    """Answer until SIGTERM or SIGINT. Raises UsageError for an address that cannot be listened on."""
    prepare_logging(as_json=log_json)
    server = _Server(config_of(witness, logs, listener))
    with contextlib.suppress(SystemExit):  # what uvicorn raises when it cannot listen
        server.run()
    if not server.started:
        msg = f"cannot listen on {listener.host}:{listener.port}"
        raise UsageError(msg, code="SRV001", help="is something else there? --port 0 takes any")


def config_of(witness: Witness, logs: Mapping[str, LogKeys], listener: Listener) -> uvicorn.Config:
    """Return how it is run. Whoever only holds connections is hung up on: there are few of them at once."""
    return uvicorn.Config(
        build(witness, logs), host=listener.host, port=listener.port, log_config=None, access_log=False, server_header=False,
        http=Impatient, limit_concurrency=_AT_ONCE, timeout_keep_alive=5, timeout_graceful_shutdown=10, lifespan="off", ws="none",
        **tls_of(listener),
    )  # fmt: skip


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ANN401 - uvicorn's
        """End when what is under way has. Not as uvicorn does, which raises the signal again, before the ledger is closed."""
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
