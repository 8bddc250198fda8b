"""model_signing 1.1.1 accepts what we sign, we accept what it signs, and both refuse what was changed."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import stannary
from stannary.core.errors import IntegrityError
from stannary.crypto.keys import generate
from stannary.evidence.oms.bundle import read_bundle
from stannary.evidence.oms.manifest import PREDICATE, parse_manifest
from stannary.evidence.oms.sign import SignOptions
from stannary.testing.certificates import issue, pem_of

CURVES = ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"]


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a.txt").write_text("sorts differently by parts and by text")
    (folder / "a" / "b" / "weights.bin").write_bytes(os.urandom(700_000))
    (folder / "a" / "empty").write_bytes(b"")
    (folder / "名前 with space.json").write_text("{}")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    (folder / "a" / ".gitignore").write_text("*.tmp\n")
    return folder


@pytest.fixture
def keys(tmp_path):
    def make(algorithm):
        key = generate(algorithm)
        key.write(tmp_path / "k.pem", None)
        (tmp_path / "k.pub").write_bytes(key.public.pem())
        return tmp_path / "k.pem", tmp_path / "k.pub"

    return make


def with_one_bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("algorithm", CURVES)
def test_it_verifies_ours_with_a_key(model, keys, tmp_path, model_signing, algorithm):
    private, public = keys(algorithm)
    stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    arguments = ("verify", "key", model, "--signature", tmp_path / "ours.sig", "--public_key", public)
    assert model_signing(*arguments)[0] == 0
    with_one_bit_flipped(model / "a" / "b" / "weights.bin")
    code, text = model_signing(*arguments)
    assert code != 0
    assert "Hash mismatch" in text
    assert "a/b/weights.bin" in text


@pytest.mark.parametrize("algorithm", CURVES)
def test_we_verify_its_with_a_key(model, keys, tmp_path, model_signing, algorithm):
    private, public = keys(algorithm)
    code, text = model_signing("sign", "key", model, "--signature", tmp_path / "its.sig", "--private_key", private)
    assert code == 0, text
    assert stannary.verify(model, signature=tmp_path / "its.sig", key=public).outcome == "verified"
    with_one_bit_flipped(model / "a" / "b" / "weights.bin")
    with pytest.raises(ExceptionGroup) as raised:
        stannary.verify(model, signature=tmp_path / "its.sig", key=public)
    assert [(error.code, error.where) for error in raised.value.exceptions] == [("SIG005", "a/b/weights.bin")]


def test_both_sign_the_same_manifest(model, keys, tmp_path, model_signing):
    private, _ = keys(CURVES[0])
    stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    model_signing("sign", "key", model, "--signature", tmp_path / "its.sig", "--private_key", private)
    ours, its = (parse_manifest(read_bundle((tmp_path / f"{who}.sig").read_bytes()).payload) for who in ("ours", "its"))
    assert set(ours.resources) == set(its.resources)
    assert set(ours.serialization.ignore_paths) == set(its.serialization.ignore_paths)
    assert ours.name == its.name
    hints = [json.loads((tmp_path / f"{who}.sig").read_text())["verificationMaterial"] for who in ("ours", "its")]
    assert hints[0] == hints[1]


def test_the_root_is_the_same_where_both_orders_are(tmp_path, keys, model_signing):
    model = tmp_path / "flat"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_text(name)
    private, _ = keys(CURVES[0])
    ours = stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    model_signing("sign", "key", model, "--signature", tmp_path / "its.sig", "--private_key", private)
    assert ours.root == parse_manifest(read_bundle((tmp_path / "its.sig").read_bytes()).payload).root


def test_a_single_file_goes_both_ways(model, keys, tmp_path, model_signing):
    private, public = keys(CURVES[0])
    path = model / "a" / "b" / "weights.bin"
    stannary.sign(path, key=private, output=tmp_path / "ours.sig")
    assert model_signing("verify", "key", path, "--signature", tmp_path / "ours.sig", "--public_key", public)[0] == 0
    assert model_signing("sign", "key", path, "--signature", tmp_path / "its.sig", "--private_key", private)[0] == 0
    assert stannary.verify(path, signature=tmp_path / "its.sig", key=public).outcome == "verified"


def test_ignored_paths_and_a_signature_inside_go_both_ways(model, keys, tmp_path, model_signing):
    private, public = keys(CURVES[0])
    inside = model / "model.sig"
    stannary.sign(model, key=private, output=inside, options=SignOptions(ignore=("a/b",)))
    (model / "a" / "b" / "later").write_text("not signed")
    assert model_signing("verify", "key", model, "--signature", inside, "--public_key", public)[0] == 0
    code, text = model_signing(
        "sign", "key", model, "--signature", inside, "--private_key", private, "--ignore-paths", model / "a" / "b"
    )
    assert code == 0, text
    (model / "a" / "b" / "later").write_text("still not signed")
    assert stannary.verify(model, signature=inside, key=public).outcome == "verified"


def test_links_go_both_ways(model, keys, tmp_path, model_signing):
    private, public = keys(CURVES[0])
    (model / "link.bin").symlink_to("a/b/weights.bin")
    stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    arguments = ("verify", "key", model, "--signature", tmp_path / "ours.sig", "--public_key", public)
    assert model_signing(*arguments, "--allow_symlinks")[0] == 0
    code, text = model_signing(
        "sign", "key", model, "--signature", tmp_path / "its.sig", "--private_key", private, "--allow_symlinks"
    )
    assert code == 0, text
    assert stannary.verify(model, signature=tmp_path / "its.sig", key=public).outcome == "verified"


API = """
import sys, pathlib
from model_signing import hashing, signing, verifying
verb, model, signature, key, algorithm, shard = sys.argv[1:]
config = hashing.Config()
if int(shard):
    config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=int(shard))
