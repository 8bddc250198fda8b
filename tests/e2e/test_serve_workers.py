"""A server of several processes: one that is killed takes nothing along, and what is limited is limited once."""

import collections
import concurrent.futures
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.e2e.test_serve import STANNARY, Served, clean, run

from stannary.core.errors import BackendError
from stannary.registry.client import Client
from stannary.registry.names import parse_model

WORKERS = ("--workers", "2")


def children(process):
    """Return the processes that answer, by number."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if (line := command_of(pid)) and b"jobs" not in line]


def command_of(pid):
    """Return the command line of a process, empty of one that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def metric(server, name):
    status, text = server.ask("GET", "/metrics")
    assert status == 200
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text.decode(), re.MULTILINE))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    run(folder, "init", "--no-passphrase")
    tokens = {}
    for role in ("viewer", "contributor", "admin"):
        run(folder, "access", "user", "add", role)
        run(folder, "access", "grant", role, role)
        tokens[role] = run(folder, "access", "token", "issue", role).stdout.strip()
    return folder, tokens


@pytest.fixture
def served(place):
    server = Served(place[0], "--rate", "0", *WORKERS)
    until(lambda: len(children(server.process)) == 2 and metric(server, "stannary_workers") == 2)
    yield server
    server.end(signal.SIGKILL)


def answered_by(served):
    """Return how many requests each process has answered, as its log says."""
    log = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    return collections.Counter(row["process"] for row in log if row.get("operation"))


def test_both_answer_and_are_counted_together(place, served):
    token, before = place[1]["viewer"], 0
    for _ in range(60):
        assert served.ask("GET", "/api/v1/models", token)[0] == 200
        now = metric(served, "stannary_http_requests_total")  # answered by either: it never goes back
        assert now > before
        before = now
    assert before == 60
    assert answered_by(served).total() == 60
    # One after the other, all of them may have found the same one awake.
    ends = time.monotonic() + 60
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        while set(answered_by(served)) != {0, 1}:
            assert time.monotonic() < ends
            list(pool.map(lambda _: served.ask("GET", "/api/v1/models", token), range(64)))


