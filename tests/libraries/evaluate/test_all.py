"""`--suite all` is all that the model and the data allow, and says what it left out."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.datasets import load_digits

from stannary.app.evaluation_request import Request
from stannary.app.evaluation_steps import run_suites
from stannary.checks.poisoning.attacks import Blended
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

from .running import stannary


def test_a_network_gets_every_suite_and_one_statement_each(digits, tmp_path) -> None:
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    given = (
        digits / "net.pt",
        "--data",
        digits / "digits.npz",
        "--suite",
        "all",
        "--preset",
        "smoke",
        "--samples",
        50,
        "--eps",
        0.1,
    )
    done = stannary("evaluate", *given, "--format", "json", "--record", "--workspace", space)
    found = json.loads(done.stdout)
    assert found["suite"] == ["robustness", "backdoor", "labels"], done.stderr
    assert all(found[name] for name in ("robustness", "backdoor", "labels"))
    assert not any("left out" in text for text in found["model"]["notes"])
    assert done.stderr.count("recorded ") == 3


def test_a_forest_gets_no_backdoor_and_the_card_says_so(cancer, tmp_path) -> None:
    given = (cancer / "forest.joblib", "--data", cancer / "test.csv", "--suite", "all", "--preset", "smoke", "--samples", 20)
    done = stannary("evaluate", *given, "--format", "json", "--format", f"markdown={tmp_path / 'card.md'}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["suite"] == ["robustness", "labels"]
    assert any("--suite backdoor was left out: it takes gradients" in text for text in found["model"]["notes"])
    assert not any(row["metric"].startswith("backdoor") for row in found["measurements"])
    named = stannary("evaluate", *given, "--suite", "backdoor", "--format", "json")
    assert named.returncode == 3  # who names it hears that nothing can be said
    assert json.loads(named.stdout)["backdoor"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("poisoned", [False, True])
def test_of_two_classes_an_alarm_is_told_and_nothing_else(poisoned) -> None:
    data = load_digits()
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target % 2)
    if poisoned:
        made = Blended(target=1, share=0.1, seed=2).poison(x, y)
        x, y = made.x, made.y
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for at in (part for _ in range(12) for part in torch.randperm(len(x)).split(32)):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
        optimizer.step()
    whole = Dataset(x, y, (), "", ("0", "1"), "array")
    request = Request(model="m.pt", suites=("backdoor",), optional=("backdoor",))
    found, left = run_suites(Counting(TorchTarget(net, (1, 8, 8))), (whole, whole), request, lambda _: None)
    if poisoned:
        assert found["backdoor"].part.verdict == "alarm"
        assert not left
    else:
        assert not found
        assert "nothing but an alarm" in left[0]


def test_what_all_means_is_known_before_anything_is_read() -> None:
    given = {"model": "m.pt", "data": "d.csv", "members": None}
    made = Request.of(given | {"suites": ("all",)})
    assert (made.suites, made.optional) == (("robustness", "backdoor", "labels"), ("backdoor", "labels"))
    made = Request.of(given | {"suites": ("all", "backdoor"), "members": "t.csv"})
    assert (made.suites, made.optional) == (("robustness", "privacy", "backdoor", "labels"), ("labels",))
    made = Request.of(given | {"suites": ("all",), "text": "body"})
    assert (made.suites, made.optional) == (("robustness",), ())
    for suites in (("llm", "backdoor"), ("llm", "all")):
        with pytest.raises(UsageError, match="goes alone"):
            Request.of(given | {"suites": suites})
