"""`stannary evaluate --suite labels`: labels that were flipped here are found, and what learned nothing says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from .running import card, stannary


def test_flipped_labels_of_a_table_are_found_by_copies_of_the_forest(cancer, tmp_path) -> None:
    table = pd.read_csv(cancer / "train.csv")
    flipped = np.random.default_rng(0).choice(len(table), 15, replace=False)
    table.loc[flipped, "target"] = 1 - table.loc[flipped, "target"]
    table.to_csv(tmp_path / "flipped.csv", index=False)
    page = tmp_path / "card.html"
    found = card(cancer / "forest.joblib", "--data", tmp_path / "flipped.csv", "--suite", "labels", "--format", f"html={page}")
    part = found["labels"]
    named = {one["row"] for one in part["errors"]}
    assert len(named & set(flipped.tolist())) >= 11
    assert len(named) <= 40
    assert "RandomForestClassifier" in part["recipe"]
    for one in part["errors"]:
        assert one["label"] == str(table["target"][one["row"]])
        assert one["suggested"] != one["label"]
        assert one["trust"] < 0.5
    assert part["wrong"]["value"] == pytest.approx(len(named) / len(table))
    (row,) = found["measurements"]
    assert (row["metric"], row["n"]) == ("labels.wrong", 300)
    assert found["atlas"] == ["AML.T0020"]
    assert 'id="labels"' in page.read_text()


def test_a_policy_bounds_the_share(cancer, tmp_path) -> None:
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    given = (cancer / "forest.joblib", "--data", cancer / "train.csv", "--suite", "labels", "--record", "--workspace", space)
    assert stannary("evaluate", *given).returncode == 0
    policy = tmp_path / "labels.yaml"
    for most, rc in ((0.25, 0), (0.001, 1)):
        measured = f"  - metric: labels.wrong\n    max: {most}\n"
        policy.write_text(f"name: labels\nrequire:\n- kind: eval-result\n  check: labels\n  measures:\n{measured}")
        gate = stannary("gate", cancer / "forest.joblib", "--policy", policy, "--workspace", space)
        assert gate.returncode == rc, gate.stdout + gate.stderr


def test_labels_that_nothing_can_learn_are_not_judged(digits, tmp_path) -> None:
    with np.load(digits / "digits.npz") as data:
        x = data["x"]
    np.savez(tmp_path / "noise.npz", x=x, y=np.random.default_rng(0).integers(0, 10, len(x)))
    found = card(digits / "net.pt", "--data", tmp_path / "noise.npz", "--suite", "labels", rc=3)
    assert found["outcome"] == "incomplete"
    (row,) = found["measurements"]
    assert (row["low"], row["high"]) == (0.0, 1.0)
    assert "small networks" in found["labels"]["recipe"]


def test_a_class_with_too_few_rows_is_said(cancer, tmp_path) -> None:
    table = pd.read_csv(cancer / "train.csv")
    rare = pd.concat([table[table["target"] == 0], table[table["target"] == 1].head(3)])
    rare.to_csv(tmp_path / "rare.csv", index=False)
    done = stannary("evaluate", cancer / "forest.joblib", "--data", tmp_path / "rare.csv", "--suite", "labels")
    assert done.returncode == 3
    assert "too few for 5 folds" in done.stderr
