"""Keyless signatures of ours: unmodified verifiers of Sigstore, in Python and JavaScript, accept them with our trusted root.

And they refuse what we refuse: hundreds of changed bundles are shown to all three.
"""

import base64
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from stannary.core.errors import IntegrityError, StannaryError
from stannary.crypto.certificates import der_of
from stannary.crypto.keys import generate
from stannary.evidence.oms.bundle import write_bundle
from stannary.evidence.sigstore.bundle import unfold
from stannary.evidence.sigstore.trusted_root import read_root
from stannary.evidence.sigstore.verify import verify_bundle
from stannary.testing.keyless import KeylessPlace
from stannary.testing.time_stamps import TimeStampAuthority

PROGRAMS = Path(__file__).parent / "programs"
SPELLINGS = {"SIG003", "SIG026", "SIG030", "SIG036"}  # base64, DER and numbers: we read one spelling of each
IDENTITY = "alice@example.com"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return KeylessPlace(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights.bin").write_bytes(os.urandom(9000))
    return folder


@pytest.fixture(scope="module")
def node(oracles):
    """Return the command line of JavaScript's verifier; where there is no node, what it says is not compared."""
    modules = oracles.parent / "npm" / "node_modules"
    found = shutil.which("node")
    if found is None or not modules.is_dir():
        pytest.skip("NOT COMPARED with @sigstore/verify: node is not on PATH, or `./dev test` found no npm to install it with")
    return [found, str(PROGRAMS / "sigstore_js.js")], {"NODE_PATH": str(modules)}


@pytest.fixture(params=["python", "javascript"])
def program(request):
    """Return sigstore-python, then @sigstore/verify."""
    return None if request.param == "python" else request.getfixturevalue("node")


@pytest.fixture(scope="module")
def ask(oracles):
    """Return a function that shows bundles to sigstore-python, or to another program."""

    def call(place, bundles, program=None, identity=IDENTITY, file="", root=None):
        command, more = program or ([str(oracles / "python"), str(PROGRAMS / "sigstore_python.py")], {})
        root = root or place.authority.folder / "trusted_root.json"
        line = [*command, str(root), identity, place.provider.url, str(file), *map(str, bundles)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ | more)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout).values())

    return call


def written(folder, values):
    """Write bundles, one file each, and return the paths."""
    paths = []
    for number, value in enumerate(values):
        paths.append(folder / f"{number:04}.json")
        paths[-1].write_text(json.dumps(value))
    return paths


def ours(place, value, file=None):
    """Return "ok" when we accept a bundle, or the code of why not."""
    trust = place.trust()
    digest = (lambda name: hashlib.new(name, file).digest()) if file is not None else None
    try:
        verify_bundle(unfold(value), trust.root, trust.wanted, file=digest)
    except StannaryError as error:
        return error.code
    return "ok"


def test_model_signing_accepts_it_and_for_nobody_else(place, model, tmp_path, model_signing):
    bundle = place.sign(model)
    (tmp_path / "model.sig").write_bytes(write_bundle(bundle))
    config = place.authority.folder / "trust_config.json"
    line = ["verify", "sigstore", model, "--signature", tmp_path / "model.sig", "--trust_config", config]
    who = ["--identity", IDENTITY, "--identity_provider", place.provider.url]
    code, text = model_signing(*line, *who)
    assert (code, "succeeded" in text) == (0, True), text
    assert model_signing(*line, "--identity", "bob@example.com", "--identity_provider", place.provider.url)[0] != 0
    assert model_signing(*line, "--identity", IDENTITY, "--identity_provider", "https://evil.example")[0] != 0
    value = json.loads((tmp_path / "model.sig").read_bytes())
    proof = value["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    root = bytearray(base64.b64decode(proof["rootHash"]))
    root[7] ^= 1
    proof["rootHash"] = base64.b64encode(root).decode()
    (tmp_path / "model.sig").write_text(json.dumps(value))
    assert model_signing(*line, *who)[0] != 0
    (tmp_path / "model.sig").write_bytes(write_bundle(bundle))
    (model / "config.json").write_text("[]")
    code, text = model_signing(*line, *who)
    assert code != 0
    assert "config.json" in text


def test_model_signing_accepts_it_after_every_rotation(tmp_path, model, model_signing):
    place = KeylessPlace(tmp_path)
    before = place.sign(model)
    # Their clock is the real one, and what counts from a second on does not count before.
    place.later(seconds=-1)
    for kind in ("ca", "ct", "log"):
        place.authority.replace_key(kind, place.authority.root_signer(), None, timedelta(days=30))
    place.later(seconds=1)
    who = ["--identity", IDENTITY, "--identity_provider", place.provider.url]
    for bundle in (before, place.sign(model)):
        (tmp_path / "model.sig").write_bytes(write_bundle(bundle))
        config = place.authority.folder / "trust_config.json"
        code, text = model_signing(
            "verify", "sigstore", model, "--signature", tmp_path / "model.sig", "--trust_config", config, *who
        )
        assert code == 0, text


def kinds_of_names(place, model):
    """Return a bundle of every kind of identity."""
    place.take("user")
    user = place.sign(model, sub="trainer")
    place.take("uri")
    uri = place.sign(model, sub="spiffe://acme.example/trainer")
    place.take("github")
    workflow = {"job_workflow_ref": "acme/m/.github/workflows/r.yml@refs/heads/main", "repository": "acme/m", "sha": "b" * 40}
    github = place.sign(model, **workflow)
    place.take("email")
    return {
        "alice@example.com": place.sign(model),
        "trainer!idp.example": user,
        "spiffe://acme.example/trainer": uri,
        "https://idp.example/acme/m/.github/workflows/r.yml@refs/heads/main": github,
    }


def test_they_read_every_kind_of_identity(place, model, tmp_path, ask, program):
    for name, bundle in kinds_of_names(place, model).items():
        paths = written(tmp_path, [json.loads(write_bundle(bundle))])
        # User names: sigstore-python 4.5.1 compares their DER encoding, head and all; @sigstore/verify 3.1.1 does not read them.
        theirs = "\x0c\x13trainer!idp.example" if "!" in name and program is None else name
        assert (ask(place, paths, program, identity=theirs) == ["ok"]) == (program is None or "!" not in name), name
        assert ask(place, paths, program, identity=f"{theirs}x") != ["ok"]


def leaves(value, path=()):
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number))
    else:
        yield path


