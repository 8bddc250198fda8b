"""The keys of identity providers: one that cannot be asked is not asked for every token that somebody shows, and leads nowhere."""

import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stannary.access.federated import Issuers
from stannary.core.errors import StannaryError, UsageError
from stannary.crypto import tls
from stannary.crypto.discovery import discover, discover_keys
from stannary.testing.identity_provider import ProviderKey


@pytest.fixture
def dead():
    """Return an issuer that hangs up on everybody, and how often it was called."""
    calls = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            calls.append(1)
            connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def test_a_provider_that_cannot_be_asked_is_left_alone_for_a_while(dead):
    issuer, calls = dead
    now = [100.0]
    issuers = Issuers(clock=lambda: now[0])

    def verify(keys):
        raise AssertionError(keys)

    threads = []

    def attempt():
        with pytest.raises(StannaryError):
            issuers.verify(issuer, "", verify)

    attempt()
    once = len(calls)
    assert once
    for _ in range(8):
        threads.append(threading.Thread(target=attempt))
        threads[-1].start()
    for thread in threads:
        thread.join(20)
    attempt()
    assert len(calls) == once
    now[0] += 11.0
    attempt()
    assert len(calls) == 2 * once


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """Return a provider over TLS whose `answers` a test chooses, and a listener without TLS that keeps who called."""
    now = datetime.now(UTC)
    issuer = tls.authority("test", now)
    made = tls.listener(issuer, ["127.0.0.1"], now)
    (tmp_path / "ca.pem").write_bytes(issuer.pem)
    (tmp_path / "server.pem").write_bytes(made.pem + made.key.pem(None))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    answers, called = {}, []

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self):
            status, content = answers[self.path]
            self.send_response(status)
            self.send_header(*(("Location", content) if status == 302 else ("Content-Type", "application/json")))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_):
            pass

    class Inner(Provider):
        def do_GET(self):
            called.append(self.path)
            self.send_error(404)

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (Provider, Inner)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    servers[0].socket = context.wrap_socket(servers[0].socket, server_side=True)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    for thread in threads:
        thread.start()
    yield f"https://127.0.0.1:{servers[0].server_port}", answers, f"http://127.0.0.1:{servers[1].server_port}", called
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_provider_with_tls_leads_to_nothing_that_listens_on_this_machine_without(secure):
    """Plain http is for a provider on this machine: one from elsewhere would have us ask for what only this machine sees."""
    issuer, answers, inner, called = secure
    key = ProviderKey()
    keys = json.dumps({"keys": [key.jwk]})
    known = "/.well-known/openid-configuration"
    described = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "token_endpoint": f"{issuer}/token"}
    answers |= {known: (200, json.dumps(described)), "/jwks": (200, keys), "/here": (302, f"{issuer}/jwks")}
    assert discover_keys(issuer).decode() == keys
    answers[known] = (200, json.dumps(described | {"jwks_uri": f"{issuer}/here"}))
    assert discover_keys(issuer).decode() == keys
    for wrong in (
        {"jwks_uri": f"{inner}/jwks"}, {"token_endpoint": f"{inner}/token"}, {"device_authorization_endpoint": f"HTTP{inner[4:]}/x"}
    ):  # fmt: skip
        answers[known] = (200, json.dumps(described | wrong))
        with pytest.raises(UsageError, match="leads from https to"):
            discover(issuer)
    answers[known] = (200, json.dumps(described | {"jwks_uri": f"{issuer}/away"}))
    for where in (f"{inner}/secret", "file:///etc/passwd", "ftp://127.0.0.1/x"):
        answers["/away"] = (302, where)
        with pytest.raises(StannaryError):
            discover_keys(issuer)
    answers[known] = (302, f"{inner}/secret")
    with pytest.raises(StannaryError):
        discover_keys(issuer)
    assert called == []
