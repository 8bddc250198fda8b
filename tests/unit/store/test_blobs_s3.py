"""Blobs in a bucket whose server fails, stalls, cuts and refuses: a proxy that misbehaves, before moto's server."""

import contextlib
import hashlib
import http.client
import threading
import time
import urllib.request
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Digest
from stannary.registry.names import parse
from stannary.store.blobs.plain import PlainBlobs
from stannary.store.blobs.s3 import S3Objects
from stannary.testing.http_models import QuietServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SMALL = b"tin" * 1000
LARGE = bytes(range(256)) * (10 << 12)  # 10 MiB: parts


def of(content):
    return Digest(hashlib.sha256(content).hexdigest())


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on, except those that `plan` says something else about: (method, what) → how many times."""

    protocol_version = "HTTP/1.1"
    behind = 0
    plan = None
    seen = None
    hold = 2.0
    lock = threading.Lock()

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:  # of two requests at a time each takes its own from the plan
            plan = self.plan
            type(self).seen.append(f"{self.command} {self.path}")
            planned = [what for what in ("500", "stall", "cut", "after", "403") if plan.get((self.command, what), 0) > 0][:1]
            for what in planned:
                plan[self.command, what] -= 1
        if planned:
            getattr(self, f"_{planned[0]}")(body)
        else:
            self.answer(*self.passed_on(body))

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.handle_one
        raise AttributeError(name)

    def passed_on(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=30)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, dict(self.headers))
            got = connection.getresponse()
            return got.status, dict(got.getheaders()), got.read()

    def answer(self, status, headers, content, cut=False):
        self.send_response(status)
        length = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else str(len(content))
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":  # a body here would be read as the start of the next answer
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _500(self, _):
        self.answer(500, {}, b"<Error><Code>InternalError</Code></Error>")

    def _403(self, _):
        self.answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")

    def _stall(self, _):
        time.sleep(self.hold)
        self.close_connection = True

    def _cut(self, body):
        self.answer(*self.passed_on(body), cut=True)

    def _after(self, body):
        """Do what was asked, and say that it failed."""
        self.passed_on(body)
        self._500(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, Proxy.behind = moto.get_host_and_port()
    proxy = QuietServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    request = urllib.request.Request(f"http://127.0.0.1:{Proxy.behind}/faults", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    proxy.server_close()
    moto.stop()


@pytest.fixture
def opened(server, monkeypatch, request):
    """Return what opens the test's part of the bucket, patient with silence: a busy machine is silent for a while too."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    Proxy.plan, Proxy.seen = {}, []
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]

    def made(patience=3.0, silence=30.0):
        times = {"patience": timedelta(seconds=patience), "silence": timedelta(seconds=silence)}
        return PlainBlobs(S3Objects(f"s3://faults/{name}", **times))

    return made


@pytest.fixture
def blobs(opened):
    return opened()


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("what", ["500", "stall"])
def test_a_server_that_fails_a_few_times_is_asked_again(opened, content, what, monkeypatch):
    monkeypatch.setattr(Proxy, "hold", 6.0)
    blobs = opened(patience=30.0, silence=3.0 if what == "stall" else 30.0)
    Proxy.plan = {("HEAD", what): 1, ("PUT", "500"): 2, ("POST", "500"): 1}
    assert blobs.put(of(content), len(content), [content]) is True
    Proxy.plan = {("GET", what): 1, ("HEAD", "500"): 1}
    assert b"".join(blobs.read(of(content))) == content
    assert not any(Proxy.plan.values())