else:
    config.use_file_serialization(hashing_algorithm=algorithm)
if verb == "sign":
    signer = signing.Config.__new__(signing.Config)
    signer._signer = None
    signer.use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(model, signature)
else:
    verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(config).verify(pathlib.Path(model), signature)
"""


def test_shards_go_both_ways(model, keys, tmp_path, oracles):
    private, public = keys(CURVES[0])
    (model / "a" / "empty").unlink()  # by the specification shards cover no empty file

    def run(verb, signature, key):
        command = [oracles / "python", "-c", API, verb, model, tmp_path / signature, key, "sha256", "65536"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    stannary.sign(model, key=private, output=tmp_path / "ours.sig", options=SignOptions(shard_size=65536))
    done = run("verify", "ours.sig", public)
    assert done.returncode == 0, done.stderr
    done = run("sign", "its.sig", private)
    assert done.returncode == 0, done.stderr
    assert stannary.verify(model, signature=tmp_path / "its.sig", key=public).outcome == "verified"
    with_one_bit_flipped(model / "a" / "b" / "weights.bin")
    assert "Hash mismatch" in run("verify", "ours.sig", public).stderr
    with pytest.raises(ExceptionGroup):
        stannary.verify(model, signature=tmp_path / "its.sig", key=public)


@pytest.mark.parametrize("algorithm", ["blake2", "blake3"])
def test_we_verify_its_other_hashes(model, keys, tmp_path, oracles, algorithm):
    private, public = keys(CURVES[0])
    command = [oracles / "python", "-c", API, "sign", model, tmp_path / "its.sig", private, algorithm, "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert stannary.verify(model, signature=tmp_path / "its.sig", key=public).outcome == "verified"
    with_one_bit_flipped(model / "a" / "b" / "weights.bin")
    with pytest.raises(ExceptionGroup):
        stannary.verify(model, signature=tmp_path / "its.sig", key=public)


@pytest.fixture
def chain(tmp_path):
    """Write a root, an intermediate authority and a signer, and return the paths."""
    root = issue("root", ca=True, days=(-60, 90))
    middle = issue("middle", root, ca=True, days=(-60, 90))

    def make(**more):
        leaf = issue("signer", middle, **more)
        for name, content in (("root", root.pem), ("middle", middle.pem), ("leaf", leaf.pem)):
            (tmp_path / f"{name}.pem").write_bytes(content)
        (tmp_path / "leaf.key").unlink(missing_ok=True)
        leaf.key.write(tmp_path / "leaf.key", None)
        return tmp_path

    return make


@pytest.mark.parametrize("algorithm", CURVES)
def test_certificates_go_both_ways(model, chain, model_signing, algorithm):
    at = chain(key=generate(algorithm))
    stannary.sign(
        model, key=at / "leaf.key", output=at / "ours.sig", certificate=at / "leaf.pem", certificate_chain=[at / "middle.pem"]
    )
    arguments = ("verify", "certificate", model, "--certificate_chain", at / "root.pem")
    code, text = model_signing(*arguments, "--signature", at / "ours.sig")
    assert code == 0, text
    code, text = model_signing(
        "sign", "certificate", model, "--signature", at / "its.sig", "--private_key", at / "leaf.key",
        "--signing_certificate", at / "leaf.pem", "--certificate_chain", at / "middle.pem", "--certificate_chain", at / "root.pem",
    )  # fmt: skip
    assert code == 0, text
    found = stannary.verify(model, signature=at / "its.sig", certificate_chain=[at / "root.pem"])
    assert (found.signer.subject, found.signer.issuer) == ("CN=signer", "CN=middle")
    other = issue("other", ca=True)
    (at / "other.pem").write_bytes(pem_of([other.certificate]))
    with pytest.raises(IntegrityError) as raised:
        stannary.verify(model, signature=at / "its.sig", certificate_chain=[at / "other.pem"])
    assert raised.value.code == "SIG023"


def test_it_accepts_an_expired_certificate_and_we_do_not(model, chain, model_signing):
    """The reason to be strict: nothing in such a bundle proves when it was signed."""
    at = chain(days=(-30, -1))
    code, text = model_signing(
        "sign", "certificate", model, "--signature", at / "its.sig", "--private_key", at / "leaf.key",
        "--signing_certificate", at / "leaf.pem", "--certificate_chain", at / "middle.pem",
    )  # fmt: skip
    assert code == 0, text
    arguments = ("verify", "certificate", model, "--certificate_chain", at / "root.pem", "--signature", at / "its.sig")
    code, text = model_signing(*arguments)
    assert code == 0, text
    with pytest.raises(IntegrityError) as raised:
        stannary.verify(model, signature=at / "its.sig", certificate_chain=[at / "root.pem"])
    assert raised.value.code == "SIG021"
    with pytest.raises(IntegrityError) as raised:
        stannary.sign(model, key=at / "leaf.key", output=at / "x.sig", certificate=at / "leaf.pem")
    assert raised.value.code == "SIG021"


def test_openssl_verifies_our_envelope(model, keys, tmp_path):
    private, public = keys(CURVES[1])
    made = stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    payload, kind = made.bundle.payload, made.bundle.dsse_envelope.payload_type.encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "raw").write_bytes(made.bundle.signature)
    command = ["openssl", "dgst", "-sha384", "-verify", public, "-signature", tmp_path / "raw", tmp_path / "pae"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "Verified OK"


def test_sha256sum_says_the_same_digests_and_root(model, keys, tmp_path):
    """GNU coreutils alone make the list and the root that are signed."""
    private, _ = keys(CURVES[0])
    made = stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    statement = json.loads(made.bundle.payload)
    lines = ["find . -type f -not -path ./.gitattributes -print0", "cut -z -c3-", "LC_ALL=C sort -z", "xargs -0 sha256sum"]

    def printed(*more):
        command = ["bash", "-o", "pipefail", "-c", " | ".join([*lines, *more])]
        return subprocess.run(command, cwd=model, capture_output=True, text=True, check=True).stdout

    pairs = [line.split("  ", 1) for line in printed().splitlines()]
    assert len(pairs) == 5
    assert [(row["digest"], row["name"]) for row in statement["predicate"]["resources"]] == [tuple(pair) for pair in pairs]
    (root,) = printed("cut -c-64", "tr -d '\\n'", "tr a-f A-F", "basenc --base16 -d", "sha256sum").split("  -")[:-1]
    assert statement["subject"][0]["digest"]["sha256"] == root == made.root


@pytest.mark.parametrize("algorithm", [*CURVES, "ed25519"])
def test_securesystemslib_verifies_our_envelope(model, keys, tmp_path, oracles, algorithm):
    private, public = keys(algorithm)
    made = stannary.sign(model, key=private, output=tmp_path / "ours.sig")
    envelope = json.loads((tmp_path / "ours.sig").read_text())["dsseEnvelope"]
    program = Path(__file__).parent / "programs" / "in_toto.py"

    def answer():
        (tmp_path / "envelope.json").write_text(json.dumps(envelope))
        command = [oracles / "python", program, "read", tmp_path / "envelope.json", public]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    found = answer()
    assert (found["verified"], found["keys"], found["name"]) == (True, 1, "model")
    assert (found["predicateType"], found["subject"]["sha256"]) == (PREDICATE, made.root)
    envelope["payload"] = envelope["payload"].replace("A", "B", 1)
    assert not answer()["verified"]
