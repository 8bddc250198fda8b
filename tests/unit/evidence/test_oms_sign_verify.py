"""Model signatures: signed and verified, and every difference told by its path."""

import json
import os
import subprocess

import pytest

import stannary
from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.keys import generate, read_public
from stannary.evidence.oms.bundle import read_bundle, strict_json, write_bundle
from stannary.evidence.oms.key import KeyMaterial, KeyTrust
from stannary.evidence.oms.manifest import parse_manifest
from stannary.evidence.oms.sign import SignOptions, sign_model
from stannary.evidence.oms.verify import VerifyOptions, examine_model, verify_model

KEY = generate()
TRUST = KeyTrust(KEY.public)
BIG = 600_000  # above what is hashed inline


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "bert"
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.json").write_text('{"layers": 12}')
    (folder / "weights.bin").write_bytes(os.urandom(BIG))
    (folder / "adapter" / "adapter.bin").write_bytes(b"adapter")
    (folder / "adapter" / "__init__.py").write_bytes(b"")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]\n")
    return folder


def signed(model, **options):
    return sign_model(str(model), KeyMaterial(KEY), SignOptions(**options))


def codes(model, bundle, **options):
    return sorted((item.code, item.path) for item in examine_model(str(model), bundle, TRUST, VerifyOptions(**options)).differences)


def test_what_was_signed_verifies(model):
    made = signed(model)
    found = verify_model(str(model), made.bundle, TRUST)
    assert (found.outcome, found.checked, found.manifest.name) == ("verified", 4, "bert")
    assert found.size == made.size == BIG + 14 + 7
    assert found.signer.keyid == KEY.public.keyid
    assert found.manifest.paths == {"config.json", "weights.bin", "adapter/adapter.bin", "adapter/__init__.py"}


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519"])
def test_every_kind_of_key_signs(model, algorithm):
    key = generate(algorithm)
    bundle = sign_model(str(model), KeyMaterial(key)).bundle
    assert bundle.dsse_envelope.signatures[0].keyid == key.public.keyid
    assert verify_model(str(model), bundle, KeyTrust(key.public)).signer.algorithm == algorithm


def test_the_identity_is_signed_and_is_what_coreutils_say(model):
    made = signed(model)
    command = (
        "find -L . \\( -name .git -o -name .hg -o -name .svn \\) -prune -o -type f -print0 | "
        "cut -z -c3- | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum"
    )
    done = subprocess.run(["sh", "-c", command], cwd=model, capture_output=True, text=True, check=True)
    assert str(made.artifact) == f"sha256:{done.stdout.split()[0]}"
    assert verify_model(str(model), made.bundle, TRUST).artifact == made.artifact


def test_the_identity_binds_names_and_the_root_does_not(model):
    before = signed(model)
    (model / "config.json").rename(model / "config.yaml")
    after = signed(model)
    assert before.root == after.root
    assert before.artifact != after.artifact


def test_every_difference_is_told_at_once(model):
    bundle = signed(model).bundle
    (model / "config.json").write_text("{}")
    (model / "weights.bin").rename(model / "model.bin")
    (model / "adapter" / "adapter.bin").unlink()
    (model / "run.py").write_text("print()")
    assert codes(model, bundle) == [
        ("SIG004", "run.py"),
        ("SIG005", "config.json"),
        ("SIG006", "adapter/adapter.bin"),
        ("SIG007", "model.bin"),
    ]
    with pytest.raises(ExceptionGroup) as raised:
        verify_model(str(model), bundle, TRUST)
    assert len(raised.value.exceptions) == 4
    assert all(isinstance(error, IntegrityError) and error.help for error in raised.value.exceptions)


def test_swapped_names_are_found(model):
    bundle = signed(model).bundle
    (model / "config.json").rename(model / "x")
    (model / "weights.bin").rename(model / "config.json")
    (model / "x").rename(model / "weights.bin")
    assert codes(model, bundle) == [("SIG005", "config.json"), ("SIG005", "weights.bin")]


def test_files_of_git_are_left_out_at_the_top_and_nowhere_else(model):
    bundle = signed(model).bundle
    (model / ".gitattributes").write_text("changed")
    (model / ".github").mkdir()
    (model / ".github" / "ci.yml").write_text("on: push")
    assert codes(model, bundle) == []
    (model / "adapter" / ".gitignore").write_text("*")
    (model / "adapter" / ".git").mkdir()
    (model / "adapter" / ".git" / "config").write_text("[core]")
    assert codes(model, bundle) == [("SIG004", "adapter/.git/config"), ("SIG004", "adapter/.gitignore")]


