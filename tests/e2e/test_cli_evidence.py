"""The chain of evidence as a user meets it: init, scan, gate, attest, why; each step with its exit code."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from stannary.cli.schema import schema_of
from stannary.testing.forges import make

STANNARY = str(Path(sys.executable).with_name("stannary"))
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith(("STANNARY_", "NO_COLOR", "FORCE_COLOR"))}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(make("safetensors.plain"))
    (tmp_path / "model" / "labels.npz").write_bytes(make("numpy.plain_npz"))
    (tmp_path / "bad.pkl").write_bytes(make("pickle.rule_exec"))
    return tmp_path


@pytest.fixture
def run(place):
    def call(*arguments, code=0, **env):
        done = subprocess.run(
            [STANNARY, *map(str, arguments)], cwd=place, capture_output=True, text=True, env={**CLEAN_ENV, **env}, timeout=120,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    return call


@pytest.fixture
def ready(run):
    run("init", "--no-passphrase")
    return run


def test_a_workspace_whose_keys_are_in_variables(run, place):
    for name, kind in (("k", "p256"), ("l", "ed25519")):
        run("keys", "generate", f"{name}.pem", "--algorithm", kind, "--no-passphrase")
    keys = {"CI_KEY": (place / "k.pem").read_text(), "CI_LOG": (place / "l.pem").read_text()}
    made = run("init", "--key", "env:CI_KEY", "--ledger-key", "env:CI_LOG", **keys)
    assert "have no passphrase" not in made.stderr
    assert not list((place / ".stannary").rglob("*.pem"))
    run("scan", "model", "--record", **keys)
    run("sign", "model", "--record", **keys)
    run("gate", "model", "--record", **keys)
    assert "is not set" in run("attest", "model", "--kind", "statement", "--topic", "t", "--statement", "s", code=2).stderr
    run("verify", "model", "--key", "k.pub")
    run("ledger", "audit")
    again = run("init", "--key", "env:CI_KEY", code=2, **keys).stderr
    assert "stays as it is: --key would do nothing" in again
    assert "no socket may be opened" in run("init", "new", "--key", "vault:transit/k", "--offline", code=2).stderr
    assert "no socket may be opened" in run("init", "new", "--database", "env:DB", "--offline", code=2).stderr
    (place / ".stannary" / "workspace.json").write_text(
        (place / ".stannary" / "workspace.json").read_text().replace("env:CI_KEY", "vault:transit/k")
    )
    assert "no socket may be opened" in run("sign", "model", "--offline", code=2, **keys).stderr
    assert "no socket may be opened" in run("scan", "model", "--record", "--offline", code=2, **keys).stderr


def test_keys_are_protected_when_nobody_was_there_to_choose_a_passphrase(run, place):
    home = {"XDG_CONFIG_HOME": str(place / "home")}
    made = run("init", **home)
    assert "nobody was there to choose a passphrase" in made.stderr
    for name in ("signing", "ledger"):
        assert b"ENCRYPTED PRIVATE KEY" in (place / ".stannary" / "keys" / f"{name}.pem").read_bytes()
    (kept,) = (place / "home" / "stannary" / "passphrases").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert kept.read_text().strip() not in made.stdout + made.stderr
    run("scan", "model", "--record", **home)
    run("ledger", "rotate", **home)
    run("attest", "model", "--topic", "t", "--statement", "s", **home)
    (new,) = (path for path in (place / ".stannary" / "keys").glob("ledger*.pem") if path.name != "ledger.pem")
    assert b"ENCRYPTED" in new.read_bytes()
    elsewhere = run("attest", "model", "--topic", "t", "--statement", "s", code=2, XDG_CONFIG_HOME=str(place / "other")).stderr
    assert "KEY003" in elsewhere
    assert kept.name in elsewhere
    run("ledger", "audit", XDG_CONFIG_HOME=str(place / "other"))
    run("keys", "protect", ".stannary/keys/signing.pem", "--new-passphrase-env", "MINE", MINE="tin", **home)
    wrong = run("attest", "model", "--topic", "t", "--statement", "s", code=2, **home).stderr
    assert "KEY003" in wrong
    run("attest", "model", "--topic", "t", "--statement", "s", STANNARY_PASSPHRASE="tin", **home)


def test_a_passphrase_that_cannot_be_kept_or_has_a_wrong_name_is_an_error(run, place):
    (place / "file").write_text("")
    assert "say --no-passphrase" in run("init", "new", code=2, XDG_CONFIG_HOME=str(place / "file")).stderr
    assert not (place / "new" / ".stannary" / "workspace.json").exists()
    home = {"XDG_CONFIG_HOME": str(place / "home")}
    run("init", **home)
    path = place / ".stannary" / "workspace.json"
    settings = json.loads(path.read_text())
    for name in ("../../x", "A" * 32, "0" * 31):
        path.write_text(json.dumps({**settings, "unlock": name}))
        assert "WSP002" in run("attest", "model", "--topic", "t", "--statement", "s", code=2, **home).stderr


def test_a_clean_model_is_recorded_gated_and_explained(ready):
    run = ready
    scanned = run("scan", "model", "--record")
    assert "recorded" in scanned.stderr
    allowed = json.loads(run("gate", "model", "--format", "json").stdout)
    jsonschema.validate(allowed, schema_of("decision"))
    assert allowed["verdict"] == "allow"
    denied = run("gate", "model", "--policy", "production", code=1).stdout
    assert "no evidence of kind model-signature" in denied
    assert "next: stannary sign" in denied
    story = json.loads(run("why", "model", "--format", "json").stdout)
    jsonschema.validate(story, schema_of("why"))
    assert {told["verdict"] for told in story["decisions"]} == {"allow", "deny"}
    assert "ALLOW by policy baseline" in run("why", "model").stdout


def test_a_hostile_model_is_denied_and_a_waiver_is_signed_and_ends(ready):
    run = ready
    run("scan", "bad.pkl", "--record", code=1)
    document = json.loads(run("gate", "bad.pkl", "--format", "json", code=1).stdout)
    rules = {row["rule"] for row in json.loads(run("scan", "bad.pkl", "--format", "json", code=1).stdout)["targets"][0]["findings"]}
    assert any(rule in document["reasons"][0]["message"] for rule in rules)
    for rule in rules:
        run("attest", "bad.pkl", "--kind", "waiver", "--rule", rule, "--reason", "for the test", "--owner", "me", "--expires", "1d")
    assert json.loads(run("gate", "bad.pkl", "--format", "json").stdout)["reasons"][0]["waiver"]


def test_what_was_changed_after_the_scan_has_no_evidence(ready, place):
    ready("scan", "model", "--record")
    ready("gate", "model")
    (place / "model" / "labels.npz").write_bytes(make("numpy.plain_npz") + b"\0")
    assert "no evidence of kind model-scan" in ready("gate", "model", code=1).stdout
    (place / "model" / "labels.npz").write_bytes(make("numpy.plain_npz"))
    ready("gate", "model")
    (place / "model" / "labels.npz").rename(place / "model" / "renamed.npz")
    ready("gate", "model", code=1)


def test_revoking_data_denies_what_was_made_from_it(ready, place):
    run = ready
    (place / "data.csv").write_text("a,b\n1,2\n")
    run("scan", "model", "--record")
    run("attest", "model", "--kind", "lineage", "--edge", "trained-from=data.csv")
    run("gate", "model")
    run("attest", "data.csv", "--kind", "revocation", "--reason", "consent withdrawn", "--owner", "dpo")
    assert "which it was made from, was revoked: consent withdrawn" in run("gate", "model", code=1).stdout
    assert "trained-from data.csv" in run("why", "model").stdout
    run("attest", "data.csv", "--kind", "revocation", "--reason", "settled", "--owner", "dpo", "--lifted")
    run("gate", "model")


def test_an_approval_with_a_key_of_one_s_own_counts_as_its_owner(ready, place):
    run = ready
    policy = "name: two\nrequire:\n  - {kind: statement, check: approval, approvals: 2}\n"
    (place / "two.yaml").write_text(policy)
    run("keys", "generate", "ann.pem", "--no-passphrase")
    approval = ("attest", "model", "--topic", "approval", "--decision", "approve", "--statement", "tested", "--expires", "9d")
    assert "stannary trust add" in run(*approval, "--key", "ann.pem", code=1).stderr
    run("trust", "add", "ann", "ann.pub")
    run(*approval, "--key", "ann.pem")
    assert "1 of 2 approvals (ann)" in run("gate", "model", "--policy", "two.yaml", code=1).stdout
    run(*approval, "--key", "ann.pem")
    run("gate", "model", "--policy", "two.yaml", code=1)
    run(*approval)
    run("gate", "model", "--policy", "two.yaml")


def test_a_statement_is_signed_on_a_machine_without_a_workspace_and_logged_on_another(ready, place, tmp_path_factory):
    run = ready
    away = tmp_path_factory.mktemp("away")
    run("keys", "generate", str(away / "ann.pem"), "--no-passphrase")
    run("trust", "add", "ann", str(away / "ann.pub"))
    shutil.copytree(place / "model", away / "model")
    signing = ("attest", "model", "--topic", "approval", "--decision", "approve", "--statement", "tested")
    subprocess.run([STANNARY, *signing, "--key", "ann.pem", "-o", "a.json"], cwd=away, env=CLEAN_ENV, check=True, timeout=60)
    run("attest", "model", "--bundle", str(away / "a.json"))
    assert "statement" in run("evidence", "list").stdout
    (away / "model" / "labels.npz").write_bytes(b"other")
    subprocess.run([STANNARY, *signing, "--key", "ann.pem", "-o", "b.json"], cwd=away, env=CLEAN_ENV, check=True, timeout=60)
    assert "is about" in run("attest", "model", "--bundle", str(away / "b.json"), code=1).stderr
    assert "signed already" in run("attest", "model", "--bundle", "x", "-o", "y", code=2).stderr


def test_somebody_else_s_envelope_is_taken_when_the_key_is_trusted(ready, place):
    from stannary.core.model import Digest
    from stannary.crypto import dsse
    from stannary.crypto.keys import generate
    from stannary.evidence.statement import encode, subject_resource
    from stannary.evidence.subject import identify
    from stannary.testing.statements import EXAMPLES

    ann = generate("ed25519")
    subject = subject_resource(Digest(identify(place / "model").digest.hex), "model")
    envelope = dsse.sign(encode([subject], "https://slsa.dev/provenance/v1", EXAMPLES["slsa-provenance"]), ann)
    (place / "p.dsse.json").write_bytes(dsse.encode(envelope))
    (place / "ann.pub").write_bytes(ann.public.pem())
    assert "error[SIG001]" in ready("attest", "model", "--bundle", "p.dsse.json", code=1).stderr
    ready("trust", "add", "ann", "ann.pub")
    ready("attest", "model", "--bundle", "p.dsse.json")
    assert "error[EVD003]" in ready("attest", "bad.pkl", "--bundle", "p.dsse.json", code=1).stderr
    rows = json.loads(ready("evidence", "list", "model", "--format", "json").stdout)
    jsonschema.validate(rows, schema_of("evidence"))
    assert rows["evidence"][0]["signer"]["identity"] == "ann"
    ready("trust", "remove", "ann")
    assert "counts for nothing" in ready("evidence", "list", "model", code=1).stderr


def test_keys_with_a_passphrase_sign_only_with_it(run):
    run("init", STANNARY_PASSPHRASE="tin")
    assert "error[KEY003]" in run("scan", "model", "--record", code=2).stderr
    assert "error[KEY004]" in run("scan", "model", "--record", code=2, STANNARY_PASSPHRASE="lead").stderr
    run("scan", "model", "--record", STANNARY_PASSPHRASE="tin")
    # Reading takes no secret.
    assert "model-scan" in run("evidence", "list").stdout
    run("gate", "model", "--no-record")


def test_exported_evidence_is_verified_by_openssl_alone(ready, place):
    run = ready
    run("scan", "model", "--record")
    run("evidence", "export", "out")
    (file,) = (place / "out").glob("*.dsse.json")
    envelope = json.loads(file.read_text())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (place / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    (place / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    key = place / "out" / "keys" / f"{envelope['signatures'][0]['keyid']}.pem"
    check = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", "sig", "pae"]
    assert subprocess.run(check, cwd=place, capture_output=True, check=False).returncode == 0
    (place / "pae").write_bytes((place / "pae").read_bytes().replace(b"clean", b"cleen"))
    assert subprocess.run(check, cwd=place, capture_output=True, check=False).returncode == 1


def test_the_digest_is_what_coreutils_computes(ready, place):
    run = ready
    run("scan", "model", "--record")
    line = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -d'\\n' sha256sum | sha256sum"
    digest = subprocess.run(["sh", "-c", line], cwd=place / "model", capture_output=True, text=True, check=True).stdout.split()[0]
    assert "model-scan" in run("evidence", "list", f"sha256:{digest}").stdout


def test_everything_wrong_with_a_policy_is_said_with_its_line(ready, place):
    (place / "p.yaml").write_text("name: x\nrequire:\n- kind: model-scam\n- {kind: vuln, max_age: never}\n")
    errors = ready("gate", "model", "--policy", "p.yaml", code=2).stderr
    assert "error[POL001]: p.yaml:3:" in errors
    assert "help: did you mean 'model-scan'?" in errors
    assert "error[POL001]: p.yaml:4:" in errors
    assert "error[POL003]" in ready("gate", "model", "--policy", "none.yaml", code=2).stderr


@pytest.mark.parametrize(
    "arguments,code,words",
    [
        (("gate", "nowhere"), 2, "USE010"),
        (("attest", "model", "--kind", "nonsense"), 2, "EVD009"),
        (("attest", "model", "--kind", "waiver", "--rule", "X"), 2, "waiver needs --owner"),
        (("attest", "model", "--topic", "x", "--statement", "y", "--rule", "z"), 2, "--rule says nothing about a statement"),
        (("attest", "model", "--topic", "x", "--statement", "y", "--expires", "soon"), 2, "EVD010"),
        (("attest", "model", "--topic", "x", "--statement", "y", "--expires", "2020-01-01"), 2, "has passed"),
        (("attest", "model", "--kind", "lineage", "--edge", "made-of=model"), 2, "RELATION=TARGET"),
        (("attest", "model", "--kind", "eval-result"), 2, "is given as JSON"),
        (("attest", "model", "--kind", "lineage", "--edge", "trained-from=model"), 2, "to itself"),
        (("attest", "model", "--bundle", "b.json", "--expires", "3d"), 2, "--expires: changes nothing of what --bundle says"),
        (("attest", "model", "--predicate", "p.json", "--topic", "x"), 2, "--topic: changes nothing of what --predicate says"),
        (("attest", "model", "--bundle", "stannary.toml"), 2, "SIG003"),
        (("evidence", "show", "abc"), 2, "EVD007"),
        (("evidence", "show", "abcdef"), 2, "names no evidence"),
        (("evidence", "list", "--kind", "model-scam"), 2, "EVD009"),
        (("lineage", "nobody"), 2, "LIN001"),
        (("gate", "model", "--format", "yaml"), 2, "there is no format 'yaml'"),
        (("gate", "model", "--format", "sarif=nowhere/x.sarif"), 2, "IO002"),
        (("gate", "model", "--export-input", "-"), 2, "stdout is for the report"),
        (("evidence", "export", "model"), 2, "EVD019"),
        (("ledger", "export", "model"), 2, "LED030"),
        (("scan", "model", "--record", "--no-digest"), 2, "USE012"),
        (("trust", "remove", "nobody"), 2, "TRU004"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(ready, arguments, code, words):
    done = ready(*arguments, code=code)
    assert words in done.stderr
    assert done.stdout == ""


def test_one_gate_run_writes_many_reports_and_decides_once(ready, place):
    run = ready
    done = run("gate", "model", "--format", "json", "--format", "sarif=g.sarif", "--format", "junit=g.xml", code=1)
    assert json.loads(done.stdout)["verdict"] == "deny"
    sarif = json.loads((place / "g.sarif").read_text())
    assert "stannary scan model --record" in sarif["runs"][0]["results"][0]["message"]["text"]
    assert "next: stannary scan model --record" in (place / "g.xml").read_text()
    run("gate", "model", "-o", "g.md", code=1)
    assert "`stannary scan model --record`" in (place / "g.md").read_text()
    kinds = [row["kind"] for row in json.loads(run("evidence", "list", "--format", "json").stdout)["evidence"]]
    assert kinds == ["vsa", "vsa"]


def test_a_gate_that_cannot_write_its_report_decides_nothing(ready, place):
    ready("gate", "model", "-o", "nowhere/g.json", code=2)
    assert json.loads(ready("ledger", "head", "--format", "json").stdout)["size"] == 0


def test_without_a_workspace_the_way_to_one_is_named(run):
    assert "help: `stannary init` makes one" in run("scan", "model", "--record", code=2).stderr
    assert "error[WSP001]" in run("gate", "model", code=2).stderr


def test_the_policy_goes_out_as_rego_and_comes_back_as_a_policy(ready, place):
    run = ready
    run("scan", "model", "--record")
    run("gate", "model", "--policy", "production", "--export-input", "in.json", "--export-rego", "p.rego", code=1)
    assert json.loads((place / "in.json").read_text())["schema"] == "stannary.gate-input/1"
    denied = json.loads(run("gate", "model", "--policy", "p.rego", "--engine", "regopy", "--format", "json", code=1).stdout)
    assert {row["message"].partition(" (judged from ")[0] for row in denied["reasons"]} == {
        "model-signature",
        "cyclonedx",
        "statement:approval",
    }
    assert denied["policy"]["name"] == "p.rego"
    assert "error[POL008]" in run("gate", "model", "--policy", "opa+http://127.0.0.1:9", code=2).stderr
    (place / "slip.rego").write_text("package stannary.gate\nimport rego.v1\ndeny contains msg if { msg := inputt.name }\n")
    slip = run("gate", "model", "--policy", "slip.rego", "--engine", "regopy", code=2)
    assert "error[POL006]: slip.rego:3: the variable 'inputt' is unsafe" in slip.stderr


@pytest.mark.parametrize(
    "content, says",
    [
        ('{"bad":', "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "missing required field"),
        ('{"topic": "t", "statement": 7, "author": "a"}', "Expected `str`"),
        ("\xff", "is not JSON"),
        ('{"topic": "approval", "topic": "t", "statement": "s", "author": "a"}', "stands twice"),
        (" " * ((1 << 26) + 1), "is larger than"),
    ],
)
def test_a_predicate_that_is_none_is_a_wrong_call_and_nothing_incomplete(ready, place, content, says):
    (place / "p.json").write_bytes(content.encode("latin-1"))
    for more in ((), ("-o", "out.json")):
        done = ready("attest", "model", "--predicate", "p.json", *more, code=2)
        assert says in done.stderr
        assert "error[EVD00" in done.stderr
    assert not (place / "out.json").exists()
    assert json.loads(ready("ledger", "audit", "--format", "json").stdout)["entries"] == 0


@pytest.mark.tree
def test_what_no_check_makes_is_stated_as_the_page_says_or_waived(ready, place):
    def fairness():
        told = json.loads(ready("gate", "model", "--policy", "high-risk", "--format", "json", code=1).stdout)
        (row,) = [row for row in told["reasons"] if row["rule"] == "eval-result:fairness"]
        return row

    before = fairness()
    assert not before["ok"]
    assert "stannary has no check of fairness yet" in before["help"]
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "gate-a-release.md").read_text(encoding="utf-8")
    (given,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    waived = re.search(r"stannary attest \S+ (--kind waiver .*)$", before["help"])
    assert waived is not None
    ready("attest", "model", *waived[1].split())
    assert fairness()["waiver"]
    (place / "fairness.json").write_text(given.replace('"passed"', '"failed"'))
    ready("attest", "model", "--kind", "eval-result", "--predicate", "fairness.json", "--expires", "90d")
    assert fairness()["waiver"]
    (place / "fairness.json").write_text(given)
    ready("attest", "model", "--kind", "eval-result", "--predicate", "fairness.json", "--expires", "90d")
    after = fairness()
    assert after["ok"]
    assert not after.get("waiver")
