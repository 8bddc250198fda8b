"""The tamper matrix, counted: over a thousand changes of every sort, each refused with the error that says what it was.

The other tests of tampering go deeper into one thing each (`test_ledger_tamper.py`, `test_oms_tamper.py`,
`test_sigstore_tamper.py`, `test_tamper.py`); this one holds the number and the breadth.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import shutil
import sqlite3
import sys
from collections import Counter
from datetime import UTC, datetime

import msgspec

from stannary.core.errors import StannaryError
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.crypto.note import Checkpoint, VerifierKey, sign_note
from stannary.evidence.ledger import Ledger, audit_file, entry
from stannary.evidence.oms.certificate import CertificateMaterial, CertificateTrust
from stannary.evidence.oms.key import KeyMaterial, KeyTrust
from stannary.evidence.oms.sign import sign_model
from stannary.evidence.oms.verify import examine_model
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode, subject_resource
from stannary.evidence.verify import verify_envelope
from stannary.testing.certificates import Identity, issue
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

SIZE, ORIGIN = 40, "example.com/matrix"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEY, LOG_KEY, THIEF = generate(), generate("ed25519"), generate("ed25519")
LOG = VerifierKey.of(ORIGIN, LOG_KEY.public)
ALGORITHMS = ("ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519")
KEYS = {name: generate(name) for name in ALGORITHMS}
SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")
FILES = ("config.json", "weights.bin", "adapter/a.bin", "adapter/b.bin")
# What is changed → how often at the least. Together: what was asked for.
WANTED = {
    "a flipped bit in a file of a model": 150,
    "two files of a model with swapped names": 6,
    "a flipped bit in a signed statement": 200,
    "a flipped bit in a signature": 200,
    "an edited row": 200,
    "a deleted row": 35,
    "reordered rows": 35,
    "a truncated log": 35,
    "a rolled-back checkpoint": 35,
    "a checkpoint by somebody else": 35,
    "evidence about something else": 14,
    "a signature replayed on another statement": 150,
    "a wrong key": 16,
    "a key of another algorithm under the same name": 12,
    "an expired certificate": 20,
}


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8 % len(content)] ^= 1 << bit % 8
    return bytes(changed)


def code_of(call) -> str:
    """Return the code that a call is refused with, empty when it is not."""
    try:
        call()
    except StannaryError as error:
        return error.code
    return ""


class Tally:
    """What was changed, how often, and what was not refused as it should be."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[tuple[str, object, str]] = []

    def __call__(self, what: str, where: object, code: str, right: str) -> None:
        """Count it; of several codes (an audit tells all that follows from a change) one has to be right."""
        self.counts[what] += 1
        if not set(code.split("+")) & set(right.split()):
            self.wrong.append((what, where, code))


def seen(folder, bundle, trust) -> str:
    """Return the codes of what is wrong with a model, empty where nothing is."""
    try:
        found = examine_model(str(folder), bundle, trust)
    except StannaryError as error:
        return error.code
    return "+".join(sorted({item.code for item in found.differences}))


def models(tally, folder):
    model = folder / "model"
    (model / "adapter").mkdir(parents=True)
    contents = {name: random.Random(name).randbytes(300 + number) for number, name in enumerate(FILES)}
    for name, content in contents.items():
        (model / name).write_bytes(content)
    bundle = sign_model(str(model), KeyMaterial(KEY)).bundle
    trust = KeyTrust(KEY.public)
    assert seen(model, bundle, trust) == ""
    rng = random.Random(1)
    for name, content in contents.items():
        for bit in rng.sample(range(8 * len(content)), 40):
            (model / name).write_bytes(flipped(content, bit))
            tally("a flipped bit in a file of a model", (name, bit), seen(model, bundle, trust), "SIG005")
        (model / name).write_bytes(content)
    for one, other in itertools.combinations(FILES, 2):
        (model / one).write_bytes(contents[other])
        (model / other).write_bytes(contents[one])
        tally("two files of a model with swapped names", (one, other), seen(model, bundle, trust), "SIG005")
        (model / one).write_bytes(contents[one])
        (model / other).write_bytes(contents[other])
    assert seen(model, bundle, trust) == ""
    wrong = KeyTrust(generate().public)
    tally("a wrong key", "model", seen(model, bundle, wrong), "SIG001 SIG010")


