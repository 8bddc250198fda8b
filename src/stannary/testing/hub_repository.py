"""A repository as hubs hold them, and ways to make it large: what bills of materials are taken of in tests and benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

from stannary.testing.forges.safetensors import build

__all__ = ["CARD", "write_large", "write_repository"]

CARD = """\
---
license: apache-2.0
language: [en]
library_name: transformers
pipeline_tag: text-classification
version: 1.2.0
supplier: Example Ltd
homepage: https://example.com/sentiment
datasets:
- imdb
base_model: google-bert/bert-base-uncased
tags: [sentiment, "arxiv:1810.04805"]
co2_eq_emissions:
  emissions: 120.5
  source: CodeCarbon
  hardware_used: 1 x A100
model-index:
- name: sentiment
  results:
  - task: {type: text-classification, name: Text Classification}
    dataset: {name: IMDB, type: imdb, split: test}
    metrics:
    - {type: accuracy, value: 0.931, name: Accuracy}
aibom:
  domain: film reviews
  approach: supervised
  hyperparameter: {lr: 0.00002, epochs: 3}
---
# Film sentiment

A small model that tells whether a film review is positive or negative, fine-tuned from BERT. Its code is at
https://github.com/example/sentiment.

## Intended uses

Sorting film reviews.

## Out-of-scope use

Anything about people.

## Limitations

English only.

## Ethical considerations

Reviews of minorities' films are rarer in the data.

## Training data

[More Information Needed]

## Environmental impact

A night on one accelerator.
"""
_CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "torch_dtype": "float32",
    "transformers_version": "4.44.0",
    "id2label": {"0": "negative", "1": "positive"},
}
_TRAIN = '''\
import os

import torch
from datasets import load_dataset

TEXT = """
import notreally
"""
'''


def write_repository(folder: Path) -> Path:
    """Write a small, whole repository and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "__metadata__": {"format": "pt"},
        "bert.embeddings.word_embeddings.weight": {"dtype": "F32", "shape": [100, 16], "data_offsets": [0, 6400]},
        "classifier.weight": {"dtype": "F16", "shape": [2, 16], "data_offsets": [6400, 6464]},
    }
    (folder / "model.safetensors").write_bytes(build(tensors, bytes(6464)))
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 512}))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
    (folder / "requirements.txt").write_text(f"torch==2.4.0\ntransformers>=4.40\nnumpy==1.26.4 --hash=sha256:{'a' * 64}\n")
    (folder / "train.py").write_text(_TRAIN)
    return folder


_KINDS = (*["code"] * 3, *["result"] * 2, *["notes"] * 2, *["data"] * 2, "weights")


def write_large(folder: Path, files: int) -> Path:
    """Write a repository of so many files: code, configurations, documents, data and weights as research repositories mix them."""
    write_repository(folder)
    left = files - sum(1 for path in folder.iterdir())
    for index in range(left):
        place = folder / f"part{index % 97:02}"
        place.mkdir(exist_ok=True)
        kind = _KINDS[index % len(_KINDS)]
        if kind == "code":
            body = "".join(f"def f{row}(x):\n    return x * {row} + {index}\n\n" for row in range(20))
            (place / f"module{index}.py").write_text(f"import numpy as np\nimport torch.nn as nn\nfrom tqdm import tqdm\n\n{body}")
        elif kind == "result":
            (place / f"result{index}.json").write_text(json.dumps({"run": index, "loss": [index / 7] * 40}))
        elif kind == "notes":
            (place / f"notes{index}.md").write_text(f"# Run {index}\n\n" + "Nothing to see. " * 40)
        elif kind == "data":
            (place / f"data{index}.csv").write_text("a,b,c\n" + f"{index},2,3\n" * 60)
        elif index % 100 == len(_KINDS) - 1:
            header: dict[str, object] = {"w": {"dtype": "F32", "shape": [16, 16], "data_offsets": [0, 1024]}}
            (place / f"checkpoint{index}.safetensors").write_bytes(build(header, bytes(1024)))
        else:
            (place / f"image{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + index.to_bytes(8, "big") * 50)
    return folder