def test_files_of_git_can_be_signed(model):
    bundle = signed(model, git=True).bundle
    assert codes(model, bundle) == []
    (model / ".gitattributes").write_text("changed")
    assert codes(model, bundle) == [("SIG005", ".gitattributes")]


def test_ignored_paths_are_exact_and_written_into_the_signature(model):
    made = signed(model, ignore=("adapter",))
    assert made.artifact is None
    manifest = parse_manifest(made.bundle.payload)
    assert "adapter" in manifest.serialization.ignore_paths
    assert examine_model(str(model), made.bundle, KeyTrust(KEY.public)).left_out == ("adapter",)
    (model / "adapter" / "adapter.bin").write_bytes(b"other")
    assert codes(model, made.bundle) == []
    (model / "adapter2").write_text("")
    assert codes(model, made.bundle) == [("SIG004", "adapter2")]


@pytest.mark.parametrize("path", ["../x", "*.bin", "a/../..", "/etc/passwd", "."])
def test_paths_to_ignore_stay_inside(model, path):
    with pytest.raises(ExceptionGroup) as raised:
        signed(model, ignore=(path,))
    assert raised.group_contains(UsageError, match="")


def test_what_is_signed_cannot_be_ignored_when_it_is_verified(model):
    bundle = signed(model).bundle
    (model / "config.json").write_text("{}")
    assert codes(model, bundle, ignore=("config.json",), ignore_unsigned=True) == [("SIG005", "config.json")]


def test_unsigned_files_are_accepted_when_that_is_asked_for(model):
    bundle = signed(model).bundle
    (model / "notes.md").write_text("mine")
    (model / "logs").mkdir()
    (model / "logs" / "a").write_text("1")
    assert codes(model, bundle, ignore=("logs",)) == [("SIG004", "notes.md")]
    found = examine_model(str(model), bundle, TRUST, VerifyOptions(ignore_unsigned=True))
    assert (found.outcome, found.unsigned, found.artifact) == ("verified", 2, None)


def test_a_partial_verification_says_so_and_reads_nothing_else(model):
    bundle = signed(model).bundle
    (model / "weights.bin").write_bytes(b"changed")
    found = examine_model(str(model), bundle, TRUST, VerifyOptions(only=("adapter/*",)))
    assert (found.outcome, found.checked, found.size, found.artifact) == ("partial", 2, 7, None)
    (model / "adapter" / "evil.py").write_text("1")
    assert codes(model, bundle, only=("adapter/*",)) == [("SIG004", "adapter/evil.py")]
    with pytest.raises(UsageError, match="matches no file"):
        examine_model(str(model), bundle, TRUST, VerifyOptions(only=("nothing/*",)))


def test_an_empty_model_is_refused(tmp_path):
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    (empty / ".gitignore").write_text("*")
    with pytest.raises(ExceptionGroup) as raised:
        signed(empty)
    assert [error.code for error in raised.value.exceptions] == ["SIG012"]


def test_a_single_file_is_a_model(model):
    path = model / "weights.bin"
    made = signed(path)
    assert [resource.path for resource in parse_manifest(made.bundle.payload).resources] == ["."]
    assert codes(path, made.bundle) == []
    path.write_bytes(b"other")
    assert codes(path, made.bundle) == [("SIG005", "weights.bin")]
    with pytest.raises(IntegrityError, match="signed as a single file"):
        examine_model(str(model), made.bundle, TRUST)
    with pytest.raises(IntegrityError, match="signed as a folder"):
        examine_model(str(path), signed(model).bundle, TRUST)


def test_links_are_followed_inside_and_refused_outside(model):
    (model / "link.bin").symlink_to("weights.bin")
    made = signed(model)
    assert parse_manifest(made.bundle.payload).serialization.allow_symlinks
    assert codes(model, made.bundle) == []
    with pytest.raises(ExceptionGroup) as raised:
        signed(model, links=False)
    assert [(error.code, error.where) for error in raised.value.exceptions] == [("SIG008", "link.bin")]
    (model / "out").symlink_to("/etc/hostname")
    assert codes(model, made.bundle) == [("SIG008", "out")]
    with pytest.raises(ExceptionGroup) as raised:
        signed(model)
    assert [type(error) for error in raised.value.exceptions] == [InputError]