def certificates(tally, folder):
    model = folder / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(b"weights")
    root = issue("root", ca=True)
    trust = CertificateTrust([root.certificate])
    assert signed_by(model, issue("leaf", root), trust) == ""
    for days in range(1, 24):
        leaf = issue("leaf", root, days=(-30 - days, -days))
        tally("an expired certificate", days, signed_by(model, leaf, trust), "SIG021")


def signed_by(model, leaf: Identity, trust) -> str:
    material = CertificateMaterial.__new__(CertificateMaterial)  # it would not sign with a certificate that is over
    material.signer, material.certificates = leaf.key, (leaf.certificate,)
    return seen(model, sign_model(str(model), material).bundle, trust)


def signed(key, kind="model-scan", subject=SUBJECT):
    return dsse.sign(encode([subject], KINDS[kind].predicate_type, EXAMPLES[kind]), key)


def refused(envelope, key, subject=None) -> str:
    return code_of(lambda: verify_envelope(envelope, {key.public.keyid: (key.public, "ci")}, subject=subject))


def with_signature(envelope, signature, keyid=None):
    row = dsse.Signature(base64.b64encode(signature).decode(), keyid or envelope.signatures[0].keyid)
    return msgspec.structs.replace(envelope, signatures=(row,))


def statements(tally, _):
    rng = random.Random(2)
    for name, key in KEYS.items():
        envelope = signed(key)
        assert refused(envelope, key) == ""
        payload, signature = dsse.payload_of(envelope), base64.b64decode(envelope.signatures[0].sig)
        for bit in rng.sample(range(8 * len(payload)), 60):
            changed = msgspec.structs.replace(envelope, payload=base64.b64encode(flipped(payload, bit)).decode())
            tally("a flipped bit in a signed statement", (name, bit), refused(changed, key), "SIG001")
        for bit in rng.sample(range(8 * len(signature)), 60):
            changed = with_signature(envelope, flipped(signature, bit))
            tally("a flipped bit in a signature", (name, bit), refused(changed, key), "SIG001")
        for other in ALGORITHMS:
            wrong = generate(other)
            tally("a wrong key", (name, other), refused(envelope, wrong), "SIG001")
            if other != name:  # the attacker's key, and signature, under the name of the right one
                forged = with_signature(signed(wrong), base64.b64decode(signed(wrong).signatures[0].sig), key.public.keyid)
                tally("a key of another algorithm under the same name", (name, other), refused(forged, key), "SIG001")


def replays(tally, _):
    key = KEYS["ed25519"]
    other = subject_resource(Digest("0" * 64), "other")
    for kind in KINDS:
        about_other = refused(signed(key, kind, other), key, Digest(SUBJECT_HEX))
        tally("evidence about something else", kind, about_other, "EVD003")
        for another in KINDS:
            if another != kind:
                moved = msgspec.structs.replace(signed(key, another), signatures=signed(key, kind).signatures)
                tally("a signature replayed on another statement", (kind, another), refused(moved, key), "SIG001")


def record(n):
    return entry("evidence", {"n": n}, time=NOW, subject=f"sha256:{n % 5:064x}", kind="scan")


def opened(folder, *, write=False):
    return Ledger.open(folder / "ledger.db", LOG_KEY if write else None, origin=ORIGIN, verifier=LOG_KEY.public, clock=lambda: NOW)


