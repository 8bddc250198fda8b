"""What was once written verifies for ever, and is seen as it was then."""

from pathlib import Path

import msgspec
import pytest

from stannary.crypto import dsse
from stannary.crypto.keys import read_public
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.verify import verify_envelope

pytestmark = pytest.mark.tree

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "evidence"
STEMS = sorted(path.name.removesuffix(".dsse.json") for path in FOLDER.glob("*.dsse.json"))


@pytest.mark.parametrize("stem", STEMS)
def test_an_old_statement_verifies_and_says_what_it_said(stem):
    key = read_public(FOLDER / f"{stem}.pub")
    found = verify_envelope(dsse.decode((FOLDER / f"{stem}.dsse.json").read_bytes()), {key.keyid: (key, "golden")})
    now = msgspec.json.decode(msgspec.json.encode(found.value))
    then = msgspec.json.decode((FOLDER / f"{stem}.evidence.json").read_bytes())
    # Fields that were added since have their defaults; none of those there were may have changed.
    assert {name: now[name] for name in then} == then


def test_every_kind_has_an_example():
    seen = {msgspec.json.decode((FOLDER / f"{stem}.evidence.json").read_bytes())["kind"] for stem in STEMS}
    assert seen == set(KINDS)
