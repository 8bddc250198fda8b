"""Addresses that somebody else names reach nothing but what is public (server-side request forgery)."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stannary.core.errors import BackendError, InputError, StannaryError, UsageError
from stannary.store.sources import resolve
from stannary.store.sources.fetch import Fetcher
from stannary.store.sources.public import Public, check_public, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
        "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "2001:db8::1", "no address",
        "127.1", "2130706433", "0x7f000001", "017700000001",
    ],
)  # fmt: skip
def test_what_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101", "2002:101:101::"])
def test_what_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd", "model.pkl", "./model.pkl", "file:///etc/passwd", "http://example.com/m.pkl", "ftp://example.com/m",
        "mlflow:models/m/1", "registry:m@production", "HTTPS://example.com/m", "https:/example.com", "https:///m", "https://",
        "https://localhost/m", "https://LOCALHOST./m", "https://a.localhost/m", "https://metadata.google.internal/x",
        "https://127.0.0.1/m", "https://127.1/m", "https://2130706433/m", "https://0x7f000001/m", "https://[::1]/m",
        "https://[::ffff:10.0.0.1]/m", "https://169.254.169.254/latest", "https://user:word@example.com/m",
        "https://example.com\\@127.0.0.1/m", "https://example.com:0/m", "https://example.com:x/m", "https://example.com/\n",
        "oci://127.0.0.1:5000/a/b", "oci://localhost/a", "oci://10.0.0.1/a", "s3://a.b.c/k", "s3://Bucket/k", "s3:///k",
        "https://example.com/" + "a" * 3000,
    ],
)  # fmt: skip
def test_addresses_that_are_refused_by_their_text(address):
    with pytest.raises(UsageError):
        check_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "hf://org/model", "hf://org/model@main", "https://example.com/m.pkl#sha256=00", "https://example.com:8443/m",
        "s3://my-bucket/a/b", "oci://ghcr.io/org/model:1", "https://[2606:4700:4700::1111]/m",
    ],
)  # fmt: skip
def test_addresses_that_pass(address):
    check_public(address)


@pytest.fixture
def servers():
    """Two servers: one at an address that is let through, and one at an address that is not."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.server.server_address[0], self.path))
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{inner.server_port}/secret")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    outer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inner = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    for server in (outer, inner):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{outer.server_port}", asked
    for server in (outer, inner):
        server.shutdown()
        server.server_close()


def test_a_redirect_is_looked_at_like_the_first_address(servers, tmp_path):
    base, asked = servers
    fetcher = Fetcher(1 << 20, Public(frozenset({"127.0.0.1"}), plain=True))
    fetcher.download(f"{base}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"hello"
    with pytest.raises(InputError, match=r"127\.0\.0\.2, which is not public"):
        fetcher.download(f"{base}/away", tmp_path / "away")
    assert ("127.0.0.2", "/secret") not in asked
    # The check is what holds it back: without it the redirect is followed.
    Fetcher(1 << 20).download(f"{base}/away", tmp_path / "away")
    assert ("127.0.0.2", "/secret") in asked


def test_a_name_is_connected_to_where_it_was_looked_up(servers, tmp_path):
    base, asked = servers
    port = int(base.rpartition(":")[2])
    with pytest.raises(InputError, match="which is not public"):
        Fetcher(1 << 20, Public(plain=True)).download(f"http://localhost:{port}/file", tmp_path / "file")
    assert asked == []
    made = Public(frozenset({"127.0.0.1", "::1"})).connect(("localhost", port), 5)
    assert made.getpeername()[0] in ("127.0.0.1", "::1")
    made.close()


def test_only_https_and_no_proxy(servers, tmp_path, monkeypatch):
    base, asked = servers
    monkeypatch.setenv("HTTPS_PROXY", base)
    monkeypatch.setenv("HTTP_PROXY", base)
    with pytest.raises(InputError, match="only https"):
        Fetcher(1 << 20, Public()).open(f"{base}/file")
    with pytest.raises((InputError, BackendError)):  # the name is asked for here, not at the proxy
        Fetcher(1 << 20, Public()).open("https://localhost:9/file")
    assert asked == []


@pytest.mark.parametrize("address", ["https://127.0.0.1/m", "/etc/passwd", "mlflow:models/m/1", "https://localhost/m"])
def test_a_source_is_not_asked_for_what_is_not_public(address, tmp_path):
    with pytest.raises(UsageError):
        resolve(address, offline=False, dest=tmp_path, public=Public())


def test_the_endpoint_that_a_server_is_configured_for_is_looked_at_too(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(StannaryError):
            resolve("hf://org/model", offline=False, dest=tmp_path, public=Public())


@pytest.mark.parametrize("public, shown", [
    (Public(frozenset({"127.0.0.1"}), plain=True), False),
    (Public(frozenset({"127.0.0.1"}), plain=True, credentials=True), True),
    (None, True),
])  # fmt: skip
def test_the_credentials_of_the_machine_are_shown_for_others_only_when_that_was_granted(public, shown, tmp_path, monkeypatch):
    heads = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heads.append(str(self.headers))
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", base)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(StannaryError):
        resolve("hf://org/model", offline=False, dest=tmp_path, public=public)
    server.shutdown()
    server.server_close()
    assert heads
    assert all(("hf_secret" in head) is shown for head in heads)


@pytest.mark.parametrize(
    "public, signed", [(Public(plain=True), False), (Public(plain=True, credentials=True), True), (None, True)]
)
def test_a_bucket_is_asked_without_a_signature_unless_that_was_granted(public, signed, tmp_path, monkeypatch):
    heads = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heads.append(str(self.headers))
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(StannaryError):
        resolve("s3://private-bucket/model", offline=False, dest=tmp_path, public=public)
    server.shutdown()
    server.server_close()
    assert heads
    assert all(("AKIDEXAMPLE" in head) is signed for head in heads)


def test_offline_the_cache_of_the_machine_is_not_looked_into_for_others(tmp_path, monkeypatch):
    commit = "a" * 40
    snapshot = tmp_path / "hub" / "models--org--model" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    address = f"hf://org/model@{commit}"
    assert resolve(address, offline=True, dest=tmp_path, public=Public(credentials=True)).path == snapshot
    with pytest.raises(BackendError, match="not in a local cache"):
        resolve(address, offline=True, dest=tmp_path, public=Public())
