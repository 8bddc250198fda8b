"""What the inventory says about a repository, and what it does not invent."""

import json
import os
import pickle
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from stannary.report.bom import cyclonedx, spdx
from stannary.report.bom.build import take_inventory
from stannary.report.bom.licences import expression_problem, licence, limits_of, spdx_id
from stannary.report.bom.options import BomOptions
from stannary.report.bom.reading.card import read as read_card
from stannary.report.bom.score import score
from stannary.report.bom.validate import validate
from stannary.report.json_ import dump
from stannary.testing.forges import make
from stannary.testing.forges.safetensors import build
from stannary.testing.hub_repository import CARD, write_repository

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bom"
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def options(version="1.6"):
    return BomOptions(timestamp=NOW, tool_version="0.1.0", spec_version=version)


def rendered(inventory, version="1.6"):
    document = cyclonedx.render(inventory, options(version))
    found = validate(dump(document).encode())
    assert found.valid, found.problems
    return document


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    return take_inventory(str(write_repository(tmp_path_factory.mktemp("hub") / "sentiment")))


def test_every_fact_has_its_source(inventory):
    facts = inventory.primary.facts
    said = {field: (fact.value, str(fact.source)) for field, fact in facts.fields()}
    assert said["architecture"] == ("BertForSequenceClassification", "config.json#architectures")
    assert said["parameters"] == (1632, "model.safetensors")
    assert said["task"] == ("text-classification", "config.json#architectures")
    assert said["supplier"] == ("Example Ltd", "README.md#supplier")
    line = CARD.splitlines().index("## Limitations") + 1
    assert said["limitations"] == ("English only.", f"README.md#line {line}")
    assert said["emissions"] == (120.5, "README.md#co2_eq_emissions")


def test_data_origins_packages_licences_and_results(inventory):
    assert [(row.name, row.use) for row in inventory.datasets] == [("imdb", "training"), ("IMDB test", "evaluation")]
    assert [(row.name, row.relation) for row in inventory.origins] == [("google-bert/bert-base-uncased", "fine-tuned-from")]
    packages = {row.name: (row.version, row.specifier, str(row.source)) for row in inventory.packages}
    assert packages == {
        "torch": ("2.4.0", "==2.4.0", "requirements.txt"),
        "transformers": ("", ">=4.40", "requirements.txt"),
        "numpy": ("1.26.4", "==1.26.4", "requirements.txt"),
        "datasets": ("", "", "train.py#datasets"),  # imported, asked for nowhere; what stands in a text is no import
    }
    assert [(row.id, str(row.source)) for row in inventory.licences] == [("Apache-2.0", "README.md#license")]
    assert [(row.metric, row.value, row.slice) for row in inventory.metrics] == [("accuracy", "0.931", "IMDB test")]


