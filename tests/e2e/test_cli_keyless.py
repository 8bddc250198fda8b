"""Keyless signatures as a user makes and verifies them: `trust init|issuer|show|audit|rotate|revoke`, `sign`, `verify`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.log import SignatureLog
from stannary.evidence.keyless.material import KeylessMaterial
from stannary.evidence.oms.sign import sign_model, write_signature
from stannary.evidence.workspace import Workspace
from stannary.testing.identity_provider import IdentityProvider

STANNARY = str(Path(sys.executable).with_name("stannary"))
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("STANNARY_", "ACTIONS_", "SIGSTORE_"))}


@pytest.fixture(scope="module")
def idp():
    with IdentityProvider() as provider:
        yield provider


class Site:
    """A folder with an authority and a model, and one without, to which only what verifiers need is carried."""

    def __init__(self, folder, idp):
        self.idp = idp
        self.inside, self.outside = folder / "inside", folder / "outside"
        for place in (self.inside, self.outside):
            place.mkdir()
            (place / "model").mkdir()
            (place / "model" / "weights.bin").write_bytes(b"weights" * 999)
            (place / "model" / "config.json").write_text("{}")
        self.who = ["--identity", "alice@example.com", "--issuer", idp.url]

    def run(self, *arguments, cwd=None, stdin="", **environment):
        done = subprocess.run(
            [STANNARY, *map(str, arguments)], cwd=cwd or self.inside, env=CLEAN | environment, input=stdin,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def ok(self, *arguments, **more):
        code, out, err = self.run(*arguments, **more)
        assert code == 0, err
        return out

    def carry(self, *names):
        authority = self.inside / ".stannary" / "authority"
        for name in (*names, "trust_config.json", "trusted_root.json", "trusted_root.dsse.json", "root.pub"):
            shutil.copy((authority if (authority / name).exists() else self.inside) / name, self.outside)
        if (self.inside / "model.sig").exists():
            shutil.copy(self.inside / "model.sig", self.outside)

    def verify(self, *arguments):
        return self.run("verify", "model", "--trust-config", "trust_config.json", *self.who, *arguments, cwd=self.outside)

    def refused(self, *arguments):
        code, _, err = self.run(*arguments)
        return code, err.partition("]")[0].removeprefix("error[")


@pytest.fixture
def site(tmp_path, idp):
    made = Site(tmp_path, idp)
    made.ok("trust", "init", ".", "--no-passphrase", "--origin", "test/log")
    made.ok("trust", "issuer", idp.url)
    return made


def test_from_a_token_to_a_verified_model_elsewhere(site):
    (site.inside / "token").write_text(site.idp.token() + "\n")
    out = site.ok("sign", "model", "--keyless", "--identity-token", "token")
    assert f"as         alice@example.com, by the word of {site.idp.url}" in out
    site.carry()
    code, out, err = site.verify()
    assert (code, err) == (0, "")
    assert "signed by  alice@example.com" in out
    code, out, _ = site.verify("--format", "json")
    found = json.loads(out)
    assert (found["outcome"], found["signer"]["method"], found["signer"]["issuer"]) == ("verified", "sigstore", site.idp.url)
    assert found["signer"]["signed_at"]
    pinned = ["--trusted-root", "trusted_root.dsse.json", "--root-key", "root.pub"]
    assert site.run("verify", "model", *pinned, *site.who, cwd=site.outside)[0] == 0
    # Where the authority is, nothing needs to be named but who.
    site.ok("verify", "model", *site.who)
    (site.outside / "model" / "config.json").write_text("[]")
    code, _, err = site.verify()
    assert code == 1
    assert "error[SIG005]" in err


def test_whom_and_by_whose_word_has_to_be_said(site):
    site.ok("sign", "model", "--keyless", STANNARY_ID_TOKEN=site.idp.token())
    site.carry()
    assert site.refused("verify", "model", "--identity", "bob@example.com", "--issuer", site.idp.url) == (1, "SIG037")
    assert site.refused("verify", "model", "--identity", "alice@example.com", "--issuer", "https://evil.example") == (1, "SIG038")
    for partial in (["--identity", "alice@example.com"], ["--issuer", site.idp.url], ["--trust-config", "x.json"]):
        assert site.refused("verify", "model", *partial) == (2, "SIG018")
    assert site.refused("verify", "model", *site.who, "--key", "k.pub") == (2, "SIG018")
    assert site.refused("verify", "model", *site.who, "--at", "2026-01-01") == (2, "SIG018")
    assert site.refused("verify", "model", *site.who, "--trust-config", "none.json") == (2, "SIG041")
    assert site.refused("verify", "model", *site.who, "--trusted-root", "sigstore.dev") == (1, "SIG042")
    code, _, err = site.run("verify", "model", *site.who, cwd=site.outside)
    assert (code, "error[SIG018]" in err) == (2, True)  # no workspace, no trusted root


def test_where_the_token_comes_from(site):
    token = site.idp.token()
    site.ok("sign", "model", "--keyless", "--identity-token", "-", stdin=token)
    site.ok("sign", "model", "--keyless", STANNARY_ID_TOKEN=token)
    site.ok("sign", "model", "--keyless", SIGSTORE_ID_TOKEN=token)
    runner = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{site.idp.url}/token?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": site.idp.secret}
    site.ok("sign", "model", "--keyless", **runner)
    code, _, err = site.run("sign", "model", "--keyless", "--offline", **runner)
    assert (code, "error[OID011]" in err) == (2, True)
    assert site.refused("sign", "model", "--keyless") == (2, "OID011")
    assert site.refused("sign", "model", "--keyless", "--identity-token", "none") == (2, "OID011")
    assert site.refused("sign", "model", "--keyless", "--key", "k.pem") == (2, "SIG025")
    (site.inside / "nonce").write_text(site.idp.token(nonce="n-1"))
    site.ok("sign", "model", "--keyless", "--identity-token", "nonce", "--nonce", "n-1")
    assert site.refused("sign", "model", "--keyless", "--identity-token", "nonce", "--nonce", "n-2") == (1, "OID007")


@pytest.mark.parametrize(
    "claims, code",
    [
        ({"aud": "sigstore"}, "OID005"),
        ({"exp": 1000000000, "iat": 999999999}, "OID006"),
        ({"iss": "https://evil.example"}, "OID004"),
        ({"email_verified": False}, "OID008"),
    ],
)
def test_tokens_that_are_refused_sign_nothing(site, claims, code):
    (site.inside / "token").write_text(site.idp.token(**claims))
    assert site.refused("sign", "model", "--keyless", "--identity-token", "token") == (1, code)
    assert not (site.inside / "model.sig").exists()
    assert json.loads(site.ok("trust", "audit", "--format", "json"))["signatures"] == []


def test_nothing_is_printed_of_a_token(site):
    token = site.idp.token()
    for arguments in (["--keyless"], ["--keyless", "-vv"], ["--keyless", "--nonce", "x"]):
        _, out, err = site.run("sign", "model", *arguments, STANNARY_ID_TOKEN=token)
        assert token.rpartition(".")[2] not in out + err
    written = b"".join(path.read_bytes() for path in (site.inside / ".stannary").rglob("*") if path.is_file())
    assert token.rpartition(".")[2].encode() not in written


def test_rotation_keeps_what_was_signed(site):
    root_key = site.inside.parent / "root.pem"
    (site.inside / ".stannary" / "authority" / "root.pem").rename(root_key)
    site.ok("sign", "model", "--keyless", STANNARY_ID_TOKEN=site.idp.token())
    assert site.refused("trust", "rotate", "ca", "--no-passphrase") == (2, "TRU013")
    for what in ("ca", "ct", "log"):
        site.ok("trust", "rotate", what, "--no-passphrase", "--root-key", root_key)
    site.carry()
    assert site.verify()[0] == 0
    shown = json.loads(site.ok("trust", "show", "--format", "json"))
    assert [(key["kind"], key["number"], key["end"] is None) for key in shown["keys"]] == [
        ("ca", 1, False), ("ca", 2, True), ("ct", 1, False), ("ct", 2, True), ("log", 1, False), ("log", 2, True),
    ]  # fmt: skip
    assert site.ok("trust", "show").count("until") == 3


def test_revocation_here_and_by_a_list_elsewhere(site):
    site.ok("sign", "model", "--keyless", STANNARY_ID_TOKEN=site.idp.token())
    site.ok("verify", "model", *site.who)
    site.ok("trust", "revoke", "certificate", "model.sig", "--reason", "laptop lost")
    code, _, err = site.run("verify", "model", *site.who)
    assert code == 1
    assert "error[SIG040]" in err
    assert "laptop lost" in err
    site.ok("trust", "revocations", "-o", "revoked.json")
    site.carry("revoked.json")
    assert site.verify()[0] == 0  # nobody told them
    code, _, err = site.verify("--revocations", "revoked.json")
    assert (code, "error[SIG040]" in err) == (1, True)
    (site.outside / "revoked.json").write_text((site.outside / "revoked.json").read_text().replace('"sig":"M', '"sig":"N'))
    assert site.verify("--revocations", "revoked.json")[0] == 1
    site.ok("trust", "revoke", "certificate", "model.sig", "--lift")
    site.ok("verify", "model", *site.who)
    site.ok("trust", "revoke", "identity", "alice@example.com", "--since", "2099-01-01")
    site.ok("verify", "model", *site.who)  # what was signed before stands
    site.ok("trust", "revoke", "key", "model.sig")
    assert site.refused("verify", "model", *site.who) == (1, "SIG040")
    assert site.refused("trust", "revoke", "certificate", "none.pem") == (2, "USE010")
    assert site.refused("trust", "revoke", "identity", "x", "--since", "soon") == (2, "EVD010")
    assert site.ok("trust", "show").count("revoked") == 2


def test_an_audit_finds_what_was_not_issued_here(site, tmp_path):
    site.ok("sign", "model", "--keyless", STANNARY_ID_TOKEN=site.idp.token())
    assert "alice@example.com" in site.ok("trust", "audit")
    # Whoever stole the authority's folder signs with a ledger of their own, into the log that counts.
    thief = tmp_path / "thief"
    thief.mkdir()
    workspace = Workspace.create(thief, passphrase=None, origin="test/log")
    workspace.ledger(write=True).close()
    shutil.copytree(site.inside / ".stannary" / "authority", workspace.root / "authority")
    stolen = Authority(workspace)
    ours = site.inside / ".stannary" / "authority"
    stolen.signature_log = lambda write=False: SignatureLog(
        ours / "log-1.db", stolen.log_name(1), stolen.public("log", 1), stolen.key("log") if write else None
    )
    signed = sign_model(str(site.inside / "model"), KeylessMaterial(stolen, site.idp.token(email="mallory@example.com")))
    write_signature(str(tmp_path / "forged.sig"), signed.bundle)
    who = ["--identity", "mallory@example.com", "--issuer", site.idp.url]
    site.ok("verify", "model", "--signature", tmp_path / "forged.sig", *who)  # their keys are the right ones
    code, out, err = site.run("trust", "audit")
    assert code == 1
    assert "error[TRU018]: log-1, entry 1" in err
    assert "mallory@example.com" in out
    rows = json.loads(site.run("trust", "audit", "--format", "json")[1])["signatures"]
    assert [row["issued"] for row in rows] == [True, False]


def test_keys_are_protected_with_a_passphrase(tmp_path, idp):
    site = Site(tmp_path, idp)
    code, _, err = site.run("trust", "init", ".")
    assert (code, "error[KEY003]" in err) == (2, True)
    site.ok("trust", "init", ".", STANNARY_PASSPHRASE="secret")
    site.ok("trust", "issuer", idp.url, STANNARY_PASSPHRASE="secret")
    token = {"STANNARY_ID_TOKEN": idp.token()}
    assert site.run("sign", "model", "--keyless", **token)[0] == 2
    assert site.run("sign", "model", "--keyless", STANNARY_PASSPHRASE="wrong", **token)[0] == 2
    site.ok("sign", "model", "--keyless", STANNARY_PASSPHRASE="secret", **token)
    site.ok("verify", "model", *site.who)  # needs no key


def test_the_authority_of_a_workspace_that_is_there(tmp_path, idp):
    site = Site(tmp_path, idp)
    assert site.refused("trust", "init") == (2, "WSP001")
    site.ok("init", "--no-passphrase")
    assert site.refused("trust", "show") == (2, "TRU010")
    out = site.ok("trust", "init", "--no-passphrase")
    assert out.strip().endswith("trust_config.json")
    assert site.refused("trust", "init", "--no-passphrase") == (2, "TRU012")
    assert site.refused("trust", "issuer", "http://idp.example") == (2, "OID010")
    (site.inside / "jwks.json").write_bytes(idp.jwks)
    site.ok("trust", "issuer", "https://idp.example", "--jwks", "jwks.json", "--audience", "ml", "--kind", "user")
    assert "https://idp.example  audience ml, names by user" in site.ok("trust", "show")
    (site.inside / "jwks.json").write_text("{}")
    assert site.refused("trust", "issuer", "https://idp.example", "--jwks", "jwks.json") == (2, "OID009")


def test_a_file_that_somebody_signed_with_the_public_instance(site, root):
    golden = root / "tests" / "golden" / "sigstore"
    who = ["--identity", "919436158236-compute@developer.gserviceaccount.com", "--issuer", "https://accounts.google.com"]
    line = ["verify", golden / "google.tar.gz", "--signature", golden / "google.sigstore.json", "--trusted-root", "sigstore.dev"]
    out = site.ok(*line, *who, "--format", "json")
    assert json.loads(out)["signer"]["subject"] == who[1]
    assert site.refused(*line, "--identity", "alice@example.com", "--issuer", "https://accounts.google.com") == (1, "SIG037")
    other = [*line[:1], golden / "README.md", *line[2:]]
    assert site.refused(*other, *who) == (1, "SIG005")
