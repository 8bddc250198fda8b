"""What was signed by identity is verified for ever, whatever becomes of the code and of the keys."""

from pathlib import Path

import pytest

import stannary
from stannary.core.errors import IntegrityError
from stannary.crypto.keys import read_public

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FOLDER, MODEL = GOLDEN / "keyless", GOLDEN / "model_signing" / "model"
WHO = {"email": "alice@example.com", "uri": "spiffe://golden.example/trainer"}
SIGNATURES = sorted(FOLDER.glob("*.sig"))


@pytest.mark.parametrize("path", SIGNATURES, ids=lambda path: path.stem)
def test_it_holds(path):
    name = WHO[path.stem.rpartition("-")[2]]
    for root, key in (("trust_config.json", None), ("trusted_root.dsse.json", read_public(FOLDER / "root.pub"))):
        trust = stannary.trusted_identity(name, "https://idp.example", FOLDER / root, root_key=key)
        assert stannary.verify(MODEL, signature=path, trust=trust).outcome == "verified"
    other = stannary.trusted_identity("bob@example.com", "https://idp.example", FOLDER / "trust_config.json")
    with pytest.raises(IntegrityError) as raised:
        stannary.verify(MODEL, signature=path, trust=other)
    assert raised.value.code == "SIG037"


def test_each_kind_is_kept():
    assert {path.stem.rpartition("-")[2] for path in SIGNATURES} == set(WHO)
