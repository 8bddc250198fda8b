"""Each method, held against an attack that knows of it."""

from __future__ import annotations

import copy

import pytest
import torch

from stannary.checks.robustness.attacks.pgd import PGD
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.card import Compared
from stannary.checks.target.paired import compare
from stannary.checks.target.statistics import rate
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError
from stannary.harden import adversarial
from stannary.harden.adversarial import adversarial_training, free, trades
from stannary.harden.card import price_of
from stannary.harden.compare import verdict_of
from stannary.harden.interface import Settings
from stannary.harden.private import dp_sgd
from stannary.harden.smoothing import Smoothed, certify, smoothing
from stannary.harden.wrapping import Rounded, Squeezed, distill, ensemble, output_perturbation, squeeze


def accuracy(model, x, y) -> float:
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


def robust(model, x, y, eps=0.15, norm="linf") -> float:
    found = run(PGD(20), Problem(TorchTarget(copy.deepcopy(model), (1, 8, 8)), Box(), norm=norm, eps=eps), x, y)
    return float((~found.success).float().mean())


@pytest.mark.parametrize("method", [adversarial_training, trades, free, ensemble])
def test_training_against_attacks_makes_robust(digits, net, trained, method) -> None:
    x, y, x_test, y_test = digits
    made = method(net, x, y, Settings(eps=0.15, epochs=16, batch=64, rate=3e-3, more={"members": 2}))
    assert accuracy(made.model, x_test, y_test) > 0.85
    assert robust(made.model, x_test, y_test) > robust(trained, x_test, y_test) + 0.15
    assert not made.masking
    assert made.parameters["eps"] == 0.15


def test_the_l2_ball_is_trained_against_too(digits, net, trained) -> None:
    x, y, x_test, y_test = digits
    made = adversarial_training(net, x, y, Settings(eps=0.8, norm="l2", epochs=12, batch=64, rate=3e-3))
    assert robust(made.model, x_test, y_test, 0.8, "l2") > robust(trained, x_test, y_test, 0.8, "l2") + 0.1


@pytest.mark.parametrize("method", [adversarial_training, trades])
def test_the_radius_grows_while_it_warms_up(digits, net, monkeypatch, method) -> None:
    """What is attacked lies in the grown ball: an eighth of the radius at the first of eight batches, all of it from the last."""
    x, y, _, _ = digits
    seen: list[float] = []
    grow = adversarial.ascend

    def watched(loss, at, settings, generator):
        found = grow(loss, at, settings, generator)
        seen.append(float((found - at).abs().max()))
        return found

    monkeypatch.setattr(adversarial, "ascend", watched)
    made = method(net, x[:512], y[:512], Settings(eps=0.16, epochs=3, batch=128, more={"warmup": 2}))
    assert seen == pytest.approx([0.02 * min(8, number + 1) for number in range(12)], abs=1e-4)
    assert made.parameters["warmup"] == 2


def test_dp_sgd_stays_within_its_budget_and_says_what_it_spent(digits, net) -> None:
    x, y, x_test, y_test = digits
    settings = Settings(epochs=15, batch=128, rate=5e-3, more={"epsilon": 8, "reproducible": 1})
    made = dp_sgd(net, x, y, settings)
    assert 7 < made.parameters["epsilon"] <= 8
    assert accuracy(made.model, x_test, y_test) > 0.7
    assert made.privacy is None  # the noise can be computed again
    assert "no privacy" in made.notes[0]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), copy.deepcopy(net).parameters(), strict=True))


def test_less_epsilon_takes_more_noise(digits, net) -> None:
    x, y, _, _ = digits
    noise = [dp_sgd(net, x[:256], y[:256], Settings(epochs=1, more={"epsilon": e})).privacy["noise"] for e in (8.0, 1.0)]
    assert noise[1] > noise[0] > 0


def test_what_mixes_samples_cannot_be_private(digits) -> None:
    x, y, _, _ = digits
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.BatchNorm1d(10))
    with pytest.raises(InputError, match="differential privacy"):
        dp_sgd(net, x[:64], y[:64], Settings(epochs=1))


def test_certificates_hold_where_algebra_can_tell() -> None:
    """A linear classifier under noise is itself: the radius is its distance to the plane, from below."""
    torch.manual_seed(3)
    line = torch.nn.Linear(5, 2)
    with torch.no_grad():
        line.weight[0], line.bias[0] = 0, 0
    x = torch.randn(40, 5)
    y = (line(x)[:, 1] > 0).long()
    true = line(x)[:, 1].abs().detach() / line.weight[1].norm().detach()
    radii = certify(Smoothed(line.requires_grad_(False), 0.5, 1), x, y, n=2000)
    assert (radii <= true + 1e-6).float().mean() > 0.97  # each may fail with a probability of 0.001
    assert radii.median() > 0.4 * true.median()


