"""`stannary evaluate NEW --against OLD`: the same attacks on the same samples, and a paired test of what only one of them stood."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from stannary.app.evaluation_against import Samples, against
from stannary.app.evaluation_suites import Suite
from stannary.app.opening import Admitted
from stannary.checks.target.card import Robustness, Threat
from stannary.checks.target.statistics import rate

from .running import card, stannary


@pytest.fixture(scope="module")
def hardened(tmp_path_factory):
    """A network like that of `digits`, trained against the sign of its gradient."""
    data = load_digits()
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[:1500, None], torch.tensor(data.target)[:1500]
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 10))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(120):
        at = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(at), y), at)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net((x + 0.1 * slope.sign()).clamp(0, 1)), y).backward()
        optimiser.step()
    path = tmp_path_factory.mktemp("hardened") / "hardened.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(net.eval(), x[:2]).save(path)
    return path


@pytest.fixture(scope="module")
def compared(digits, hardened, tmp_path_factory):
    """The card of the hardened network against the original, its page, and the workspace that has it."""
    folder = tmp_path_factory.mktemp("compared")
    space, page = folder / "space", folder / "card.html"
    assert stannary("init", space).returncode == 0
    given = (hardened, "--data", digits / "digits.npz", "--samples", 60, "--eps", 0.14, "--preset", "gate")
    more = ("--against", digits / "net.pt", "--record", "--workspace", space, "--format", f"html={page}")
    return card(*given, *more), page, space


def test_a_hardened_network_is_better_by_a_test_of_pairs(compared, digits) -> None:
    found, page, _ = compared
    one = found["against"]
    assert one["verdict"] == "better"
    assert one["standing"]["after"]["value"] == pytest.approx(found["robustness"]["robust"]["value"])
    assert one["digest"] == card(digits / "net.pt", "--data", digits / "digits.npz", "--preset", "smoke")["model"]["digest"]
    # McNemar's exact test by another library
    gained, lost = one["standing"]["gained"], one["standing"]["lost"]
    assert one["standing"]["p"] == pytest.approx(binomtest(gained, gained + lost).pvalue)
    named = {row["metric"]: row for row in found["measurements"]}
    gain = named["robustness.linf.eps_0.14.gain"]
    assert gain["value"] == pytest.approx((gained - lost) / 60)
    assert gain["low"] > 0
    assert "accuracy.gain" in named
    assert "robust accuracy beside net.pt" in page.read_text()


@pytest.mark.parametrize("ours, theirs, verdict", [(10, 60, "worse"), (60, 10, "better"), (30, 31, "not told apart")])
def test_the_verdict_is_that_of_the_interval(ours, theirs, verdict) -> None:
    at = torch.arange(100)

    def suite(stood: int, **more: object) -> Suite:
        threat = Threat(norm="linf", eps=0.1)
        part = Robustness(preset="gate", threat=threat, clean=rate(100, 100), robust=rate(stood, 100), **more)
        return Suite(part, (), samples=Samples(at < 100, at < stood, at < 100))

    other = Admitted(
        path="old.pt", display="old.pt", digest="sha256:" + "0" * 64, sha256=None, files=frozenset(), format="zip", verdict="clean"
    )
    changed, found = against(suite(ours), suite(theirs), other)
    assert found.verdict == verdict
    assert (verdict == "worse") == any("do not any more" in text for text in changed.next)
    assert against(suite(ours, masked=True), suite(theirs), other)[1].verdict == "not comparable"
    half = suite(theirs)._replace(samples=Samples(at < 100, at < theirs, at < 50), incomplete=("no answer",))
    changed, found = against(suite(ours), half, other)
    assert found.verdict == "not comparable"
    assert found.left == 50
    assert changed.incomplete == ("of old.pt: no answer",)


def test_smoke_compares_nothing(digits, hardened) -> None:
    found = card(hardened, "--data", digits / "digits.npz", "--preset", "smoke", "--samples", 60, "--against", digits / "net.pt")
    assert found["against"]["verdict"] == "not comparable"
    (gain,) = [row for row in found["measurements"] if row["metric"] == "robustness.linf.eps_0.1.gain"]
    assert (gain["low"], gain["high"]) == (-1.0, 1.0)


def test_masked_gradients_are_not_compared(digits, hardened, tmp_path) -> None:
    class Rounded(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner((x * 2).round() / 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Rounded(torch.jit.load(digits / "net.pt"))).save(tmp_path / "rounded.pt")
    given = ("--data", digits / "digits.npz", "--preset", "gate", "--samples", 32, "--eps", 0.3, "--against", hardened)
    found = card(tmp_path / "rounded.pt", *given, rc=3)
    assert found["against"]["masked"]
    assert found["against"]["verdict"] == "not comparable"


def test_a_policy_bounds_the_gain(compared, hardened, tmp_path) -> None:
    policy = tmp_path / "no-worse.yaml"
    for least, rc in ((-0.02, 0), (0.9, 1)):
        measured = f"  - metric: robustness.linf.eps_0.14.gain\n    min: {least}\n"
        policy.write_text(f"name: no-worse\nrequire:\n- kind: eval-result\n  check: robustness\n  measures:\n{measured}")
        gate = stannary("gate", hardened, "--policy", policy, "--workspace", compared[2])
        assert gate.returncode == rc, gate.stdout + gate.stderr


def test_tables_are_compared_row_by_row(cancer, tmp_path) -> None:
    train = pd.read_csv(cancer / "train.csv")
    noise = np.random.default_rng(0).permutation(train["target"])
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(train.iloc[:, :-1], noise), tmp_path / "noise.joblib")
    given = ("--data", cancer / "test.csv", "--samples", 40, "--preset", "gate", "--norm", "l2", "--eps", 0.2)
    found = card(cancer / "forest.joblib", *given, "--against", tmp_path / "noise.joblib")
    assert found["against"]["accuracy"]["before"]["value"] < 0.75
    assert found["against"]["verdict"] == "better"


def test_what_does_not_go_together_is_said(digits, cancer, hardened) -> None:
    given = (hardened, "--data", digits / "digits.npz", "--preset", "smoke", "--samples", 20)
    other = stannary("evaluate", *given, "--against", cancer / "forest.joblib")
    assert other.returncode == 3
    assert "forest.joblib" in other.stderr
    missing = stannary("evaluate", *given, "--against", "nowhere.pt")
    assert missing.returncode in (2, 3)
    assert "nowhere.pt" in missing.stderr
    stop = stannary("evaluate", *given[:3], "--preset", "gate", "--min-robust", 0.5, "--against", digits / "net.pt")
    assert stop.returncode == 2
    assert "--against compares whole runs" in stop.stderr
    privacy = stannary("evaluate", *given, "--suite", "labels", "--against", digits / "net.pt")
    assert privacy.returncode == 2