def test_a_file_that_became_a_link_is_refused_even_with_the_same_content(model):
    bundle = signed(model).bundle
    (model / "weights.bin").rename(model / "adapter" / "copy")
    (model / "weights.bin").symlink_to("adapter/copy")
    assert ("SIG008", "weights.bin") in codes(model, bundle)


def test_shards_cover_ranges_and_name_empty_files(model):
    made = signed(model, shard_size=100_000)
    manifest = parse_manifest(made.bundle.payload)
    assert [r.start for r in manifest.resources if r.path == "weights.bin"] == sorted(range(0, BIG, 100_000), key=str)
    assert manifest.empty == {"adapter/__init__.py"}
    assert codes(model, made.bundle) == []
    with (model / "weights.bin").open("r+b") as file:
        file.seek(350_000)
        file.write(b"x" * 10)
    (model / "adapter" / "more.py").write_bytes(b"")
    assert codes(model, made.bundle) == [("SIG004", "adapter/more.py"), ("SIG005", "weights.bin")]


def test_shards_of_a_large_file_are_hashed_in_parts(tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(200 << 20)
        file.write(b"end")
    bundle = signed(path, shard_size=1 << 20).bundle
    assert len(parse_manifest(bundle.payload).resources) == 200
    with path.open("r+b") as file:
        file.seek(150 << 20)
        file.write(b"x")
    assert codes(path, bundle) == [("SIG005", "large.bin")]


def test_a_truncated_file_is_found_with_shards(model):
    bundle = signed(model, shard_size=100_000).bundle
    os.truncate(model / "weights.bin", 500_000)
    assert codes(model, bundle) == [("SIG005", "weights.bin")]
    os.truncate(model / "weights.bin", 0)
    assert codes(model, bundle) == [("SIG005", "weights.bin")]


def test_the_signature_may_lie_in_the_model(model):
    target = model / "model.sig"
    stannary.sign(model, key=KEY, output=target)
    assert stannary.verify(model, signature=target, key=KEY.public).outcome == "verified"
    other = model / "second.sig"
    target.rename(other)
    assert stannary.verify(model, signature=other, key=KEY.public).outcome == "verified"


def test_the_python_functions_read_key_files(model, tmp_path, monkeypatch):
    KEY.write(tmp_path / "k.pem", b"secret")
    (tmp_path / "k.pub").write_bytes(KEY.public.pem())
    monkeypatch.delenv("STANNARY_PASSPHRASE", raising=False)
    with pytest.raises(UsageError, match="protected"):
        stannary.sign(model, key=tmp_path / "k.pem")
    monkeypatch.setenv("STANNARY_PASSPHRASE", "secret")
    stannary.sign(model, key=tmp_path / "k.pem")
    assert (tmp_path / "bert.sig").exists()
    assert stannary.verify(model, signature=tmp_path / "bert.sig", key=tmp_path / "k.pub").outcome == "verified"
    with pytest.raises(UsageError, match="one thing that is trusted"):
        stannary.verify(model, signature=tmp_path / "bert.sig")
    assert read_public(tmp_path / "k.pub").keyid == KEY.public.keyid


def test_a_signature_can_go_into_a_pipe(model, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        stannary.sign(model, key=KEY, output=pipe)
        assert read_bundle(reader.stdout.read()).payload
    assert pipe.is_fifo()


def test_a_signature_is_replaced_as_a_whole(model, tmp_path):
    target = tmp_path / "s.sig"
    target.write_text("old")
    stannary.sign(model, key=KEY, output=target)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["s.sig"]
    assert read_bundle(target.read_bytes()).payload


def test_a_name_that_cannot_be_kept_is_refused(model):
    (model / "a\nb").write_text("")
    with pytest.raises(ExceptionGroup) as raised:
        signed(model)
    assert raised.value.exceptions[0].code == "SIG008"


def test_a_file_that_cannot_be_read_is_not_called_changed(model):
    bundle = signed(model).bundle
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert ("SIG008", "config.json") in codes(model, bundle)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', '{"a": NaN}', "{", "\ud800", "[" * 100_000])
def test_json_is_read_strictly(text):
    with pytest.raises((ValueError, RecursionError)):
        strict_json(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(IntegrityError, match="not a Sigstore bundle"):
        read_bundle(text.encode("utf-8", "surrogatepass"))


def test_a_bundle_is_json_that_others_read(model):
    bundle = json.loads(json.dumps(strict_json(write_bundle(signed(model).bundle))))
    assert bundle["verificationMaterial"]["tlogEntries"] == []
    assert set(bundle) == {"mediaType", "verificationMaterial", "dsseEnvelope"}
