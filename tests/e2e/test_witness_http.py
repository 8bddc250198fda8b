"""Witnesses over HTTP as real processes: a quorum of them, every refusal of C2SP tlog-witness, and liars on both sides."""

import base64
import contextlib
import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.cli.ledger import open_ledger
from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.crypto import keys
from stannary.crypto.note import COSIGNATURE, Note, VerifierKey, cosign, cosigned_at, parse_note, sign_note, signature_lines
from stannary.evidence.ledger import Ledger, entry
from stannary.evidence.ledger.witness import Quorum, Request, request_for
from stannary.evidence.ledger.witness_http import LARGEST_REQUEST, ask
from stannary.evidence.rotate import rotate
from stannary.evidence.workspace import Workspace

COMMAND = [sys.executable, "-c", "import sys; from stannary.cli.main import run; sys.exit(run())", "ledger"]
WAIT = 120


def stannary(*arguments, cwd):
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def append(ledger, count):
    ledger.append([entry("evidence", {"n": n}, time=datetime.now(UTC)) for n in range(count)])


class Serving:
    """`stannary ledger witness serve` in a workspace."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.log = folder / "server.log"
        self.options = options
        self.start()

    def start(self):
        options = self.options
        with self.log.open("w") as log:
            command = [*COMMAND, "witness", "serve", "--port", "0", *map(str, options)]
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + WAIT
        while not (found := re.search(r"running on https?://127\.0\.0\.1:(\d+)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = VerifierKey.parse(stannary("witness", "key", cwd=self.folder).stdout)

    def post(self, body, path="/add-checkpoint", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        with contextlib.closing(connection):
            connection.request(method, path, str(body).encode() if not isinstance(body, bytes) else body)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers["content-type"]

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(WAIT)


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    made = Workspace.create(tmp_path / "log", passphrase=None, origin="example.com/log")
    with open_ledger(made, write=True) as ledger:
        append(ledger, 5)
        yield ledger


@pytest.fixture
def witnesses(tmp_path, log):
    """Three of them."""
    found = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        Workspace.create(tmp_path / name, passphrase=None, origin=f"example.com/{name}")
        found.append(Serving(tmp_path / name, "--log", log.key))
    yield found
    for item in found:
        if item.process.poll() is None:
            item.stop(signal.SIGKILL)


@pytest.fixture
def witness(tmp_path, log):
    (tmp_path / "w").mkdir()
    Workspace.create(tmp_path / "w", passphrase=None, origin="example.com/w")
    found = Serving(tmp_path / "w", "--log", log.key)
    yield found
    if found.process.poll() is None:
        found.stop(signal.SIGKILL)


def test_a_quorum_of_witnesses_signs_and_is_asked_for(tmp_path, log, witnesses):
    """The commands of the how-to, with one of the three witnesses down."""
    cwd = tmp_path / "log"
    (cwd / "witnesses.txt").write_text("".join(f"{item.key}\n" for item in witnesses))
    urls = [item.url for item in witnesses]
    named = ("--witness", "witnesses.txt")
    first = stannary("witness", "ask", *urls, *named, cwd=cwd)
    assert (first.returncode, len(first.stdout.splitlines())) == (0, 3), first.stderr
    assert stannary("verify", *named, cwd=cwd).returncode == 0
    append(log, 300)
    witnesses[1].stop()
    second = stannary("witness", "ask", *urls, *named, "--quorum", "2", cwd=cwd)
    assert (second.returncode, len(second.stdout.splitlines())) == (0, 2), second.stderr
    assert "LED029" in second.stderr
    assert stannary("witness", "ask", *urls, *named, cwd=cwd).returncode == 1
    verified = stannary("verify", *named, "--quorum", "2", "--format", "json", cwd=cwd)
    assert (verified.returncode, json.loads(verified.stdout)["size"]) == (0, 305)
    assert "LED014" in stannary("verify", *named, "--quorum", "3", cwd=cwd).stderr
    assert stannary("prove", "7", "--size", "305", "-o", "p", "--record", "r", cwd=cwd).returncode == 0
    offline = ("verify", "--proof", "p", "--record", "r", "--log", log.key, *named)
    assert stannary(*offline, "--quorum", "2", cwd=cwd).returncode == 0
    assert "LED014" in stannary(*offline, cwd=cwd).stderr
    assert stannary("witness", "ask", *urls, *named, "--offline", cwd=cwd).returncode == 2


def test_every_refusal_has_its_status(log, witness):
    other = keys.generate("ed25519")
    request = request_for(log)
    status, body, kind = witness.post(request)
    (line,) = signature_lines(body)
    assert (status, kind, line.name) == (200, "text/plain; charset=utf-8", "example.com/w")
    assert witness.key.name in cosigned_at(Note(parse_note(request.checkpoint).text, (line,)), [witness.key])
    append(log, 4)
    good = request_for(log, 5)
    note = parse_note(good.checkpoint)

    def signed(text, key=other):
        return str(sign_note(text, "example.com/log", key))

    flipped = bytes([good.proof[0][0] ^ 1]) + good.proof[0][1:]
    for sent, wanted in (
        ("", 400), ("old", 400), ("old 5\n", 400), (b"\xff\xfe", 400), (f"old 05\n\n{good.checkpoint}", 400),
        (f"old -1\n\n{good.checkpoint}", 400),
        (f"old 10\n\n{good.checkpoint}", 400), ("old 5\n" + "A" * 43 + "=\n" * 99 + f"\n{good.checkpoint}", 400),
        (f"old 5\n\n{note.text}\n", 400),
        (str(good).replace("example.com/log\n", "example.com/other\n"), 404),
        (Request(5, good.proof, signed(note.text)), 403), (str(good).replace("\n9\n", "\n8\n"), 403),
        (request_for(log), 409), (Request(4, (), good.checkpoint), 409), (request, 409),
        (Request(5, (), good.checkpoint), 422), (Request(5, (flipped, *good.proof[1:]), good.checkpoint), 422),
        (Request(5, (*good.proof, good.proof[0]), good.checkpoint), 422),
        (b"x" * (LARGEST_REQUEST + 1), 413),
    ):  # fmt: skip
        status, body, kind = witness.post(sent)
        assert status == wanted, (str(sent)[:80], status, body)
        assert (body, kind) == ("5\n", "text/x.tlog.size") if status == 409 else kind.startswith("text/plain"), body
    assert witness.post(good)[0] == 200
    assert witness.post(request_for(log, 9))[0] == 200, "the same head again is signed again"
    assert (witness.post("", "/healthz", "GET")[0], witness.post("", "/", "GET")[0], witness.post("", method="GET")[0]) == (
        200,
        404,
        405,
    )


def test_a_fork_finds_no_witness(tmp_path, log, witness):
    ask(witness.url, log, [witness.key])
    signer = Workspace.find(str(tmp_path / "log")).log_signer
    with Ledger.open(tmp_path / "fork.db", signer, origin="example.com/log", verifier=signer.public) as fork:
        for count, kind, code in ((2, IntegrityError, "LED003"), (3, BackendError, "LED029"), (4, BackendError, "LED029")):
            append(fork, count)
            with pytest.raises(kind) as refused:
                ask(witness.url, fork, [witness.key])
            assert (refused.value.code, bool(refused.value.help)) == (code, True)
        assert "(422)" in str(refused.value)
    assert ask(witness.url, log, [witness.key], 5).head.size == 5


def test_two_histories_are_never_both_signed(tmp_path, log, witness):
    """Many at once, on two branches: whatever is answered, the signed heads are one history."""
    ask(witness.url, log, [witness.key])
    signer = Workspace.find(str(tmp_path / "log")).log_signer
    log.export_tiles(tmp_path / "tiles")
    with Ledger.open(tmp_path / "fork.db", signer, origin="example.com/log", verifier=signer.public) as fork:
        fork.follow(tmp_path / "tiles")
        append(log, 7)
        append(fork, 9)
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: witness.post(request_for((log, fork)[n % 2], 5)), range(32)))
        signed = {n % 2 for n, answer in enumerate(answers) if answer[0] == 200}
        assert (len(signed), {answer[0] for answer in answers}) == (1, {200, 409})


def test_what_was_signed_is_remembered_over_a_kill(tmp_path, log, witness):
    ask(witness.url, log, [witness.key])

    def post(server, request):
        with contextlib.suppress(OSError, http.client.HTTPException):
            server.post(request)

    for _ in range(3):
        append(log, 3)
        with ThreadPoolExecutor(1) as beside:
            beside.submit(post, witness, request_for(log, log.head().size - 3))
            witness.stop(signal.SIGKILL)
        witness.start()
        assert ask(witness.url, log, [witness.key]).head == log.head()
    witness.stop()
    assert stannary("audit", cwd=tmp_path / "w").returncode == 0


def test_a_log_that_was_handed_over_is_cosigned_by_who_was_told(tmp_path, log, witness):
    ask(witness.url, log, [witness.key])
    place = Workspace.find(str(tmp_path / "log"))
    found = rotate(place)
    assert stannary("keys", "--format", "json", "-o", tmp_path / "keys.json", cwd=tmp_path / "log").returncode == 0
    with Workspace.find(str(tmp_path / "log")).ledger(write=True) as ledger:
        append(ledger, 2)
        with pytest.raises(BackendError, match=r"\(403\)"):
            ask(witness.url, ledger, [witness.key], 5)
        witness.stop()
        witness.options += ("--keys", tmp_path / "keys.json")
        witness.start()
        note = ask(witness.url, ledger, [witness.key]).note
        assert Quorum((witness.key,), 1).require(note, found, datetime.now(UTC)).size == 8


def test_a_log_in_postgresql_is_cosigned(tmp_path, log, postgres, witness):
    signer = Workspace.find(str(tmp_path / "log")).log_signer
    with Ledger.open(postgres, signer, origin="example.com/log", verifier=signer.public, head=tmp_path / "head") as ledger:
        append(ledger, 700)
        found = ask(witness.url, ledger, [witness.key])
        ledger.add_cosignature(found.note, found.by)
        append(ledger, 3)
        assert ask(witness.url, ledger, [witness.key], 700).head.size == 703
        assert Quorum((witness.key,), 1).require(ledger.cosigned(), ledger.key, datetime.now(UTC)).size == 700


def test_an_address_that_is_none_is_refused(log):
    for url in ("http://example.com", "ftp://127.0.0.1", "https://", "http://[", "https://x/?a=b", "file:///etc/passwd"):
        with pytest.raises(UsageError) as refused:
            ask(url, log, [])
        assert refused.value.code == "LED029"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with pytest.raises(BackendError) as gone:
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", log, [])
        assert gone.value.code == "LED029"


@contextlib.contextmanager
def lying(answer):
    """A witness that answers whatever it likes: (status, content type, body) for each request."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, content = answer(body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 302:
                self.send_header("Location", content)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_witness_that_lies_is_not_believed(log, witness):
    other = keys.generate("ed25519")
    mine = VerifierKey.of("example.com/w", other.public, COSIGNATURE)

    def own(body, text=None):
        note = parse_note(Request.parse(body.decode()).checkpoint)
        return str(cosign(Note(text or note.text, note.signatures), "example.com/w", other, 1_700_000_000))

    other_text = f"example.com/log\n6\n{base64.b64encode(bytes(32)).decode()}\n"
    plain, size = "text/plain", "text/x.tlog.size"
    for answer, wanted, code in (
        (lambda body: (200, plain, own(body)), witness.key, "LED014"),
        (lambda body: (200, plain, own(body, other_text)), mine, "LED004"),
        (lambda _: (200, plain, "nothing\n"), mine, "LED005"),
        (lambda _: (200, plain, ""), mine, "LED005"),
        (lambda _: (200, plain, "x" * (1 << 20)), mine, "LED029"),
        (lambda _: (409, size, "6\n"), mine, "LED003"),
        (lambda _: (409, size, "9" * 4000 + "\n"), mine, "LED029"),
        (lambda _: (409, size, "-1\n"), mine, "LED029"),
        (lambda _: (409, plain, "3\n"), mine, "LED029"),
        (lambda body: (409, size, "3\n" if body.startswith(b"old 2\n") else "2\n"), mine, "LED029"),
        (lambda _: (302, plain, "http://127.0.0.1:1/"), mine, "LED029"),
        (lambda _: (500, plain, "\x1b[31mred"), mine, "LED029"),
    ):
        with lying(answer) as url, pytest.raises((IntegrityError, BackendError)) as refused:
            ask(url, log, [wanted])
        assert refused.value.code == code, str(refused.value)
        assert "\x1b" not in str(refused.value) or code == "LED029"
    with lying(lambda body: (200, plain, own(body))) as url:
        assert ask(url, log, [mine, witness.key]).by == (mine,)


def test_serving_asks_for_a_log_and_its_right_keys(tmp_path, log):
    cwd = tmp_path / "log"
    assert stannary("witness", "serve", "--port", "0", cwd=cwd).returncode == 2
    twice = VerifierKey.of("example.com/log", keys.generate("ed25519").public)
    assert "two keys" in stannary("witness", "serve", "--port", "0", "--log", log.key, "--log", twice, cwd=cwd).stderr
    (cwd / "keys.json").write_text('{"schema": "stannary.ledger-keys/1", "handovers": []}')
    assert stannary("witness", "serve", "--port", "0", "--log", log.key, "--keys", "keys.json", cwd=cwd).returncode == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "SRV001" in stannary("witness", "serve", "--port", port, "--log", log.key, cwd=cwd).stderr
    assert Path(cwd / "keys.json").exists()
