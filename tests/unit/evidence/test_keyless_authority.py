"""An authority from its beginning: what it signs, what its rotation leaves standing, what its revocations end."""

import hashlib
import json
import sqlite3
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

import stannary
from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of
from stannary.crypto.keys import generate
from stannary.evidence.keyless.audit import audit
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.change import export_list, reinstate, revocations_of, revoke
from stannary.evidence.oms.bundle import write_bundle
from stannary.evidence.oms.recording import record_signature
from stannary.evidence.oms.verify import examine_model
from stannary.evidence.sigstore.bundle import parse_bundle
from stannary.evidence.sigstore.revocation import Revocation, Revocations, open_list
from stannary.evidence.sigstore.trusted_root import parse_root, read_root
from stannary.evidence.statement import decode
from stannary.evidence.trust_log import log_event
from stannary.evidence.workspace import Workspace
from stannary.testing.identity_provider import IdentityProvider
from stannary.testing.keyless import KeylessPlace

REPLACED = {"ca": "SIG031", "ct": "SIG032", "log": "SIG042"}  # the key that is not known then, and how it is refused


@pytest.fixture
def place(tmp_path):
    return KeylessPlace(tmp_path)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"weights")
    return folder


def outcome(model, bundle, trust):
    return examine_model(str(model), bundle, trust).outcome


def refusal(model, bundle, trust):
    with pytest.raises(IntegrityError) as raised:
        examine_model(str(model), bundle, trust)
    return raised.value.code


def test_an_identity_signs_and_everybody_with_the_trusted_root_verifies(place, model):
    bundle = place.sign(model)
    found = examine_model(str(model), bundle, place.trust())
    assert (found.outcome, found.signer.method, found.signer.subject) == ("verified", "sigstore", "alice@example.com")
    assert found.signer.signed_at == f"{place.now:%Y-%m-%dT%H:%M:%SZ}"
    assert found.signer.valid_until == f"{place.now + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}"
    assert refusal(model, bundle, place.trust("mallory@example.com")) == "SIG037"
    assert refusal(model, bundle, place.trust(issuer="https://evil.example")) == "SIG038"
    (model / "weights.bin").write_bytes(b"another")
    assert outcome(model, bundle, place.trust()) == "refused"


def test_a_signature_outlives_its_certificate_by_years(place, model):
    bundle = place.sign(model)
    place.later(days=3650)
    assert outcome(model, bundle, place.trust()) == "verified"


def test_certificates_are_what_verifiers_of_sigstore_expect(place, model):
    leaf = parse_bundle(write_bundle(place.sign(model))).leaf
    assert leaf.subject.rfc4514_string() == ""
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(minutes=10)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CODE_SIGNING]
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    root, ca = place.authority.certificate("root"), place.authority.certificate("ca-1")
    constraints = [item.extensions.get_extension_for_class(x509.BasicConstraints).value for item in (root, ca)]
    assert [(item.ca, item.path_length) for item in constraints] == [(True, 1), (True, 0)]
    leaf.verify_directly_issued_by(ca)
    ca.verify_directly_issued_by(root)


def test_each_signature_has_a_key_of_its_own_and_is_in_the_ledger_first(place, model):
    leaves = [parse_bundle(write_bundle(place.sign(model))).leaf for _ in range(3)]
    assert len({leaf.public_key().public_numbers().x for leaf in leaves}) == 3
    with place.workspace.ledger() as ledger:
        issued = [row.body for row in ledger.find(type="trust", complete=True) if row.kind == "trust-issued"]
    assert [row["identity"] for row in issued] == ["alice@example.com"] * 3
    assert [row["certificate"] for row in issued] == [hashlib.sha256(der_of(leaf)).hexdigest() for leaf in leaves]


def test_keys_are_protected_and_the_root_key_lies_elsewhere(tmp_path, model):
    workspace = Workspace.create(tmp_path, passphrase=b"secret")
    workspace.ledger(write=True).close()
    made = Authority.create(workspace, passphrase=b"secret", root_key=tmp_path / "usb.pem")
    assert not (made.folder / "root.pem").exists()
    for path in (tmp_path / "usb.pem", *made.folder.glob("*.pem")):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"), path
        assert path.stat().st_mode & 0o777 == 0o600
    assert made.folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(UsageError) as raised:
        made.root_signer()
    assert raised.value.code == "TRU013"
    generate().write(tmp_path / "other.pem", None)
    with pytest.raises(UsageError, match="not the root key"):
        made.root_signer(tmp_path / "other.pem")
    made.replace_key("ca", made.root_signer(tmp_path / "usb.pem"), b"secret", timedelta(0))
    locked = Authority(Workspace(workspace.root, passphrase=lambda: b"wrong"))
    with pytest.raises(UsageError):
        locked.key("ca")


