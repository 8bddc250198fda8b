"""Attacks of Foolbox and ART as stages: they find what they find by themselves, are counted, and never taken at their word."""

from __future__ import annotations

import os

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import warnings

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import foolbox
    import foolbox.attacks

from stannary.checks.robustness.cascade import BROKEN, ROBUST, UNFINISHED, cascade
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.foreign import Foreign, is_foreign
from stannary.checks.robustness.presets import Plan, plan_of
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Decisions(TorchTarget):
    access = "decision"


class Scores(TorchTarget):
    access = "score"


@pytest.fixture(scope="module")
def samples(digits):
    return digits[0][-60:], digits[1][-60:]


def attacked(net, samples, *names, eps=0.08, norm="linf", kind=TorchTarget, budget=None, workers=1, block=None):
    problem = Problem(Counting(kind(net, (1, 8, 8)), budget), Box(), norm=norm, eps=eps)
    plan = plan_of(names, 10)
    return problem, cascade(Plan(plan.id, plan.stages, block=block), problem, *samples, workers=workers)


def test_foolbox_finds_through_us_what_it_finds_by_itself(samples, digits_net) -> None:
    x, y = samples
    problem, found = attacked(digits_net, samples, "foolbox:LinfFastGradientAttack")
    theirs = foolbox.attacks.LinfFastGradientAttack()(foolbox.PyTorchModel(digits_net, bounds=(0, 1)), x, y, epsilons=0.08)[2]
    right = digits_net(x).argmax(1) == y
    assert torch.equal(found.status == BROKEN, theirs & right)
    assert 5 < int((found.status == BROKEN).sum()) < 60
    broken = found.status == BROKEN
    assert bool(check(problem, found.x[broken], x[broken], y[broken]).all())


def test_art_finds_as_many_as_its_own_attack_on_the_network_itself(samples, digits_net) -> None:
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    x, y = samples
    right = digits_net(x).argmax(1) == y
    estimator = PyTorchClassifier(digits_net, torch.nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0, 1), device_type="cpu")
    made = torch.tensor(FastGradientMethod(estimator, eps=0.08).generate(x=x.numpy(), y=y.numpy()))
    _, found = attacked(digits_net, samples, "art:FastGradientMethod")
    assert torch.equal(found.status == BROKEN, right & (digits_net(made).argmax(1) != y))


def test_every_pass_is_counted(samples, digits_net) -> None:
    passes = 0

    def hook(_module, inputs, _output):
        nonlocal passes
        passes += len(inputs[0])

    problem = Problem(Counting(TorchTarget(digits_net, (1, 8, 8))), Box(), eps=0.08)
    handle = digits_net.register_forward_hook(hook)
    try:
        found = cascade(plan_of(("foolbox:LinfPGD:steps=7", "art:DeepFool:max_iter=5"), 10), problem, *samples)
    finally:
        handle.remove()
    assert found.spend.forward == passes
    assert found.spend.backward > 0
    assert [stage.id for stage in found.stages] == ["foolbox:LinfPGD", "art:DeepFool"]
    assert found.stages[0].params["options"] == "steps=7"


def test_carlini_and_wagner_by_name_break_what_foolbox_does_by_theirs(samples, digits_net) -> None:
    x, y = samples
    _, found = attacked(digits_net, samples, "cw", eps=0.4, norm="l2")
    theirs = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=5, steps=200)
    hit = theirs(foolbox.PyTorchModel(digits_net, bounds=(0, 1)), x, y, epsilons=0.4)[2] & (digits_net(x).argmax(1) == y)
    broken = found.status == BROKEN
    assert 5 < int(hit.sum()) < 55
    assert int((hit & ~broken).sum()) <= 1  # which of two searches ends nearer is no matter of principle
    assert int(broken.sum()) >= int(hit.sum())
    assert found.stages[0].id == "cw-5x200"


@pytest.mark.parametrize("name", ["hopskipjump", "boundary"])
def test_walks_by_name_take_decisions_alone(samples, digits_net, name) -> None:
    few = samples[0][:15], samples[1][:15]
    _, found = attacked(digits_net, few, name, eps=0.6, norm="l2", kind=Decisions)
    assert int((found.status == BROKEN).sum()) > 5
    assert found.spend.backward == 0


