"""What people keep beside models is called clean, what only its caller can judge is unverified, and its hostile twin is flagged."""

from pathlib import Path

import pytest

import stannary
from stannary.testing.forges import Forge, all_forges, write

EVERYDAY = [forge for forge in all_forges().values() if forge.name.startswith("everyday.")]
CALM = {"processor": 30.0, "seconds": 90.0}  # beside other work, a first import alone can take what a file may
UNVERIFIED = {"everyday.stores_itself"}  # loads and saves where its caller says


@pytest.mark.parametrize("forge", [f for f in EVERYDAY if f.malicious is False], ids=lambda f: f.name)
def test_what_is_ordinary_is_no_alarm(forge: Forge, tmp_path: Path) -> None:
    target = stannary.scan(write(forge.name, tmp_path / "it"), jobs=1, limits=CALM).targets[0]
    wanted = "unverified" if forge.name in UNVERIFIED else "clean"
    assert target.verdict == wanted, [f.message for f in target.findings] + [m.reason for x in target.files for m in x.missed]


@pytest.mark.parametrize("forge", [f for f in EVERYDAY if f.malicious], ids=lambda f: f.name)
def test_its_hostile_twin_is_flagged(forge: Forge, tmp_path: Path) -> None:
    target = stannary.scan(write(forge.name, tmp_path / "it"), jobs=1, limits=CALM).targets[0]
    assert target.verdict in {"suspicious", "unsafe"}


def test_each_kind_has_a_twin() -> None:
    assert sum(f.malicious is False for f in EVERYDAY) > 12
    assert sum(f.malicious is True for f in EVERYDAY) > 12
