"""What may be loaded: what the scan says decides, and nothing else."""

from __future__ import annotations

import pickle
import shutil

import pytest

from stannary.app.opening import admit
from stannary.checks.static.scan import ScanOptions, Target
from stannary.core.errors import InputError, PolicyDenied

OPTIONS = ScanOptions(jobs=1)


def test_what_is_clean_is_admitted_with_its_identity(tmp_path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"w": [1.0, 2.0]}))
    found = admit(Target(path=str(path)), OPTIONS)
    assert found.verdict == "clean"
    assert found.format == "pickle"
    assert len(found.digest.partition(":")[2]) == 64
    assert found.files == {found.sha256}


def test_what_is_dangerous_is_refused_whoever_trusts_it(tmp_path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"cposix\nsystem\n(S'echo'\ntR.")
    for trust in (False, True):
        with pytest.raises(PolicyDenied, match="is not loaded") as caught:
            admit(Target(path=str(path)), OPTIONS, trust=trust)
        assert caught.value.code == "EVA001"
        assert caught.value.exit_code == 1


def test_what_nobody_knows_takes_trust(tmp_path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"cnobody_knows.this\nThing\n)\x81.")
    with pytest.raises(PolicyDenied) as caught:
        admit(Target(path=str(path)), OPTIONS)
    assert caught.value.code == "EVA003"
    assert admit(Target(path=str(path)), OPTIONS, trust=True).verdict == "unverified"


def test_what_cannot_be_read_is_refused(tmp_path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"w": list(range(1000))}, 2)[:-200])
    with pytest.raises(InputError) as caught:
        admit(Target(path=str(path)), OPTIONS, trust=True)
    assert caught.value.code == "EVA002"


def test_a_folder_is_admitted_whole(tmp_path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.pkl").write_bytes(pickle.dumps([1]))
    (folder / "b.pkl").write_bytes(pickle.dumps([2]))
    found = admit(Target(path=str(folder)), OPTIONS)
    assert found.sha256 is None
    assert len(found.files) == 2
    (folder / "c.pkl").write_bytes(b"cposix\nsystem\n(S'echo'\ntR.")
    with pytest.raises(PolicyDenied):
        admit(Target(path=str(folder)), OPTIONS)
    shutil.rmtree(folder)