def test_smoothing_certifies_and_no_attack_within_the_radius_succeeds(digits, net) -> None:
    x, y, x_test, y_test = digits
    made = smoothing(net, x, y, Settings(epochs=15, batch=64, rate=3e-3, more={"sigma": 0.25, "votes": 32}))
    radii = certify(made.model, x_test[:60], y_test[:60], n=500)
    assert (radii > 0.2).float().mean() > 0.5
    sure = radii > 0.25
    assert robust(made.model, x_test[:60][sure], y_test[:60][sure], 0.2, "l2") > 0.95


def test_a_squeeze_is_masking_and_falls_to_who_knows_of_it(digits, trained) -> None:
    x, y, x_test, y_test = digits
    made = squeeze(trained, x, y, Settings(more={"bits": 2, "median": 1}))
    assert made.masking
    blind = robust(Squeezed(trained, 2, median=True, through=False), x_test[:200], y_test[:200])
    aware = robust(made.model, x_test[:200], y_test[:200])
    assert aware < blind - 0.2


def test_distillation_is_said_to_mask(digits, trained) -> None:
    x, y, x_test, y_test = digits
    made = distill(trained, x, y, Settings(epochs=30, batch=64, rate=3e-3))
    assert made.masking
    assert accuracy(made.model, x_test, y_test) > 0.85


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_rounded_answers_keep_the_label(digits, trained, decimals) -> None:
    _, _, x_test, _ = digits
    made = output_perturbation(trained, *digits[:2], Settings(more={"decimals": decimals})).model
    assert isinstance(made, Rounded)
    assert torch.equal(made(x_test).argmax(1), trained(x_test).argmax(1))
    values = (made(x_test).exp() * 10**decimals).round(decimals=2)
    assert len(values.unique()) <= 2 * 10**decimals + 2


@pytest.mark.parametrize(
    "wrong", [{"eps": 0}, {"eps": float("nan")}, {"norm": "l7"}, {"epochs": 0}, {"rate": -1}, {"low": 1.0, "high": 0.0}]
)
def test_settings_that_train_nothing_are_refused(wrong) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)


def test_methods_refuse_their_own_nonsense(net, digits) -> None:
    x, y = digits[0][:64], digits[1][:64]
    with pytest.raises(UsageError, match="number"):
        trades(net, x, y, Settings(more={"beta": "six"}))
    with pytest.raises(UsageError, match="bound nothing"):
        dp_sgd(net, x, y, Settings(more={"epsilon": -1}))
    with pytest.raises(UsageError, match="smooth nothing"):
        Smoothed(net, 0.0)
    with pytest.raises(UsageError, match="bits"):
        Squeezed(net, 0)


def compared(before: int, after: int, low: float, high: float) -> Compared:
    sides = {"before": rate(before, 100), "after": rate(after, 100)}
    return Compared(**sides, gained=0, lost=before - after, difference=(after - before) / 100, low=low, high=high, p=0.01)


@pytest.mark.parametrize(
    "accuracy, most, chance, price, verdict",
    [
        (compared(99, 97, -0.05, 0.0), 0.1, 0.1, "fair", "hardened"),
        (compared(99, 89, -0.1, -0.05), 0.1, 0.1, "fair", "hardened"),
        (compared(99, 94, -0.12, -0.01), 0.1, 0.1, "unsure", "not shown"),
        (compared(99, 80, -0.28, -0.12), 0.1, 0.1, "dear", "too costly"),
        (compared(99, 80, -0.28, -0.12), 0.3, 0.1, "fair", "hardened"),
        (compared(99, 80, -0.28, -0.12), None, None, "fair", "hardened"),
        (compared(99, 10, -0.95, -0.8), 1.0, 0.12, "dear", "too costly"),  # whatever may be lost: this knows nothing any more
        (compared(90, 90, -0.01, 0.01), 0.1, 0.9, "fair", "hardened"),  # it knew nothing before
    ],
)
def test_hardening_may_cost_so_much_accuracy_and_no_more(accuracy, most, chance, price, verdict) -> None:
    assert price_of(accuracy, most, chance) == price
    stood = compare(torch.arange(100) < 20, torch.arange(100) < 60)
    assert verdict_of(stood, (None, None), masking=False, complete=True, price=price) == verdict
    assert verdict_of(stood, (None, None), masking=True, complete=True, price=price) == "masking"
    fell = compare(torch.arange(100) < 60, torch.arange(100) < 20)
    assert verdict_of(fell, (None, None), masking=False, complete=True, price=price) == "weaker"
    leaks = (rate(900, 1000), rate(500, 1000))
    assert verdict_of(None, leaks, masking=False, complete=True, price=price) == verdict
