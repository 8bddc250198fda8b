"""A model behind a real HTTP server on loopback, that answers rightly, or misbehaves as it is told: for tests of HTTP targets."""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["HttpModel", "QuietServer", "Reply", "serve_model"]


class Reply:
    """What goes back: a status, content, headers; `drop` closes the connection without a word, `hold` waits first (seconds)."""

    def __init__(
        self,
        content: object = None,
        status: int = 200,
        *,
        headers: dict[str, str] | None = None,
        drop: bool = False,
        hold: float = 0,
    ) -> None:
        self.content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.status, self.headers, self.drop, self.hold = status, headers or {}, drop, hold


class HttpModel:
    """What the server knows: every request that came (time, path, headers, body), and what answers it."""

    def __init__(self, answer: Callable[[Any], Reply]) -> None:
        self.answer = answer  # from the parsed body
        self.seen: list[tuple[float, str, dict[str, str], Any]] = []
        self.url = ""
        self.ahead: list[Reply | None] = []  # answers that come first, in this order; None: the right one
        self.lock = threading.Lock()
        self.open = self.most_open = 0

    def next(self, path: str, headers: dict[str, str], body: object) -> Reply:
        """Note a request and return its answer."""
        with self.lock:
            self.seen.append((time.monotonic(), path, headers, body))
            first = self.ahead.pop(0) if self.ahead else None
        return first if first is not None else self.answer(body)


class QuietServer(ThreadingHTTPServer):
    """Threads that end with the process, room for many callers, and not a word about those who go away."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the class's signature
        """Say nothing of a client that went away; anything else is a fault of the test and is to be seen."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(model: HttpModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with model.lock:
                model.open += 1
                model.most_open = max(model.most_open, model.open)
            try:
                reply = model.next(self.path, dict(self.headers.items()), json.loads(body))
                time.sleep(reply.hold)
            finally:
                with model.lock:
                    model.open -= 1
            if reply.drop:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.close()
                return
            with suppress(OSError):
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the class's signature
            """Say nothing."""

    return Handler


@contextmanager
def serve_model(answer: Callable[[Any], Reply], *, context: ssl.SSLContext | None = None) -> Iterator[HttpModel]:
    """Serve on a free port of loopback until the block ends; with `context`, over TLS."""
    model = HttpModel(answer)
    server = QuietServer(("127.0.0.1", 0), _handler(model))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    model.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
