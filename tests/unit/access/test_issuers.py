"""The keys of identity providers: one that cannot be asked is not asked for every token that somebody shows, and leads nowhere."""

import contextlib
import itertools
import json
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stannary.access.federated import Issuers, check_rule
from stannary.access.model import Federation
from stannary.core.errors import BackendError, PolicyDenied, StannaryError, UsageError
from stannary.crypto import discovery, tls
from stannary.crypto.discovery import discover, discover_keys, send_form
from stannary.testing.identity_provider import IdentityProvider, ProviderKey


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


def test_a_provider_that_does_not_answer_holds_up_nobody_who_shows_tokens_of_another():
    issuers, asked, let_go = Issuers(), threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent, IdentityProvider() as other:

        def hold():
            with silent.accept()[0]:
                asked.set()
                let_go.wait(60)

        def wait():
            with pytest.raises(StannaryError):
                issuers.verify(f"http://127.0.0.1:{silent.getsockname()[1]}", "", lambda keys: keys)

        threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
        for thread in threads:
            thread.start()
        assert asked.wait(60)
        assert issuers.verify(other.url, "", lambda keys: keys)
        assert threads[1].is_alive(), "it waited for the one that does not answer"
        let_go.set()
        for thread in threads:
            thread.join(60)


GITHUB, GITLAB = "https://token.actions.githubusercontent.com", "https://gitlab.com"


def rule_of(issuer, claims):
    return Federation(name="main", issuer=issuer, audience="stannary", claims=claims, account="service:ci")


@pytest.mark.parametrize(
    "issuer, claims",
    [
        (GITHUB, {"repository": "acme/models"}), (GITHUB, {"repository": "acme/*"}), (GITHUB, {"repository_owner": "acme"}),
        (GITHUB, {"repository_id": "4711"}), (GITHUB, {"sub": "repo:acme/**"}), (GITHUB, {"sub": "repository_owner:acme:**"}),
        (GITHUB, {"ref": "**", "sub": "repo:acme/models:ref:refs/heads/main"}),
        (GITLAB, {"project_path": "acme/group/*"}), (GITLAB, {"namespace_path": "acme"}), (GITLAB, {"project_id": "4711"}),
        (GITLAB, {"sub": "project_path:acme/models:**"}),
        (GITLAB, {"ci_config_ref_uri": "gitlab.com/acme/models//.gitlab-ci.yml@*"}),
        ("https://ci.example", {"ref": "refs/heads/main"}),
    ],
)  # fmt: skip
def test_a_rule_that_names_an_owner_is_taken(issuer, claims):
    check_rule(rule_of(issuer, claims))


@pytest.mark.parametrize(
    "issuer, claims",
    [
        (GITHUB, {"sub": "repo:**"}), (GITHUB, {"sub": "repo:*/models:ref:refs/heads/main"}),
        (GITHUB, {"sub": "**:ref:refs/heads/main"}),
        (GITHUB, {"sub": "ref:refs/heads/main"}), (GITHUB, {"repository": "*/models"}), (GITHUB, {"repository": "a*/models"}),
        (GITHUB, {"repository": "**models"}), (GITHUB, {"repository_id": "4*"}), (GITHUB, {"repository_owner": "a*"}),
        (GITHUB, {"job_workflow_ref": "acme/shared/.github/workflows/build.yml@refs/heads/main"}),
        (GITHUB, {"ref": "refs/heads/main", "workflow": "release"}),
        (GITLAB, {"project_path": "a**"}), (GITLAB, {"sub": "project_path:*/models:ref_type:branch:ref:main"}),
        (GITLAB, {"ci_config_ref_uri": "gitlab.com/**"}), (GITLAB, {"ref_protected": "true"}),
    ],
)  # fmt: skip
def test_a_rule_that_the_pipeline_of_any_owner_would_meet_is_refused(issuer, claims):
    with pytest.raises(PolicyDenied, match="whose it has to be"):
        check_rule(rule_of(issuer, claims))


@contextlib.contextmanager
def answering(*parts, endless=False):
    """Return an issuer that sends these parts to whoever asks; the last one without end, for as long as it is taken."""

    def answer(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            for part in itertools.chain(parts[:-1], itertools.repeat(parts[-1]) if endless else parts[-1:]):
                connection.sendall(part)
                time.sleep(0.02)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                answer(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (b"220 mail.example ESMTP\r\n",), (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,),
        (_HEAD + b'{"a":' * 50_000,), (_HEAD + b'"\xff"',),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), (_HEAD, b" "),
    ],
    ids=["no HTTP", "an endless line", "a depth without end", "no UTF-8", "broken chunks", "an answer without end"],
)  # fmt: skip
@pytest.mark.parametrize("ask", [discover, lambda issuer: send_form(f"{issuer}/token", {"code": "x"})], ids=["discover", "send"])
def test_whatever_a_provider_answers_is_an_error_of_the_provider(ask, parts, monkeypatch):
    monkeypatch.setattr(discovery, "_PATIENCE", 0.5)
    with answering(*parts, endless=parts[-1] == b" ") as issuer, pytest.raises(BackendError):
        ask(issuer)


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
