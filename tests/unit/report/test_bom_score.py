"""Completeness: what the registry tells a person to write is what fills the field, and nothing else does."""

import json
import re
import struct
from datetime import UTC, datetime

import pytest

from stannary.report.bom import cyclonedx
from stannary.report.bom.build import take_inventory
from stannary.report.bom.options import BomOptions
from stannary.report.bom.registry import load_rows
from stannary.report.bom.score import score
from stannary.report.bom.validate import validate
from stannary.report.json_ import dump
from stannary.testing.forges.gguf import Writer
from stannary.testing.forges.safetensors import build

NOW = datetime(2026, 11, 25, tzinfo=UTC)
FRONT = re.compile(r"front matter: `([^`]+)`")
SECTION = re.compile(r"a section `(## [^`]+)`")
CONFIG = re.compile(r"^((?:tokenizer_)?config\.json): `\"(\w+)\"(?:: \[\"…\"\])?`")
TOLD = [row for row in load_rows() if FRONT.search(row.put) or SECTION.search(row.put) or CONFIG.search(row.put)]


def scored(folder, **options):
    document = cyclonedx.render(take_inventory(str(folder)), BomOptions(timestamp=NOW, tool_version="0", **options))
    found = validate(dump(document).encode())
    assert found.sound, found.problems
    return score(document)


@pytest.fixture
def bare(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    tensors = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    (folder / "model.safetensors").write_bytes(build(tensors, bytes(8)))
    return folder


def write(folder, row):
    """Do what a row of the registry says."""
    front, section, config = FRONT.search(row.put), SECTION.search(row.put), CONFIG.search(row.put)
    if front:
        text = front[1].replace("`", "")
        (folder / "README.md").write_text(f"---\n{text}\n---\n")
    elif section:
        (folder / "README.md").write_text(f"{section[1]}\n\nWhat there is to say about it.\n")
    else:
        value = ["BertModel"] if config[2] == "architectures" else "BertTokenizer" if config[2] == "tokenizer_class" else 8
        (folder / config[1]).write_text(json.dumps({config[2]: value}))


@pytest.mark.parametrize("row", TOLD, ids=[row.id for row in TOLD])
def test_what_is_told_fills_the_field(bare, row):
    assert row.id in {missing.field for missing in scored(bare).missing}
    write(bare, row)
    assert row.id in scored(bare).present


def test_nearly_every_field_tells_something_to_write():
    told = {row.id for row in TOLD}
    assert {row.id for row in load_rows() if row.put} - told == {
        "purl", "description", "external_references", "rope_dimension_count", "quantization_version", "quantization_file_type",
        "model_file_size", "runtime_requirement",
    }  # fmt: skip
    assert {row.id for row in load_rows() if not row.put} == {"bomFormat", "specVersion", "serialNumber", "version", "name", "type"}


FULL = """\
---
pipeline_tag: text-generation
license: apache-2.0
version: 1.0.0
supplier: Example Ltd
homepage: https://example.com
datasets: [example/data]
tags: ["arxiv:2401.00001"]
aibom:
  standard_compliance: ISO/IEC 42001
  domain: finance
  autonomy: 'no'
  jurisdictions: [NG, ZA]
  ndpa: registered
  nfiu: not applicable
  popia: registered
  kdpa: registered
  gdpa: registered
  regulatory_contact: dpo@example.com
  sensitive_data: 'no'
  energy: 12.5
  decision_threshold: 0.5
  hyperparameter: {lr: 0.001}
model-index:
- name: m
  results:
  - task: {type: text-generation}
    dataset: {name: d, type: d}
    metrics: [{type: perplexity, value: 7.1}]
---
# A model

It writes sentences about money, from https://github.com/example/model.

## Intended use

Sentences.

## Limitations

Short ones.

## Ethical considerations

None are known.

## Safety

Low, because it is read by a person.

## Explainability

Attention can be shown.

## Training

A day.

## Preprocessing

Duplicates were removed.
"""


def test_every_field_can_be_filled_without_a_network(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    writer = Writer().pair("general.architecture", "llama").pair("general.file_type", struct.pack("<II", 4, 15))
    for key, value in {
        "general.quantization_version": 2, "llama.context_length": 4096, "llama.embedding_length": 256, "llama.block_count": 2,
        "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2, "llama.feed_forward_length": 512,
        "llama.rope.dimension_count": 64,
    }.items():  # fmt: skip
        writer = writer.pair(key, struct.pack("<II", 4, value))
    writer = writer.pair("tokenizer.ggml.model", "gpt2").pair("tokenizer.ggml.tokens", ["a", "b"])
    (folder / "model.gguf").write_bytes(writer.tensor("token_embd.weight", [256, 4], kind=12).bytes(bytes(576)))
    (folder / "README.md").write_text(FULL)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    found = scored(folder, purl="pkg:huggingface/example/model@0123456789")
    assert [row.field for row in found.missing] == []
    assert found.points == 100