def test_results_are_the_same_for_one_worker_or_two(samples, digits_net) -> None:
    names = ("foolbox:LinfPGD:steps=5", "art:ProjectedGradientDescent:max_iter=5,num_random_init=1")
    one, two = (attacked(digits_net, samples, *names, workers=workers, block=20)[1] for workers in (1, 2))
    assert torch.equal(one.status, two.status)
    assert torch.equal(one.x, two.x)
    assert one.spend == two.spend


@pytest.mark.parametrize("name", ["foolbox:BoundaryAttack:steps=200", "art:HopSkipJump:max_iter=3,max_eval=200,init_eval=20"])
def test_attacks_by_decisions_need_no_more(samples, digits_net, name) -> None:
    few = (samples[0][:12], samples[1][:12])
    _, found = attacked(digits_net, few, name, norm="l2", eps=2.0, kind=Decisions)
    assert not found.stopped
    assert int((found.status == BROKEN).sum()) >= 4


def test_what_takes_gradients_says_so_where_there_are_none(samples, digits_net) -> None:
    _, found = attacked(digits_net, samples, "foolbox:LinfPGD", kind=Scores)
    assert "foolbox:LinfPGD" in found.stopped
    assert "gradients" in found.stopped
    assert not int((found.status == ROBUST).sum())
    assert int((found.status == UNFINISHED).sum()) > 50


def test_a_budget_ends_it_and_nothing_is_called_robust(samples, digits_net) -> None:
    _, found = attacked(digits_net, samples, "foolbox:LinfPGD:steps=40,rel_stepsize=0.0001", eps=0.001, budget=1000)
    assert "budget" in found.stopped
    assert found.spend.queries <= 1000
    assert not int((found.status == ROBUST).sum())


class _Liar:
    """What Foolbox calls an attack, and tells the untruth."""

    distance = foolbox.distances.linf

    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, _model, x, _criterion, *, epsilons):
        assert epsilons > 0
        made = {"far": 1 - x, "nan": x * float("nan"), "same": x, "flat": x.flatten(1)}
        if self.how == "raises":
            raise ZeroDivisionError
        return None, made[self.how], torch.ones(len(x), dtype=torch.bool)


@pytest.mark.parametrize("how, stopped", [("far", ""), ("nan", ""), ("same", ""), ("flat", "shape"), ("raises", "ZeroDivision")])
def test_nothing_is_taken_at_its_word(samples, digits_net, monkeypatch, how, stopped) -> None:
    monkeypatch.setattr(foolbox.attacks, "Liar", _Liar, raising=False)
    problem, found = attacked(digits_net, samples, f"foolbox:Liar:how='{how}'", eps=0.02)
    broken = found.status == BROKEN
    assert stopped in found.stopped
    assert bool(found.stopped) == bool(stopped)
    assert bool(check(problem, found.x[broken], samples[0][broken], samples[1][broken]).all())
    if how in ("nan", "same"):
        assert not int(broken.sum())
    if stopped:
        assert not int((found.status == ROBUST).sum())


def test_of_another_norm_it_is_said(samples, digits_net) -> None:
    _, found = attacked(digits_net, samples, "foolbox:L2DeepFoolAttack")
    assert "l2" in found.stopped
    assert "linf" in found.stopped


@pytest.mark.parametrize(
    "name, why",
    [
        ("foolbox:NoSuchAttack", "has no attack"),
        ("art:os", "has no attack"),
        ("foolbox:Linf PGD", "is no attack"),
        ("foolbox:LinfPGD:steps", "options"),
        ("foolbox:LinfPGD:steps=open('x')", "options"),
        ("foolbox:LinfPGD:**{'steps': 3}", "options"),
        ("torchattacks:PGD", "no such attack"),
    ],
)
def test_names_that_are_none_are_refused(name, why) -> None:
    with pytest.raises(UsageError, match=why):
        plan_of((name,), 10)


def test_a_library_that_is_not_there_is_named(monkeypatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name, *arguments, **more):
        if name.startswith("foolbox"):
            raise ModuleNotFoundError(name="foolbox")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="not installed") as found:
        Foreign("foolbox:LinfPGD")
    assert "stannary[foolbox]" in found.value.help


def test_names_say_whose_they_are() -> None:
    assert is_foreign("art:DeepFool")
    assert not is_foreign("deepfool")
    assert not is_foreign("art")
