"""`stannary bom` as a user meets it: written, validated, compared, recorded, and made from signed evidence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import stannary
from stannary.cli.schema import schema_of
from stannary.testing.forges import make
from stannary.testing.hub_repository import write_repository
from stannary.testing.simulators import HubSimulator
from stannary.testing.statements import EXAMPLES

STANNARY = str(Path(sys.executable).with_name("stannary"))
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith(("STANNARY_", "NO_COLOR", "FORCE_COLOR", "SOURCE_DATE_EPOCH"))}


@pytest.fixture
def place(tmp_path):
    write_repository(tmp_path / "model")
    return tmp_path


@pytest.fixture
def run(place):
    def call(*arguments, code=0, **env):
        done = subprocess.run(
            [STANNARY, *map(str, arguments)],
            cwd=place,
            capture_output=True,
            text=True,
            env={**CLEAN_ENV, **env},
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    return call


def test_written_validated_compared(run, place):
    for name in ("a", "b"):
        run(
            "bom",
            "model",
            "--format",
            "cyclonedx",
            "--spec-version",
            "1.7",
            "-o",
            f"{name}.json",
            "--timestamp",
            "2026-11-25T09:00:00Z",
        )
    assert (place / "a.json").read_bytes() == (place / "b.json").read_bytes()
    run("bom", "model", "--format", "spdx", "-o", "c.json")
    said = run("bom", "validate", "a.json", "c.json", "--strict").stderr
    assert "a.json: CycloneDX 1.7, valid" in said
    assert "c.json: SPDX 3.0.1, valid" in said
    assert run("bom", "diff", "a.json", "b.json").stdout == "They say the same.\n"
    (place / "model" / "config.json").write_text((place / "model" / "config.json").read_text().replace("512", "1024"))
    run("bom", "model", "--spec-version", "1.6", "-o", "d.json")
    told = run("bom", "diff", "a.json", "d.json", code=1).stdout
    assert "~ file config.json: digest" in told
    assert "genai:aibom:modelcard:contextLength: 512 → 1024" in told
    found = json.loads(run("bom", "diff", "a.json", "d.json", "--format", "json", code=1).stdout)
    jsonschema.validate(found, schema_of("bom-diff"))


def test_what_cannot_be_read_is_said_beside_what_could(run, place):
    run("bom", "model", "-o", "a.json")
    (place / "b.json").write_text("[")
    done = run("bom", "validate", "nowhere.json", "b.json", "a.json", code=2)
    assert "a.json: CycloneDX 1.6, valid" in done.stderr
    assert "error[IO001]: nowhere.json" in done.stderr
    assert "error[BOM002]: b.json" in done.stderr
    assert "BOM002" in run("bom", "diff", "a.json", "b.json", code=2).stderr


def test_what_is_broken_has_its_line(run, place):
    text = run("bom", "model").stdout.replace('"bomFormat": "CycloneDX"', '"bomFormat": "CycloneDX",\n  "extra": 1')
    (place / "x.json").write_text(text)
    done = run("bom", "validate", "x.json", code=1)
    assert done.stdout == "x.json:4: $.extra is not known here\n"
    found = json.loads(run("bom", "validate", "x.json", "--format", "json", code=1).stdout)
    jsonschema.validate(found, schema_of("bom-validation"))
    assert "not JSON" in run("bom", "validate", "model/README.md", code=2).stderr
    assert "error[IO001]" in run("bom", "validate", "nothing.json", code=2).stderr


def test_completeness(run):
    table = run("bom", "model", "--format", "table").stdout
    assert "Completeness" in table
    assert "README.md, front matter" in table
    run("bom", "model", "--min-score", "50", "-o", "-")
    done = run("bom", "model", "--min-score", "99", code=1)
    assert "is less than 99" in done.stderr
    assert "missing fields" in done.stderr
    found = json.loads(run("bom", "model", "--format", "json").stdout)
    jsonschema.validate(found, schema_of("bom"))
    assert found["models"][0]["facts"]["parameters"] == {"value": "1632", "source": "model.safetensors"}


def test_of_a_model_on_a_hub(run, place):
    files = {path.name: path.read_bytes() for path in (place / "model").iterdir()}
    files["README.md"] = files["README.md"].replace(b"supplier: Example Ltd\n", b"")
    with HubSimulator({"org/sentiment": files}) as hub:
        document = json.loads(run("bom", "hf://org/sentiment", HF_ENDPOINT=hub.url).stdout)
        graph = json.loads(run("bom", "hf://org/sentiment", "--format", "spdx", HF_ENDPOINT=hub.url).stdout)["@graph"]
        assert "FET" in run("bom", "hf://org/sentiment", "--offline", code=2, HF_ENDPOINT=hub.url).stderr
    model = document["components"][0]
    purl = f"pkg:huggingface/org/sentiment@{HubSimulator.commit}"
    assert model["purl"] == purl
    address = f"https://huggingface.co/org/sentiment/tree/{HubSimulator.commit}"
    assert {"type": "distribution", "url": address, "comment": address} in model["externalReferences"]
    assert model["supplier"] == {"name": "org"}  # the card says nothing; the hub knows whose it is
    assert {row["name"] for row in model["components"]} == set(files)
    package = next(row for row in graph if row["type"] == "ai_AIPackage")
    assert (package["software_packageUrl"], package["software_downloadLocation"]) == (purl, address)


def test_what_was_not_read_makes_it_incomplete(run, place):
    (place / "model" / "model.safetensors").write_bytes(b"\xff" * 400)
    done = run("bom", "model", code=3)
    assert "incomplete: model.safetensors was not read" in done.stderr
    assert json.loads(done.stdout)["compositions"][0]["aggregate"] == "incomplete"
    run("bom", "model", "--exit-zero")


def test_an_incomplete_document_satisfies_no_policy(run, place):
    (place / "policy.yaml").write_text("name: documented\nrequire:\n  - kind: cyclonedx\n")
    good = (place / "model" / "model.safetensors").read_bytes()
    (place / "model" / "model.safetensors").write_bytes(b"\xff" * 400)
    run("init", "--no-passphrase")
    run("bom", "model", "--record", code=3)
    assert "incomplete" in run("gate", "model", "--policy", "policy.yaml", code=1).stdout
    assert "not recorded" in run("bom", "model", "--format", "spdx", "--record", code=3).stderr
    assert json.loads(run("evidence", "list", "model", "--kind", "spdx", "--format", "json").stdout)["evidence"] == []
    (place / "empty.json").write_text("{}")
    assert "is no cyclonedx predicate" in run("attest", "model", "--kind", "cyclonedx", "--predicate", "empty.json", code=2).stderr
    (place / "model" / "model.safetensors").write_bytes(good)
    document = json.loads(run("bom", "model", "--record").stdout)
    assert [row["aggregate"] for row in document["compositions"]] == ["complete", "unknown"]
    run("gate", "model", "--policy", "policy.yaml")


def test_usage(run):
    assert "there is no such file" in run("bom", "nothing", code=2).stderr
    assert "takes one TARGET" in run("bom", "model", "model", code=2).stderr
    assert "BOM001" in run("bom", "model", "--timestamp", "yesterday", code=2).stderr
    assert "WSP001" in run("bom", "model", "--record", code=2).stderr
    assert "is no package URL: 'nope'" in run("bom", "model", "--purl", "nope", code=2).stderr
    assert run("bom", "model", "--purl", "nope", code=2).stdout == ""
    assert "SPDX documents are of 3.0.1" in run("bom", "model", "--format", "spdx", "--spec-version", "1.7", code=2).stderr
    assert "Usage" in run("bom", code=2).stderr
    assert "validate" in run("bom", "--help").stdout


def test_what_a_scan_found_stands_in_the_document(run, place):
    (place / "model" / "extra.pkl").write_bytes(make("pickle.rule_exec"))
    run("init", "--no-passphrase")
    run("scan", "model", "--record", code=1)
    document = json.loads(run("bom", "model").stdout)
    (found,) = document["vulnerabilities"]
    assert found["id"] == "PKL001"
    assert found["ratings"] == [{"severity": "critical", "method": "other"}]
    assert found["cwes"] == [502]
    assert found["affects"] == [{"ref": "model:model/extra.pkl"}]
    assert "os.system" in found["detail"]
    # A function that a pickle calls is no architecture.
    assert document["components"][0]["modelCard"]["modelParameters"]["modelArchitecture"] == "BertForSequenceClassification"
    graph = json.loads(run("bom", "model", "--format", "spdx", "-o", "-").stdout)["@graph"]
    (weakness,) = [row for row in graph if row["type"] == "security_Vulnerability"]
    assert weakness["name"] == "PKL001"
    assert "severity critical" in weakness["comment"]
    (has,) = [row for row in graph if row.get("relationshipType") == "hasAssociatedVulnerability"]
    assert has["to"] == [weakness["spdxId"]]
    assert [row["name"] for row in graph if row.get("spdxId") == has["from"]] == ["extra.pkl"]
    (place / "s.json").write_text(json.dumps({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}))
    run("bom", "validate", "s.json", "--strict")
    # Findings of a newer scan replace those of an older one: the same file, forgiven by nobody, is there once.
    run("scan", "model", "--record", code=1)
    assert len(json.loads(run("bom", "model").stdout)["vulnerabilities"]) == 1
    (place / "vulns.json").write_text(json.dumps(EXAMPLES["vuln"]))
    run("attest", "model", "--kind", "vuln", "--predicate", "vulns.json")
    document = json.loads(run("bom", "model", "-o", "-").stdout)
    advisories = {row["id"]: row["ratings"] for row in document["vulnerabilities"]}
    assert advisories.keys() == {"PKL001", *(row["id"] for row in EXAMPLES["vuln"]["scanner"]["result"])}
    (place / "v.json").write_text(json.dumps(document))
    run("bom", "validate", "v.json", "--strict")


def test_made_from_signed_evidence(run, place):
    run("init", "--no-passphrase")
    (place / "reviews.csv").write_text("text,label\nfine,1\n")
    data = [place / "reviews.csv"]
    with stannary.training_run(
        data=data, code=place / "model" / "train.py", parameters={"lr": 0.1}, seeds={"torch": 7}, workspace=place
    ) as training:
        training.metric("validation_accuracy", 0.9)
        training.output(place / "model")
    (place / "eval.json").write_text(json.dumps({**EXAMPLES["eval-result"], "finishedOn": "2026-11-24T09:00:00Z"}))
    run("attest", "model", "--kind", "eval-result", "--predicate", "eval.json")
    run("attest", "model", "--topic", "approval", "--decision", "approve", "--statement", "tested")
    run("scan", "model", "--record")
    document = json.loads(run("bom", "model", "--record").stdout)
    model = document["components"][0]
    card = model["modelCard"]
    assert {
        "type": "robust_accuracy",
        "value": "0.71",
        "slice": "claims-2026q3.parquet, n=1000, threshold >= 0.6",
        "confidenceInterval": {"lowerBound": "0.68", "upperBound": "0.74"},
    } in card["quantitativeAnalysis"]["performanceMetrics"]
    graph = json.loads(run("bom", "model", "--format", "spdx").stdout)["@graph"]
    metrics = [row for item in graph for row in item.get("ai_metric", ())]
    assert {"type": "DictionaryEntry", "key": "robust_accuracy", "value": "0.71 [0.68, 0.74], n=1000"} in metrics
    workflow = document["formulation"][0]["workflows"][0]
    assert {"parameters": [{"name": "lr", "value": "0.1"}, {"name": "seed.torch", "value": "7"}]} in workflow["inputs"]
    assert {"resource": {"ref": "data:training:reviews.csv"}} in workflow["inputs"]
    assert {"ref": "data:training:reviews.csv"} in card["modelParameters"]["datasets"]
    predicates = {row["predicate"]: row["reasoning"] for row in document["declarations"]["claims"]}
    assert "approval: approve by" in predicates["somebody stated"]
    assert predicates["a static scan was run"].startswith("clean")
    assert document["declarations"]["assessors"][0]["organization"]["name"] == "workspace"
    (place / "e.json").write_text(json.dumps(document))
    run("bom", "validate", "e.json", "--strict")
    recorded = json.loads(run("evidence", "list", "model", "--kind", "cyclonedx", "--format", "json").stdout)["evidence"]
    assert [row["outcome"] for row in recorded] == ["passed"]
    # What a bill of materials was recorded in is none of what it is made of.
    again = json.loads(run("bom", "model").stdout)
    assert len(again["declarations"]["claims"]) == len(document["declarations"]["claims"])
    told = run("gate", "model", "--policy", "production", code=1).stdout
    assert "no evidence of kind cyclonedx" not in told
    spdx = json.loads(run("bom", "model", "--format", "spdx", "--record").stdout)
    assert any(
        row["type"] == "Annotation" and "robustness" not in row["statement"]
        for row in spdx["@graph"]
        if row["type"] == "Annotation"
    )
