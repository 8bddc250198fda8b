"""The client of a server that sends what it likes, on a disk that is full."""

import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stannary.core.errors import IntegrityError
from stannary.core.model import File
from stannary.registry.client import Client

CONTENT = b"w" * 100_000
FILE = File(path="model.bin", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
MORE = 64 << 20


@pytest.fixture
def server():
    """Return a server of files: `content` of a length that it does not say, and `sent`, how much of it was taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for at in range(0, len(made.content), 1 << 16):
                try:
                    self.wfile.write(made.content[at : at + (1 << 16)])
                except OSError:
                    return
                made.sent += 1 << 16

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.content, made.sent = CONTENT, 0
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(30)


def client_of(server):
    return Client(f"http://127.0.0.1:{server.server_port}")


def test_a_file_is_taken(server, tmp_path):
    client_of(server)._download("/file", FILE, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == CONTENT


def test_of_a_file_that_does_not_end_no_more_is_taken_than_it_has(server, tmp_path):
    server.content += bytes(MORE)
    with pytest.raises(IntegrityError, match="not the file"):
        client_of(server)._download("/file", FILE, tmp_path / "model.bin")
    assert not (tmp_path / "model.bin").exists()
    assert server.sent < MORE, "all of it was taken"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_no_fault_of_the_server(server, tmp_path):
    (tmp_path / "model.bin").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as failed:
        client_of(server)._download("/file", FILE, tmp_path / "model.bin")
    assert failed.value.errno == errno.ENOSPC
    assert server.sent <= 2 * len(CONTENT), "it was asked for again"