def test_there_is_one_authority_in_a_workspace(place):
    with pytest.raises(UsageError) as raised:
        Authority.create(place.workspace, passphrase=None)
    assert raised.value.code == "TRU012"


def test_an_interrupted_beginning_is_begun_again(place, model):
    (place.authority.folder / "authority.json").unlink()
    with pytest.raises(UsageError) as raised:
        Authority(place.workspace)
    assert raised.value.code == "TRU010"
    (place.authority.folder / "root.pem").unlink()
    for path in place.authority.folder.glob("log-1.db*"):
        path.unlink()
    place.authority = Authority.create(place.workspace, passphrase=None)
    place.take()
    assert outcome(model, place.sign(model), place.trust()) == "verified"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema": "stannary.authority/9"}'])
def test_settings_that_cannot_be_read(place, content):
    (place.authority.folder / "authority.json").write_bytes(content)
    with pytest.raises(InputError) as raised:
        Authority(place.workspace)
    assert raised.value.code == "TRU011"


# Providers


def test_a_provider_that_is_not_trusted(place, model):
    stranger = IdentityProvider(url="https://evil.example")
    with pytest.raises(IntegrityError) as raised:
        place.sign(model, iss=stranger.url)
    assert raised.value.code == "OID004"
    with pytest.raises(IntegrityError) as raised:
        place.authority.provider("nonsense")
    assert raised.value.code == "OID001"


def test_a_provider_that_changed_its_keys(place, model):
    bundle = place.sign(model)
    place.provider.rotate()
    with pytest.raises(IntegrityError) as raised:
        place.sign(model)
    assert raised.value.code == "OID003"
    place.take()
    assert outcome(model, place.sign(model), place.trust()) == "verified"
    assert outcome(model, bundle, place.trust()) == "verified"
    assert len(place.authority.settings.providers) == 1


def test_a_token_that_ran_out_while_the_model_was_read(place, model):
    from stannary.evidence.keyless.material import KeylessMaterial
    from stannary.evidence.oms.sign import sign_model

    material = KeylessMaterial(place.authority, place.token())
    place.later(minutes=6)
    with pytest.raises(UsageError) as raised:
        sign_model(str(model), material)
    assert raised.value.code == "OID006"
    with place.authority.signature_log() as log:
        assert log.bodies() == []


# Rotation


@pytest.mark.parametrize("kind", ["ca", "ct", "log"])
def test_what_was_signed_before_a_rotation_stands(place, model, kind):
    old = place.sign(model)
    before = place.trust()
    place.later(days=1)
    place.authority.replace_key(kind, place.authority.root_signer(), None, timedelta(0))
    assert outcome(model, old, place.trust()) == "verified"
    place.later(seconds=1)
    new = place.sign(model)
    assert outcome(model, new, place.trust()) == "verified"
    # Who has the trusted root from before does not know the new key: refused, and not guessed.
    assert refusal(model, new, before) == REPLACED[kind]
    assert outcome(model, old, before) == "verified"


@pytest.mark.parametrize("kind", ["ca", "ct", "log"])
def test_a_key_that_was_replaced_signs_nothing_new(place, model, kind):
    """Whoever got hold of the old key goes on with it after it was replaced."""
    stolen = Authority(place.workspace)
    place.later(days=1)
    place.authority.replace_key(kind, place.authority.root_signer(), None, timedelta(0))
    place.later(days=1)
    ours, place.authority = place.authority, stolen
    forged = place.sign(model)
    place.authority = ours
    assert refusal(model, forged, place.trust()) == REPLACED[kind]


def test_an_overlap_lets_the_old_key_go_on(place, model):
    stale = Authority(place.workspace)
    place.authority.replace_key("ca", place.authority.root_signer(), None, timedelta(days=30))
    trust = place.trust()
    place.authority = stale
    place.later(days=29)
    assert outcome(model, place.sign(model), trust) == "verified"
    place.later(days=2)
    assert refusal(model, place.sign(model), trust) == "SIG031"


