"""Versions in order, advisories matched as OSV defines it, names that imitate others."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from stannary.checks.dependencies.advisories import Advisories
from stannary.checks.dependencies.judge import judge, match_advisories
from stannary.checks.dependencies.names import lookalike, popular
from stannary.checks.dependencies.versions import version_key
from stannary.checks.static.walk import read_view
from stannary.core.errors import InputError
from stannary.formats.interface import View

_NUMBERS = st.integers(0, 30).map(str)
_VERSIONS = st.builds(
    lambda epoch, release, pre, post, dev, local: f"{epoch}{'.'.join(release)}{pre}{post}{dev}{local}",
    st.sampled_from(["", "", "", "1!", "v"]),
    st.lists(_NUMBERS, min_size=1, max_size=4),
    st.sampled_from(["", "", "a1", "b", "rc2", ".alpha.3", "-c1", "_pre4", "preview5"]),
    st.sampled_from(["", "", ".post1", "-2", "rev3", "-r4", "post"]),
    st.sampled_from(["", "", ".dev0", "-dev3", "dev"]),
    st.sampled_from(["", "", "+local.1", "+abc", "+1.a-2"]),
)


@given(_VERSIONS, _VERSIONS)
def test_versions_sort_as_packaging_sorts_them(one, two):
    a, b = version_key(one), version_key(two)
    assert a is not None
    assert b is not None
    assert (a < b, a == b) == (Version(one) < Version(two), Version(one) == Version(two))


@pytest.mark.parametrize("text", ["", "abc", "1.x", "1..2", "1" * 300, "1.0+", "=1"])
def test_what_is_no_version(text):
    assert version_key(text) is None


def record(identifier, events, **more):
    return {
        "id": identifier,
        "affected": [
            {"package": {"ecosystem": "PyPI", "name": "Demo_Package"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        ],
        **more,
    }


@pytest.mark.parametrize(
    "events, inside, outside",
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.1", "1.9", "2.0rc1"], ["2.0", "2.0.1"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], ["1.0", "1.5", "1.5.0"], ["0.9", "1.5.1"]),
        ([{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}], ["1.1", "2.0"], ["1.2", "1.9", "2.1"]),
        ([{"introduced": "1.0"}], ["1.0", "99"], ["0.9"]),
    ],
)
def test_ranges(events, inside, outside):
    database = Advisories([record("X-1", events)])
    assert all(database.affecting("demo-package", version) for version in inside)
    assert not any(database.affecting("demo.package", version) for version in outside)


def test_listed_versions_count_without_ranges():
    database = Advisories(
        [{"id": "X", "affected": [{"package": {"ecosystem": "PyPI", "name": "demo"}, "versions": ["1.0", "weird"]}]}]
    )
    assert database.affecting("demo", "1.0.0")
    assert database.affecting("demo", "weird")
    assert not database.affecting("demo", "1.1")


def test_aliases_are_one_and_withdrawn_none():
    events = [{"introduced": "0"}]
    database = Advisories(
        [
            record("PYSEC-1", events, aliases=["CVE-1"]),
            record("GHSA-1", events, aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
            record("CVE-2", events),
            record("GHSA-9", events, withdrawn="2024-01-01T00:00:00Z"),
            {
                "id": "NPM-1",
                "affected": [
                    {"package": {"ecosystem": "npm", "name": "demo-package"}, "ranges": [{"type": "SEMVER", "events": events}]}
                ],
            },
        ]
    )
    found = database.affecting("demo-package", "1.0")
    assert [(a.id, a.aliases) for a in found] == [("GHSA-1", ("CVE-1", "PYSEC-1")), ("CVE-2", ())]
    assert found[0].severity == "high"


def test_findings_of_a_list(tmp_path):
    path = tmp_path / "dump.jsonl.gz"
    lines = [
        record("GHSA-1", [{"introduced": "0"}, {"fixed": "2"}], summary="bad"),
        record("MAL-2024-1", [{"introduced": "1.1"}, {"fixed": "1.2"}]),
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    facts = read_view(View(b"demo-package==1.1\nother==1\ndemo-package\n", "requirements.txt"), strict=True).facts
    hits = list(match_advisories(facts, Advisories.load(path)))
    assert [(hit.rule, hit.severity) for hit in hits] == [("DEP008", "critical"), ("DEP007", "medium")]
    assert "fixed in 2" in hits[1].message


@pytest.mark.parametrize("content", [b"not json\n", b"[1]", b"\x1f\x8b\x08broken"])
def test_a_dump_that_is_none(tmp_path, content):
    path = tmp_path / "dump"
    path.write_bytes(content)
    with pytest.raises(InputError):
        Advisories.load(path)


@pytest.mark.parametrize(
    "name, target",
    [
        ("transfromers", "transformers"),
        ("reqeusts", "requests"),
        ("numpyy", "numpy"),
        ("p1llow", "pillow"),
        ("python-dateutil2", "python-dateutil"),
    ],
)
def test_imitations_are_found(name, target):
    assert lookalike(name).target == target


@pytest.mark.parametrize("name", ["torch", "numpy", "datasets", "dataset", "panda", "fastai", "my-own-company-tool", "abc"])
def test_known_and_other_names_imitate_nothing(name):
    assert lookalike(name) is None


def test_the_list_of_names_is_whole():
    assert len(popular()) == 3000
    assert {"numpy", "torch", "requests", "transformers"} <= popular().keys()


def test_a_plain_list_is_quiet():
    facts = read_view(View(b"torch==2.3.1\nnumpy==1.26.4\n", "requirements.txt"), strict=True).facts
    assert not list(judge([f for f in facts if f.kind.startswith("requirements.")]))


USUAL = "{}.{}".format("pypi", "org")  # in one word, the house would take it for a registry in use


@pytest.mark.parametrize(
    "option,severity",
    [
        ("--extra-index-url https://packages.example.org/simple", "medium"),
        ("--extra-index-url https://wheels.pytorch.org/cu121", "info"),
        ("--extra-index-url https://pytorch.org.example.net/whl", "medium"),
        ("--extra-index-url https://example.net/pytorch.org", "medium"),
        ("--extra-index-url https://notpytorch.org/whl", "medium"),
        ("--index-url https://packages.example.org/simple", "medium"),
        ("--extra-index-url https://localhost.example.net/simple", "medium"),
        ("--extra-index-url https://localhost:8080/simple", ""),
        ("--find-links ./wheels", ""),
        (f"--index-url https://{USUAL}/simple", "info"),
        (f"--index-url https://{USUAL}.example.net/simple", "medium"),
        (f"--index-url https://not{USUAL}/simple", "medium"),
        (f"--index-url https://{USUAL}@example.net/simple", None),  # the rule's own: a disguise
        (f"--index-url https://example.net?@{USUAL}/simple", "medium"),
        (f"--index-url https://example.net\\@{USUAL}/simple", "medium"),
    ],
)
def test_an_index_is_quiet_only_for_frameworks(option, severity):
    report = read_view(View(f"{option}\nnumpy==1.26.4\n".encode(), "requirements.txt"))
    found = [hit.severity for hit in judge(report.facts) if hit.rule in {"DEP003", "DEP005"}]
    assert found == ([] if severity == "" else [severity])
