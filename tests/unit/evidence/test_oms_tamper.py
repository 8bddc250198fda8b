"""Whatever is changed in a model, a signature or a certificate is refused, with the error that says what it was."""

import base64
import hashlib
import json
import os
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stannary.core.errors import InputError, IntegrityError, StannaryError
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.evidence.oms.bundle import Material, make_bundle, read_bundle, write_bundle
from stannary.evidence.oms.certificate import CertificateMaterial, CertificateTrust
from stannary.evidence.oms.key import KeyMaterial, KeyTrust
from stannary.evidence.oms.manifest import parse_manifest
from stannary.evidence.oms.sign import sign_model
from stannary.evidence.oms.verify import examine_model
from stannary.testing.certificates import Identity, issue

KEY = generate()
TRUST = KeyTrust(KEY.public)
FILES = ("config.json", "weights.bin", "tokenizer/vocab.txt", "tokenizer/merges.txt", "empty")


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Return a model and its signature."""
    model = tmp_path_factory.mktemp("signed") / "model"
    (model / "tokenizer").mkdir(parents=True)
    for number, name in enumerate(FILES[:-1]):
        (model / name).write_bytes(hashlib.sha512(name.encode()).digest() * (10 + number))
    (model / "empty").write_bytes(b"")
    return model, sign_model(str(model), KeyMaterial(KEY)).bundle


@pytest.fixture
def model(signed, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(signed[0], copy)
    return copy


def codes(model, bundle, trust=TRUST):
    """Return the codes of everything that is wrong; never empty where something is."""
    try:
        found = examine_model(str(model), bundle, trust)
    except StannaryError as error:
        return {error.code}
    assert (found.outcome == "refused") == bool(found.differences)
    return {item.code for item in found.differences}


# The model

FLIPS = [(name, place, bit) for name in FILES[:-1] for place in (0, 0.01, 0.25, 0.5, 0.75, 0.99, 0.9999) for bit in (0, 4, 7)]


@pytest.mark.parametrize("name, place, bit", FLIPS)
def test_a_flipped_bit_in_a_file(model, signed, name, place, bit):
    content = bytearray((model / name).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (model / name).write_bytes(bytes(content))
    assert codes(model, signed[1]) == {"SIG005"}


def truncated(path):
    os.truncate(path, max(path.stat().st_size - 1, 0)) if path.stat().st_size else path.write_bytes(b"\0")


def longer(path):
    path.write_bytes(path.read_bytes() + b"\n")


def replaced_by_link(path):
    aside = path.parents[1 if path.parent.name == "model" else 2] / f"aside-{path.name}"
    path.rename(aside)
    path.symlink_to(aside)


def replaced_by_link_within(path):
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


def replaced_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replaced_by_folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("")


EDITS = {
    truncated: {"SIG005"},
    longer: {"SIG005"},
    lambda path: path.unlink(): {"SIG006"},
    replaced_by_link: {"SIG008"},
    replaced_by_link_within: {"SIG004", "SIG008"},
    replaced_by_pipe: {"SIG008"},
    replaced_by_folder: {"SIG004", "SIG006"},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "edit, expected", EDITS.items(), ids=["shorter", "longer", "gone", "link out", "link in", "pipe", "folder"]
)
def test_a_file_that_is_not_what_it_was(model, signed, name, edit, expected):
    edit(model / name)
    found = codes(model, signed[1])
    assert found == expected or (edit is replaced_by_folder and name == "empty" and found <= {"SIG004", "SIG006", "SIG007"})


@pytest.mark.parametrize("name", [name for name in FILES if name != "empty"])
@pytest.mark.parametrize("new", ["renamed.bin", "tokenizer/renamed.bin", "new/renamed.bin", "CONFIG.JSON", "weights.bin.py"])
def test_a_renamed_file(model, signed, name, new):
    (model / new).parent.mkdir(exist_ok=True)
    (model / name).rename(model / new)
    assert codes(model, signed[1]) == {"SIG007"}


@pytest.mark.parametrize("other", FILES[1:])
@pytest.mark.parametrize("name", FILES[:-1])
def test_swapped_contents(model, signed, name, other):
    first, second = (model / name).read_bytes(), (model / other).read_bytes()
    (model / name).write_bytes(second)
    (model / other).write_bytes(first)
    assert codes(model, signed[1]) == (set() if name == other else {"SIG005"})


EXTRA = ["run.py", ".hidden", "tokenizer/__init__.py", "a/b/c/d", ".gitignore.py", "tokenizer/.gitattributes", "x/.git/config",
         ".svn/x", "Config.json", "weights.bin ", "weights.bin.sig", "名前", "tokenizer.py"]  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("content", [b"", b"import os"])
def test_a_file_that_nobody_signed(model, signed, name, content):
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_bytes(content)
    assert codes(model, signed[1]) == {"SIG004"}


@pytest.mark.parametrize("name", ["weights\u202e.nib", "a\nb", "a\x1b[31m", "back\\slash", "zero\u200bwidth"])
def test_a_name_that_deceives(model, signed, name):
    (model / name).write_text("")
    assert "SIG008" in codes(model, signed[1])


@pytest.mark.parametrize("target", ["/etc/passwd", "..", ".", "nowhere", "loop"])
def test_a_link_that_leads_elsewhere(model, signed, target):
    (model / "loop").symlink_to(target)
    assert codes(model, signed[1]) == {"SIG008"}


# The bundle


def test_any_flipped_bit_of_a_bundle(signed):
    """Every seventh bit of the file, one at a time."""
    model, bundle = signed
    content = write_bundle(bundle)
    assert codes(model, read_bundle(content)) == set()
    accepted, told = [], set()
    for position in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        try:
            TRUST.check(read_bundle(bytes(changed)))
            accepted.append((position, bytes(changed[max(position // 8 - 20, 0) : position // 8 + 20])))
        except IntegrityError as error:
            told.add(error.code)
    assert accepted == []
    assert told == {"SIG001", "SIG002", "SIG003", "SIG010"}
    assert 8 * len(content) // 7 > 2000


def test_a_bundle_that_ends_early(signed):
    content = write_bundle(signed[1]).rstrip()
    for end in range(0, len(content), 11):
        with pytest.raises(IntegrityError) as raised:
            read_bundle(content[:end])
        assert raised.value.code == "SIG003"


def paths_of(value, path=()):
    """Return the path of every field of a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from paths_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*path, index)
            yield from paths_of(item, (*path, index))


