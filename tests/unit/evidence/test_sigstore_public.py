"""Signatures of Sigstore's public instance, by four providers, verified offline with the trusted root that is shipped."""

import json
from pathlib import Path

import pytest

from stannary.core.errors import IntegrityError
from stannary.evidence.sigstore.bundle import parse_bundle
from stannary.evidence.sigstore.file import is_on_a_model, verify_file
from stannary.evidence.sigstore.identity import ARC, Wanted
from stannary.evidence.sigstore.method import SigstoreTrust
from stannary.evidence.sigstore.trusted_root import PUBLIC_GOOD, read_root
from stannary.evidence.sigstore.verify import verify_bundle

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "sigstore"
ROOT = read_root(PUBLIC_GOOD)
WORKFLOW = "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
GOOGLE = Wanted("919436158236-compute@developer.gserviceaccount.com", "https://accounts.google.com")
SIGNED = {
    "github": Wanted(WORKFLOW, "https://token.actions.githubusercontent.com"),
    "github-slsa": Wanted(WORKFLOW, "https://token.actions.githubusercontent.com"),
    "gitlab": Wanted("https://gitlab.com/facutuesca/gitlab-oidc-project//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com"),
    "google": GOOGLE,
    "circleci": Wanted(
        "https://circleci.com/api/v2/projects/fdd9283f-e619-46af-8f9c-851f7d3e8b2b/pipeline-definitions/"
        "8e4f8ab2-8d7c-4827-9f15-de076d6d647f",
        "https://oidc.circleci.com",
    ),
}


def content_of(name):
    return (GOLDEN / f"{name}.sigstore.json").read_bytes()


@pytest.mark.parametrize("name", SIGNED)
def test_it_holds_and_only_for_whom_it_names(name):
    bundle = parse_bundle(content_of(name))
    facts = verify_bundle(bundle, ROOT, SIGNED[name])
    assert facts.owner.names == (SIGNED[name].identity,)
    assert facts.certificate.not_valid_before_utc <= facts.time <= facts.certificate.not_valid_after_utc
    for wanted, code in (
        (Wanted(SIGNED[name].identity + "x", SIGNED[name].issuer), "SIG037"),
        (Wanted(SIGNED[name].identity[:-1], SIGNED[name].issuer), "SIG037"),
        (Wanted(SIGNED[name].identity, "https://accounts.example"), "SIG038"),
    ):
        with pytest.raises(IntegrityError) as raised:
            verify_bundle(bundle, ROOT, wanted)
        assert raised.value.code == code


def test_what_github_said_of_the_workflow():
    facts = verify_bundle(parse_bundle(content_of("github")), ROOT, SIGNED["github"])
    assert facts.owner.claims[f"{ARC}.12"] == "https://github.com/trailofbits/pypi-attestations"
    assert facts.owner.claims[f"{ARC}.14"] == "refs/tags/v0.0.19"


def test_an_entry_of_another_of_them_is_refused():
    """The attack of CVE-2022-36056: the log's entry of another signature."""
    value, other = (json.loads(content_of(name)) for name in ("github", "github-slsa"))
    value["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    with pytest.raises(IntegrityError):
        verify_bundle(parse_bundle(json.dumps(value).encode()), ROOT, SIGNED["github"])


def test_the_test_instance_is_not_the_public_one():
    with pytest.raises(IntegrityError) as raised:
        verify_bundle(parse_bundle(content_of("staging")), ROOT, Wanted("william@yossarian.net", "https://github.com/login/oauth"))
    assert raised.value.code == "SIG042"


def test_a_file_and_the_statement_that_has_it(tmp_path):
    trust = SigstoreTrust(ROOT, GOOGLE)
    assert not is_on_a_model(content_of("google"), "google")
    found = verify_file(str(GOLDEN / "google.tar.gz"), content_of("google"), trust, "google")
    assert found.size == 813
    assert found.predicate.endswith("/attestations/publish/v1")
    assert found.sha256 == "461317362419124b6012e855423a9078d6de8aed3e74fa78cc74d669b23dc6cf"
    other = bytearray((GOLDEN / "google.tar.gz").read_bytes())
    other[400] ^= 1
    (tmp_path / "google.tar.gz").write_bytes(other)
    with pytest.raises(IntegrityError) as raised:
        verify_file(str(tmp_path / "google.tar.gz"), content_of("google"), trust, "google")
    assert raised.value.code == "SIG005"
