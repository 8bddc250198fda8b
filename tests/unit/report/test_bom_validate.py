"""Validation: places and lines, what schemas say and what they cannot."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.core.errors import Bug, InputError
from stannary.report.bom import cyclonedx, spdx
from stannary.report.bom.build import take_inventory
from stannary.report.bom.diff import compare, load, table
from stannary.report.bom.json_formats import FORMATS
from stannary.report.bom.json_schema import Schema
from stannary.report.bom.locate import lines_of
from stannary.report.bom.options import BomOptions
from stannary.report.bom.validate import validate
from stannary.testing.hub_repository import write_repository

BOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": [
        {"type": "library", "bom-ref": "a", "name": "a", "version": "1", "hashes": [{"alg": "SHA-256", "content": "a" * 64}]},
        {
            "type": "machine-learning-model",
            "bom-ref": "b",
            "name": "b",
            "modelCard": {"modelParameters": {"task": "x", "datasets": [{"ref": "a"}]}},
        },
    ],
    "dependencies": [{"ref": "a"}, {"ref": "b", "dependsOn": ["a"]}],
}


def problems(document):
    return [(row.path, row.check, row.message) for row in validate(json.dumps(document, indent=1).encode()).problems]


def changed(**_):
    return copy.deepcopy(BOM)


def test_a_good_one_is_valid():
    assert problems(BOM) == []


@pytest.mark.parametrize(
    "change, path, check, words",
    [
        (lambda d: d["components"][0].pop("name"), "$.components[0]", "schema", "lacks 'name'"),
        (lambda d: d["components"][0].update(nmae=1), "$.components[0].nmae", "schema", "did you mean 'name'"),
        (lambda d: d["components"][0].update(type="librery"), "$.components[0].type", "schema", "did you mean 'library'"),
        (
            lambda d: d["components"][0]["hashes"][0].update(content="xyz"),
            "$.components[0].hashes[0].content",
            "schema",
            "does not match",
        ),
        (
            lambda d: d["components"][0]["hashes"][0].update(content="a" * 40),
            "$.components[0].hashes[0].content",
            "sense",
            "no SHA-256 of 64",
        ),
        (lambda d: d.update(version=0), "$.version", "schema", "less than 1"),
        (lambda d: d.update(version=True), "$.version", "schema", "boolean"),
        (lambda d: d.update(serialNumber="urn:uuid:x"), "$.serialNumber", "schema", "does not match"),
        (lambda d: d["dependencies"][1]["dependsOn"].append("a"), "$.dependencies[1].dependsOn[1]", "schema", "twice"),
        (
            lambda d: d["dependencies"][1]["dependsOn"].append("c"),
            "$.dependencies[1].dependsOn[1]",
            "reference",
            "no bom-ref of this document",
        ),
        (lambda d: d["components"][1].update({"bom-ref": "a"}), "$.components[1]['bom-ref']", "reference", "there twice"),
        (lambda d: d["dependencies"].append({"ref": "b"}), "$.dependencies[2]", "sense", "two rows"),
        (lambda d: d["dependencies"][0].update(dependsOn=["a"]), "$.dependencies[0]", "sense", "depends on itself"),
        (
            lambda d: d["components"][0].update(licenses=[{"expression": "MIT OR"}]),
            "$.components[0].licenses[0].expression",
            "sense",
            "ends before",
        ),
        (
            lambda d: d["components"][0].update(licenses=[{"license": {"id": "mit"}}]),
            "$.components[0].licenses[0].license.id",
            "schema",
            "did you mean",
        ),
        (lambda d: d.update(metadata={"timestamp": "2026-13-01T00:00:00Z"}), "$.metadata.timestamp", "schema", "date-time"),
        (
            lambda d: d["components"][0].update(externalReferences=[{"type": "vcs", "url": "http://a b"}]),
            "$.components[0].externalReferences[0].url",
            "schema",
            "iri-reference",
        ),
        (
            lambda d: d["components"][1]["modelCard"]["modelParameters"]["datasets"].append({"ref": "z"}),
            "$.components[1].modelCard.modelParameters.datasets[1].ref",
            "reference",
            "no bom-ref",
        ),
    ],
)
def test_what_is_wrong_and_where(change, path, check, words):
    document = changed()
    change(document)
    found = problems(document)
    wanted = path.replace("['bom-ref']", '["bom-ref"]')
    assert any(row[0] == wanted and row[1] == check and words in row[2] for row in found), found


def test_lines():
    document = changed()
    document["components"][1]["nmae"] = "x"
    text = json.dumps(document, indent=2)
    (problem,) = validate(text.encode()).problems
    assert '"nmae"' in text.splitlines()[problem.line - 1]


def test_lines_of_places_in_any_layout():
    text = '{"a": [1,\n {"b": "x\\"y",\n "c": []}, [[2]]],\n"d": {}\n, "e": null}'
    wanted = [("a",), ("a", 1, "b"), ("a", 1, "c"), ("a", 2, 0, 0), ("d",), ("e",), ("e", "none"), ()]
    assert [lines_of(text, wanted)[keys] for keys in wanted] == [1, 2, 3, 3, 4, 5, 5, 1]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"<bom/>", "not JSON"),
        (b"[]", "no JSON object"),
        (b'{"a": 1}', "no bill of materials"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "9.9"}', "9.9"),
        (b'{"spdxVersion": "SPDX-2.2"}', "SPDX-2.2"),
        (b'{"bomFormat": "CycloneDX", "bomFormat": "x", "specVersion": "1.6"}', "twice"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_document(content, words):
    with pytest.raises(InputError, match=words):
        validate(content, "x.json")


def test_an_array_that_nests_forever():
    nested = (
        '{"bomFormat":"CycloneDX","specVersion":"1.6","components":['
        + '{"type":"library","name":"a","components":[' * 3000
        + "]}" * 3000
        + "]}"
    )
    with pytest.raises(InputError, match=r"nested too deeply|not JSON"):
        validate(nested.encode())


SPDX2 = {
    "spdxVersion": "SPDX-2.3",
    "dataLicense": "CC0-1.0",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "x",
    "documentNamespace": "https://example.com/x",
    "creationInfo": {"created": "2026-11-25T00:00:00Z", "creators": ["Tool: x"]},
    "packages": [
        {
            "SPDXID": "SPDXRef-a",
            "name": "a",
            "downloadLocation": "NOASSERTION",
            "licenseDeclared": "MIT",
            "checksums": [{"algorithm": "SHA256", "checksumValue": "a" * 64}],
        }
    ],
    "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-a"}],
}


def test_spdx_2():
    assert problems(SPDX2) == []
    wrong = copy.deepcopy(SPDX2)
    wrong["packages"][0] |= {"licenseDeclared": "MIT OR", "SPDXID": "a"}
    wrong["relationships"][0]["relationshipType"] = "DESCRIBE"
    found = problems(wrong)
    assert {row[0] for row in found} == {
        "$.packages[0].SPDXID",
        "$.packages[0].licenseDeclared",
        "$.relationships[0].relationshipType",
        "$.relationships[0].relatedSpdxElement",
    }


def test_the_example_of_spdx_2_3():
    raw = (Path(__file__).resolve().parents[2] / "golden" / "bom" / "spdx-2.3-example.json").read_bytes()
    found = validate(raw)
    assert (found.format, found.version, found.valid, found.problems) == ("SPDX", "2.3", True, ())
    document = json.loads(raw)
    document["packages"][0]["primaryPackagePurpose"] = "SOFTWARE"
    del document["files"][0]["checksums"]
    assert {row.path for row in validate(json.dumps(document).encode()).problems} == {
        "$.packages[0].primaryPackagePurpose",
        "$.files[0]",
    }


def test_spdx_3_names_the_class_that_is_meant():
    document = {
        "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
        "@graph": [
            {
                "type": "CreationInfo",
                "@id": "_:c",
                "specVersion": "3.0.1",
                "created": "2026-11-25T00:00:00Z",
                "createdBy": ["urn:x:a"],
            },
            {"type": "Agent", "spdxId": "urn:x:a", "creationInfo": "_:c", "name": "a"},
            {"type": "ai_AIPackage", "spdxId": "urn:x:b", "creationInfo": "_:d", "name": 7, "ai_unknown": 1},
        ],
    }
    found = {(path, check) for path, check, _ in problems(document)}
    assert found == {
        ('$["@graph"][2].name', "schema"),
        ('$["@graph"][2].ai_unknown', "schema"),
        ('$["@graph"][2].creationInfo', "reference"),
    }


def test_a_keyword_that_is_not_known_is_not_passed_over():
    with pytest.raises(Bug, match="propertyNames"):
        Schema({"$schema": "https://json-schema.org/draft/2020-12/schema", "propertyNames": {"pattern": "x"}})


@pytest.mark.parametrize(
    "name, text, good",
    [
        ("date-time", "2026-11-25T09:00:00Z", True),
        ("date-time", "2026-11-25T23:59:60+01:00", True),
        ("date-time", "2026-11-25 09:00:00Z", False),
        ("date-time", "2026-02-30T09:00:00Z", False),
        ("date-time", "2026-11-25T09:00:00", False),
        ("date", "2026-11-25", True),
        ("date", "2026-11-31", False),
        ("iri-reference", "https://example.com/ä?b=c#d", True),
        ("iri-reference", "../a%20b", True),
        ("iri-reference", "a b", False),
        ("iri-reference", "https://[::1]:80/", True),
        ("iri-reference", "%zz", False),
        ("iri-reference", "", True),
        ("iri-reference", "1a:b", False),
        ("uri", "urn:x:y", True),
        ("uri", "x", False),
        ("idn-email", "a@ü.example", True),
        ("idn-email", "a b@c", False),
    ],
)
def test_formats(name, text, good):
    assert FORMATS[name](text) is good


# Comparing


def view(document):
    return load(json.dumps(document).encode(), "x")


def test_differences():
    other = changed()
    other["components"][0] |= {
        "version": "2",
        "hashes": [{"alg": "SHA-256", "content": "b" * 64}],
        "licenses": [{"license": {"id": "MIT"}}],
    }
    other["components"][1]["modelCard"]["modelParameters"] = {"task": "y", "datasets": []}
    other["components"].append({"type": "data", "bom-ref": "c", "name": "c"})
    found = compare(view(BOM), view(other))
    assert {(row.what, row.component, row.field, row.old[:3], row.new[:3]) for row in found.changes} == {
        ("changed", "library a", "version", "1", "2"),
        ("changed", "library a", "digest", "aaa", "bbb"),
        ("added", "library a", "licence", "", "MIT"),
        ("changed", "machine-learning-model b", "modelParameters.task", "x", "y"),
        ("removed", "machine-learning-model b", "modelParameters.datasets", "lib", ""),
        ("added", "data c", "", "", ""),
    }
    assert "~ library a: version: 1 → 2" in table(found)


def test_a_new_finding_is_a_difference():
    other = changed()
    rating = [{"severity": "high", "method": "CVSSv31"}]
    other["vulnerabilities"] = [{"bom-ref": "v", "id": "CVE-2025-1", "ratings": rating, "affects": [{"ref": "a"}]}]
    assert "+ library a: finding CVE-2025-1: high" in table(compare(view(BOM), view(other)))


def test_when_and_by_whom_it_was_made_is_no_difference():
    other = changed()
    other |= {
        "version": 2,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "metadata": {"timestamp": "2026-11-25T09:00:00Z"},
    }
    other["components"].reverse()
    other["components"][1]["bom-ref"] = "other"
    other["dependencies"] = [{"ref": "other"}, {"ref": "b", "dependsOn": ["other"]}]
    other["components"][0]["modelCard"]["modelParameters"]["datasets"] = [{"ref": "other"}]
    assert compare(view(BOM), view(other)).changes == ()


def test_a_profile_that_is_claimed_has_to_hold():
    info = {"type": "CreationInfo", "@id": "_:i", "specVersion": "3.0.1", "created": "2026-11-25T00:00:00Z", "createdBy": ["urn:a"]}
    agent = {"type": "Agent", "spdxId": "urn:a", "creationInfo": "_:i", "name": "a"}
    model = {"type": "ai_AIPackage", "spdxId": "urn:m", "creationInfo": "_:i", "name": "m", "suppliedBy": "urn:a"}
    head = {"type": "SpdxDocument", "spdxId": "urn:d", "creationInfo": "_:i", "name": "d", "rootElement": ["urn:m"]}

    def said(*profiles):
        graph = [info, agent, model, {**head, "element": ["urn:a", "urn:m"], "profileConformance": list(profiles)}]
        return problems({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph})

    assert said("core", "software") == []
    found = said("core", "ai")
    assert {check for _, check, _ in found} == {"sense"}
    assert any("lacks software_downloadLocation, software_packageVersion" in words for _, _, words in found)
    assert sum("has 0 relationships" in words for _, _, words in found) == 2
    assert said("core", "dataset") == []


def test_documents_of_two_formats_are_compared_in_what_both_can_say(tmp_path):
    repository = write_repository(tmp_path / "m")
    options = BomOptions(timestamp=datetime(2026, 11, 25, tzinfo=UTC), tool_version="0")
    first = take_inventory(str(repository))
    one, other = cyclonedx.render(first, options), spdx.render(first, options)
    found = compare(view(one), view(other))
    assert found.changes == ()
    assert "made from" in found.only
    assert "They say the same." in table(found)
    assert "The formats differ" in table(found)
    card = (repository / "README.md").read_text()
    (repository / "README.md").write_text(card.replace("bert-base", "bert-large").replace("apache-2.0", "mit"))
    (repository / "requirements.txt").write_text("torch==2.5.0\n")
    found = compare(view(one), view(spdx.render(take_inventory(str(repository)), options)))
    assert {(row.what, row.component, row.field) for row in found.changes} == {
        ("changed", "file README.md", "digest"),
        ("changed", "file requirements.txt", "digest"),
        ("removed", "library numpy", ""),
        ("removed", "library transformers", ""),
        ("changed", "library torch", "version"),
        ("changed", "library torch", "purl"),
        ("changed", "machine-learning-model Film sentiment", "licence"),
        ("changed", "machine-learning-model Film sentiment", "made from"),
    }
