"""Models without gradients: what a surrogate and decisions alone find; checkpoints that know models by digest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from stannary.checks.robustness.presets import preset
from stannary.checks.robustness.surrogate import without_gradients
from stannary.checks.target.callable_model import callable_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import open_data

NET = """
import torch, warnings
warnings.simplefilter("ignore")
net = torch.jit.load({path!r})
def score(x):
    return net(torch.from_numpy(x)).detach().numpy()
def label(x):
    return score(x).argmax(1)
"""


def stannary(*arguments: object, cwd=None):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    line = [sys.executable, "-m", "stannary", "evaluate", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300, check=False)


@pytest.mark.parametrize("kind, preset_name", [("score", "smoke"), ("label", "gate")])
def test_a_function_without_gradients_is_fooled_through_a_surrogate(digits, tmp_path, kind, preset_name) -> None:
    (tmp_path / "mine.py").write_text(NET.format(path=str(digits / "net.pt")))
    given = (
        "--data",
        digits / "digits.npz",
        "--preset",
        preset_name,
        "--samples",
        40,
        "--eps",
        0.15,
        "--adversarials",
        tmp_path / "adv",
    )
    more = ("--min-robust", 0.9) if preset_name == "gate" else ()
    done = stannary(f"mine.py:{kind}", *given, *more, "--format", "json", cwd=tmp_path)
    assert done.returncode == (1 if more else 0), done.stderr
    found = json.loads(done.stdout)
    part = found["robustness"]
    first = part["attacks"][0]
    assert first["id"] == "transfer-surrogate-40"
    assert first["survivors_out"] < first["survivors_in"]
    assert "AML.T0043.002" in found["atlas"]
    if kind == "label":
        assert part["attacks"][1]["id"] == "hopskipjump-10"
        assert found["model"]["access"] == "decision"
    with np.load(tmp_path / "adv" / f"{part['adversarials'].removeprefix('sha256:')}.npz") as stored:
        origin, x = torch.tensor(stored["origin"]), torch.tensor(stored["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        net = torch.jit.load(digits / "net.pt")
    assert float((x - origin).abs().max()) <= 0.15 + 1e-6
    assert bool((net(x).argmax(1) != net(origin).argmax(1)).all())


def test_what_cannot_be_imitated_or_paid_is_said(digits) -> None:
    data = open_data(digits / "digits.npz")
    draw = np.random.default_rng(0)
    noise = Counting(callable_target(lambda x: draw.integers(0, 10, len(x)), data.x[:20], classes=10))
    plan, unable = without_gradients(preset("smoke", 10), noise, data, "linf", 0)
    assert "the surrogate decides" in unable
    assert [stage.id for stage in plan.stages] == [stage.id for stage in preset("smoke", 10).stages]
    poor = Counting(noise.inner, budget=300)
    assert "too few" in without_gradients(preset("smoke", 10), poor, data, "linf", 0)[1]
    assert poor.spend.queries == 0
    some = Counting(noise.inner, budget=2000)
    without_gradients(preset("smoke", 10), some, data, "linf", 0)
    assert 0 < some.spend.queries <= 300
    before = noise.spend.queries
    assert without_gradients(plan, noise, data, "l1", 0) == (plan, "")  # no transfer in this norm
    assert noise.spend.queries == before


def test_a_checkpoint_refuses_another_model_of_the_same_name(cancer, tmp_path) -> None:
    model = tmp_path / "forest.joblib"
    shutil.copy(cancer / "forest.joblib", model)
    given = (model, "--data", cancer / "test.csv", "--preset", "smoke", "--samples", 12, "--checkpoint", tmp_path / "kept")
    assert stannary(*given).returncode == 0
    assert stannary(*given).returncode == 0
    old = joblib.load(model)
    train = pd.read_csv(cancer / "train.csv")
    joblib.dump(RandomForestClassifier(5, random_state=7).fit(train[old.feature_names_in_], train["target"]), model)
    done = stannary(*given)
    assert done.returncode == 2, done.stderr
    assert "another run, with a different target" in done.stderr


@pytest.fixture(scope="module")
def other(digits):
    """Another network for the digits, trained apart, and one of nine classes."""
    with np.load(digits / "digits.npz") as held:
        x, y = torch.tensor(held["x"]), torch.tensor(held["y"])
    for name, classes, seed in (("other.pt", 10, 7), ("nine.pt", 9, 8)):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, classes))
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y.clamp(max=classes - 1)).backward()
            optimiser.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.trace(net.eval(), x[:2]).save(digits / name)
    return digits


def test_examples_of_a_given_surrogate_are_tried_first_and_the_card_says_which(digits, other) -> None:
    done = stannary(
        *(digits / "net.pt", "--data", digits / "digits.npz", "--surrogate", other / "other.pt"),
        *("--preset", "smoke", "--samples", 40, "--eps", 0.25, "--format", "json"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first = found["robustness"]["attacks"][0]
    said = next(note for note in found["model"]["notes"] if "surrogate" in note)
    assert first["id"] == f"transfer-{said.partition('sha256:')[2][:12]}-40"
    assert "other.pt" in said
    assert first["survivors_out"] < first["survivors_in"]  # of the network's own gradients nothing was used
    assert first["backward"] == 0
    assert "AML.T0043.002" in found["atlas"]


def test_a_function_is_attacked_through_it_only_when_that_is_trusted(digits, other, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(NET.format(path=str(digits / "net.pt")))
    given = (
        "mine.py:label",
        "--data",
        digits / "digits.npz",
        "--surrogate",
        other / "other.pt",
        "--preset",
        "smoke",
        "--samples",
        30,
    )
    refused = stannary(*given, cwd=tmp_path)
    assert (refused.returncode, "outside of the guard" in refused.stderr) == (2, True)
    done = stannary(*given, "--trust", "--eps", 0.25, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["robustness"]["attacks"]
    assert [run["id"].startswith("transfer-") for run in runs][:2] == [True, False]  # and none that imitates it
    assert runs[0]["survivors_out"] < runs[0]["survivors_in"]


def test_one_that_does_not_fit_is_refused(digits, cancer, other, tmp_path) -> None:
    data = ("--data", digits / "digits.npz", "--preset", "smoke", "--samples", 20)
    nine = stannary(digits / "net.pt", *data, "--surrogate", other / "nine.pt")
    assert (nine.returncode, "has 9 classes, the model 10" in nine.stderr) == (3, True), nine.stderr
    forest = stannary(
        *(cancer / "forest.joblib", "--data", cancer / "test.csv", "--surrogate", cancer / "boosted.ubj"),
        *("--preset", "smoke", "--samples", 20, "--trust"),
    )
    assert (forest.returncode, "the surrogate" in forest.stderr) == (3, True), forest.stderr
    hostile = tmp_path / "hostile.pkl"
    hostile.write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    unsafe = stannary(digits / "net.pt", *data, "--surrogate", hostile)
    assert (unsafe.returncode, "is unsafe and is not loaded" in unsafe.stderr) == (1, True), unsafe.stderr
