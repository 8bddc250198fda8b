"""How many reads of an alias a server answers, and what one costs; how fast the server starts.

The server is one process, as `stannary serve` starts it; the client, another one, sends requests over a few connections that stay
open. What others do on the machine changes requests a second, and hardly what one costs: processor seconds of the server.

    ./dev bench server reads [--requests 20000] [--connections 16]
"""

import argparse
import asyncio
import json
import os
import re
import signal
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


def started(folder):
    """Start a server; return it, its port, and the seconds until it answered: on the clock, and of the processor."""
    log = folder / "server.log"
    begun = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen([STANNARY, "serve", "--port", "0", "--rate", "0"], cwd=folder, stderr=stream)
    while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.002)
    return process, int(found[1]), time.perf_counter() - begun, processor(process.pid)


def processor(pid):
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def connection(port, request, count):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")), head
        length = re.search(rb"content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
    writer.close()


async def load(port, request, requests, connections):
    begun = time.perf_counter()
    await asyncio.gather(*(connection(port, request, requests // connections) for _ in range(connections)))
    return requests / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = prepared(folder)
        starts = []
        for _ in range(5):
            process, port, wall, cpu = started(folder)
            starts.append((wall, cpu))
            process.send_signal(signal.SIGTERM)
            process.wait()
        process, port, *_ = started(folder)
        rows = {"start": {"seconds": round(min(s[0] for s in starts), 2), "processor": round(min(s[1] for s in starts), 2)}}
        for what, path in {"health": "/healthz", "alias": "/api/v1/models/default/claims/aliases/production",
                           "list": "/api/v1/models"}.items():  # fmt: skip
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            asyncio.run(load(port, request, 500, options.connections))
            before = processor(process.pid)
            rate = asyncio.run(load(port, request, options.requests, options.connections))
            spent = processor(process.pid) - before
            rows[what] = {"a_second": round(rate), "a_processor_second": round(options.requests / spent)}
            print(what, rows[what], flush=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