def test_an_authority_that_runs_out_says_so(place, model):
    place.later(days=3 * 365, minutes=-5)
    with pytest.raises(UsageError) as raised:
        place.sign(model)
    assert raised.value.code == "TRU014"
    place.authority.replace_key("ca", place.authority.root_signer(), None, timedelta(0))
    assert outcome(model, place.sign(model), place.trust()) == "verified"


def test_the_trusted_root_is_signed_by_the_root_key(place, tmp_path):
    path = place.authority.folder / "trusted_root.dsse.json"
    key = place.authority.public("log", 1)
    for found in (
        read_root(path, place.authority.root_public),
        read_root(place.authority.folder / "trusted_root.json"),
        read_root(place.authority.folder / "trust_config.json"),
    ):
        assert [log.key.keyid for log in found.logs] == [key.keyid]
    with pytest.raises(IntegrityError) as raised:
        read_root(path, generate().public)
    assert raised.value.code == "SIG001"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    (tmp_path / "changed.json").write_bytes(content)
    with pytest.raises((IntegrityError, InputError)):
        read_root(tmp_path / "changed.json", place.authority.root_public)
    with pytest.raises(InputError):
        read_root(place.authority.folder / "trusted_root.json", place.authority.root_public)
    with pytest.raises(UsageError):
        read_root(tmp_path / "none.json")


# Revocation


def fingerprint(bundle):
    return hashlib.sha256(der_of(parse_bundle(write_bundle(bundle)).leaf)).hexdigest()


def test_revoked_identities_certificates_and_keys(place, model):
    bundle = place.sign(model)
    keyid = examine_model(str(model), bundle, place.trust()).signer.keyid
    for row in (
        Revocation(what="identity", value="alice@example.com"),
        Revocation(what="identity", value="alice@example.com", issuer=place.provider.url),
        Revocation(what="certificate", value=fingerprint(bundle)),
        Revocation(what="key", value=keyid, reason="stolen"),
    ):
        revoke(place.workspace, row)
        assert refusal(model, bundle, place.trust(revoked=revocations_of(place.workspace))) == "SIG040"
        with pytest.raises(UsageError):
            revoke(place.workspace, row)
        reinstate(place.workspace, row)
        assert outcome(model, bundle, place.trust(revoked=revocations_of(place.workspace))) == "verified"
        with pytest.raises(UsageError):
            reinstate(place.workspace, row)
    for row in (
        Revocation(what="identity", value="bob@example.com"),
        Revocation(what="identity", value="alice@example.com", issuer="https://another.example"),
        Revocation(what="certificate", value=keyid),
    ):
        assert outcome(model, bundle, place.trust(revoked=Revocations([row]))) == "verified"


def test_what_was_signed_before_a_revocation_stands_when_it_says_so(place, model):
    before = place.sign(model)
    place.later(hours=1)
    row = Revocation(what="identity", value="alice@example.com", since=place.now)
    at = place.sign(model)
    place.later(hours=1)
    after = place.sign(model)
    trust = place.trust(revoked=Revocations([row]))
    assert outcome(model, before, trust) == "verified"
    assert refusal(model, at, trust) == refusal(model, after, trust) == "SIG040"


def test_the_list_for_those_without_the_ledger(place, model):
    bundle = place.sign(model)
    revoke(place.workspace, Revocation(what="certificate", value=fingerprint(bundle), reason="lost laptop"))
    content = export_list(place.authority, 30)
    root = place.trust().root
    found = open_list(content, root, place.now)
    assert refusal(model, bundle, place.trust(revoked=Revocations(found.revoked))) == "SIG040"
    with pytest.raises(IntegrityError) as raised:
        open_list(content, root, place.now + timedelta(days=31))
    assert raised.value.code == "SIG045"
    changed = json.loads(content)
    changed["payload"] = changed["payload"][:-8] + "AAAA" + changed["payload"][-4:]
    with pytest.raises((IntegrityError, InputError)):
        open_list(json.dumps(changed).encode(), root, place.now)


def test_a_list_of_another_authority_or_of_an_old_log_counts_for_nothing(place, tmp_path):
    (tmp_path / "stranger").mkdir()
    stranger = KeylessPlace(tmp_path / "stranger")
    with pytest.raises(IntegrityError) as raised:
        open_list(export_list(stranger.authority, 30), place.trust().root, place.now)
    assert raised.value.code == "SIG001"
    stale = Authority(place.workspace)
    place.authority.replace_key("log", place.authority.root_signer(), None, timedelta(0))
    place.later(days=1)
    with pytest.raises(IntegrityError) as raised:
        open_list(export_list(stale, 30), place.trust().root, place.now)
    assert raised.value.code == "SIG042"


