"""`stannary keys`, `sign` and `verify` as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.powerless import powerless

from stannary.cli.main import run as main
from stannary.testing.certificates import issue

STANNARY = Path(sys.executable).with_name("stannary")


@pytest.fixture
def run(tmp_path):
    def call(*arguments, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
        more = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state"), **environment}
        command = [STANNARY, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | more, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "bert"
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(os.urandom(1000))
    (folder / "adapter" / "adapter.bin").write_bytes(b"adapter")
    return folder


@pytest.fixture
def key(run):
    assert run("keys", "generate", "k.pem", "--no-passphrase")[0] == 0
    return "k.pem"


def test_sign_and_verify(run, model, key):
    code, out, err = run("sign", "bert", "--key", key)
    assert (code, err) == (0, "")
    assert "3 files" in out
    assert run("verify", "bert", "--key", "k.pub")[0] == 0
    (model / "config.json").write_text("[]")
    (model / "run.py").write_text("")
    (model / "weights.bin").unlink()
    code, out, err = run("verify", "bert", "--key", "k.pub")
    assert code == 1
    assert out.startswith("refused")
    errors = [line for line in err.splitlines() if line.startswith("error")]
    assert [line.partition("]")[0] for line in errors] == ["error[SIG005", "error[SIG006", "error[SIG004"]
    assert "signature does not cover run.py" in errors[2]
    assert err.count("help: ") == 3


def test_json_and_its_schemas(run, model, key):
    import jsonschema

    outputs = {
        "sign": run("sign", "bert", "--key", key, "--format", "json"),
        "verify": run("verify", "bert", "--key", "k.pub", "--format", "json"),
        "keys": run("keys", "list", ".", "--format", "json"),
    }
    for name, (code, out, _) in outputs.items():
        assert code == 0
        jsonschema.validate(json.loads(out), json.loads(run("schema", name)[1]))
    signed, verified = json.loads(outputs["sign"][1]), json.loads(outputs["verify"][1])
    assert signed["artifact"] == verified["artifact"]
    assert verified["outcome"] == "verified"


def test_a_part_is_partial(run, model, key):
    run("sign", "bert", "--key", key)
    (model / "weights.bin").write_bytes(b"")
    code, out, _ = run("verify", "bert", "--key", "k.pub", "--only", "adapter/*", "--format", "json")
    assert (code, json.loads(out)["outcome"], json.loads(out)["checked"]) == (3, "partial", 1)
    code, _, err = run("verify", "bert", "--key", "k.pub", "--only", "nothing/*")
    assert code == 2
    assert "error[SIG014]" in err


def test_unsigned_files(run, model, key):
    run("sign", "bert", "--key", key)
    (model / "notes.md").write_text("")
    assert run("verify", "bert", "--key", "k.pub")[0] == 1
    assert run("verify", "bert", "--key", "k.pub", "--ignore", "notes.md")[0] == 0
    code, out, _ = run("verify", "bert", "--key", "k.pub", "--ignore-unsigned")
    assert code == 0
    assert "1 file that no signature covers" in out


def test_passphrases(run, model):
    code, _, err = run("keys", "generate", "k.pem")
    assert code == 2
    assert "error[KEY003]" in err
    assert run("keys", "generate", "k.pem", STANNARY_PASSPHRASE="one")[0] == 0
    assert run("sign", "bert", "--key", "k.pem")[0] == 2
    assert run("sign", "bert", "--key", "k.pem", STANNARY_PASSPHRASE="two")[0] == 2
    assert run("sign", "bert", "--key", "k.pem", STANNARY_PASSPHRASE="one")[0] == 0
    assert run("keys", "protect", "k.pem", "--new-passphrase-env", "NEW", STANNARY_PASSPHRASE="one", NEW="two")[0] == 0
    assert run("sign", "bert", "--key", "k.pem", STANNARY_PASSPHRASE="one")[0] == 2
    assert run("keys", "protect", "k.pem", "--no-passphrase", STANNARY_PASSPHRASE="two")[0] == 0
    assert run("sign", "bert", "--key", "k.pem")[0] == 0
    assert run("verify", "bert", "--key", "k.pub")[0] == 0


def test_keys_are_shown_and_never_overwritten(run, key, tmp_path):
    code, out, _ = run("keys", "public", key)
    assert (code, out) == (0, (tmp_path / "k.pub").read_text())
    code, _, err = run("keys", "generate", "k.pem", "--no-passphrase")
    assert code == 2
    assert "error[KEY005]" in err
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600
    assert run("keys", "generate", "other.pem", "--algorithm", "ed25519", STANNARY_PASSPHRASE="x")[0] == 0
    out = run("keys", "list", ".")[1]
    assert [line.split()[1:3] for line in out.splitlines()] == [
        ["ecdsa-p256-sha256", "not"],
        ["ecdsa-p256-sha256", "public"],
        ["ed25519", "protected"],
        ["ed25519", "public"],
    ]


def test_a_key_that_encrypts_others(run, tmp_path):
    from stannary.crypto.providers.opening import open_wrapper

    made = json.loads(run("keys", "generate", "w.key", "--algorithm", "wrapping", "--format", "json", STANNARY_PASSPHRASE="x")[1])
    assert made["keys"][0]["keyid"] == open_wrapper(str(tmp_path / "w.key"), b"x").key_id
    assert not (tmp_path / "w.pub").exists()
    assert run("keys", "list", ".")[1].split()[1:3] == ["wrapping", "protected"]
    assert "error[KEY005]" in run("keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase")[2]
    assert run("keys", "protect", "w.key", "--no-passphrase", STANNARY_PASSPHRASE="x")[0] == 0
    assert open_wrapper(str(tmp_path / "w.key")).key_id == made["keys"][0]["keyid"]
    assert made["keys"][0]["keyid"] in run("keys", "list", ".", "--format", "json")[1]
    assert run("sign", ".", "--key", "w.key")[0] == 2


def test_the_key_of_the_workspace_is_the_default(run, model, tmp_path):
    code, _, err = run("sign", "bert")
    assert code == 2
    assert "error[SIG019]" in err
    code, _, err = run("verify", "bert", "--signature", "bert.sig")
    assert code == 2
    assert "error[SIG018]" in err
    assert run("init", STANNARY_PASSPHRASE="x")[0] == 0
    assert run("sign", "bert", STANNARY_PASSPHRASE="x")[0] == 0
    assert run("verify", "bert")[0] == 0
    run("keys", "generate", "k.pem", "--no-passphrase")
    run("sign", "bert", "--key", "k.pem")
    code, _, err = run("verify", "bert")
    assert code == 1
    assert "error[SIG010]: the signature is of key " in err


def test_certificates(run, model, tmp_path):
    root = issue("root", ca=True)
    leaf = issue("signer", root)
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    leaf.key.write(tmp_path / "leaf.key", None)
    assert run("sign", "bert", "--key", "leaf.key", "--certificate", "leaf.pem")[0] == 0
    code, out, _ = run("verify", "bert", "--certificate-chain", "root.pem")
    assert code == 0
    assert "CN=signer" in out
    assert "CN=root" in out
    code, _, err = run("verify", "bert", "--certificate-chain", "root.pem", "--at", "2020-01-01")
    assert code == 1
    assert "error[SIG022]" in err
    code, _, err = run("verify", "bert", "--key", "leaf.key")
    assert code == 2  # 3 says that a part was verified
    assert "error[KEY001]: leaf.key: is not a public key in PEM" in err
    assert "https://" not in err
    code, _, err = run("verify", "bert", "--certificate-chain", "leaf.key")
    assert code == 2
    assert "error[SIG026]: leaf.key: holds no certificate" in err
    assert run("sign", "bert", "--key", "leaf.key", "--certificate-chain", "root.pem")[0] == 2


@pytest.mark.parametrize(
    "arguments, code, error",
    [
        (("sign", "nowhere", "--key", "k.pem"), 2, "SCAN001"),
        (("sign", "hf://org/model", "--key", "k.pem"), 2, "SIG019"),
        (("sign", "bert", "--key", "gone.pem"), 2, "KEY007"),
        (("sign", "bert", "--key", "k.pub"), 2, "KEY002"),
        (("sign", "bert", "--key", "bert"), 2, "KEY007"),
        (("verify", "bert", "--key", "k.pub", "--certificate-chain", "k.pub"), 2, "SIG018"),
        (("sign", "bert", "--key", "vault:transit/k", "--offline"), 2, "KEY017"),
        (("sign", "bert", "--key", "k.pem", "--ignore", "*.bin"), 2, "SIG016"),
        (("sign", "bert", "--key", "k.pem", "--shard-size", "0"), 2, "USE001"),
        (("verify", "bert", "--key", "k.pub", "--signature", "gone.sig"), 2, "SIG017"),
        (("verify", "bert", "--key", "k.pub", "--signature", "k.pub"), 1, "SIG003"),
        (("verify", "bert", "--key", "gone.pub", "--signature", "k.pub"), 2, "KEY007"),
        (("verify", "bert", "--key", ""), 2, "USE010"),  # and not verified by the workspace's keys
        (("verify", "bert", "--identity", "", "--issuer", ""), 2, "USE010"),
        (("verify", "bert", "--key", "k.pub", "--signature", ""), 2, "USE010"),
        (("sign", "bert", "--key", ""), 2, "USE010"),
        (("sign", ""), 2, "USE010"),
    ],
)
def test_what_cannot_be_done_is_said(run, model, key, arguments, code, error):
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert f"error[{error}]" in err
    assert "help: " in err
    assert "Traceback" not in err


def test_shards_from_the_command_line(run, model, key):
    assert run("sign", "bert", "--key", key, "--shard-size", "1K")[0] == 0
    code, out, _ = run("verify", "bert", "--key", "k.pub")
    assert code == 0
    assert "3 of 3 signed files" in out


@pytest.mark.parametrize("more", [(), ("--only", "*.bin")])
def test_a_file_that_cannot_be_read_is_refused_and_no_part(run, model, key, tmp_path, capsys, more):
    assert run("sign", "bert", "--key", key)[0] == 0
    line = ["verify", str(model), "--key", str(tmp_path / "k.pub"), *more]
    (model / "weights.bin").chmod(0)
    assert powerless(lambda: main(line)) == 1
    out, err = capsys.readouterr()
    assert out.startswith("refused")
    assert "error[SIG015]: weights.bin" in err
