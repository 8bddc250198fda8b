"""The CycloneDX specification's own documents, valid and invalid ones: our validator says of each what its name says."""

import json
import lzma
from pathlib import Path

import pytest

from stannary.report.bom.diff import compare, load
from stannary.report.bom.validate import validate

FIXTURES = Path(__file__).resolve().parents[1] / "golden" / "cyclonedx" / "fixtures.json.xz"
DOCUMENTS = json.loads(lzma.decompress(FIXTURES.read_bytes()))
# What their authors left dangling or doubled in documents that the schema accepts: our own checks find it.
UNSOUND = {
    "1.4/valid-bom-1.4.json": "depends on itself",
    "1.5/valid-bom-1.5.json": "depends on itself",
    "1.5/valid-formulation-1.5.json": "'component-a', which is no bom-ref",
    "1.6/valid-attestation-1.6.json": "'requirement-1', which is no bom-ref",
    "1.6/valid-formulation-1.6.json": "'component-a', which is no bom-ref",
    "1.7/valid-attestation-1.7.json": "'requirement-1', which is no bom-ref",
    "1.7/valid-citations-1.7.json": "'workflow-1' is a bom-ref that is there twice",
    "1.7/valid-cryptography-certificate-1.7.json": "which is no bom-ref",
    "1.7/valid-cryptography-full-1.7.json": "no SHA-256 of 64 hexadecimal digits",
    "1.7/valid-formulation-1.7.json": "'component-a', which is no bom-ref",
}


def good(name):
    return name.partition("/")[2].startswith("valid")


def test_all_of_them_are_there():
    assert len(DOCUMENTS) == 269
    assert sum(map(good, DOCUMENTS)) == 171


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_verdict_is_theirs(name):
    found = validate(DOCUMENTS[name].encode(), name)
    assert (found.format, found.valid) == ("CycloneDX", good(name)), found.problems[:3]
    assert found.version == name.partition("/")[0]
    messages = " ".join(row.message for row in found.problems)
    if good(name):
        assert found.sound == (name not in UNSOUND), messages
        assert UNSOUND.get(name, "") in messages
    else:
        lines = DOCUMENTS[name].count("\n") + 1
        assert all(1 <= row.line <= lines and row.message for row in found.problems)


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if good(name)])
def test_each_is_the_same_as_itself(name):
    view = load(DOCUMENTS[name].encode(), name)
    assert compare(view, load(DOCUMENTS[name].encode(), name)).changes == ()