def edited(value, path, change):
    value = json.loads(json.dumps(value))
    place = value
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return json.dumps(value).encode()


STRUCTURES = {
    "removed": lambda place, key: place.pop(key),
    "null": lambda place, key: place.__setitem__(key, None),
    "number": lambda place, key: place.__setitem__(key, 7),
    "text": lambda place, key: place.__setitem__(key, "x"),
    "list": lambda place, key: place.__setitem__(key, []),
    "table": lambda place, key: place.__setitem__(key, {}),
    "twice": lambda place, key: place.append(place[key]) if isinstance(place, list) else place.__setitem__(key + " ", place[key]),
}
# What may be left out by the specification, or stand empty: it proves nothing, and nothing rests on it.
OPTIONAL = {
    ("verificationMaterial", "tlogEntries"),
    ("dsseEnvelope", "signatures", 0, "keyid"),
    ("verificationMaterial", "publicKey", "hint"),
}


@pytest.mark.parametrize("change", STRUCTURES)
def test_the_structure_of_a_bundle(signed, change):
    value = json.loads(write_bundle(signed[1]))
    for path in paths_of(value):
        if path in OPTIONAL and change in {"removed", "null", "list"}:
            continue
        if path[-1] == "publicKey" and change == "table":
            continue  # a bundle without a hint: the key that is trusted is tried
        with pytest.raises(IntegrityError) as raised:
            TRUST.check(read_bundle(edited(value, path, STRUCTURES[change])))
        assert raised.value.code in {"SIG002", "SIG003", "SIG010", "SIG011"}, path


