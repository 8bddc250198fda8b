"""The keys of identity providers: one that cannot be asked is not asked for every token that somebody shows."""

import socket
import threading

import pytest

from stannary.access.federated import Issuers
from stannary.core.errors import StannaryError


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