def at(value, path):
    for name in path:
        value = value[name]
    return value


def changed(random_, value, other):
    """Return a bundle with one character of one field changed, or a field of another bundle in it; and which field."""
    value = copy.deepcopy(value)
    path = random_.choice([path for path in leaves(value) if path[-1] != "keyid"])  # a hint, for nobody
    place, text, foreign = at(value, path[:-1]), str(at(value, path)), str(at(other, path))
    if random_.random() < 0.25 and foreign != text:
        place[path[-1]] = foreign
        return value, path
    where = random_.randrange(len(text))
    new = random_.choice([letter for letter in "ABCDEFGHabcdefgh0123456789" if letter != text[where]])
    place[path[-1]] = text[:where] + new + text[where + 1 :]
    return value, path


def test_python_refuses_what_we_refuse(place, model, tmp_path, ask):
    """sigstore-python 4.5.1 does not read the name beside the signature of a checkpoint."""
    compare(place, model, tmp_path, lambda paths: ask(place, paths), {"envelope"})


def test_javascript_refuses_what_we_refuse(place, model, tmp_path, ask, node):
    """@sigstore/verify 3.1.1 takes root and size from the checkpoint, where base64 has many spellings, and not those beside it."""
    compare(place, model, tmp_path, lambda paths: ask(place, paths, node), {"rootHash", "treeSize", "envelope"})


def compare(place, model, tmp_path, theirs, unread):
    signed = [json.loads(write_bundle(place.sign(model))) for _ in range(3)]
    while len(list(leaves(signed[-1]))) != len(list(leaves(signed[-2]))):  # proofs of the same length
        signed.append(json.loads(write_bundle(place.sign(model))))
    random_ = random.Random(20261126)
    rows = [changed(random_, signed[-1], signed[-2]) for _ in range(400)]
    values = [signed[-1], *(value for value, _ in rows)]
    said = theirs(written(tmp_path, values))
    found = [ours(place, value) for value in values]
    assert (said[0], found[0]) == ("ok", "ok")
    assert [path for (_, path), code in zip(rows, found[1:], strict=True) if code == "ok"] == []
    lenient = {(path[-1], code) for (_, path), code, answer in zip(rows, found[1:], said[1:], strict=True) if answer == "ok"}
    assert {(name, code) for name, code in lenient if name not in unread and code not in SPELLINGS} == set()


def on_a_file(place, content):
    """Return a bundle with a signature on one file, logged as Rekor 1 does."""
    key = generate()
    leaf = place.certify(key)
    signature, digest = key.sign(content), hashlib.sha256(content)
    b64 = {
        "pem": base64.b64encode(leaf.public_bytes(Encoding.PEM)).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    said = {"content": b64["signature"], "publicKey": {"content": b64["pem"]}}
    spec = {"data": {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}}, "signature": said}
    entry = place.log({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec})
    digests = {"algorithm": "SHA2_256", "digest": base64.b64encode(digest.digest()).decode()}
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": base64.b64encode(der_of(leaf)).decode()},
            "tlogEntries": [entry],
        },
        "messageSignature": {"messageDigest": digests, "signature": b64["signature"]},
    }


def test_a_signature_on_a_file(place, tmp_path, ask, program):
    content = os.urandom(5000)
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "other").write_bytes(content + b"x")
    value = on_a_file(place, content)
    paths = written(tmp_path, [value])
    assert ours(place, value, content) == "ok"
    assert ours(place, value, content + b"x") == "SIG005"
    assert ask(place, paths, program, file=tmp_path / "file") == ["ok"]
    assert ask(place, paths, program, file=tmp_path / "other") != ["ok"]


def test_a_time_stamp_instead_of_the_log_s_time(place, model, tmp_path, ask, program):
    """They and we take the time from an authority when the log does not promise one."""
    authority = TimeStampAuthority(tmp_path)
    value, other = (json.loads(write_bundle(place.sign(model))) for _ in range(2))
    root = tmp_path / "root.json"
    trusted = json.loads((place.authority.folder / "trusted_root.json").read_bytes())
    root.write_text(json.dumps({**trusted, "timestampAuthorities": [authority.trusted]}))
    for bundle in (value, other):
        entry = bundle["verificationMaterial"]["tlogEntries"][0]
        del entry["inclusionPromise"]
        entry["integratedTime"] = "0"
    stamp = authority.stamp(base64.b64decode(value["dsseEnvelope"]["signatures"][0]["sig"]))
    for bundle in (value, other):
        stamps = [{"signedTimestamp": base64.b64encode(stamp).decode()}]
        bundle["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    paths = written(tmp_path, [value, other])
    said = ask(place, paths, program, root=root)
    assert (said[0], said[1] == "ok") == ("ok", False), said
    pytest.importorskip("rfc3161_client", reason="extra `timestamps`: what we verify RFC 3161 with is not installed")
    trust = place.trust()
    found = read_root(root)
    assert verify_bundle(unfold(value), found, trust.wanted).owner.names == (IDENTITY,)
    with pytest.raises(IntegrityError):
        verify_bundle(unfold(other), found, trust.wanted)