def test_a_revocation_that_is_not_understood_stops_everything(place):
    log_event(place.workspace, "revoked", {"revocation": {"what": "planet", "value": "x"}})
    with pytest.raises(InputError) as raised:
        revocations_of(place.workspace)
    assert raised.value.code == "TRU016"


# Roots that are none


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"mediaType": "x"}', b"\xff", b"[" * 100_000])
def test_what_is_no_trusted_root(content):
    with pytest.raises(InputError) as raised:
        parse_root(content, "root")
    assert raised.value.code == "SIG041"


def test_a_root_that_trusts_nobody(place):
    root = json.loads((place.authority.folder / "trusted_root.json").read_bytes())
    for name in ("tlogs", "certificateAuthorities"):
        with pytest.raises(InputError, match="nobody"):
            parse_root(json.dumps({**root, name: []}).encode(), "root")
    assert read_root("sigstore.dev").authorities


# From Python


def test_the_api_signs_verifies_and_records(place, model, tmp_path):
    output = tmp_path / "model.sig"
    signed = stannary.sign(model, key=stannary.signing_identity(place.token(), workspace=tmp_path), output=output)
    config = place.authority.folder / "trust_config.json"
    trust = stannary.trusted_identity("alice@example.com", place.provider.url, config)
    assert stannary.verify(model, signature=output, trust=trust).signer.subject == "alice@example.com"
    stated = decode(dsse.payload_of(record_signature(place.workspace, signed).envelope), "evidence").predicate
    assert stated["urn:stannary:signature:v1"]["identity"] == "alice@example.com"
    assert stated["urn:stannary:signature:v1"]["issuer"] == place.provider.url
    revoke(place.workspace, Revocation(what="identity", value="alice@example.com"))
    (tmp_path / "revoked.json").write_bytes(export_list(place.authority, 30))
    pinned = {"root_key": place.authority.folder / "root.pub", "revocations": [tmp_path / "revoked.json"]}
    path = place.authority.folder / "trusted_root.dsse.json"
    trust = stannary.trusted_identity("alice@example.com", place.provider.url, path, **pinned)
    with pytest.raises(IntegrityError) as raised:
        stannary.verify(model, signature=output, trust=trust)
    assert raised.value.code == "SIG040"
    with pytest.raises(UsageError):
        stannary.trusted_identity("a", "b", path, revocations=[tmp_path / "none"], root_key=place.authority.root_public)


# Who signed


def test_an_audit_lists_every_signature_of_every_log(place, model):
    place.sign(model)
    place.later(seconds=1)
    place.authority.replace_key("log", place.authority.root_signer(), None, timedelta(0))
    place.later(seconds=1)
    place.sign(model, email="bob@example.com")
    found = audit(place.authority)
    assert [(row.log, row.index, row.identity, row.issued) for row in found.signatures] == [
        (1, 0, "alice@example.com", True),
        (2, 0, "bob@example.com", True),
    ]
    assert (found.unused, found.strange) == ((), ())


def test_an_audit_finds_interrupted_signings_strange_entries_and_changed_ones(place, model):
    place.sign(model)
    log_event(place.workspace, "issued", {"identity": "alice@example.com", "certificate": "ab" * 32})
    assert audit(place.authority).unused == ("ab" * 32,)
    path = place.authority.folder / "log-1.db"
    database = sqlite3.connect(path)
    (record,) = database.execute("SELECT record FROM entry").fetchone()
    database.execute("UPDATE entry SET record = ?", (record.replace(b"sha256", b"sha512"),))
    database.commit()
    with pytest.raises(IntegrityError) as raised:
        audit(place.authority)
    assert raised.value.code == "LED007"
    database.execute("UPDATE entry SET record = ?", (record,))
    database.commit()
    database.close()
    place.log({"kind": "rpm", "apiVersion": "0.0.1"})
    with pytest.raises(IntegrityError) as raised:
        audit(place.authority)
    assert raised.value.code == "TRU017"


def test_a_log_of_signatures_that_was_rolled_back(place, model):
    path = place.authority.folder / "log-1.db"
    place.sign(model)
    old = path.read_bytes()
    place.sign(model)
    path.write_bytes(old)
    with pytest.raises(IntegrityError):
        place.sign(model)
    with pytest.raises(IntegrityError):
        audit(place.authority)
