"""A workspace whose ledger is in PostgreSQL, as a user has it: made there, moved there and back, and what is refused."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from stannary.core.errors import IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto import keys
from stannary.crypto.note import COSIGNATURE, Note, VerifierKey, cosign, parse_note
from stannary.evidence.chain import Chain
from stannary.evidence.ledger import Ledger, entry
from stannary.evidence.ledger.witness import Witness, request_for
from stannary.evidence.lineage_index import LineageIndex
from stannary.evidence.relocate import relocate
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.store.ledger_store import is_url


def stannary(*arguments, cwd, **environment):
    command = [sys.executable, "-c", "import sys; from stannary.cli.main import run; sys.exit(run())", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | environment)


def ok(*arguments, **more):
    done = stannary(*arguments, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def append(workspace, count, size=10):
    with workspace.ledger(write=True) as ledger:
        return ledger.append([entry("evidence", {"n": n, "x": "y" * size}, time=datetime.now(UTC)) for n in range(count)])


def test_a_workspace_keeps_its_ledger_in_a_database(postgres, tmp_path):
    said = ok(
        "init", "--no-passphrase", "--origin", "example.com/x", "--database", "env:LEDGER_URL", cwd=tmp_path, LEDGER_URL=postgres
    )
    assert "in postgresql://postgres@" in said
    settings = json.loads((tmp_path / ".stannary" / "workspace.json").read_text())
    assert settings["database"] == "env:LEDGER_URL"
    assert not (tmp_path / ".stannary" / "ledger.db").exists()
    (tmp_path / "model.json").write_text("{}")
    ok("scan", "model.json", "--record", cwd=tmp_path, LEDGER_URL=postgres)
    assert "model-scan" in ok("evidence", "list", cwd=tmp_path, LEDGER_URL=postgres)
    head = json.loads(stannary("ledger", "head", "--format", "json", cwd=tmp_path, LEDGER_URL=postgres).stdout)
    assert head["size"] == 1
    assert "0 deviations" not in ok("ledger", "audit", cwd=tmp_path, LEDGER_URL=postgres)
    ok("ledger", "prove", "0", "-o", "p", "--record", "r", cwd=tmp_path, LEDGER_URL=postgres)
    ok("ledger", "verify", "--proof", "p", "--record", "r", "--log", head["key"], cwd=tmp_path)
    for arguments in (("ledger", "head"), ("bom", "model.json")):  # what is in the ledger is not left out for want of an address
        missing = stannary(*arguments, cwd=tmp_path)
        assert (missing.returncode, "error[WSP005]" in missing.stderr, "LEDGER_URL" in missing.stderr) == (2, True, True)
    ok("bom", "model.json", cwd=tmp_path, LEDGER_URL=postgres)


def test_a_database_that_cannot_be_used_makes_no_workspace(postgres, postgres_server, tmp_path):
    secret = postgres_server.url("x", "u", "sesame")
    for arguments, environment, code in (
        (["--database", secret], {}, "WSP006"),
        (["--database", "mysql://x/y"], {}, "WSP005"),
        (["--database", "env:ABSENT"], {}, "WSP005"),
        (["--database", "env:THERE"], {"THERE": secret}, "LED022"),
        (["--database", postgres_server.url("absent")], {}, "LED022"),
    ):
        done = stannary("init", "--no-passphrase", *arguments, cwd=tmp_path, **environment)
        assert done.returncode != 0
        assert f"error[{code}]" in done.stderr, done.stderr
        assert "sesame" not in done.stderr + done.stdout
        assert not (tmp_path / ".stannary" / "workspace.json").exists()


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path, passphrase=None, origin="example.com/move")
    append(made, 300)
    append(made, 1, size=90_000)
    return made


def test_a_ledger_moves_into_a_database_and_back(workspace, postgres, tmp_path):
    witness = keys.generate("ed25519")
    with workspace.ledger(write=True) as ledger:
        before, kept = ledger.entries(), ledger.head_note()
        note = parse_note(kept)
        cosigned = str(Note(note.text, (*note.signatures, cosign(note, "w", witness, 1767000000))))
        ledger.add_cosignature(cosigned, [VerifierKey.of("w", witness.public, COSIGNATURE)])
    append(workspace, 2)
    said = ok("ledger", "move", "--database", postgres, cwd=tmp_path)
    assert "303 entries, is in postgresql://" in said
    moved = Workspace(workspace.root)
    append(moved, 3)
    with moved.ledger() as ledger:
        assert is_url(ledger.where)
        assert ledger.entries()[:301] == before
        assert ledger.verify_since(kept).size == 306
        assert ledger.cosigned() == cosigned
        assert ledger.audit().ok
    again = stannary("ledger", "move", "--database", postgres, cwd=tmp_path)
    assert (again.returncode, "error[WSP007]" in again.stderr) == (2, True)
    ok("ledger", "move", "--to-file", cwd=tmp_path)
    back = Workspace(workspace.root)
    append(back, 1)
    with back.ledger() as ledger:
        assert ledger.where == str(back.ledger_path)
        assert ledger.head().size == 307
        assert ledger.audit().ok


def test_who_goes_on_with_the_old_place_is_told(workspace, postgres):
    old = Workspace(workspace.root)
    relocate(workspace, postgres)
    append(workspace, 1)
    with pytest.raises(IntegrityError) as refused:
        append(old, 1)
    assert refused.value.code == "LED003"


def test_a_place_with_another_log_of_the_name_is_refused(workspace, postgres, tmp_path):
    (tmp_path / "other").mkdir()
    other = Workspace.create(tmp_path / "other", passphrase=None, origin="example.com/move", database=postgres)
    append(other, 2)
    with pytest.raises(IntegrityError) as refused:
        relocate(workspace, postgres)
    assert refused.value.code == "LED004"
    assert workspace.settings.database == ""


def test_a_place_with_a_history_of_its_own_is_refused(workspace, postgres, tmp_path):
    """The same log with the same key, and other entries: a fork."""
    (tmp_path / "fork").mkdir()
    fork = Workspace.create(tmp_path / "fork", passphrase=None, origin="example.com/move")
    for name in ("ledger.pem", "ledger.pub"):
        (fork.root / "keys" / name).write_bytes((workspace.root / "keys" / name).read_bytes())
    fork = Workspace(fork.root)
    append(fork, 5, size=3)
    relocate(fork, postgres)
    with pytest.raises(IntegrityError) as refused:
        relocate(workspace, postgres)
    assert refused.value.code == "LED002"
    assert Workspace(workspace.root).settings.database == ""


def test_lineage_follows_a_ledger_in_a_database(workspace, postgres):
    with contextlib.closing((chain := Chain(workspace, write=True)).ledger):
        target = {"name": "data", "digest": {"dirHash1": "11" * 32}}
        edges = [{"relation": "trained-from", "resource": target}]
        chain.state(subject_resource(Digest("22" * 32), "model"), "lineage", {"edges": edges, "finishedOn": "2026-11-20T09:30:00Z"})
    relocate(workspace, postgres)
    with contextlib.closing((chain := Chain(workspace, write=True)).ledger):
        edges = [{"relation": "fine-tuned-from", "resource": {"name": "model", "digest": {"dirHash1": "22" * 32}}}]
        chain.state(subject_resource(Digest("33" * 32), "child"), "lineage", {"edges": edges, "finishedOn": "2026-11-20T09:30:00Z"})
        index = LineageIndex(chain)
        assert [row.name for row in index.below(Digest("11" * 32))] == ["model", "child"]
        index.close()


def branches(folder, name):
    """Two histories of one log: the same key and name, other entries."""
    key = keys.generate("ed25519")
    found = []
    for branch in ("a", "b"):
        log = Ledger.open(folder / f"{name}-{branch}.db", key, origin=f"example.com/{name}", verifier=key.public)
        log.append([entry("evidence", {"n": n, "branch": branch}, time=datetime.now(UTC)) for n in range(4)])
        found.append(log)
    return found


def test_two_machines_are_one_witness_that_remembers_in_a_database(workspace, postgres, tmp_path):
    """Asked at once for two histories of a log, each over its own connection, they sign one of them at most; many times over."""
    relocate(workspace, postgres)
    signer = workspace.log_signer
    here, log_key = workspace.settings.origin, workspace.log_keys
    with contextlib.ExitStack() as stack:
        machines = [
            stack.enter_context(
                Ledger.open(postgres, signer, origin=here, verifier=log_key, head=tmp_path / f"head-{n}", accept=True)
            )
            for n in range(2)
        ]
        witnesses = [Witness(here, signer, machine) for machine in machines]
        for number in range(12):
            logs = branches(tmp_path, f"log-{number}")
            start = threading.Barrier(2)

            def ask(witness, log, start=start):
                start.wait(10)
                try:
                    return witness.sign(request_for(log), log.key)
                except (UsageError, IntegrityError) as error:
                    return error

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(ask, witnesses, logs))
            signed = [log for log, answer in zip(logs, answers, strict=True) if isinstance(answer, str)]
            (log,) = signed
            refused = next(answer for answer in answers if not isinstance(answer, str))
            assert refused.code in {"LED021", "LED002", "LED003"}
            for witness in witnesses:  # both remember the one that was signed, and go on with it
                assert witness.seen(log.key) == log.head()
            log.append([entry("evidence", {"n": 9}, time=datetime.now(UTC))])
            note = str(parse_note(log.head_note())) + witnesses[number % 2].sign(request_for(log, 4), log.key)
            assert log.add_cosignature(note, [witnesses[0].key]).size == 5
            for item in logs:
                item.close()
        kept = machines[0].find(type="witness", complete=True)
        assert len(kept) > 24, "nobody ever came too late: nothing was shown"
        assert machines[1].audit().ok


def test_the_address_of_a_database_has_its_password_in_no_message(postgres_server, tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path, passphrase=None)
    monkeypatch.setenv("THE_URL", postgres_server.url("absent", "u", "sesame"))
    workspace.relocate("env:THE_URL")
    done = stannary("ledger", "head", cwd=tmp_path)
    assert (done.returncode != 0, "error[LED022]" in done.stderr, "sesame" in done.stderr) == (True, True, False), done.stderr
    assert urllib.parse.quote("sesame") not in done.stdout
