"""How many reads of an alias a server answers by the clock and by the processor, in one process and in several; how fast it starts.

The client is one process that does next to nothing for a request: it knows from the first answer how long each is, and counts
bytes. What others do on the machine changes requests a second, and hardly what one costs: processor seconds of all processes of
the server. The servers are asked in turn, round by round, and medians are told; `processor` says how much of one the client took.

    ./dev bench server reads [--requests 10000] [--connections 16] [--workers 1,2] [--rounds 3]
"""

import argparse
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STANNARY = str(Path(sys.executable).with_name("stannary"))


def run(folder, *line):
    return subprocess.run([STANNARY, *line], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def prepared(folder):
    """Return the token of a viewer of a workspace in which `claims@production` is."""
    (folder / "model").mkdir()
    (folder / "model" / "weights.bin").write_bytes(b"weights")
    (folder / "policy.yaml").write_text("name: any\nrequire:\n  - {kind: statement, check: approval, approvals: 1}\n")
    run(folder, "init", "--no-passphrase")
    run(folder, "attest", "model", "--topic", "approval", "--decision", "approve", "--statement", "read")
    run(folder, "registry", "push", "model", "claims")
    run(folder, "registry", "protect", "claims@production", "--policy", "policy.yaml")
    run(folder, "registry", "promote", "claims:1", "production")
    run(folder, "access", "user", "add", "ann")
    run(folder, "access", "grant", "ann", "viewer")
    return run(folder, "access", "token", "issue", "ann")


def started(folder, workers=1):
    """Start a server; return it, its port, and the seconds until it answered: on the clock, and of the processor."""
    log = folder / f"server-{workers}.log"
    begun = time.perf_counter()
    command = [STANNARY, "serve", "--port", "0", "--rate", "0", "--workers", str(workers)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=folder, stderr=stream)
    while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.002)
    while log.read_text().count("Started server process") < workers:
        time.sleep(0.01)
    return process, int(found[1]), time.perf_counter() - begun, processor(process.pid)


def processor(pid):
    """Return the processor seconds of a process and of those that it started."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK") + sum(processor(int(child)) for child in below)


def first_answer(port, request):
    """Return how many bytes an answer has."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        return head.index(b"\r\n\r\n") + 4 + length


def load(port, request, requests, connections):
    """Return requests a second, and the client's processor seconds for each second."""
    size = first_answer(port, request)
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    poll = select.epoll()
    by = {}
    for made in sockets:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(made, select.EPOLLIN)
        by[made.fileno()] = [made.recv_into, made.send, 0]
    buffer, left, to_send = bytearray(1 << 16), requests, requests - connections
    begun, cpu = time.perf_counter(), time.process_time()
    for made in sockets:
        made.send(request)
    while left > 0:
        for descriptor, _ in poll.poll():
            row = by[descriptor]
            got = row[0](buffer)
            assert got, "the server closed a connection"
            if not row[2]:
                assert buffer.startswith(b"HTTP/1.1 200"), bytes(buffer[:200])
            row[2] += got
            if row[2] >= size:
                assert row[2] == size, "an answer has another length than the first"
                row[2] = 0
                left -= 1
                if to_send > 0:
                    to_send -= 1
                    row[1](request)
    seconds = time.perf_counter() - begun
    spent = time.process_time() - cpu
    for made in sockets:
        made.close()
    return requests / seconds, spent / seconds


def measured(process, port, request, options):
    """Return what one round came to."""
    before = processor(process.pid)
    rate, client = load(port, request, options.requests, options.connections)
    spent = processor(process.pid) - before
    return {
        "a_second": rate,
        "a_processor_second": options.requests / spent,
        "processors": rate * spent / options.requests,
        "client": client,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    counts = [int(count) for count in options.workers.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = prepared(folder)
        starts = []
        for _ in range(5):
            process, _, wall, cpu = started(folder)
            starts.append((wall, cpu))
            process.send_signal(signal.SIGTERM)
            process.wait()
        rows = {"start": {"seconds": round(min(s[0] for s in starts), 2), "processor": round(min(s[1] for s in starts), 2)}}
        servers = {count: started(folder, count)[:2] for count in counts}
        for what, path in {"health": "/healthz", "alias": "/api/v1/models/default/claims/aliases/production",
                           "list": "/api/v1/models"}.items():  # fmt: skip
            identified = "X-Request-Id: benchmark" if what != "health" else "X-Nothing: benchmark"
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{identified}\r\n\r\n".encode()
            found = {count: [] for count in counts}
            for _, port in servers.values():
                load(port, request, 500, options.connections)
            for _ in range(options.rounds):
                for count, (process, port) in servers.items():
                    found[count].append(measured(process, port, request, options))
            for count, rounds in found.items():
                row = {key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]}
                rows[f"{what}, {count}"] = row
                print(f"{what}, {count} process{'es' if count > 1 else ''}:", row, flush=True)
        for process, _ in servers.values():
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
        print(json.dumps(rows | {"load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
