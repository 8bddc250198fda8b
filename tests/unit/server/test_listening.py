"""Connections on a real socket: who begins a request and does not end it, or asks for something and does not take it."""

import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from stannary.server import listening, witness
from stannary.server.serve import Listener

LARGE = 64 << 20
SHORT = 1.5  # a thread of a busy machine waits for its turn less than that


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(listening, "HEADERS", SHORT)
    monkeypatch.setattr(listening, "STALLED", SHORT)

    async def large(_):
        return StreamingResponse(b"x" * (1 << 16) for _ in range(LARGE >> 16))

    async def small(request):
        async for _ in request.stream():
            pass
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/large", large), Route("/small", small, methods=["GET", "POST"])])
    config = uvicorn.Config(
        app, http=listening.Impatient, port=0, lifespan="off", log_config=None, ws="none", timeout_keep_alive=20
    )
    with running(config) as port:
        yield port


@contextlib.contextmanager
def running(config):
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(60)


@contextlib.contextmanager
def connected(port):
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        made.settimeout(60)
        made.connect(("127.0.0.1", port))
        yield made


def everything(connection):
    """Return how much comes until the end, and whether the server broke it off."""
    total = 0
    try:
        while part := connection.recv(1 << 20):
            total += len(part)
    except ConnectionResetError:
        return total, True
    return total, False


def answered(connection):
    """Return whether an answer `200` with `ok` comes, whole: it may come in parts."""
    found = b""
    while not found.endswith(b"\r\n\r\nok"):
        part = connection.recv(4096)
        if not part:
            return False
        found += part
    return found.startswith(b"HTTP/1.1 200")


def flooded(connection, begun, part, size):
    """Return whether the server hangs up on a request before it has taken so many bytes of it."""
    try:
        connection.sendall(begun)
        for _ in range(size // len(part)):
            connection.sendall(part)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


CHUNKED = b"POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "begun, part",
    [
        (b"GET /", b"a" * 4096), (b"GET /small HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 4096),
        (b"GET /small HTTP/1.1\r\n", b"X: a\r\n" * 512),
        (CHUNKED + b"0\r\n", b"X: a\r\n" * 512), (CHUNKED + b"1;", b"a" * 4096),
    ],
    ids=["address", "header", "headers", "trailers", "extension of a chunk"],
)  # fmt: skip
def test_a_request_with_more_around_its_body_than_anybody_has_to_say_is_hung_up_on(served, monkeypatch, begun, part):
    monkeypatch.setattr(listening, "HEADERS", 60.0)
    with connected(served) as connection:
        assert flooded(connection, begun, part, 32 << 20)


@pytest.mark.parametrize("part", [b"5\r\nhello\r\n" * 512, b"10000\r\n" + b"a" * 0x10000 + b"\r\n"], ids=["small", "large"])
def test_a_body_in_many_chunks_is_no_matter(served, part):
    with connected(served) as connection:
        assert not flooded(connection, CHUNKED, part, 4 << 20)
        connection.sendall(b"0\r\nX: a\r\n\r\n")
        assert answered(connection)


@pytest.mark.parametrize("begun", [b"", b"GET /sm", b"GET /small HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_request_that_is_not_ended_is_hung_up_on(served, begun):
    with connected(served) as connection:
        connection.sendall(begun)
        began = time.monotonic()
        assert everything(connection)[0] == 0
        assert time.monotonic() - began < 18


def test_who_asks_again_and_again_is_answered_and_a_half_request_afterwards_is_not_waited_for(served):
    request = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(served) as connection:
        for _ in range(4):
            connection.sendall(request)
            assert answered(connection)
            time.sleep(SHORT / 2)
        connection.sendall(request[:10])
        began = time.monotonic()
        assert everything(connection)[0] == 0
        assert time.monotonic() - began < 18


def test_an_answer_that_nobody_takes_is_given_up(served):
    with connected(served) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3 * SHORT)
        assert everything(connection)[0] < LARGE


def test_an_answer_that_is_taken_slowly_comes_whole(served):
    with connected(served) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        total = 0
        for _ in range(4):
            time.sleep(SHORT / 4)
            until = total + (1 << 19)
            while total < until:
                total += len(connection.recv(1 << 19))
        rest, broken = everything(connection)
        assert total + rest > LARGE
        assert not broken


def test_a_witness_hangs_up_on_whoever_only_holds_its_connections(monkeypatch):
    """It takes few at once: so many that ask for nothing would keep it from answering for as long as they like."""
    monkeypatch.setattr(listening, "HEADERS", SHORT)

    def asked(port):
        with connected(port) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.makefile("rb").readline().split()[1]

    with running(witness.config_of(None, {}, Listener("127.0.0.1", 0))) as port, contextlib.ExitStack() as held:
        for _ in range(80):
            held.enter_context(connected(port))
        until = time.monotonic() + 60
        while (status := asked(port)) == b"503" and time.monotonic() < until:
            time.sleep(0.1)
        assert status == b"200"