def test_a_key_that_stands_twice(signed):
    text = write_bundle(signed[1]).decode()
    for key in (
        "mediaType",
        "verificationMaterial",
        "publicKey",
        "hint",
        "dsseEnvelope",
        "payload",
        "payloadType",
        "signatures",
        "sig",
    ):
        at = text.index(f'"{key}":')
        doubled = f'{text[:at]}"{key}":null,{text[at:]}'
        with pytest.raises(IntegrityError, match="stands twice"):
            read_bundle(doubled.encode())


def test_base64_has_one_spelling(signed):
    value = json.loads(write_bundle(signed[1]))
    payload = value["dsseEnvelope"]["payload"]
    for other in (
        payload + "\n",
        payload.rstrip("="),
        payload + "=",
        " " + payload,
        payload.replace("+", "-").replace("/", "_") + "!",
    ):
        value["dsseEnvelope"]["payload"] = other
        if other == payload:
            continue
        with pytest.raises(IntegrityError) as raised:
            TRUST.check(read_bundle(json.dumps(value).encode()))
        assert raised.value.code == "SIG003"


# Keys


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519"])
def test_a_signature_of_another_key(signed, algorithm):
    other = generate(algorithm)
    theirs = sign_model(str(signed[0]), KeyMaterial(other)).bundle
    assert codes(signed[0], theirs) == {"SIG010"}
    assert codes(signed[0], signed[1], KeyTrust(other.public)) == {"SIG010"}
    # The same, pretending to be the trusted key's: its names are anybody's to write.
    value = json.loads(write_bundle(theirs))
    mine = json.loads(write_bundle(signed[1]))
    value["verificationMaterial"] = mine["verificationMaterial"]
    value["dsseEnvelope"]["signatures"][0]["keyid"] = KEY.public.keyid
    assert codes(signed[0], read_bundle(json.dumps(value).encode())) == {"SIG001"}
    value["verificationMaterial"]["publicKey"] = {}
    value["dsseEnvelope"]["signatures"][0]["keyid"] = ""
    assert codes(signed[0], read_bundle(json.dumps(value).encode())) == {"SIG001"}
    raw = {"rawBytes": base64.b64encode(other.public.pem()).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    value["verificationMaterial"]["publicKey"] = raw
    assert codes(signed[0], read_bundle(json.dumps(value).encode())) == {"SIG010"}


def test_a_signature_on_another_statement(signed, model):
    (model / "config.json").write_text("{}")
    theirs = sign_model(str(model), KeyMaterial(KEY)).bundle
    assert codes(signed[0], theirs) == {"SIG005"}  # replayed: signed by the key, about something else
    ours, other = json.loads(write_bundle(signed[1])), json.loads(write_bundle(theirs))
    ours["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    assert codes(signed[0], read_bundle(json.dumps(ours).encode())) == {"SIG001"}


def test_a_hash_that_does_not_belong_to_the_key(signed):
    """SHA-256 with P-384 is what 0.2 did; on a statement of today it is refused."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = generate("ecdsa-p384-sha384")
    payload = signed[1].payload
    signature = key.key.sign(dsse.pae(dsse.IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    assert codes(signed[0], hand_made(payload, signature, key), KeyTrust(key.public)) == {"SIG001"}


def test_the_encoding_of_0_2_on_a_statement_of_today(signed):
    payload = signed[1].payload
    old = f"DSSEV1 {len(dsse.IN_TOTO)} {dsse.IN_TOTO} {len(payload)} {payload!r}".encode()
    assert codes(signed[0], hand_made(payload, KEY.sign(old), KEY)) == {"SIG001"}


def hand_made(payload, signature, key):
    envelope = dsse.Envelope(
        base64.b64encode(payload).decode(), dsse.IN_TOTO, (dsse.Signature(base64.b64encode(signature).decode()),)
    )
    return make_bundle(KeyMaterial(key).bundle(payload).verification_material, envelope)


# Statements that were signed and contradict themselves

DIGEST = "ab" * 32


def statement(**changes):
    rows = changes.pop("resources", [{"name": "a", "algorithm": "sha256", "digest": DIGEST}])
    try:
        root = hashlib.sha256(bytes.fromhex("".join(row["digest"] for row in rows))).hexdigest()
    except (ValueError, TypeError, KeyError):
        root = DIGEST
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False} | changes.pop("serialization", {})
    whole = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "m", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": how, "resources": rows},
    }
    return {**whole, **changes}


def old(*subjects):
    return {**statement(), "predicateType": "https://model_signing/Digests/v0.1", "subject": list(subjects)}


def row(name="a", digest=DIGEST, algorithm="sha256"):
    return {"name": name, "digest": digest, "algorithm": algorithm}


SHARDS = {"method": "shards", "shard_size": 10}
ODD_NAMES = ("", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a/.", "..", "a\0b")
STATEMENTS = [
    *((statement(resources=[row(name)]), "SIG009") for name in ODD_NAMES),
    *((statement(resources=[row("..."), row(name), row(".x/y.")]), "SIG009") for name in (*ODD_NAMES, ".")),
    (statement(resources=[row(), row("b", DIGEST.upper())]), "SIG009"),
    (statement(resources=[row(), row("b", DIGEST[:-1]), row("c", DIGEST + "0")]), "SIG009"),
    (statement(resources=[row("."), row("a")]), "SIG009"),
    (statement(resources=[row(), row()]), "SIG009"),
    (statement(resources=[row(digest=DIGEST.upper())]), "SIG009"),
    (statement(resources=[row(digest="ab")]), "SIG009"),
    (statement(resources=[row(digest="zz" * 32)]), "SIG009"),
    (statement(resources=[row(digest=None)]), "SIG009"),
    (statement(resources=[row(name=7)]), "SIG009"),
    (statement(resources=[row(algorithm="md5")]), "SIG009"),
    (statement(resources=[row(algorithm="blake3"), row("b")]), "SIG009"),
    (statement(resources=[{"name": "a"}]), "SIG009"),
    (statement(resources=[]), "SIG012"),
    (statement(resources=None), "SIG012"),
    (statement(subject=[]), "SIG009"),
    (statement(subject=[{"name": "m", "digest": {"sha256": DIGEST}}]), "SIG009"),
    (statement(subject=[{"name": "m", "digest": {}}]), "SIG009"),
    (statement(subject=[{"name": "m", "digest": {"sha256": DIGEST}}] * 2), "SIG009"),
    (statement(predicate={}), "SIG009"),
    (statement(predicate=[]), "SIG009"),
    (statement(_type="https://in-toto.io/Statement/v0.1"), "SIG009"),
    (statement(predicateType="https://slsa.dev/provenance/v1"), "SIG002"),
    (statement(predicateType=None), "SIG002"),
    (statement(serialization={"method": "tensors"}), "SIG013"),
    (statement(serialization={"hash_type": "md5"}), "SIG013"),
    (statement(serialization={"allow_symlinks": "yes"}), "SIG009"),
    (statement(serialization={"ignore_paths": "a"}), "SIG009"),
    (statement(serialization={"shard_size": 10}), "SIG009"),
    (statement(serialization={"method": "shards"}), "SIG009"),
    (statement(serialization=SHARDS | {"shard_size": 0}), "SIG009"),
    (statement(serialization=SHARDS | {"shard_size": -1}), "SIG009"),
    (statement(serialization=SHARDS | {"shard_size": 1.5}), "SIG009"),
    *(
        (statement(serialization=SHARDS, resources=[row(name) for name in names]), "SIG009")
        for names in (["a"], ["a:0"], ["a:0:11"], ["a:1:5"], ["a:0:0"], ["a:0:10", "a:20:30"], ["a:0:9", "a:9:12"], ["a:00:10"],
                      ["a:0:10", "a:10:10"], [":0:10"], ["../a:0:10"], ["a:-1:5"], ["a:0:10", "a:0:10"])
    ),
    (old(), "SIG012"),
    (old({"name": "../a", "digest": {"sha256": DIGEST}}), "SIG009"),
    (old({"name": "a", "digest": {"sha1": DIGEST}}), "SIG009"),
    (old({"name": "a", "digest": {"sha256": DIGEST}}, {"name": "a", "digest": {"sha256": DIGEST}}), "SIG009"),
    ([], "SIG009"),
    ("text", "SIG009"),
    (None, "SIG009"),
]  # fmt: skip


@pytest.mark.parametrize("value, code", STATEMENTS)
def test_a_signed_statement_that_cannot_be(signed, value, code):
    bundle = KeyMaterial(KEY).bundle(json.dumps(value).encode())
    with pytest.raises((IntegrityError, InputError)) as raised:
        examine_model(str(signed[0]), bundle, TRUST)
    assert raised.value.code == code


def test_names_that_look_odd_and_are_not():
    rows = [row(name) for name in ("...", ".x/y.", "a b\n", "a/...", "a:0:1", "..a")]
    assert parse_manifest(json.dumps(statement(resources=rows)).encode()).paths == {item["name"] for item in rows}


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b'{"_type": 1, "_type": 1}', b'{"a": NaN}', b"[" * 200_000, b"{}"])
def test_a_payload_that_is_no_statement(payload):
    with pytest.raises(IntegrityError) as raised:
        parse_manifest(payload)
    assert raised.value.code == "SIG009"


def test_an_algorithm_that_is_not_the_one_of_the_digests(signed):
    """A digest of one algorithm is none of another: BLAKE2 over the same bytes differs."""
    rows = [row(name, "cd" * 64, "blake2b") for name in FILES]
    bundle = KeyMaterial(KEY).bundle(json.dumps(statement(resources=rows, serialization={"hash_type": "blake2b"})).encode())
    assert codes(signed[0], bundle) == {"SIG005"}


# Certificates

ROOT = issue("root", ca=True)
MIDDLE = issue("middle", ROOT, ca=True)
CODE = [ExtendedKeyUsageOID.CODE_SIGNING]


def chain_bundle(model, leaf, *others, key=None):
    """Sign as somebody would who does not check his own certificate."""
    material = CertificateMaterial.__new__(CertificateMaterial)
    material.signer, material.certificates = key or leaf.key, (leaf.certificate, *(item.certificate for item in others))
    return sign_model(str(model), material).bundle


GOOD = {
    "through an intermediate": (issue("leaf", MIDDLE), [MIDDLE]),
    "with the root along": (issue("leaf", MIDDLE), [MIDDLE, ROOT]),
    "directly": (issue("leaf", ROOT), []),
    "for code": (issue("leaf", MIDDLE, extended=CODE), [MIDDLE]),
    "for code, without key usage": (issue("leaf", MIDDLE, usage=None, extended=CODE), [MIDDLE]),
    "without basic constraints": (issue("leaf", MIDDLE, constraints=False), [MIDDLE]),
    "P-521": (issue("leaf", MIDDLE, key=generate("ecdsa-p521-sha512")), [MIDDLE]),
    "Ed25519": (issue("leaf", MIDDLE, key=generate("ed25519")), [MIDDLE]),
}


@pytest.mark.parametrize("name", GOOD)
def test_certificates_that_are_right(signed, name):
    leaf, others = GOOD[name]
    assert codes(signed[0], chain_bundle(signed[0], leaf, *others), CertificateTrust([ROOT.certificate])) == set()


def _bad():
    narrow = issue("narrow", ROOT, ca=True, path_length=0)
    below = issue("below", narrow, ca=True)
    no_ca = issue("no authority", ROOT)
    no_usage = issue("no usage", ROOT, ca=True, usage=("digital_signature",))
    mail = issue("mail", ROOT, ca=True, extended=[ExtendedKeyUsageOID.EMAIL_PROTECTION])
    late = issue("late", ROOT, ca=True, days=(-9, -2))
    early = issue("early", ROOT, ca=True, days=(2, 9))
    odd = issue("odd", ROOT, ca=True, critical=True)
    twin = issue("middle", issue("root", ca=True), ca=True)  # the same names, other keys
    stranger = issue("stranger", ca=True)
    leaf = issue("leaf", MIDDLE)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    return {
        "expired": ("SIG021", issue("leaf", MIDDLE, days=(-9, -2)), [MIDDLE]),
        "not yet valid": ("SIG022", issue("leaf", MIDDLE, days=(2, 9)), [MIDDLE]),
        "for servers": ("SIG024", issue("leaf", MIDDLE, extended=[ExtendedKeyUsageOID.SERVER_AUTH]), [MIDDLE]),
        "for anything but code": ("SIG024", issue("leaf", MIDDLE, extended=[ExtendedKeyUsageOID.TIME_STAMPING]), [MIDDLE]),
        "key usage without signatures": ("SIG024", issue("leaf", MIDDLE, usage=("key_encipherment",)), [MIDDLE]),
        "key usage without signatures, for code": (
            "SIG024",
            issue("leaf", MIDDLE, usage=("key_agreement",), extended=CODE),
            [MIDDLE],
        ),
        "no usage at all": ("SIG024", issue("leaf", MIDDLE, usage=None), [MIDDLE]),
        "an authority": ("SIG024", issue("leaf", MIDDLE, ca=True, usage=("digital_signature", "key_cert_sign")), [MIDDLE]),
        "an unknown critical extension": ("SIG024", issue("leaf", MIDDLE, critical=True), [MIDDLE]),
        "intermediate missing": ("SIG023", leaf, []),
        "intermediate first": ("SIG024", MIDDLE, [leaf]),
        "another root": ("SIG023", issue("leaf", stranger), [stranger]),
        "self-signed, not trusted": ("SIG023", issue("leaf"), []),
        "names without keys": ("SIG023", issue("leaf", twin), [twin]),
        "keys without names": ("SIG023", issue("leaf", MIDDLE, subject_issuer=name), [MIDDLE]),
        "below a path length": ("SIG023", issue("leaf", below), [below, narrow]),
        "issued by a signer": ("SIG023", issue("leaf", no_ca), [no_ca]),
        "issued without key usage": ("SIG023", issue("leaf", no_usage), [no_usage]),
        "issued by an authority for mail": ("SIG023", issue("leaf", mail), [mail]),
        "issued by an expired authority": ("SIG023", issue("leaf", late), [late]),
        "issued by an authority of the future": ("SIG023", issue("leaf", early), [early]),
        "issued by an odd authority": ("SIG023", issue("leaf", odd), [odd]),
        "too many": ("SIG026", leaf, [MIDDLE] * 16),
    }


BAD = _bad()


@pytest.mark.parametrize("name", BAD)
def test_certificates_that_are_wrong(signed, name):
    code, leaf, others = BAD[name]
    assert codes(signed[0], chain_bundle(signed[0], leaf, *others), CertificateTrust([ROOT.certificate])) == {code}


@pytest.mark.parametrize("name", [name for name in BAD if BAD[name][0] in {"SIG021", "SIG022", "SIG024"}])
def test_nobody_signs_with_a_certificate_that_is_wrong(name):
    _, leaf, others = BAD[name]
    with pytest.raises(IntegrityError) as raised:
        CertificateMaterial(leaf.key, leaf.certificate, [item.certificate for item in others])
    assert raised.value.code == BAD[name][0]


def test_a_certificate_counts_as_of_when_it_is_known_to_have_signed(signed):
    """Not as the bundle says: as the caller does, who has a ledger."""
    from datetime import UTC, datetime, timedelta

    old = issue("old root", ca=True, days=(-90, 90))
    leaf = issue("leaf", old, days=(-30, -20))
    bundle = chain_bundle(signed[0], leaf)
    at = datetime.now(UTC) - timedelta(days=25)
    assert codes(signed[0], bundle, CertificateTrust([old.certificate], at)) == set()
    assert codes(signed[0], bundle, CertificateTrust([old.certificate])) == {"SIG021"}
    assert codes(signed[0], bundle, CertificateTrust([old.certificate], at - timedelta(days=10))) == {"SIG022"}


def test_an_expired_root(signed):
    old = issue("root", ca=True, days=(-9, -2))
    assert codes(signed[0], chain_bundle(signed[0], issue("leaf", old)), CertificateTrust([old.certificate])) == {"SIG023"}


def test_a_certificate_of_another_key(signed):
    leaf, other = issue("leaf", MIDDLE), issue("other", MIDDLE)
    assert codes(signed[0], chain_bundle(signed[0], leaf, MIDDLE, key=other.key), CertificateTrust([ROOT.certificate])) == {
        "SIG001",
        "SIG010",
    } - {"SIG001"}
    value = json.loads(write_bundle(chain_bundle(signed[0], leaf, MIDDLE, key=other.key)))
    value["dsseEnvelope"]["signatures"][0]["keyid"] = ""
    assert codes(signed[0], read_bundle(json.dumps(value).encode()), CertificateTrust([ROOT.certificate])) == {"SIG001"}


def test_a_self_signed_certificate_that_is_trusted_itself(signed):
    alone = issue("alone")
    bundle = chain_bundle(signed[0], alone)
    assert codes(signed[0], bundle, CertificateTrust([alone.certificate])) == set()
    assert codes(signed[0], bundle, CertificateTrust([issue("alone").certificate])) == {"SIG023"}


def test_an_intermediate_alone_can_be_trusted_when_no_root_is_named(signed):
    leaf = issue("leaf", MIDDLE)
    assert codes(signed[0], chain_bundle(signed[0], leaf), CertificateTrust([MIDDLE.certificate])) == set()
    assert codes(signed[0], chain_bundle(signed[0], leaf), CertificateTrust([MIDDLE.certificate, ROOT.certificate])) == set()
    stranger = issue("stranger", ca=True)
    # A root among what is trusted makes the others helpers.
    assert codes(signed[0], chain_bundle(signed[0], leaf), CertificateTrust([MIDDLE.certificate, stranger.certificate])) == {
        "SIG023"
    }


def test_a_certificate_of_a_kind_of_key_that_signs_nothing_here(signed):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rsa")])
    usage = issue("x").certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    first = ROOT.certificate.not_valid_before_utc
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ROOT.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(first)
        .not_valid_after(ROOT.certificate.not_valid_after_utc)
        .add_extension(usage, critical=True)
        .sign(ROOT.key.key, hashes.SHA256())
    )
    bundle = chain_bundle(signed[0], Identity(KEY, certificate))
    assert codes(signed[0], bundle, CertificateTrust([ROOT.certificate])) == {"KEY009"}


@pytest.mark.parametrize("content", [b"", b"0", b"0\x82\xff\xff", b"\x30\x03\x02\x01\x00"])
def test_a_certificate_that_is_none(signed, content):
    value = json.loads(write_bundle(chain_bundle(signed[0], issue("leaf", ROOT))))
    certificate = value["verificationMaterial"]["x509CertificateChain"]["certificates"][0]
    certificate["rawBytes"] = base64.b64encode(content).decode()
    assert codes(signed[0], read_bundle(json.dumps(value).encode()), CertificateTrust([ROOT.certificate])) == {"SIG026"}


def test_any_flipped_bit_of_a_certificate(signed):
    """Every thirteenth bit of the certificate: its own signature covers all of it."""
    value = json.loads(write_bundle(chain_bundle(signed[0], issue("leaf", ROOT))))
    certificate = value["verificationMaterial"]["x509CertificateChain"]["certificates"][0]
    content = base64.b64decode(certificate["rawBytes"])
    trust = CertificateTrust([ROOT.certificate])
    accepted = []
    for position in range(0, 8 * len(content), 13):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        certificate["rawBytes"] = base64.b64encode(bytes(changed)).decode()
        try:
            trust.check(read_bundle(json.dumps(value).encode()))
            accepted.append(position)
        except IntegrityError:
            continue
    assert accepted == []


def test_one_method_is_not_another(signed):
    by_key, by_chain = signed[1], chain_bundle(signed[0], issue("leaf", ROOT))
    assert codes(signed[0], by_key, CertificateTrust([ROOT.certificate])) == {"SIG011"}
    assert codes(signed[0], by_chain) == {"SIG011"}
    both = json.loads(write_bundle(by_key))
    both["verificationMaterial"] |= json.loads(write_bundle(by_chain))["verificationMaterial"]
    with pytest.raises(IntegrityError, match="2 kinds of verification material"):
        read_bundle(json.dumps(both).encode())
    none = make_bundle(Material(), dsse.sign(by_key.payload, KEY))
    with pytest.raises(IntegrityError, match="0 kinds"):
        read_bundle(write_bundle(none))
