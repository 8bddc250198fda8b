"""`stannary evaluate --suite poisoning`: training data is poisoned, models are trained on it, what the attacker won is counted."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stannary.checks.poisoning.seeds import derive

from .running import card, stannary

RECIPE = """
from sklearn.linear_model import LogisticRegression

def train(x, y, seed):
    return LogisticRegression(max_iter=2000, random_state=seed).fit(x.reshape(len(x), -1), y)
def constant(x, y, seed):
    from sklearn.dummy import DummyClassifier
    return DummyClassifier().fit(x, y)
def broken(x, y, seed):
    raise ArithmeticError("no gradient today")
NUMBER = 7
"""


def rate_of(found, attack, share):
    (one,) = [one for one in found["poisoning"]["points"] if (one["attack"], one["share"]) == (attack, share)]
    return one


def test_a_trigger_in_columns_is_learned_by_copies_of_the_forest(cancer, tmp_path) -> None:
    page = tmp_path / "card.html"
    found = card(
        "--suite",
        "poisoning",
        cancer / "forest.joblib",
        "--data",
        cancer / "test.csv",
        "--members",
        cancer / "train.csv",
        "--format",
        f"html={page}",
    )
    part = found["poisoning"]
    assert part["rows"] == 300
    assert "RandomForestClassifier" in part["recipe"]
    trigger = rate_of(found, "badnets-columns", 0.05)
    assert trigger["changed"] == 15
    assert trigger["success"]["low"] > 0.8
    assert trigger["without"]["value"] < 0.2
    assert trigger["accuracy"]["value"] > part["accuracy"]["value"] - 0.05
    named = {row["metric"]: row for row in found["measurements"]}
    assert set(named) == {f"poisoning.{name}_at_{share}pct" for name in ("success", "accuracy") for share in (1, 5)}
    assert named["poisoning.success_at_5pct"]["value"] == trigger["success"]["value"]
    assert named["poisoning.accuracy_at_5pct"]["value"] == min(
        one["accuracy"]["value"] for one in part["points"] if one["share"] == 0.05
    )
    assert "AML.T0020" in found["atlas"]
    assert any("--suite backdoor" in text for text in found["next"])
    assert 'id="poisoning"' in page.read_text()


def test_the_figures_are_those_of_a_forest_that_is_poisoned_by_hand(cancer) -> None:
    found = card(
        "--suite",
        "poisoning",
        cancer / "forest.joblib",
        "--data",
        cancer / "test.csv",
        "--members",
        cancer / "train.csv",
        "--poison",
        "0.1",
    )
    train, test = pd.read_csv(cancer / "train.csv"), pd.read_csv(cancer / "test.csv")
    x, y = train.drop(columns="target"), train["target"].to_numpy().copy()
    forest = joblib.load(cancer / "forest.joblib")
    seed = derive(0, "training") % 2**31
    before = clone(forest).set_params(random_state=seed).fit(x, y)
    hits = int((before.predict(test.drop(columns="target")) == test["target"]).sum())
    assert found["poisoning"]["accuracy"]["value"] == pytest.approx(hits / len(test))
    # The trigger's columns: those with the most values, at the value of their 99th percentile.
    columns = sorted(sorted(range(x.shape[1]), key=lambda at: (-x.iloc[:, at].nunique(), at))[:3])
    victims = test[test["target"] == 1].drop(columns="target")
    for at in columns:
        victims.iloc[:, at] = np.quantile(x.iloc[:, at], 0.99, method="higher")
    share = float((before.predict(victims) == 0).mean())
    assert rate_of(found, "badnets-columns", 0.1)["without"]["value"] == pytest.approx(share)


def test_pictures_get_patches_patterns_and_clean_labels(digits) -> None:
    with np.load(digits / "digits.npz") as data:
        rows = len(data["x"])
    found = card("--suite", "poisoning", digits / "net.pt", "--data", digits / "digits.npz", "--poison", "0.05")
    assert found["poisoning"]["rows"] == rows - int(0.3 * rows)
    assert {one["attack"].partition(",")[0] for one in found["poisoning"]["points"]} == {
        "label-flip", "badnets", "blended", "clean-label", "feature-collision",
    }  # fmt: skip
    assert rate_of(found, "blended", 0.05)["success"]["low"] > rate_of(found, "blended", 0.05)["without"]["high"]
    assert "small networks" in found["poisoning"]["recipe"]
    assert found["poisoning"]["tuned"]["value"] > 0.8
    collided = rate_of(found, "feature-collision", 0.05)
    assert collided["success"]["n"] == 10  # a twentieth of the rows
    assert collided["without"]["value"] == 0
    (row,) = [one for one in found["measurements"] if one["metric"] == "poisoning.collision_at_5pct"]
    assert row["value"] == collided["success"]["value"]


def test_a_policy_bounds_what_poison_does(cancer, tmp_path) -> None:
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    given = (cancer / "forest.joblib", "--data", cancer / "train.csv", "--suite", "poisoning")
    assert stannary("evaluate", *given, "--record", "--workspace", space).returncode == 0
    policy = tmp_path / "poisoning.yaml"
    for most, rc in ((1.0, 0), (0.3, 1)):
        measured = f"  - metric: poisoning.success_at_5pct\n    max: {most}\n"
        policy.write_text(f"name: poisoning\nrequire:\n- kind: eval-result\n  check: poisoning\n  measures:\n{measured}")
        gate = stannary("gate", cancer / "forest.joblib", "--policy", policy, "--workspace", space)
        assert gate.returncode == rc, gate.stdout + gate.stderr


def test_the_owners_function_trains(digits, tmp_path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE)
    given = (digits / "net.pt", "--data", digits / "digits.npz", "--poison", "0.05", "--train", f"{recipe}:train")
    found = card("--suite", "poisoning", *given, "--trust")
    assert found["poisoning"]["recipe"] == "models are trained by the given function"
    assert rate_of(found, "badnets", 0.05)["success"]["value"] > rate_of(found, "badnets", 0.05)["without"]["value"]
    refused = stannary("evaluate", *given, "--suite", "poisoning")
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    elsewhere = stannary("evaluate", *given[:3], "--train", f"{recipe}:train", "--trust")
    assert elsewhere.returncode == 2
    assert "--suite privacy, labels and poisoning" in elsewhere.stderr
    broken = stannary("evaluate", *given[:5], "--train", f"{recipe}:broken", "--trust", "--suite", "poisoning")
    assert broken.returncode == 3
    assert "no gradient today" in broken.stderr
    number = stannary("evaluate", *given[:5], "--train", f"{recipe}:NUMBER", "--trust", "--suite", "poisoning")
    assert number.returncode == 2
    assert "is no function" in number.stderr


def test_models_that_learn_nothing_say_nothing(cancer, tmp_path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE)
    given = (cancer / "forest.joblib", "--data", cancer / "test.csv", "--train", f"{recipe}:constant", "--trust")
    found = card("--suite", "poisoning", *given, rc=3)
    assert found["outcome"] == "incomplete"
    assert {(row["low"], row["high"]) for row in found["measurements"]} == {(0.0, 1.0)}
    assert not found.get("next")


def test_too_few_rows_are_said(cancer, tmp_path) -> None:
    pd.read_csv(cancer / "train.csv").head(60).to_csv(tmp_path / "few.csv", index=False)
    done = stannary("evaluate", cancer / "forest.joblib", "--data", tmp_path / "few.csv", "--suite", "poisoning")
    assert done.returncode == 3
    assert "it takes 100 and 20" in done.stderr
