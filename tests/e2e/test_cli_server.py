"""The command line against a server: the same commands, the same answers; nothing is believed that was not verified."""

import hashlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from tests.e2e.test_serve import Served, run

STANNARY = str(Path(sys.executable).with_name("stannary"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    run(folder, "init", "--no-passphrase")
    policy = folder / "approved.yaml"
    policy.write_text("name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    run(folder, "registry", "protect", "claims@production", "--policy", str(policy))
    tokens = {}
    for role in ("viewer", "contributor", "releaser", "reviewer"):
        run(folder, "access", "user", "add", role)
        run(folder, "access", "grant", role, role)
        tokens[role] = run(folder, "access", "token", "issue", role).stdout.strip()
    run(folder, "access", "user", "add", "keeper")
    run(folder, "access", "grant", "keeper", "admin")
    tokens["keeper"] = run(folder, "access", "token", "issue", "keeper").stdout.strip()
    server = Served(folder, "--rate", "0")
    yield folder, f"http://127.0.0.1:{server.port}", tokens
    server.end()


def ask(place, folder, role, *line, code=0, url=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    environment |= {"STANNARY_SERVER": url or place[1], "STANNARY_TOKEN": place[2].get(role, role)}
    done = subprocess.run(
        [STANNARY, "registry", *line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done


def test_the_same_commands_work_against_a_server(place, tmp_path):
    there = place[0]
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "weights with a name.bin").write_bytes(bytes(range(256)) * 20_000)
    (model / "code" / "empty.py").write_bytes(b"")
    made = json.loads(ask(place, tmp_path, "contributor", "push", "model", "claims", "--note", "first", "--format", "json").stdout)
    assert (made["version"]["number"], made["version"]["creator"], made["version"]["note"]) == (1, "user:contributor", "first")
    # The same again, and what is there already, is not sent again.
    assert json.loads(ask(place, tmp_path, "contributor", "push", "model", "claims", "--format", "json").stdout) == made
    assert "claims" in ask(place, tmp_path, "viewer", "list").stdout
    assert json.loads(ask(place, tmp_path, "viewer", "show", "claims", "--format", "json").stdout)["version"]["number"] == 1

    denied = ask(place, tmp_path, "releaser", "promote", "claims:1", "production", code=1)
    assert "approval" in denied.stdout
    assert "stays unset" in denied.stderr
    assert "may not promote" in ask(place, tmp_path, "contributor", "promote", "claims:1", "production", code=1).stderr
    run(there, "registry", "approve", "claims:1", "--statement", "looked at")
    moved = json.loads(ask(place, tmp_path, "releaser", "promote", "claims:1", "production", "--format", "json").stdout)
    assert (moved["moved"], moved["number"]) == (True, 1)

    ask(place, tmp_path, "viewer", "pull", "claims@production", "out")
    assert (tmp_path / "out" / "weights with a name.bin").read_bytes() == (model / "weights with a name.bin").read_bytes()
    assert (tmp_path / "out" / "code" / "empty.py").read_bytes() == b""
    assert not list(tmp_path.glob(".*.part"))
    assert "is there already" in ask(place, tmp_path, "viewer", "pull", "claims:1", "out", code=2).stderr

    (model / "weights with a name.bin").write_bytes(b"second")
    ask(place, tmp_path, "contributor", "push", "model", "claims")
    run(there, "registry", "approve", "claims:2", "--statement", "looked at")
    ask(place, tmp_path, "releaser", "promote", "claims:2", "production")
    assert "is at :1, before :2" in ask(place, tmp_path, "releaser", "rollback", "claims@production").stderr
    ask(place, tmp_path, "releaser", "quarantine", "claims:2", "--reason", "incident 12")
    assert "quarantined" in ask(place, tmp_path, "viewer", "pull", "claims:2", "two", code=1).stderr
    assert not (tmp_path / "two").exists()


def test_a_pull_goes_on_where_it_was_broken_off_and_keeps_nothing_that_is_not_the_file(place, tmp_path):
    content = bytes(range(256)) * 8000
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "weights.bin").write_bytes(content)
    made = json.loads(ask(place, tmp_path, "contributor", "push", "large", "large", "--format", "json").stdout)["version"]
    for begun in (content[:1_000_000], b"x" * 1_000_000, content + b"more"):
        part = tmp_path / f".out.{made['digest'][7:19]}.part"
        part.mkdir(mode=0o700)
        (part / "weights.bin").write_bytes(begun)
        (part / "other.bin").write_bytes(b"no file of the version")
        ask(place, tmp_path, "viewer", "pull", "large", "out")
        assert (tmp_path / "out" / "weights.bin").read_bytes() == content
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["weights.bin"]
        shutil.rmtree(tmp_path / "out")


def test_what_was_changed_on_the_server_is_not_taken(place, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.bin").write_bytes(b"good" * 1000)
    ask(place, tmp_path, "contributor", "push", "m", "changed")
    digest = json.loads(ask(place, tmp_path, "viewer", "show", "changed", "--format", "json").stdout)["files"][0]["sha256"]
    blob = place[0] / ".stannary" / "blobs" / "sha256" / digest[:2] / digest[2:]
    blob.chmod(0o644)
    blob.write_bytes(b"evil" * 1000)
    ask(place, tmp_path, "viewer", "pull", "changed", "out", code=1)
    assert not (tmp_path / "out").exists()


def test_a_token_is_not_sent_in_the_clear_and_an_unknown_one_is_refused(place, tmp_path):
    assert "in the clear" in ask(place, tmp_path, "viewer", "list", code=2, url="http://registry.example").stderr
    assert "token" in ask(place, tmp_path, "wrong", "list", code=1).stderr
    assert "characters" in ask(place, tmp_path, "a\tb", "list", code=2).stderr
    assert "only one" in ask(place, tmp_path, "viewer", "list", "--workspace", str(place[0]), code=2).stderr
    assert "serve" in ask(place, tmp_path, "viewer", "list", code=2, url="http://127.0.0.1:9").stderr


def test_what_keeps_an_alias_or_a_version_is_done_on_the_server_that_is_named(place, tmp_path):
    there = place[0]
    (tmp_path / "m").mkdir()
    for content in (b"one", b"two", b"three"):
        (tmp_path / "m" / "weights.bin").write_bytes(content)
        ask(place, tmp_path, "contributor", "push", "m", "kept")
    found = ask(place, tmp_path, "viewer", "diff", "kept:1", "kept:2", code=1).stdout
    assert "~ weights.bin" in found
    assert "of one name" in ask(place, tmp_path, "viewer", "diff", "kept:1", "claims:1", code=2).stderr

    policy = tmp_path / "seen.yaml"
    policy.write_text("name: seen\nextends: baseline\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    assert "may not protect" in ask(place, tmp_path, "viewer", "protect", "kept@canary", "--policy", str(policy), code=1).stderr
    ask(place, tmp_path, "keeper", "protect", "kept@canary", "--policy", str(policy), "--separate")
    # It is the policy with what it inherits: the scan that the shipped one asks for, and the approval.
    denied = ask(place, tmp_path, "releaser", "promote", "kept:2", "canary", code=1).stdout
    assert "model-scan" in denied
    assert "approval" in denied
    ask(place, tmp_path, "releaser", "freeze", "kept@canary", "--reason", "incident 12")
    assert "incident 12" in ask(place, tmp_path, "releaser", "promote", "kept:2", "canary", code=1).stderr
    ask(place, tmp_path, "releaser", "freeze", "kept@canary", "--lift")

    ask(place, tmp_path, "keeper", "hold", "kept:1", "--reason", "case 4711")
    old = ("retain", "kept", "--keep", "1", "--older-than", "0d")
    assert "days" in ask(place, tmp_path, "keeper", "retain", "kept", "--older-than", "12h", code=2).stderr
    assert "swept where they are" in ask(place, tmp_path, "keeper", *old, "--sweep", code=2).stderr
    would = json.loads(ask(place, tmp_path, "keeper", *old, "--dry-run", "--format", "json").stdout)
    assert [row["number"] for row in would["versions"]] == [2]
    ask(place, tmp_path, "keeper", *old)
    versions = json.loads(run(there, "registry", "list", "kept", "--format", "json").stdout)["versions"]
    assert [(row["number"], row["dropped"], row["held"]) for row in versions] == [
        (3, False, ""), (2, True, ""), (1, False, "case 4711"),
    ]  # fmt: skip
    ask(place, tmp_path, "keeper", "hold", "kept:1", "--lift")


def test_an_approval_is_signed_here_and_counts_there_when_its_key_is_trusted(place, tmp_path):
    there = place[0]
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.bin").write_bytes(b"to be approved")
    ask(place, tmp_path, "contributor", "push", "m", "seen")
    run(there, "registry", "protect", "seen@production", "--policy", str(there / "approved.yaml"))
    said = ("approve", "seen:1", "--statement", "looked at")
    assert "key of your own" in ask(place, tmp_path, "reviewer", *said, code=2).stderr
    key = str(tmp_path / "ann.pem")
    run(tmp_path, "keys", "generate", key, "--no-passphrase")
    ask(place, tmp_path, "reviewer", *said, "--key", key, code=1)  # nobody there trusts it yet
    run(there, "trust", "add", "ann@example.com", str(tmp_path / "ann.pub"))
    assert "may not" in ask(place, tmp_path, "viewer", *said, "--key", key, code=1).stderr
    assert ask(place, tmp_path, "reviewer", *said, "--key", key).stdout.startswith("sha256:")
    ask(place, tmp_path, "releaser", "promote", "seen:1", "production")
    assert "ann@example.com" in run(there, "why", "seen@production").stdout


@pytest.fixture
def encrypted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encrypted")
    run(folder, "keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase")
    run(folder, "init", "--no-passphrase", "--wrapping-key", "w.key")
    tokens = {}
    for name, role in (("contributor", "contributor"), ("keeper", "admin")):
        run(folder, "access", "user", "add", name)
        run(folder, "access", "grant", name, role)
        tokens[name] = run(folder, "access", "token", "issue", name).stdout.strip()
    server = Served(folder, "--rate", "0")
    yield folder, f"http://127.0.0.1:{server.port}", tokens
    server.end()


def test_a_namespace_is_shredded_on_the_server_that_is_named(encrypted, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"of a customer" * 999)
    for name in ("team-a/claims", "team-b/claims"):
        ask(encrypted, tmp_path, "contributor", "push", "model", name)
    shred = ("shred", "team-a", "--reason", "the customer left")
    assert "may not shred" in ask(encrypted, tmp_path, "contributor", *shred, "--confirm", "team-a", code=1).stderr
    assert "REG035" in ask(encrypted, tmp_path, "keeper", *shred, code=2).stderr
    ask(encrypted, tmp_path, "contributor", "pull", "team-a/claims", "before")
    done = json.loads(ask(encrypted, tmp_path, "keeper", *shred, "--confirm", "team-a", "--format", "json").stdout)
    assert (done["namespace"], done["versions"], done["dry_run"]) == ("team-a", 1, False)
    ask(encrypted, tmp_path, "contributor", "pull", "team-a/claims:1", "after", code=2)
    assert not (tmp_path / "after").exists()
    ask(encrypted, tmp_path, "contributor", "pull", "team-b/claims", "theirs")
    kept = [path for path in (encrypted[0] / ".stannary" / "blobs").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if "team-a" in path.parts]


def command(place, folder, role, *line, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    environment |= {"STANNARY_SERVER": place[1], "STANNARY_TOKEN": place[2][role]}
    done = subprocess.run([STANNARY, *line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done


def test_gate_why_scan_and_bom_take_versions_of_the_server_that_is_named(place, tmp_path):
    there = place[0]
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    ask(place, tmp_path, "contributor", "push", "m", "gated")
    run(there, "scan", "registry:gated:1", "--record")
    run(there, "registry", "protect", "gated@production", "--policy", "baseline")
    ask(place, tmp_path, "releaser", "promote", "gated:1", "production")
    # The workspace around the caller has another model of this name: it is not the one that is meant.
    run(tmp_path, "init", "--no-passphrase")
    (tmp_path / "other.bin").write_bytes(b"other")
    run(tmp_path, "registry", "push", "other.bin", "gated")
    digest = json.loads(ask(place, tmp_path, "viewer", "show", "gated@production", "--format", "json").stdout)["version"]["digest"]

    for target in ("registry:gated@production", "gated@production", "gated:1", digest, "m"):
        said = command(place, tmp_path, "releaser", "gate", target, "--policy", "baseline", "--format", "json")
        found = json.loads(said.stdout)
        assert (found["verdict"], found["subject"]["digest"]) == ("allow", digest), target
        told = json.loads(command(place, tmp_path, "viewer", "why", target, "--format", "json").stdout)
        assert told["subject"] == digest
    recorded = json.loads(run(there, "evidence", "list", digest, "--format", "json").stdout)["evidence"]
    assert found["recorded"] in [row["id"] for row in recorded]
    policy = tmp_path / "approved.yaml"
    policy.write_text("name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    denied = command(place, tmp_path, "viewer", "gate", "gated:1", "--policy", str(policy), "--no-record", code=1)
    assert "approval" in denied.stdout
    scanned = json.loads(command(place, tmp_path, "viewer", "scan", "registry:gated@production", "--format", "json").stdout)
    assert place[1] in json.dumps(scanned) or digest.removeprefix("sha256:") in json.dumps(scanned)
    bill = json.loads(command(place, tmp_path, "viewer", "bom", "registry:gated:1").stdout)
    assert digest.removeprefix("sha256:") in json.dumps(bill)
    refused = command(place, tmp_path, "viewer", "gate", "nothing:1", "--no-record", code=2)
    assert "nothing" in refused.stderr


def test_what_a_server_cannot_do_is_refused_and_not_done_elsewhere(place, tmp_path):
    run(tmp_path, "init", "--no-passphrase")
    (tmp_path / "m.bin").write_bytes(b"m")
    run(tmp_path, "registry", "push", "m.bin", "mine")
    for line, code in (
        (("gate", "mine:1", "--export-input", "in.json"), "USE015"),
        (("gate", "mine:1", "--workspace", "."), "USE014"),
        (("lineage", "registry:mine:1"), "USE015"),
        (("scan", "registry:mine:1", "--offline"), "FET002"),
    ):
        assert f"error[{code}]" in command(place, tmp_path, "viewer", *line, code=2).stderr, line


def test_a_push_waits_while_others_of_its_account_send_as_much_as_they_may(place, tmp_path):
    (tmp_path / "late.bin").write_bytes(b"late" * 1000)
    port = int(place[1].rpartition(":")[2])
    head = (
        f"PUT /api/v1/contents/sha256:{'5' * 64} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
        f"Authorization: Bearer {place[2]['contributor']}\r\n\r\nx"
    )

    def refusals():
        with urllib.request.urlopen(f"{place[1]}/metrics", timeout=60) as answer:
            found = re.search(r'operation="storeContent"[^\n]*"429"[^\n]* (\d+)', answer.read().decode())
        return int(found[1]) if found else 0

    said = []
    slow = []
    try:
        while len(slow) < 20:  # until one is refused: the others are under way then
            slow.append(socket.create_connection(("127.0.0.1", port), timeout=60))
            slow[-1].sendall(head.encode())
            if select.select(slow, [], [], 0.3)[0]:
                break
        while len(slow) > 8:
            for connection in select.select(slow, [], [], 30)[0]:
                assert connection.recv(400).startswith(b"HTTP/1.1 429")
                connection.close()
                slow.remove(connection)
        before = refusals()
        pushing = threading.Thread(target=lambda: said.append(ask(place, tmp_path, "contributor", "push", "late.bin", "late")))
        pushing.start()
        ends = time.monotonic() + 60
        while refusals() == before and time.monotonic() < ends:
            time.sleep(0.1)
        assert refusals() > before
    finally:
        for connection in slow:
            connection.close()
    pushing.join()
    assert said
    assert "late" in ask(place, tmp_path, "viewer", "list").stdout


def test_policies_in_rego_are_sent_evaluated_there_and_logged_by_their_digest(place, tmp_path):
    there = place[0]
    text = 'package stannary.gate\nimport rego.v1\ndeny contains "nobody approved it" if {\n'
    text += '    count([e | some e in input.evidence; e.kind == "statement"; e.check == "approval"]) == 0\n}\n'
    (tmp_path / "our own.rego").write_text(text)
    (tmp_path / "model.bin").write_bytes(b"of rego")
    ask(place, tmp_path, "contributor", "push", "model.bin", "ruled")
    assert "may not protect" in ask(
        place, tmp_path, "releaser", "protect", "ruled@production", "--policy", "our own.rego", code=1
    ).stderr  # fmt: skip
    said = ask(place, tmp_path, "keeper", "protect", "ruled@production", "--policy", "our own.rego").stderr
    assert "moves by our_own.rego from now on" in said
    denied = ask(place, tmp_path, "releaser", "promote", "ruled:1", "production", "--format", "json", code=1)
    reason = next(row for row in json.loads(denied.stdout)["reasons"] if not row["ok"])
    assert (reason["rule"], reason["message"]) == ("our_own.rego:3", "nobody approved it (judged from 1 vsa)") or reason[
        "message"
    ].startswith("nobody approved it")

    def gate(*line, role="contributor", code):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
        environment |= {"STANNARY_SERVER": place[1], "STANNARY_TOKEN": place[2][role], "PATH": "/nonexistent"}
        command = [STANNARY, "gate", "ruled:1", *line]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, (line, done.stdout, done.stderr)
        return done

    found = json.loads(gate("--policy", "our own.rego", "--format", "json", code=1).stdout)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert (found["policy"]["name"], found["policy"]["digest"]) == ("our_own.rego", f"sha256:{digest}")
    assert found["recorded"]
    assert "may not" in gate("--policy", "our own.rego", "--no-record", role="viewer", code=1).stderr
    assert "asks no other one" in gate("--policy", "opa+http://127.0.0.1:9", code=2).stderr
    (tmp_path / "broken.rego").write_text("package stannary.gate\nimport rego.v1\ndeny contains x if { true }\n")
    broken = gate("--policy", "broken.rego", code=2).stderr
    assert "broken.rego:3" in broken
    assert "unsafe" in broken
    assert "--engine" in gate("--policy", "our own.rego", "--engine", "regopy", code=2).stderr
    run(there, "registry", "approve", "ruled:1", "--statement", "looked at")
    assert "is at :1" in ask(place, tmp_path, "releaser", "promote", "ruled:1", "production").stderr


def test_every_name_of_a_namespace_is_protected_and_frozen_there_as_here(place, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"of many")
    for name in ("many/one", "many/two"):
        ask(place, tmp_path, "contributor", "push", "model.bin", name)
    (tmp_path / "open.yaml").write_text("name: open\nrequire: []\n")
    (tmp_path / "two.yaml").write_text("name: two\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 2\n")
    assert "may not protect" in ask(
        place, tmp_path, "releaser", "protect", "many/*@production", "--policy", "two.yaml", code=1
    ).stderr  # fmt: skip
    ask(place, tmp_path, "keeper", "protect", "many/*@production", "--policy", "two.yaml")
    denied = ask(place, tmp_path, "releaser", "promote", "many/one:1", "production", code=1).stdout
    assert "stannary registry approve many/one:1 --statement TEXT --key KEY" in denied
    for where, others in (("many/one@*", "many/two:1"), ("many/*@*", "")):
        ask(place, tmp_path, "releaser", "freeze", where, "--reason", "incident 7")
        assert "incident 7" in ask(place, tmp_path, "releaser", "promote", "many/one:1", "staging", code=1).stderr
        if others:
            assert "incident 7" not in ask(place, tmp_path, "releaser", "promote", others, "staging", code=1).stderr
        ask(place, tmp_path, "releaser", "freeze", where, "--lift")
    assert "incident 7" not in ask(place, tmp_path, "releaser", "promote", "many/one:1", "staging", code=1).stderr
    assert "no name" in ask(place, tmp_path, "releaser", "freeze", "many/one*@production", "--reason", "x", code=2).stderr


def test_the_next_step_of_a_reason_is_one_for_whoever_asks_a_server(place, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"unseen")
    ask(place, tmp_path, "contributor", "push", "model.bin", "unseen")
    denied = ask(place, tmp_path, "releaser", "promote", "unseen:1", "staging", code=1).stdout
    assert "stannary jobs add scan registry:unseen:1" in denied
    assert "TARGET" not in denied
