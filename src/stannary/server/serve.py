"""Run the application: uvicorn, TLS where a certificate is given, an end that waits for what is under way.

In one process, or in several that `prefork.py` starts. What they share is in `sharing.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from stannary.access.access import Access
from stannary.access.idempotency import Idempotency
from stannary.core.errors import UsageError
from stannary.registry.registry import Registry
from stannary.report.escape import visible
from stannary.server.accepting import Accepting
from stannary.server.app import build
from stannary.server.console.routes import pages
from stannary.server.console.sessions import AccessSessions
from stannary.server.guard_access import AccessGuard
from stannary.server.listening import Impatient
from stannary.server.prefork import Seat, Supervisor, listen
from stannary.server.sharing import Alone, Board, Shares
from stannary.server.site import Site
from stannary.server.warming import warming
from stannary.server.workers import JobWorker
from stannary.server.workers import workers as beside

__all__ = ["Listener", "Opened", "Running", "open_site", "prepare_logging", "serve", "tls_of"]

# Opens the workspace in a process that answers, with what it shares with others.
Opened = Callable[[Shares], AbstractContextManager[Site]]


class Listener(NamedTuple):
    """Where to listen, and how.

    `clients` is the CA whose certificates callers have to have (mutual TLS); `proxy` the addresses whose word for who calls,
    and for whether that was over TLS, is taken.
    """

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    clients: str = ""
    proxy: str = ""


class Running(NamedTuple):
    """How to run.

    `workers` is how many processes answer, `job_workers` how many do background jobs, `workspace` where those are; `grace` the
    seconds that what is under way has at the end, `scrape` who reads `/metrics` (`scraping.py`). `announce` is called with the
    address once connections are taken.
    """

    workspace: Path
    workers: int = 1
    job_workers: int = 0
    grace: int = 20
    log_json: bool = True
    scrape: str = "local"
    announce: Callable[[str], None] | None = None


def open_site(registry: Registry, access: Access, shares: Shares, *, version: str, rate: float = 200.0) -> Site:
    """Return the site of a workspace, into which its accounts are let. Raises UsageError when there is none."""
    if access.is_empty():
        msg = "there is no account yet, so nobody could be let in"
        raise UsageError(msg, code="SRV004", help="stannary access user add NAME && stannary access grant NAME admin")
    site = Site(registry, AccessGuard(access), version=version, rate=(rate, int(2 * rate)), shares=shares)
    site.access = access
    site.replies = Idempotency(access.database, access.clock)
    return site


def serve(opened: Opened, listener: Listener, running: Running) -> int:
    """Answer until SIGTERM or SIGINT; then take nothing new, and end what is under way in time. Returns the exit code.

    With several workers it returns once in this process, and once in each of them when it ends.
    Raises UsageError for an address that cannot be listened on without TLS, and for certificates that cannot be read.
    """
    _refuse_open_plain(listener)
    tls = tls_of(listener)
    prepare_logging(as_json=running.log_json)
    if running.workers == 1:
        with opened(Alone()) as site, beside(running.workspace, running.job_workers, running.grace):
            server = _Announced(_config(site, listener, running, tls), site, running)
            with warming(site.registry):
                server.run()
        if not server.started:
            msg = f"cannot listen on {listener.host}:{listener.port}"
            raise UsageError(msg, code="SRV001", help="is something else there? --port 0 takes any")
        return 0
    board = Board(running.workers)
    sockets = listen(listener.host, listener.port)
    jobs = JobWorker(running.workspace, running.job_workers)
    where = _address(sockets[0], secure=bool(tls))
    if running.announce:
        running.announce(where)
    seat = Supervisor(board, sockets, jobs, running.grace).run(where)
    if isinstance(seat, int):
        return seat
    prepare_logging(as_json=running.log_json, process=seat.number)
    with opened(board.part(seat.number)) as site, warming(site.registry):
        _Seated(_config(site, listener, running, tls), site, seat, board).run()
    return 0


def _config(site: Site, listener: Listener, running: Running, tls: dict[str, Any]) -> uvicorn.Config:
    site.scrape = running.scrape
    site.here = not listener.certificate and not listener.proxy
    sessions = AccessSessions(site.access) if site.access is not None else None
    # Whoever is not a proxy that was named says for himself who he is: a new address for each wrong password, for instance.
    tls = tls | {"proxy_headers": bool(listener.proxy), "forwarded_allow_ips": listener.proxy}
    # There are no WebSockets here, and their library takes its share of the start.
    return uvicorn.Config(
        build(site, pages(site, sessions)), host=listener.host, port=listener.port,
        log_config=None, access_log=False, server_header=False,
        http=Impatient, date_header=True, timeout_graceful_shutdown=running.grace, lifespan="off", ws="none", **tls,
    )  # fmt: skip


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ANN401 - uvicorn's
        """Say at once that no more requests should be sent here, and end when those that are under way have.

        Not as uvicorn does, which raises the signal again at the end: the process would die of it before it has closed
        what is open, and to whoever runs it a graceful end would look like a failure.
        """
        del frame
        self._site.stopping.set()
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


class _Announced(_Server):
    """The only one: it says by which address it takes connections, once it does."""

    def __init__(self, config: uvicorn.Config, site: Site, running: Running) -> None:
        super().__init__(config, site)
        self._announce = running.announce

    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's
        """Take connections, and say so."""
        await super().startup(sockets=sockets)
        if self.started and self._announce and self.servers:
            self._announce(_address(self.servers[0].sockets[0], secure=self.config.is_ssl))


def _address(listening: Any, *, secure: bool) -> str:  # noqa: ANN401 - a socket, or asyncio's of one
    host, port = listening.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


class _Seated(_Server):
    """One of several: it accepts from sockets that others accept from as well, and ends with the process that forked it."""

    def __init__(self, config: uvicorn.Config, site: Site, seat: Seat, board: Board) -> None:
        super().__init__(config, site)
        self._seat, self._board = seat, board

    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's
        """Take connections, and say so."""
        del sockets
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = Impatient(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
            return made

        accepting: Any = [Accepting(loop, made, protocol, self.config.ssl) for made in self._seat.sockets]
        self.servers = accepting
        loop.add_reader(self._seat.alive, self._orphaned)
        os.write(self._seat.ready, b"r")
        os.close(self._seat.ready)

    async def on_tick(self, counter: int) -> bool:
        """Say each second that it goes on."""
        if counter % 10 == 0:
            self._board.cells[self._seat.number].add("beat", 1.0)
        return await super().on_tick(counter)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._seat.alive)
        self.handle_exit(signal.SIGTERM, None)


def _refuse_open_plain(listener: Listener) -> None:
    """Tokens are not sent in the clear over a network."""
    local = listener.host in ("127.0.0.1", "::1", "localhost")
    if not local and not listener.certificate:
        msg = f"listening on {listener.host} without TLS would send tokens in the clear"
        raise UsageError(
            msg,
            where="--host",
            code="SRV002",
            help="--tls-certificate and --tls-key, or --host 127.0.0.1 behind a proxy that has TLS",
        )


def tls_of(listener: Listener) -> dict[str, Any]:
    """Return what uvicorn is told of the certificates. Raises UsageError for one that is not there."""
    if not listener.certificate:
        return {}
    for path in filter(None, (listener.certificate, listener.key, listener.clients)):
        if not Path(path).is_file():
            msg = "is not there"
            raise UsageError(msg, where=path, code="SRV003", help="PEM files: the certificate with its chain, and its key")
    found: dict[str, Any] = {
        "ssl_certfile": listener.certificate,
        "ssl_keyfile": listener.key or None,
        "ssl_version": ssl.PROTOCOL_TLS_SERVER,
    }
    if listener.clients:
        found |= {"ssl_ca_certs": listener.clients, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return found


class _Json(logging.Formatter):
    """One line of JSON for each record; of a request, what it was (`row`), and by which process of several."""

    converter = staticmethod(time.gmtime)

    def __init__(self, process: int | None) -> None:
        super().__init__()
        self._process = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"), "level": record.levelname.lower()}
        row |= self._process
        row |= getattr(record, "row", None) or {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row)


class _Text(logging.Formatter):
    """A line for people to read, with whatever was asked for made visible: an address may hold a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text, row = super().format(record), getattr(record, "row", None)
        return f"{text} {' '.join(f'{name}={visible(str(value))}' for name, value in row.items())}" if row else text


def prepare_logging(*, as_json: bool, process: int | None = None) -> None:
    """Log on stderr, a line of JSON or of text each; `process` is which one of several this is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if as_json else _Text("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
