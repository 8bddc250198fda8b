"""The keys of a workspace that are kept elsewhere; in tokens and services: `tests/conformance/test_key_services.py`."""

import json

import pytest

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto.keys import generate
from stannary.crypto.providers.opening import is_address, is_local
from stannary.evidence.chain import Chain
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.evidence.workspace_keys import Elsewhere, name_key
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")


def nobody():
    """Answer as where there is nobody to ask."""


@pytest.fixture
def keys(monkeypatch):
    """Two keys in variables, one of them protected, as a CI system hands them out."""
    signing, ledger = generate("ecdsa-p384-sha384"), generate("ed25519")
    monkeypatch.setenv("CI_KEY", signing.pem(b"pw").decode())
    monkeypatch.setenv("CI_LOG", ledger.pem(None).decode())
    monkeypatch.setenv("STANNARY_PASSPHRASE", "pw")
    return signing, ledger


@pytest.fixture
def made(tmp_path, keys):
    named = [name_key(address, lambda: b"pw") for address in ("env:CI_KEY", "env:CI_LOG")]
    return Workspace.create(tmp_path, passphrase=None, elsewhere=Elsewhere(*named))


def test_evidence_and_heads_are_signed_with_keys_that_are_not_here(made, keys, tmp_path):
    assert {path.name for path in (made.root / "keys").iterdir()} == {"signing.pub", "ledger.pub"}
    assert "PRIVATE" not in "".join(path.read_text() for path in made.root.rglob("*") if path.is_file())
    assert made.signer.public.keyid == keys[0].public.keyid
    opened = Workspace.find(str(tmp_path))
    with Chain(opened, write=True).ledger:
        recorded = Chain(opened, write=True).state(SUBJECT, "statement", EXAMPLES["statement"])
        (item,) = Chain(opened).about(Digest(SUBJECT_HEX)).evidence
    assert (item.value.id, item.identity) == (recorded.id, "workspace")
    assert opened.log_signer.public.keyid == keys[1].public.keyid


def test_reading_needs_no_private_key(made, tmp_path, monkeypatch):
    Chain(made, write=True).state(SUBJECT, "statement", EXAMPLES["statement"])
    monkeypatch.delenv("CI_KEY")
    monkeypatch.delenv("CI_LOG")
    opened = Workspace.find(str(tmp_path))
    assert len(Chain(opened).about(Digest(SUBJECT_HEX)).evidence) == 1
    with pytest.raises(UsageError, match="is not set"):
        _ = opened.signer
    with pytest.raises(UsageError, match="is not set"):
        Chain(opened, write=True)


def test_another_key_in_its_place_signs_nothing_that_counts(made, tmp_path, monkeypatch):
    monkeypatch.setenv("CI_KEY", generate().pem(None).decode())
    with pytest.raises(IntegrityError):
        Chain(Workspace.find(str(tmp_path)), write=True).state(SUBJECT, "statement", EXAMPLES["statement"])
    monkeypatch.setenv("CI_LOG", generate("ed25519").pem(None).decode())
    with pytest.raises((UsageError, IntegrityError), match="another key"):
        Chain(Workspace.find(str(tmp_path)), write=True)
    assert Chain(Workspace.find(str(tmp_path))).ledger.head().size == 0


def test_heads_are_signed_with_ed25519(tmp_path, keys):
    with pytest.raises(UsageError) as raised:
        Workspace.create(tmp_path, passphrase=None, elsewhere=Elsewhere(ledger=name_key("env:CI_KEY", lambda: b"pw")))
    assert raised.value.code == "KEY006"
    assert not (tmp_path / ".stannary").exists()


def test_a_file_elsewhere_is_named_by_its_whole_path(tmp_path, monkeypatch):
    key = generate()
    key.write(tmp_path / "k.pem", None)
    monkeypatch.chdir(tmp_path)
    for name in ("k.pem", "file:k.pem"):
        folder = tmp_path / name.replace(":", "-")[:4]
        Workspace.create(folder, passphrase=None, elsewhere=Elsewhere(name_key(name, nobody)))
        monkeypatch.chdir(folder)
        assert Workspace.find().settings.signing_key == str(tmp_path / "k.pem")
        assert Workspace.find().signer.public.keyid == key.public.keyid
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "query, said",
    [("module-path=/tmp/evil.so", "STANNARY_PKCS11_MODULE"), ("pin-source=file:/p&module-path=x", "STANNARY_PKCS11_MODULE"),
     ("pin-value=1234", "STANNARY_PKCS11_PIN")],
)  # fmt: skip
def test_a_folder_does_not_say_which_library_is_loaded(tmp_path, query, said):
    address = f"pkcs11:token=t;object=k?{query}"
    with pytest.raises(UsageError) as raised:
        name_key(address, nobody)
    assert (raised.value.code, said in raised.value.help, "1234" in str(raised.value)) == ("WSP004", True, False)
    made = Workspace.create(tmp_path, passphrase=None)
    settings = json.loads((made.root / "workspace.json").read_text()) | {"signing_key": address}
    (made.root / "workspace.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError) as raised:
        _ = Workspace.find(str(tmp_path)).signer
    assert raised.value.code == "WSP004"


@pytest.mark.parametrize("address", ["awskms:///alias/k", "vault:transit/k", "somewhere:else"])
def test_offline_no_service_is_asked(tmp_path, address):
    with pytest.raises(UsageError) as raised:
        name_key(address, nobody, offline=True)
    assert raised.value.code == "KEY017"
    made = Workspace.create(tmp_path, passphrase=None)
    settings = json.loads((made.root / "workspace.json").read_text()) | {"signing_key": address}
    (made.root / "workspace.json").write_text(json.dumps(settings))
    opened = Workspace.find(str(tmp_path))
    opened.offline = True
    with pytest.raises(UsageError) as raised:
        _ = opened.signer
    assert raised.value.code == "KEY017"


def test_what_is_an_address_and_what_needs_no_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [is_address(text) for text in ("k.pem", "a/b.pem", "C:\\k.pem", "env:K", "plug:in")] == [False, False, False, True, True]
    (tmp_path / "odd:name").write_text("")
    assert not is_address("odd:name")
    local = ("k.pem", "file:k.pem", "env:K", "keyring:k", "pkcs11:object=k")
    assert all(is_local(text) for text in local)
    assert not any(is_local(text) for text in ("awskms:///k", "vault:a/b", "plug:in"))


def test_a_workspace_of_before_has_its_keys_where_they_were(tmp_path):
    made = Workspace.create(tmp_path, passphrase=None)
    path = made.root / "workspace.json"
    settings = json.loads(path.read_text())
    del settings["ledger_key"]
    path.write_text(json.dumps(settings))
    assert Workspace.find(str(tmp_path)).log_signer.public.keyid == made.log_key.keyid
    (made.root / "keys" / "signing.pem").unlink()
    with pytest.raises((UsageError, InputError)):
        _ = Workspace.find(str(tmp_path)).signer
