"""A network of its own, in which names lead first to a public address and then to this machine: run by `test_attacks_rebinding.py`.

Real sockets and the C library's own resolver: a name server on port 53, which `/etc/resolv.conf` of this mount namespace names, an
attacker's server at a public address, and a server on the loopback that nobody outside may reach. Prints what each job became and
what the inner server was asked for.
"""

import contextlib
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.attacking import asked, prepared
from tests.e2e.test_serve import STANNARY, Served

from stannary.crypto import tls

OUTSIDE, INSIDE = "93.184.216.34", "127.0.0.1"
SECRET = b'{"secret": "what only this machine sees"}'
# name → the addresses of each answer in turn; the last one goes on.
NAMES = {
    "turns.example": [[OUTSIDE], [INSIDE]],
    "again.example": [[OUTSIDE], [INSIDE]],
    "cut.example": [[OUTSIDE], [INSIDE]],
    "both.example": [[OUTSIDE, INSIDE]],
    "inside.example": [[INSIDE]],
    "cloud.example": [["169.254.169.254"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "six.example": [["::1"]],
    "plain.example": [[OUTSIDE]],
    "unguarded.example": [[OUTSIDE], [INSIDE]],
}


def addresses():
    """Give the loopback a public address: it stands for the attacker's machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for name, address in ((b"lo", INSIDE), (b"lo:1", OUTSIDE)):
            place = struct.pack("16sH2s4s8x", name, socket.AF_INET, b"", socket.inet_aton(address))
            fcntl.ioctl(any_socket, 0x8916, place)  # SIOCSIFADDR
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", name, 0x41))  # SIOCSIFFLAGS: up, running


class Names(threading.Thread):
    """A name server that answers each question about a name as `NAMES` says, and keeps what it answered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((INSIDE, 53))
        self.answered = []
        self.turns = dict.fromkeys(NAMES, 0)

    def run(self):
        while True:
            question, whence = self.socket.recvfrom(512)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
                at += 1 + question[at]
            name, (kind,) = ".".join(labels), struct.unpack("!H", question[at + 1 : at + 3])
            known = NAMES.get(name, [[]])
            # A and AAAA are asked for together: one turn.
            turn = known[min(self.turns.get(name, 0), len(known) - 1)]
            if kind == 1 and name in self.turns:
                self.turns[name] += 1
                self.answered.append((name, turn))
            family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
            found = [item for item in turn if family and (":" in item) == (family == socket.AF_INET6)]
            head = question[:2] + struct.pack("!HHHHH", 0x8180 if name in NAMES else 0x8183, 1, len(found), 0, 0)
            rows = b"".join(
                b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(packed)) + packed
                for packed in (socket.inet_pton(family, item) for item in found)
            )
            self.socket.sendto(head + question[12 : at + 5] + rows, whence)


class Outside(BaseHTTPRequestHandler):
    """The attacker's server."""

    def do_GET(self):
        away = {
            "/again/m.json": "https://again.example/secret.json",
            "/plain/m.json": "http://127.0.0.1/secret.json",
            "/literal/m.json": "https://127.0.0.1/secret.json",
            "/file/m.json": "file:///etc/passwd",
            "/unguarded/m.json": "https://unguarded.example/secret.json",
        }.get(self.path)
        self.send_response(302 if away else 200)
        content = b"" if away else b'{"public": true}'
        if away:
            self.send_header("Location", away)
        self.send_header("Content-Length", str(len(content) + (100 if self.path == "/cut/m.json" else 0)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""


def inside(kept):
    class Inside(BaseHTTPRequestHandler):
        def do_GET(self):
            kept.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(SECRET)))
            self.end_headers()
            self.wfile.write(SECRET)

        def log_message(self, *_):
            """Say nothing."""

    return Inside


def listen(folder, kept):
    """Start the servers; return nothing: they end with the process."""
    now = datetime.now(UTC)
    authority = tls.authority("rebound", now)
    made = tls.listener(authority, [*NAMES, INSIDE], now)
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(made.pem + made.key.pem(None))
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    inner = inside(kept)
    for address, port, handler in (
        (OUTSIDE, 443, Outside),
        (OUTSIDE, 80, Outside),
        (INSIDE, 443, inner),
        (INSIDE, 80, inner),
        ("::1", 443, inner),
    ):
        kind = type("Server", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6 if ":" in address else socket.AF_INET})
        with contextlib.suppress(OSError):  # a machine without IPv6
            server = kind((address, port), handler)
            if port == 443:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()


def done(server, token, target):
    """Have a job done, and return its state, and its error."""
    headers = {"Authorization": f"Bearer {token}"}
    body = json.dumps({"kind": "scan", "target": target})
    answer = asked(server, "POST", "/api/v1/jobs", body, **headers, **{"Content-Type": "application/json"})
    assert answer.status == 202, answer.body
    key = json.loads(answer.body)["job"]["key"]
    end = time.monotonic() + 90
    while time.monotonic() < end:
        job = json.loads(asked(server, "GET", f"/api/v1/jobs/{key}", **headers).body)["job"]
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def main(folder):
    """Run the attacks, and print what came of them."""
    addresses()
    kept = []
    names = Names()
    names.start()
    listen(folder, kept)
    # The machinery works: a name is resolved in turn, and each address answers.
    found = [socket.getaddrinfo("turns.example", 443, type=socket.SOCK_STREAM)[0][4][0] for _ in range(2)]
    names.turns["turns.example"] = 0
    for address in (f"http://{OUTSIDE}/", f"http://{INSIDE}/"):
        urllib.request.urlopen(address, timeout=10).close()
    kept.clear()
    (folder / "place").mkdir()
    tokens = prepared(folder / "place", ("contributor",))
    server = Served(folder / "place", "--rate", "0", "--job-workers", "1")
    jobs = {}
    for name in NAMES:
        if name != "unguarded.example":
            short = name.partition(".")[0]
            jobs[short] = done(server, tokens["contributor"], f"https://{name}/{short}/m.json")
    for path in ("literal", "file"):
        jobs[path] = done(server, tokens["contributor"], f"https://plain.example/{path}/m.json")
    jobs["turned"] = done(server, tokens["contributor"], "https://turns.example/other/m.json")
    code = server.end()
    guarded = list(kept)
    # Whoever fetches for themselves is not held back: that is the attack, and here it reaches the inner server.
    command = [STANNARY, "scan", "https://unguarded.example/unguarded/m.json", "--format", "json"]
    own = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=90)
    said = {
        "resolved": found, "jobs": jobs, "inside": guarded, "unguarded": kept[len(guarded) :], "own": own.returncode, "code": code,
        "answered": names.answered, "log": server.log.read_text(),
    }  # fmt: skip
    print(json.dumps(said))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
