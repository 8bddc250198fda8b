"""The libraries of CycloneDX and SPDX accept what we write; our validator and theirs say the same about what is broken."""

import copy
import json
import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.report.bom import cyclonedx, spdx
from stannary.report.bom.build import take_inventory
from stannary.report.bom.options import BomOptions
from stannary.report.bom.validate import validate
from stannary.report.json_ import dump
from stannary.testing.forges import make
from stannary.testing.hub_repository import write_repository

PROGRAM = Path(__file__).parent / "programs" / "bom.py"
NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture(scope="module")
def judge(oracles):
    """Return a function that has rows judged by the libraries."""

    def run(rows):
        done = subprocess.run(
            [oracles / "python", PROGRAM],
            input="\n".join(map(json.dumps, rows)),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def inventories(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    found = [take_inventory(str(write_repository(place / "hub")))]
    for forge, name in (
        ("gguf.plain", "m.gguf"), ("onnx.plain", "m.onnx"), ("keras.sequential_plain", "m.keras"), ("torch.state_dict", "m.bin"),
        ("pickle.rule_exec", "m.pkl"),
    ):  # fmt: skip
        (place / name).write_bytes(make(forge))
        found.append(take_inventory(str(place / name)))
    (place / "llama").mkdir()
    (place / "llama" / "README.md").write_text("---\nlicense: llama3.1\nbase_model: [a/b, c/d]\ntags: [merge]\n---\n# x\n")
    (place / "llama" / "model.gguf").write_bytes(make("gguf.plain"))
    found.append(take_inventory(str(place / "llama")))
    return found


def options(version="1.6"):
    return BomOptions(timestamp=NOW, tool_version="0.1.0", spec_version=version)


@pytest.mark.parametrize("version", cyclonedx.VERSIONS)
def test_cyclonedx_accepts_ours(judge, inventories, version):
    texts = [dump(cyclonedx.render(inventory, options(version))) for inventory in inventories]
    assert [row["problem"] for row in judge([{"format": version, "text": text} for text in texts])] == [""] * len(texts)


def test_spdx_accepts_ours(judge, inventories):
    texts = [dump(spdx.render(inventory, options())) for inventory in inventories]
    rows = judge([{"format": "spdx", "text": text} for text in texts])
    assert [row["problem"] for row in rows] == [""] * len(texts)
    assert [row["missing"] for row in rows] == [[]] * len(texts)
    assert {"ai_AIPackage", "dataset_DatasetPackage", "software_File", "software_Package", "Relationship"} <= set(rows[0]["kinds"])


def mutated(document, rng):
    """Return a document with one thing changed: a member gone, renamed, of another type, or twice."""
    found = copy.deepcopy(document)
    places = []
    todo = [found]
    while todo:
        node = todo.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                todo.append(node[key])
    node, key = rng.choice(places)
    odd = rng.choice([None, True, 0, -1, 1.5, "", "x y", "<%>", [], {}, [{}], {"a": 1}, "2026-13-01", "http://[", "a" * 64])
    match rng.randrange(5):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[f"{key}x"] = node.pop(key)
        case 2 if isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        case _:
            node[key] = odd
    return found


@pytest.mark.parametrize("version", cyclonedx.VERSIONS)
def test_both_validators_say_the_same(judge, inventories, version):
    rng = random.Random(20261125)
    documents = [cyclonedx.render(inventory, options(version)) for inventory in inventories[1:]]
    texts = [json.dumps(mutated(rng.choice(documents), rng)) for _ in range(400)]
    texts = [text for text in texts if f'"specVersion": "{version}"' in text and '"bomFormat": "CycloneDX"' in text]
    theirs = judge([{"format": version, "text": text} for text in texts])
    ours = [validate(text.encode()) for text in texts]
    differ = [
        (text[:0], mine.problems[:2], row["problem"])
        for text, mine, row in zip(texts, ours, theirs, strict=True)
        if mine.valid != (not row["problem"])
    ]
    assert not differ, differ[:5]
    assert 100 < sum(mine.valid for mine in ours) < len(texts) - 50  # some of each
