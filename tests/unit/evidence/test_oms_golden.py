"""Signatures that releases of model_signing since 0.2 made still verify."""

import shutil
from pathlib import Path

import pytest

import stannary

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "model_signing"
SIGNATURES = sorted(GOLDEN.glob("*.sig"))


def trusted(signature):
    _, method, curve = signature.stem.rsplit("-", 2)
    return {"key": GOLDEN / f"{curve}.pub"} if method == "key" else {"certificate_chain": [GOLDEN / f"{curve}-root.crt"]}


def test_there_are_signatures():
    assert len(SIGNATURES) == 18


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda path: path.stem)
def test_an_old_signature_verifies(signature):
    found = stannary.verify(GOLDEN / "model", signature=signature, **trusted(signature))
    assert (found.outcome, found.checked) == ("verified", 3)
    assert found.manifest.legacy == signature.name.startswith("0.2.0")


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda path: path.stem)
def test_an_old_signature_holds_for_its_model_alone(signature, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(GOLDEN / "model", model)
    (model / "config.json").write_text("{}")
    (model / "new").write_text("")
    with pytest.raises(ExceptionGroup) as raised:
        stannary.verify(model, signature=signature, **trusted(signature))
    assert [error.code for error in raised.value.exceptions] == ["SIG005", "SIG004"]
