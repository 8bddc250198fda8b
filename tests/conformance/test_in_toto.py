"""securesystemslib and in-toto's own library accept every kind of statement that we write; we accept what they write."""

import json
import subprocess
from pathlib import Path

import pytest

from stannary.crypto import dsse
from stannary.crypto.keys import PublicKey
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.verify import verify_envelope

PROGRAM = Path(__file__).parent / "programs" / "in_toto.py"
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "evidence"


@pytest.fixture
def theirs(oracles):
    def run(*arguments):
        done = subprocess.run([oracles / "python", PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.dsse.json")), ids=lambda path: path.name)
def test_what_we_write_they_accept(theirs, path):
    answer = theirs("read", path, path.with_name(path.name.replace(".dsse.json", ".pub")))
    assert answer["verified"]
    assert answer["payloadType"] == dsse.IN_TOTO
    assert answer["predicateType"] in {row.predicate_type for row in KINDS.values()}
    assert answer["name"] == "claims"
    assert len(answer["subject"]["dirHash1"]) == 64


def test_what_was_changed_they_refuse_too(theirs, tmp_path):
    path = GOLDEN / "statement-v1.dsse.json" if (GOLDEN / "statement-v1.dsse.json").exists() else next(GOLDEN.glob("*.dsse.json"))
    content = json.loads(path.read_text())
    content["payload"] = content["payload"][:40] + ("A" if content["payload"][40] != "A" else "B") + content["payload"][41:]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    assert not theirs("read", changed, path.with_name(path.name.replace(".dsse.json", ".pub")))["verified"]


def test_what_they_write_we_accept(theirs, tmp_path):
    file = tmp_path / "theirs.dsse.json"
    key = PublicKey.of_pem(theirs("write", file)["pem"].encode())
    envelope = dsse.decode(file.read_bytes())
    # Their key id is another digest of the key than ours; it is a hint, and the key is what counts.
    item = verify_envelope(envelope, {key.keyid: (key, "them")})
    assert (item.value.kind, item.value.outcome, item.identity) == ("test-result", "passed", "them")
