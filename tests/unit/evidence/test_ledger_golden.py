"""Proofs of a log that was handed over twice, kept as they were: whoever trusts any of its keys can verify them for ever."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.core.errors import IntegrityError
from stannary.evidence.ledger import Receipt, verify
from stannary.evidence.ledger.log_keys import LogKeys, read_handovers
from stannary.evidence.ledger.witness import Quorum, read_keys

pytestmark = pytest.mark.tree

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "ledger"
FIRST, LAST, WITNESS = (read_keys([str(FOLDER / f"{name}.vkey")])[0] for name in ("first", "last", "witness"))


def proof(name):
    record = (FOLDER / f"{name}.record.json").read_bytes()
    return record, Receipt.of_proof((FOLDER / f"{name}.tlog-proof").read_text(encoding="utf-8"), record)


@pytest.mark.parametrize("trusted", [FIRST, LAST], ids=["first", "last"])
@pytest.mark.parametrize("name, index, size", [("first-key", 1, 3), ("proven-anew", 1, 303), ("third-key", 302, 303)])
def test_an_old_proof_verifies_under_the_keys_that_followed(name, index, size, trusted):
    keys = LogKeys.following(trusted, read_handovers(FOLDER / "keys.json"))
    assert (keys.current, len(keys.all)) == (LAST, 3)
    record, receipt = proof(name)
    assert (receipt.index, verify(record, receipt, keys).size) == (index, size)


def test_a_proof_under_the_key_that_was_stolen_needs_another():
    keys = LogKeys.following(FIRST, read_handovers(FOLDER / "keys.json"))
    record, receipt = proof("second-key")
    with pytest.raises(IntegrityError) as refused:
        verify(record, receipt, keys)
    assert refused.value.code == "LED028"
    assert Quorum((WITNESS,), 1).require(receipt.checkpoint, keys, datetime.now(UTC)).size == 301


def test_a_proof_of_the_first_key_needs_no_hand_over():
    record, receipt = proof("first-key")
    assert verify(record, receipt, FIRST).size == 3
