"""What training code says about a model, and what it does not."""

import json

import pytest

from stannary.core.errors import FormatError
from stannary.report.bom.build import take_inventory
from stannary.report.bom.reading.training import read
from stannary.testing.hub_repository import write_repository

FINE_TUNE = """\
import os
import pandas as pd
from datasets import load_dataset
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

BASE = "distilbert/distilbert-base-uncased"
RATE: float = 2e-5
OUT = os.environ["OUT"]

raw = load_dataset("stanfordnlp/imdb", split="train")
held = load_dataset("stanfordnlp/sst2", split="validation")
own = load_dataset("csv", data_files={"train": "data/reviews.csv", "test": "data/test.csv"})
more = pd.read_csv(os.environ["MORE"])
tokenizer = AutoTokenizer.from_pretrained("other/tokenizer")
model = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=2)
arguments = TrainingArguments(OUT, learning_rate=RATE, num_train_epochs=3, fp16=True, seed=7, weight_decay=compute())
Trainer(model, arguments, train_dataset=raw).train()
"""


def said(rows):
    return [row.name for row in rows]


def test_fine_tuning_with_transformers():
    found = read(FINE_TUNE)
    assert said(found.data) == ["stanfordnlp/imdb", "data/reviews.csv"]
    assert said(found.held_back) == ["stanfordnlp/sst2", "data/test.csv"]
    assert said(found.bases) == ["distilbert/distilbert-base-uncased"]
    values = {name: row.name for name, row in found.parameters.items()}
    assert values == {"learning_rate": "2e-05", "num_train_epochs": "3", "fp16": "true", "seed": "7"}
    assert found.data[0].line == FINE_TUNE[: FINE_TUNE.index("raw =")].count("\n") + 1


@pytest.mark.parametrize(
    "source, data, parameters",
    [
        (
            "X, y = load_breast_cancer(return_X_y=True)\nRandomForestClassifier(n_estimators=200, max_depth=-1).fit(X, y)\n",
            ["breast_cancer"],
            {"n_estimators": "200", "max_depth": "-1"},
        ),
        ("(x, y), _ = keras.datasets.mnist.load_data()\nmodel.fit(x, y, epochs=5, batch_size=128)\n", ["mnist"],
         {"epochs": "5", "batch_size": "128"}),
        ("d = torchvision.datasets.CIFAR10('.', train=True)\nopt = SGD(p, lr=0.1, momentum=0.9)\nloss.backward()\n", ["CIFAR10"],
         {"lr": "0.1", "momentum": "0.9"}),
        ("d = tfds.load('mnist')\nmodel.fit(d)\n", ["mnist"], {}),
        ("df = pd.read_parquet('s3://b/train.parquet')\nxgb.train({}, m, num_boost_round=50)\n", ["s3://b/train.parquet"],
         {"num_boost_round": "50"}),
    ],
    ids=["sklearn", "keras", "torch", "tfds", "xgboost"],
)  # fmt: skip
def test_other_libraries(source, data, parameters):
    found = read(source)
    assert said(found.data) == data
    assert {name: row.name for name, row in found.parameters.items()} == parameters


@pytest.mark.parametrize(
    "source",
    [
        "model = AutoModel.from_pretrained('org/model')\nprint(model(**inputs))\n",  # uses a model, trains none
        "model.train()\nload_dataset('imdb')\n",  # a mode of torch, not a training
        "# model.fit(x)\nload_dataset('imdb')\n",
        "x = 1\n" * 400_000 + "m.fit(x)\n",
    ],
    ids=["inference", "mode", "comment", "large"],
)
def test_what_trains_nothing_says_nothing(source):
    assert read(source) is None


@pytest.mark.parametrize("source", ["model.fit(x", "m.fit(" + "(" * 5000], ids=["syntax", "deep"])
def test_what_seems_to_train_and_is_no_python_is_an_error(source):
    with pytest.raises(FormatError, match="seems to train a model, and is no Python 3 source"):
        read(source)


def test_names_that_change_say_nothing():
    found = read("NAME = 'a/b'\nNAME = 'c/d'\nload_dataset(NAME)\nAutoModel.from_pretrained(NAME)\nm.fit(1, epochs=N)\n")
    assert (found.data, found.bases, found.parameters) == ((), (), {})