def test_what_a_template_left_says_nothing(inventory):
    assert inventory.primary.facts.first("training_data") is None
    text = json.dumps(rendered(inventory))
    assert "More Information Needed" not in text


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_cyclonedx_is_the_golden_one(inventory, version):
    path = GOLDEN / f"sentiment.cdx-{version}.json"
    text = dump(rendered(inventory, version))
    if os.environ.get("STANNARY_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_spdx_is_the_golden_one(inventory):
    path = GOLDEN / "sentiment.spdx-3.0.1.json"
    text = dump(spdx.render(inventory, options()))
    found = validate(text.encode())
    assert found.valid, found.problems
    if os.environ.get("STANNARY_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_spdx_claims_the_profiles_that_it_conforms_to(tmp_path):
    def claimed(repository, **more):
        graph = spdx.render(take_inventory(str(repository)), msgspec.structs.replace(options(), **more))["@graph"]
        return graph, next(row for row in graph if row["type"] == "SpdxDocument")["profileConformance"]

    repository = write_repository(tmp_path / "m")
    graph, profiles = claimed(repository)
    assert profiles == ["core", "software", "simpleLicensing"]  # of its base model nobody says who supplies it
    for kind in ("hasDeclaredLicense", "hasConcludedLicense"):
        packages = [row["spdxId"] for row in graph if row["type"] in ("ai_AIPackage", "dataset_DatasetPackage")]
        rows = [row for row in graph if row.get("relationshipType") == kind]
        assert sorted(row["from"] for row in rows) == sorted(packages)
    card = "---\nlicense: [mit, cc-by-4.0]\nsupplier: Example Ltd\nversion: 1.0.0\nrelease_date: 2026-11-01\n"
    (repository / "README.md").write_text(f"{card}download_url: https://example.com/m\n---\n# m\n")
    graph, profiles = claimed(repository)
    assert profiles == ["core", "software", "simpleLicensing", "ai", "dataset"]
    expressions = {row["spdxId"]: row.get("simplelicensing_licenseExpression") for row in graph if "spdxId" in row}
    (declared,) = [row for row in graph if row.get("relationshipType") == "hasDeclaredLicense"]
    assert [expressions[ref] for ref in declared["to"]] == ["MIT AND CC-BY-4.0"]
    (model,) = [row for row in graph if row["type"] == "ai_AIPackage"]
    assert model["releaseTime"] == "2026-11-01T00:00:00Z"


def test_documents_that_differ_have_other_names(inventory):
    made = [spdx.render(inventory, msgspec.structs.replace(options(), supplier=name))["@graph"][1]["spdxId"] for name in ("a", "b")]
    assert made[0] != made[1]


def test_the_same_twice_is_the_same(inventory):
    assert dump(cyclonedx.render(inventory, options())) == dump(cyclonedx.render(inventory, options()))


def test_every_file_has_its_digest(inventory):
    model = rendered(inventory)["components"][0]
    assert {row["name"]: row["hashes"][0]["content"] for row in model["components"]} == {f.path: f.sha256 for f in inventory.files}


def test_nothing_known_is_nothing_said(tmp_path):
    (tmp_path / "model.bin").write_bytes(make("torch.state_dict"))
    found = take_inventory(str(tmp_path / "model.bin"))
    document = rendered(found)
    model = document["components"][0]
    assert not {"supplier", "licenses", "version", "description", "purl", "pedigree"} & set(model)
    assert "considerations" not in model["modelCard"]
    missing = {row.field: row.put for row in score(document).missing}
    assert {"suppliedBy", "licenses", "component_version", "datasets"} <= set(missing)
    assert all(missing.values())


def test_the_score_counts_and_tells_where_to_put_what_is_missing(inventory):
    found = score(rendered(inventory))
    assert found.points > 60
    assert not {"suppliedBy", "hyperparameter", "paper", "vcs", "website"} & {row.field for row in found.missing}
    empty = score({"bomFormat": "CycloneDX", "specVersion": "1.6"})
    assert empty.points < 10
    assert len(empty.missing) + len(empty.present) == len(found.missing) + len(found.present) == 57


def test_a_scikit_learn_pickle_is_named_by_its_class(tmp_path):
    stream = (
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x1esklearn.linear_model._logistic\x94\x8c\x12LogisticRegression\x94\x93\x94)\x81\x94"
        b"}\x94\x8c\x10_sklearn_version\x94\x8c\x051.5.2\x94sb."
    )
    (tmp_path / "model.pkl").write_bytes(stream.replace(b"\x95" + bytes(8), b""))
    facts = take_inventory(str(tmp_path / "model.pkl")).primary.facts
    assert facts.value("architecture") == "sklearn.linear_model._logistic.LogisticRegression"
    assert (facts.value("framework"), facts.value("framework_version")) == ("scikit-learn", "1.5.2")
    assert facts.value("architecture_family") == "linear"


def test_what_lies_beside_the_weights_is_not_the_architecture(tmp_path):
    repository = write_repository(tmp_path / "m")
    (repository / "a_loader.pkl").write_bytes(make("pickle.rule_exec"))
    facts = take_inventory(str(repository)).primary.facts
    assert [fact.value for fact in facts.all("architecture")] == ["BertForSequenceClassification"]


def test_two_models_are_two_components(tmp_path):
    for name in ("a", "b"):
        write_repository(tmp_path / name)
    document = rendered(take_inventory(str(tmp_path)))
    models = [row for row in document["components"] if row["type"] == "machine-learning-model"]
    assert [row["bom-ref"] for row in models] == ["model:a", "model:b"]


def test_sources_that_disagree_are_told(tmp_path):
    repository = write_repository(tmp_path / "m")
    text = (repository / "README.md").read_text().replace("pipeline_tag: text-classification", "pipeline_tag: translation")
    (repository / "README.md").write_text(text)
    document = rendered(take_inventory(str(repository)))
    assert any("disagree about task" in row["text"] and "translation" in row["text"] for row in document["annotations"])


# What attackers would do


def test_yaml_bombs_end_as_unread(tmp_path):
    rows = ["a: &a [x,x,x,x,x,x,x,x,x]"] + [
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(20)
    ]
    repository = write_repository(tmp_path / "m")
    (repository / "README.md").write_text("---\n" + "\n".join(rows) + "\n---\n# x\n")
    found = take_inventory(str(repository))
    assert dict(found.unread)["README.md"] == "front matter: has aliases, which no card needs"
    assert "README.md" in json.dumps(rendered(found)["annotations"])


@pytest.mark.parametrize(
    "front",
    [
        "- a list",
        "a: " + "[" * 5000,
        "? !!python/object/apply:os.system ['echo stannary']\n: x",
        "\tx: 1",
        "a: b: c",
        "x: !!python/name:os.system",
    ],
    ids=["list", "deep", "tag", "tab", "colons", "name"],
)
def test_front_matter_that_is_no_card(front):
    card, problem = read_card(f"---\n{front}\n---\n# Title\n\nA description that is long enough.\n")
    assert card.title == "Title"
    assert problem or all(isinstance(value, str) for value in card.front.values())


def test_a_huge_card_is_bounded(tmp_path):
    repository = write_repository(tmp_path / "m")
    with (repository / "README.md").open("a") as stream:
        stream.write("## Limitations\n\n" + "word " * 1_000_000)
    document = rendered(take_inventory(str(repository)))
    assert len(dump(document)) < 200_000


def test_a_model_that_is_its_own_base(tmp_path):
    repository = write_repository(tmp_path / "m")
    text = (repository / "README.md").read_text().replace("google-bert/bert-base-uncased", "m")
    (repository / "README.md").write_text(text)
    assert take_inventory(str(repository)).origins == ()


def test_many_tensors(tmp_path):
    tensors = {f"layer.{n}.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}
    (tmp_path / "model.safetensors").write_bytes(build(tensors))
    assert take_inventory(str(tmp_path)).primary.facts.value("tensors") == 100_000


@pytest.mark.parametrize("cut", [1, 9, 60, 200])
def test_cut_headers_are_incomplete(tmp_path, cut):
    raw = build(
        {
            "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "v" * 200: {"dtype": "F32", "shape": [0], "data_offsets": [16, 16]},
        },
        bytes(16),
    )
    (tmp_path / "model.safetensors").write_bytes(raw[:cut])
    found = take_inventory(str(tmp_path))
    assert dict(found.unread)["model.safetensors"]
    assert found.primary.facts.value("parameters") is None


@pytest.mark.parametrize("name", ["model.nemo", "model.onnx", "model.skops", "model.safetensors"])
def test_a_model_file_that_nothing_understands_was_not_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"what this is nobody knows\n" * 20)
    found = take_inventory(str(tmp_path / name))
    assert name in dict(found.unread)


def test_hostile_names_are_visible_in_the_document(tmp_path):
    (tmp_path / "m").mkdir()
    config = {"architectures": ["Bert\x1b[31mEvil\u202e"], "model_type": "x\ud800"}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    (tmp_path / "m" / "model.safetensors").write_bytes(make("safetensors.plain"))
    text = dump(rendered(take_inventory(str(tmp_path / "m"))))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_pickle_that_would_run_is_never_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    take_inventory(str(tmp_path / "model.pkl"))
    assert not (tmp_path / "pwned").exists()


# Licences


@pytest.mark.parametrize(
    "name, found",
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT", "MIT"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("bsl-1.0", "BSL-1.0"),
        ("afl-3.0", "AFL-3.0"),
        ("odc-by", "ODC-By-1.0"),
        ("llama3.1", ""),
        ("gemma", ""),
        ("openrail", ""),
        ("other", ""),
    ],
)
def test_names_of_licences(name, found):
    assert spdx_id(name) == found


def test_licences_without_an_id_have_their_names_and_limits():
    from stannary.report.bom.inventory import Source

    made = licence("llama3.1", Source("card", "README.md"))
    assert (made.id, made.name, made.family) == ("", "Llama 3.1 Community License Agreement", "community")
    assert "monthly-users-700m" in limits_of("llama3.1") == limits_of(made.name)
    assert licence("unknown", Source("card", "README.md")) is None


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("MIT", ""),
        ("MIT AND (Apache-2.0 OR GPL-2.0-only WITH Classpath-exception-2.0)", ""),
        ("LicenseRef-mine OR DocumentRef-x:LicenseRef-y", ""),
        ("MIT OR", "ends"),
        ("MIT Apache-2.0", "lacks an operator"),
        ("(MIT", "ends"),
        ("AND MIT", "where a licence is due"),
        ("MIT)", "where a licence is due"),
        ("", "ends"),
    ],
)
def test_expressions(text, wrong):
    problem = expression_problem(text)
    assert (wrong in problem) if wrong else problem == ""