def test_an_answer_that_is_cut_is_asked_for_from_there(blobs):
    blobs.put(of(LARGE), len(LARGE), [LARGE])
    Proxy.plan = {("GET", "cut"): 2}
    assert b"".join(blobs.read(of(LARGE))) == LARGE
    assert not any(Proxy.plan.values())


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_request_that_was_done_and_said_to_have_failed_leaves_the_content(blobs, content):
    Proxy.plan = {("PUT", "after"): 1}
    blobs.put(of(content), len(content), [content])
    assert b"".join(blobs.read(of(content))) == content
    assert not any(Proxy.plan.values())


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_server_that_goes_on_failing_is_said_to(blobs, content):
    Proxy.plan = {("PUT", "500"): 10_000}
    started = time.monotonic()
    with pytest.raises(BackendError, match="cannot be used") as raised:
        blobs.put(of(content), len(content), [content])
    assert raised.value.code == "BLB006"
    assert "s3://faults/" in raised.value.where
    assert 1 < time.monotonic() - started < 40
    Proxy.plan = {}
    assert not blobs.has(of(content))
    assert blobs.put(of(content), len(content), [content]) is True


def test_a_server_that_says_nothing_is_given_up(opened):
    blobs = opened(silence=1.0)
    opened().put(of(SMALL), len(SMALL), [SMALL])
    Proxy.plan = {("HEAD", "stall"): 10_000}
    started = time.monotonic()
    with pytest.raises(BackendError):
        blobs.has(of(SMALL))
    assert time.monotonic() - started < 40


def test_who_is_refused_is_told_so_and_not_asked_again(blobs):
    Proxy.plan = {("PUT", "403"): 10_000}
    with pytest.raises(BackendError, match="refuses") as raised:
        blobs.put(of(SMALL), len(SMALL), [SMALL])
    assert "credentials" in raised.value.help
    assert 10_000 - Proxy.plan["PUT", "403"] == 1


def test_a_bucket_that_is_not_there(server, blobs):
    other = PlainBlobs(S3Objects("s3://nowhere-at-all/x", patience=timedelta(seconds=1)))
    with pytest.raises(BackendError, match="not there"):
        other.put(of(SMALL), len(SMALL), [SMALL])
    with pytest.raises(BackendError):
        list(other.digests())


def test_a_server_that_is_not_there(monkeypatch, blobs):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    other = PlainBlobs(S3Objects("s3://bucket", patience=timedelta(seconds=1)))
    with pytest.raises(BackendError, match="cannot be used"):
        other.has(of(SMALL))


def test_parts_of_an_upload_that_failed_are_taken_away(blobs):
    with pytest.raises(ZeroDivisionError):
        blobs.put(of(LARGE), len(LARGE), (1 // 0 if n else LARGE for n in range(2)))
    assert any(request.startswith("DELETE") and "uploadId" in request for request in Proxy.seen)
    assert not list(blobs.digests())


def test_a_small_content_is_one_conditional_request(blobs):
    blobs.put(of(SMALL), len(SMALL), [SMALL])
    assert [request.partition(" ")[0] for request in Proxy.seen] == ["HEAD", "HEAD", "PUT"]


@pytest.mark.parametrize(
    "address", ["s3:/bucket", "s3://B/x", "s3://bucket/../other", "s3://bucket/a//b", "http://bucket/x", "s3://"]
)
def test_an_address_that_is_none(address):
    with pytest.raises(UsageError) as raised:
        S3Objects(address)
    assert raised.value.code == "BLB007"


def test_a_registry_over_a_server_that_fails_registers_everything_or_nothing(blobs, tmp_path):
    from tests.unit.registry.conftest import Bench

    from stannary.store.blobs.namespaced import SharedBlobs

    bench = Bench(tmp_path)
    registry = bench.open()
    registry.blobs = SharedBlobs(blobs)
    Proxy.plan = {("PUT", "500"): 2, ("HEAD", "500"): 1}
    assert bench.push(b"first").number == 1
    head = registry.chain.ledger.head()
    Proxy.plan = {("PUT", "500"): 10_000}
    with pytest.raises(BackendError):
        bench.push(b"second")
    assert registry.chain.ledger.head() == head
    Proxy.plan = {}
    assert bench.push(b"second").number == 2
    Proxy.plan = {("GET", "500"): 10_000}
    with pytest.raises(BackendError):
        registry.pull(parse("claims"), tmp_path / "out")
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "out").exists()
    Proxy.plan = {("GET", "cut"): 1, ("GET", "500"): 1}
    assert registry.pull(parse("claims"), tmp_path / "out")[0].number == 2
    bench.close()