def test_a_push_of_many_files_over_many_connections_is_taken_in_by_both(place, served, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for number in range(24):
        (model / f"{number}.bin").write_bytes(os.urandom(2000))
    there = clean() | {"STANNARY_TOKEN": place[1]["contributor"]}
    command = [STANNARY, "registry", "push", str(model), "many", "--server", f"http://127.0.0.1:{served.port}"]
    subprocess.run(command, env=there, check=True, capture_output=True, timeout=120)
    status, content = served.ask("GET", "/api/v1/models/default/many/versions/1?files=true", place[1]["viewer"])
    assert (status, len(json.loads(content)["files"])) == (200, 24)


def test_what_one_process_revokes_holds_nowhere_at_once(place, served):
    admin = place[1]["admin"]
    for _ in range(5):
        made = served.ask("POST", "/api/v1/access/tokens", admin, json.dumps({"hours": 1}), **{"Content-Type": "application/json"})
        assert made[0] == 201, made
        issued = json.loads(made[1])
        for _ in range(8):  # both remember it now
            assert served.ask("GET", "/api/v1/whoami", issued["secret"])[0] == 200
        assert served.ask("DELETE", f"/api/v1/access/tokens/{issued['token']['id']}", admin)[0] == 200
        assert {served.ask("GET", "/api/v1/whoami", issued["secret"])[0] for _ in range(8)} == {401}


def test_a_request_that_is_sent_again_to_any_of_them_is_done_once(place, served):
    keyed = {"Content-Type": "application/json", "Idempotency-Key": "same"}
    body = json.dumps({"kind": "scan", "target": "https://models.example/weights.bin", "again": True})
    token = place[1]["contributor"]
    found = {served.ask("POST", "/api/v1/jobs", token, body, **keyed) for _ in range(10)}
    assert {status for status, _ in found} == {202}
    assert len(found) == 1


def test_the_rate_of_a_caller_is_one_for_all_processes(place):
    server = Served(place[0], "--rate", "5", *WORKERS)
    try:
        until(lambda: metric(server, "stannary_workers") == 2)
        token = place[1]["viewer"]
        began = time.monotonic()
        statuses = [server.ask("GET", "/api/v1/whoami", token)[0] for _ in range(60)]
        took = time.monotonic() - began
        passed = statuses.count(200)
        assert set(statuses) == {200, 429}
        assert 10 <= passed <= 10 + 5 * took + 1  # of two processes with a limit each it would be 20 and more
    finally:
        server.end(signal.SIGKILL)


def test_killing_a_process_loses_nothing_that_was_acknowledged_and_the_service_goes_on(place, served, tmp_path):
    token, acknowledged, failed, stop = place[1]["contributor"], [], collections.Counter(), threading.Event()

    def push(thread):
        client, name = Client(f"http://127.0.0.1:{served.port}", token), parse_model(f"t{thread}")
        file, number = tmp_path / f"w{thread}.bin", 0
        while not stop.is_set():
            number += 1
            file.write_bytes(f"{thread} {number}".encode())
            try:
                acknowledged.append((name.name, client.push(file, name).digest))
            except BackendError as error:  # the connection was cut, with whatever was under way
                failed[error.code] += 1

    threads = [threading.Thread(target=push, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    first = children(served.process)
    for round_ in range(3):
        time.sleep(0.5)
        victim = children(served.process)[round_ % 2]
        before = len(acknowledged)
        os.kill(victim, signal.SIGKILL)
        until(lambda before=before: len(acknowledged) > before)  # the other one goes on
        until(lambda victim=victim: victim not in children(served.process) and len(children(served.process)) == 2)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not set(first) & set(children(served.process))
    assert metric(served, "stannary_worker_restarts_total") == 3
    assert len(acknowledged) > 3
    kept = set()
    for name in {name for name, _ in acknowledged}:
        rows = json.loads(served.ask("GET", f"/api/v1/models/default/{name}/versions?limit=1000", place[1]["viewer"])[1])[
            "versions"
        ]
        kept |= {(name, row["digest"]) for row in rows}
        assert [row["number"] for row in rows] == list(range(len(rows), 0, -1))
    assert set(acknowledged) <= kept
    assert served.end() == 0
    run(place[0], "ledger", "verify")


def test_it_ends_in_good_order_and_with_whoever_started_it(place, served):
    inside = children(served.process)
    assert served.end() == 0
    assert not [pid for pid in inside if Path(f"/proc/{pid}").exists()]
    other = Served(place[0], *WORKERS)
    inside = until(lambda: len(children(other.process)) == 2 and children(other.process))
    other.end(signal.SIGKILL)
    until(lambda: not [pid for pid in inside if is_running(pid)])


def is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_one_that_stands_still_keeps_nobody_else_waiting(place, served):
    stopped = children(served.process)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        # Half of the connections may lie with it: those that the other one accepts are answered.
        answered = 0
        for _ in range(20):
            answered += served.ask("GET", "/healthz")[0] == 200
        assert answered == 20
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_jobs_are_done_by_one_worker_beside_them(place):
    server = Served(place[0], *WORKERS, "--job-workers", "1")
    try:
        until(lambda: metric(server, "stannary_workers") == 2)

        def workers():
            found = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
            return [int(pid) for pid in found if b"jobs" in command_of(pid)]

        first = until(workers)
        assert len(first) == 1
        os.kill(first[0], signal.SIGKILL)
        again = until(lambda: [pid for pid in workers() if pid not in first])
        assert len(again) == 1
        assert server.end() == 0
        until(lambda: not is_running(again[0]))
    finally:
        server.end(signal.SIGKILL)


def test_over_tls_with_certificates_of_clients(place, tmp_path):
    run(tmp_path, "keys", "tls", "certs", "--no-passphrase")
    run(tmp_path, "keys", "tls", "certs", "--client", "ci")
    files = tmp_path / "certs"
    options = ("--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key"))
    server = Served(place[0], *options, "--tls-clients", str(files / "ca.pem"), *WORKERS)
    try:
        trusting = ssl.create_default_context(cafile=files / "ca.pem")

        def asked():
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=trusting)
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status
            finally:
                connection.close()

        for _ in range(4):
            with pytest.raises((OSError, http.client.RemoteDisconnected)):
                asked()
        trusting.load_cert_chain(files / "ci.pem", files / "ci.key")
        assert [asked() for _ in range(8)] == [200] * 8
        assert server.end() == 0
    finally:
        server.end(signal.SIGKILL)


def test_a_start_that_fails_says_why_once_and_ends(tmp_path):
    run(tmp_path, "init", "--no-passphrase")
    done = run(tmp_path, "serve", "--port", "0", *WORKERS, code=2)
    assert done.stderr.count("error[SRV004]") == 1
