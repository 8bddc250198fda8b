"""Keys by their address: files, variables, keyrings; and addresses that name nothing."""

import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring

from stannary.core.errors import BackendError, UsageError
from stannary.crypto.keys import generate
from stannary.crypto.providers.keyring import store
from stannary.crypto.providers.opening import SCHEMES, open_signer
from stannary.crypto.providers.pkcs11 import parse_uri

KEY = generate("ecdsa-p384-sha384")


def holds(signer, key=KEY):
    key.public.verify(signer.sign(b"tin"), b"tin")
    return signer.public.keyid == key.public.keyid


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch):
    monkeypatch.delenv("STANNARY_PASSPHRASE", raising=False)


def test_a_file_by_its_path_and_by_its_address(tmp_path):
    path = tmp_path / "k.pem"
    KEY.write(path, None)
    assert holds(open_signer(str(path)))
    assert holds(open_signer(f"file:{path}"))


def test_a_file_whose_name_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    KEY.write(tmp_path / "odd:name", None)
    assert holds(open_signer("odd:name"))


def test_a_passphrase_is_given_asked_for_or_in_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "k.pem"
    KEY.write(path, b"secret")
    asked = []
    assert holds(open_signer(str(path), b"secret"))
    assert holds(open_signer(str(path), lambda what: asked.append(what) or b"secret"))
    assert asked == [str(path)]
    with pytest.raises(UsageError, match="protected"):
        open_signer(str(path))
    monkeypatch.setenv("STANNARY_PASSPHRASE", "secret")
    assert holds(open_signer(str(path)))
    monkeypatch.setenv("STANNARY_PASSPHRASE", "wrong")
    with pytest.raises(UsageError, match="could not be decrypted"):
        open_signer(str(path))


def test_nobody_is_asked_about_a_key_that_is_not_protected(tmp_path):
    path = tmp_path / "k.pem"
    KEY.write(path, None)
    assert holds(open_signer(str(path), lambda _: pytest.fail("asked")))


@pytest.mark.parametrize("passphrase", [None, b"secret"])
@pytest.mark.parametrize("one_line", [False, True])
def test_a_variable(monkeypatch, passphrase, one_line):
    text = KEY.pem(passphrase).decode()
    monkeypatch.setenv("MY_KEY", text.replace("\n", "\\n") if one_line else text)
    assert holds(open_signer("env:MY_KEY", passphrase))


def test_a_variable_that_is_not_set_or_no_key(monkeypatch):
    with pytest.raises(UsageError, match="is not set") as raised:
        open_signer("env:MY_KEY")
    assert raised.value.code == "KEY011"
    monkeypatch.setenv("MY_KEY", "hello")
    with pytest.raises(UsageError, match="not a private key"):
        open_signer("env:MY_KEY")


@pytest.fixture
def keys_on_disk(tmp_path):
    before = keyring.get_keyring()
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(backend)
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("keys_on_disk")
@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_keyring(passphrase):
    store("release", KEY, passphrase)
    assert holds(open_signer("keyring:release", passphrase))
    with pytest.raises(UsageError, match="never overwritten"):
        store("release", generate(), None)
    with pytest.raises(UsageError, match="no such key"):
        open_signer("keyring:other")
    if passphrase:
        with pytest.raises(UsageError, match="protected"):
            open_signer("keyring:release")


def test_a_machine_without_a_keyring():
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        with pytest.raises(BackendError, match="keyring cannot be used") as raised:
            open_signer("keyring:release")
    finally:
        keyring.set_keyring(before)
    assert raised.value.code == "KEY014"


def test_an_address_of_no_kind_says_which_there_are():
    with pytest.raises(UsageError, match="no keys of the kind 'gcpkms'") as raised:
        open_signer("gcpkms:projects/x")
    assert all(f"{scheme}:" in raised.value.help for scheme in SCHEMES)
    with pytest.raises(UsageError, match="no such key file"):
        open_signer("nowhere.pem")


def test_a_uri_of_a_token():
    uri = parse_uri("token=My%20Token;object=release;id=%01%FF;type=private?module-path=/x.so&pin-value=12%3b34")
    assert (uri.text("token"), uri.text("object"), uri.path["id"]) == ("My Token", "release", b"\x01\xff")
    assert uri.query == {"module-path": "/x.so", "pin-value": "12;34"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "token=T",
        "object",
        "object=a;object=b",
        "object=a;vendor=b",
        "object=a;slot-id=3",
        "object=a?pin-value=1&pin-value=2",
        "object=a?secret=1",
    ],
)
def test_a_uri_that_is_not_understood_is_refused(address):
    with pytest.raises(UsageError) as raised:
        parse_uri(address)
    assert raised.value.code == "KEY015"


def test_a_pin_is_never_shown():
    with pytest.raises(UsageError) as raised:
        parse_uri("token=T?pin-value=123456")
    assert "123456" not in f"{raised.value} {raised.value.help}"


@pytest.mark.parametrize(
    "address",
    ["vault:", "vault:onlykey", "awskms:", "awskms:key", "awskms://host", "pkcs11:object=a", "pkcs11:object=a?module-path=/no.so"],
)
def test_addresses_that_name_no_key_are_refused(address, monkeypatch):
    monkeypatch.delenv("STANNARY_PKCS11_MODULE", raising=False)
    with pytest.raises((UsageError, BackendError)) as raised:
        open_signer(address)
    assert raised.value.code in {"KEY015", "KEY016"}
    assert raised.value.help or raised.value.code == "KEY016"


@pytest.mark.parametrize(
    "server, said",
    [("", "not known"), ("ftp://x", "not known"), ("http://vault.example.com:8200", "in the clear"), ("https://", "not known")],
)
def test_a_token_of_vault_is_not_sent_anywhere_odd(monkeypatch, server, said):
    monkeypatch.setenv("VAULT_ADDR", server)
    monkeypatch.delenv("BAO_ADDR", raising=False)
    monkeypatch.setenv("VAULT_TOKEN", "t")
    with pytest.raises(UsageError, match=said):
        open_signer("vault:transit/k")


def test_a_plug_in_adds_a_place(tmp_path, monkeypatch):
    key = generate()
    key.write(tmp_path / "release.pem", b"pw")
    info = tmp_path / "shelf_keys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-keys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stannary.keys]\nshelf = shelf_keys:open_signer\n")
    (tmp_path / "shelf_keys.py").write_text(
        "from pathlib import Path\nfrom stannary.crypto.keys import PrivateKey\n\n\ndef open_signer(address, ask):\n"
        "    content = (Path(__file__).parent / f'{address}.pem').read_bytes()\n"
        "    return PrivateKey.of_pem(content, ask(f'shelf:{address}'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_signer("shelf:release", b"pw").public.keyid == key.public.keyid
    with pytest.raises(UsageError, match="no keys of the kind 'shelve'"):
        open_signer("shelve:release")