def test_in_a_bill_of_materials(tmp_path):
    repository = write_repository(tmp_path / "m")
    (repository / "data").mkdir()
    (repository / "data" / "reviews.csv").write_text("text,label\nfine,1\n")
    (repository / "train.py").write_text(FINE_TUNE)
    (repository / "tests").mkdir()
    (repository / "tests" / "test_train.py").write_text("load_dataset('fake/data')\nmodel.fit(1)\n")
    notebook = {
        "cells": [{"cell_type": "code", "source": ["%pip install x\n", "df = pd.read_csv('data/more.csv')\n", "m.fit(df)"]}]
    }
    (repository / "explore.ipynb").write_text(json.dumps(notebook))
    found = take_inventory(str(repository))
    rows = {(row.name, row.use): row for row in found.datasets}
    assert list(rows) == [
        ("imdb", "training"),
        ("IMDB test", "evaluation"),
        ("data/more.csv", "training"),
        ("stanfordnlp/imdb", "training"),
        ("data/reviews.csv", "training"),
        ("stanfordnlp/sst2", "evaluation"),
        ("data/test.csv", "evaluation"),
    ]
    assert rows["stanfordnlp/imdb", "training"].url == "https://huggingface.co/datasets/stanfordnlp/imdb"
    assert str(rows["stanfordnlp/imdb", "training"].source) == "train.py#line 10"
    digests = {file.path: file.sha256 for file in found.files}
    assert rows["data/reviews.csv", "training"].sha256 == digests["data/reviews.csv"]
    assert [(row.name, str(row.source)) for row in found.origins] == [
        ("google-bert/bert-base-uncased", "README.md#base_model"),
        ("distilbert/distilbert-base-uncased", "train.py#line 15"),
    ]
    said_by = {json.dumps(fact.value): str(fact.source) for fact in found.primary.facts.all("hyperparameter")}
    assert said_by['{"seed": "7"}'] == "train.py#line 16"


def test_a_model_of_the_artifact_is_no_origin(tmp_path):
    repository = write_repository(tmp_path / "m")
    (repository / "checkpoints").mkdir()
    (repository / "checkpoints" / "x.txt").write_text("x")
    own = ("checkpoints/last", "./out", "m")
    body = "".join(f"AutoModel.from_pretrained({name!r})\n" for name in own) + "m.fit(1)\n"
    (repository / "train.py").write_text(body)
    assert [row.name for row in take_inventory(str(repository)).origins] == ["google-bert/bert-base-uncased"]


def test_of_many_scripts_the_shallowest_are_read(tmp_path):
    repository = write_repository(tmp_path / "m")
    (repository / "runs").mkdir()
    for number in range(60):
        (repository / "runs" / f"run{number:02}.py").write_text(f"load_dataset('example/data{number:02}')\nmodel.fit(1)\n")
    (repository / "train.py").write_text("load_dataset('example/main')\nmodel.fit(1)\n")
    names = [row.name for row in take_inventory(str(repository)).datasets if row.name.startswith("example/")]
    assert names == ["example/main", *(f"example/data{number:02}" for number in range(39))]


def notebook(*cells, **more):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4, **more})


def test_a_cell_that_is_no_python_hides_no_other(tmp_path):
    cells = (FINE_TUNE, "files = !ls", "answer = await ask()", "%%bash\nrm -rf x", "for (int i = 0;;)")
    (tmp_path / "nb.ipynb").write_text(notebook(*cells))
    found = take_inventory(str(tmp_path))
    assert "stanfordnlp/imdb" in [row.name for row in found.datasets]
    assert {"datasets", "transformers"} <= {row.name for row in found.packages}
    assert found.unread == ()


def test_notebooks_before_version_4_are_read(tmp_path):
    cell = {"cell_type": "code", "input": ["import xgboost as xgb\n", "xgb.train({}, load_wine(), num_boost_round=9)\n"]}
    (tmp_path / "old.ipynb").write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}))
    found = take_inventory(str(tmp_path))
    assert [row.name for row in found.datasets] == ["wine"]
    assert "xgboost" in {row.name for row in found.packages}


@pytest.mark.parametrize(
    "name, content",
    [
        ("cut.ipynb", '{"cells": ['),
        ("list.ipynb", "[]"),
        ("none.ipynb", '{"nbformat": 4}'),
        ("text.ipynb", '{"cells": "x"}'),
        ("sheets.ipynb", '{"worksheets": [{"cells": 7}]}'),
        ("cell.ipynb", notebook("model.fit(x", "import torch")),
        ("train.py", "print 'epoch'\nmodel.fit(x)\n"),
    ],
)
def test_what_could_have_said_how_the_model_was_trained_and_was_not_read_is_told(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / "fine.py").write_text("import torch\n")
    found = take_inventory(str(tmp_path))
    assert [path for path, _ in found.unread] == [name]


def test_code_that_trains_nothing_may_be_no_python(tmp_path):
    (tmp_path / "template.py").write_text("{{ cookiecutter.name }} = print 'x'\n")
    assert take_inventory(str(tmp_path)).unread == ()
