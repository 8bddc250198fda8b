"""Manifests that somebody brings: what they may say, and what not."""

import json

import pytest

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError
from stannary.core.model import Digest
from stannary.evidence.subject import identify
from stannary.registry.manifest import encode
from stannary.registry.names import Name

CLAIMS = Name("default", "claims")


@pytest.fixture
def registry(bench):
    return bench.opened[0]


def manifest_of(folder):
    artifact = identify(folder)
    content, _ = encode(artifact, single=False)
    return artifact, json.loads(content)


def test_a_version_is_registered_from_elsewhere_when_its_contents_are_there(bench, registry):
    folder = bench.model(b"from elsewhere")
    artifact, value = manifest_of(folder)
    content = canonical_json(value)
    with pytest.raises(InputError, match="not there"):
        registry.register(content, CLAIMS)
    for file in artifact.files:
        registry.contents("default").put(Digest(file.sha256), file.size, iter([(folder / file.path).read_bytes()]))
    made = registry.register(content, CLAIMS)
    assert (made.number, made.digest) == (1, str(artifact.digest))
    assert registry.push(folder, CLAIMS) == made


HOSTILE = {
    "up": [{"path": "../x", "size": 1, "sha256": "0" * 64}],
    "absolute": [{"path": "/x", "size": 1, "sha256": "0" * 64}],
    "backslash": [{"path": "a\\..\\x", "size": 1, "sha256": "0" * 64}],
    "drive": [{"path": "c:/x", "size": 1, "sha256": "0" * 64}],
    "dot": [{"path": "a/./x", "size": 1, "sha256": "0" * 64}],
    "empty": [{"path": "", "size": 1, "sha256": "0" * 64}],
    "nul": [{"path": "a\0b", "size": 1, "sha256": "0" * 64}],
    "invisible": [{"path": "a\u202eb", "size": 1, "sha256": "0" * 64}],
    "twice": [{"path": "x", "size": 1, "sha256": "0" * 64}] * 2,
    "unsorted": [{"path": "y", "size": 1, "sha256": "0" * 64}, {"path": "x", "size": 1, "sha256": "0" * 64}],
    "file and folder": [{"path": "x", "size": 1, "sha256": "0" * 64}, {"path": "x/y", "size": 1, "sha256": "0" * 64}],
    "negative": [{"path": "x", "size": -1, "sha256": "0" * 64}],
    "no digest": [{"path": "x", "size": 1, "sha256": "../../etc"}],
    "none": [],
    "text": "x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(bench, registry, name):
    value = {"schema": "stannary.manifest/1", "name": "m", "kind": "model", "single": False, "files": HOSTILE[name]}
    before = registry.chain.ledger.head()
    with pytest.raises(InputError):
        registry.register(canonical_json(value), CLAIMS)
    assert registry.chain.ledger.head() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b'{"schema": "stannary.manifest/1"}'])
def test_what_is_no_manifest_is_refused(local, content):
    with pytest.raises(InputError):
        local.opened[0].register(content, CLAIMS)