def a_ledger(folder):
    """Return a ledger that grew by one, with its files at each size in `at-SIZE`."""
    folder.mkdir()
    for n in range(SIZE):
        with opened(folder, write=True) as log:
            log.append([record(n)])
        (folder / f"at-{n + 1}").mkdir()
        for name in ("ledger.db", "ledger.db.head"):
            shutil.copy(folder / name, folder / f"at-{n + 1}" / name)
    return folder


class Copy:
    """A copy of the ledger, to be changed, and looked at again."""

    def __init__(self, made, folder):
        self.made, self.folder, self.path = made, folder, folder / "ledger.db"

    def after(self, *statements) -> str:
        """Return the codes of what an audit, or opening it, says after SQL was done to a fresh copy."""
        self.fresh()
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(*((statement,) if isinstance(statement, str) else statement))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return self.told()

    def fresh(self) -> None:
        for name in ("ledger.db", "ledger.db.head"):
            shutil.copy(self.made / name, self.folder / name)

    def told(self) -> str:
        opening = code_of(lambda: opened(self.folder).close())
        if opening:
            return opening
        report = audit_file(self.path, LOG)
        return "+".join(sorted({item.code for item in report.deviations}))


def ledger(tally, folder):
    made = a_ledger(folder / "made")
    copy = Copy(made, folder)
    assert copy.after() == ""
    rows = sqlite3.connect(made / "ledger.db").execute("SELECT idx, record FROM entry").fetchall()
    rng = random.Random(3)
    for index, text in rows:
        content = text.encode() if isinstance(text, str) else bytes(text)
        for bit in rng.sample(range(8 * len(content)), 3):
            changed = flipped(content, bit).decode("latin-1") if isinstance(text, str) else flipped(content, bit)
            code = copy.after(("UPDATE entry SET record=? WHERE idx=?", (changed, index)))
            tally("an edited row", (index, bit), code, "LED007 LED012")
        for column, value in (("subject", "sha256:" + "9" * 64), ("kind", "eval"), ("time", "2027-01-01T00:00:00.000000Z")):
            code = copy.after((f"UPDATE entry SET {column}=? WHERE idx=?", (value, index)))
            tally("an edited row", (index, column), code, "LED008")
        tally("a deleted row", index, copy.after(f"DELETE FROM entry WHERE idx={index}"), "LED015")
        other = (index + 7) % SIZE
        swap = (f"UPDATE entry SET idx={a} WHERE idx={b}" for a, b in ((-5, index), (index, other), (other, -5)))
        tally("reordered rows", (index, other), copy.after(*swap), "LED007")
    for size in range(1, SIZE):
        gone = (f"DELETE FROM entry WHERE idx>={size}", f"DELETE FROM tail WHERE idx>={size}")
        code = copy.after(*gone, f"DELETE FROM checkpoint WHERE size>{size}")
        tally("a truncated log", size, code, "LED003 LED004 LED006 LED015")
        copy.fresh()
        shutil.copy(made / f"at-{size}" / "ledger.db", copy.path)
        tally("a rolled-back checkpoint", size, copy.told(), "LED003")
        forged = str(sign_note(Checkpoint(ORIGIN, size, bytes(32)).text, ORIGIN, THIEF))
        code = copy.after(("UPDATE checkpoint SET note=? WHERE size=?", (forged, SIZE)))
        tally("a checkpoint by somebody else", size, code, "LED004")


def test_every_change_is_refused_with_the_right_error_and_there_are_over_a_thousand(tmp_path, capsys):
    tally = Tally()
    for part in (models, certificates, statements, replays, ledger):
        folder = tmp_path / part.__name__
        folder.mkdir()
        part(tally, folder)
    total, wrong = tally.counts.total(), len(tally.wrong)
    with capsys.disabled():
        sys.stdout.write(f"\ntamper matrix: {total:,} changes, {wrong} not refused rightly: {json.dumps(tally.counts)}\n")
    assert tally.wrong == []
    assert {what: least for what, least in WANTED.items() if tally.counts[what] < least} == {}
    assert tally.counts.total() >= 1000
