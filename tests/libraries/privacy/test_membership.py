"""The audit: finds the leak that is there and none that is not; the same for any number of workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks import privacy
from stannary.checks.privacy import shadows as shadowing
from stannary.checks.privacy import stacks
from stannary.checks.privacy.membership import AuditOptions
from stannary.checks.privacy.scores import Confidences, lira, lira_offline, rmia
from stannary.checks.privacy.shadows import Plan, RefitFactory, TorchFactory, confidences, shadow_confidences
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError

QUICK = AuditOptions(shadows=16, bootstrap=200, rates=(0.02, 0.001))


@pytest.fixture(scope="module")
def result(leaky, halves, factory):
    return privacy.audit(TorchTarget(leaky, (1, 8, 8)), *halves, factory, options=QUICK, seed=3)


def by_name(result):
    return {one.attack: one for one in result.attacks}


def test_a_leak_is_found_and_shadows_find_more_of_it(result) -> None:
    found = by_name(result)
    assert found["loss"].auc.low > 0.5
    assert found["lira"].auc.value > found["loss"].auc.value + 0.02
    at = {name: one.tpr[0].rate for name, one in found.items()}
    assert at["lira"].low > 0.04  # at a false-positive rate of 2 %: twice what guessing finds
    assert at["lira"].value > 2 * at["loss"].value
    assert all(one.tpr[1].rate is None for one in found.values())  # 898 non-members say nothing about 0.1 %
    assert found["lira"].advantage.low > 0
    assert result.worst.auc.low >= found["lira"].auc.low
    assert (result.members, result.nonmembers, result.queries, result.shadows, result.stacked) == (898, 898, 1796, 16, True)


def test_four_references_are_enough_for_rmia(leaky, halves, factory, result) -> None:
    few = privacy.audit(
        TorchTarget(leaky, (1, 8, 8)), *halves, factory, options=AuditOptions(attacks=("rmia",), shadows=4, bootstrap=50), seed=3
    )
    assert few.attacks[0].auc.value > by_name(result)["loss"].auc.value + 0.02


def test_no_leak_is_found_in_a_model_that_saw_neither_group(halves, factory, noisy_digits) -> None:
    torch.manual_seed(1)
    blank = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    found = privacy.audit(TorchTarget(blank, (1, 8, 8)), *halves, factory, options=QUICK, seed=3)
    assert all(one.auc.low < 0.53 and one.advantage.low < 0.06 for one in found.attacks)


def test_a_stack_is_what_its_networks_are_alone(noisy_digits, factory) -> None:
    x, y = noisy_digits
    plan = Plan(len(x), 4, seed=1)
    single = TorchFactory(factory.build, epochs=5, batch=32, rate=3e-3, group=1)
    stacked = TorchFactory(factory.build, epochs=5, batch=32, rate=3e-3, group=4)
    one = shadow_confidences(single, plan, (x, y))
    assert torch.allclose(shadow_confidences(stacked, plan, (x, y)), one, atol=0.02)
    other = TorchFactory(factory.build, epochs=5, batch=32, rate=0.1, momentum=0.9, group=4)
    assert torch.allclose(
        shadow_confidences(other, plan, (x, y)),
        shadow_confidences(TorchFactory(factory.build, epochs=5, batch=32, rate=0.1, momentum=0.9, group=1), plan, (x, y)),
        atol=0.05,
    )


def test_convolutions_and_dropout_can_be_stacked(noisy_digits) -> None:
    def build():
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Flatten(), torch.nn.Linear(288, 10)
        )

    x, y = noisy_digits
    plan = Plan(len(x), 4)
    found = shadow_confidences(TorchFactory(build, epochs=12, rate=3e-3, group=2), plan, (x, y))
    right = found[..., 1][plan.inside] > 0
    assert right.float().mean() > 0.5  # a fifth of the labels is wrong; guessing would be a tenth
    for workers in (2, 1):
        again = shadow_confidences(TorchFactory(build, epochs=12, rate=3e-3, group=2), plan, (x, y), workers=workers)
        assert torch.equal(found, again)


def test_networks_that_draw_one_by_one_are_the_same_for_one_worker_and_many(noisy_digits) -> None:
    def build():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.Dropout(0.3), torch.nn.Linear(32, 10))

    x, y = noisy_digits
    plan = Plan(200, 6)
    first, many, again = (
        shadow_confidences(TorchFactory(build, epochs=3, group=1), plan, (x[:200], y[:200]), workers=workers)
        for workers in (1, 3, 1)
    )
    assert torch.equal(first, many)
    assert torch.equal(first, again)


def test_every_sample_is_in_half_of_the_shadows() -> None:
    plan = Plan(101, 6, seed=2)
    counts = plan.inside.sum(0)
    assert counts.max() == 3
    assert plan.inside.sum(1).tolist() == [50] * 6
    assert (counts == 3).sum() >= 98  # one of an odd number is left out by each pair


def test_workers_and_interruptions_change_nothing(noisy_digits, factory, tmp_path, monkeypatch) -> None:
    x, y = noisy_digits
    quick = TorchFactory(factory.build, epochs=2, batch=64, group=2)
    plan = Plan(len(x), 8, seed=4)
    whole = shadow_confidences(quick, plan, (x, y))
    assert torch.equal(shadow_confidences(quick, plan, (x, y), workers=3), whole)

    trained = []
    real = TorchFactory.outputs

    def dies_at_the_third(self, x, y, chosen, seeds):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(seeds)
        return real(self, x, y, chosen, seeds)

    with monkeypatch.context() as patch:
        patch.setattr(TorchFactory, "outputs", dies_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path)
    seen = []
    monkeypatch.setattr(TorchFactory, "outputs", lambda self, *given: (seen.append(1), real(self, *given))[1])
    assert torch.equal(shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path), whole)
    assert len(seen) == 2  # of four
    assert shadow_confidences(quick, Plan(len(x), 8, seed=5), (x, y), checkpoint=tmp_path) is not None
    assert len(seen) == 6  # another plan's shadows are not these


def test_a_spoilt_checkpoint_is_not_believed(noisy_digits, factory, tmp_path) -> None:
    x, y = noisy_digits
    quick = TorchFactory(factory.build, epochs=1, group=2)
    plan = Plan(len(x), 2)
    shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for spoilt in (content[: len(content) // 2], b"\x80\x04K\x01.", b""):
        file.write_bytes(spoilt)
        with pytest.raises(InputError, match="checkpoint"):
            shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path)
    for arrays in ({"confidences": np.zeros((2, 3, 2))}, {"confidences": np.zeros((2, 1796, 2)), "digest": "0"}, {}):
        np.savez(file, **arrays)
        with pytest.raises(InputError, match="checkpoint"):
            shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path)


def test_shadows_of_another_run_are_not_believed(noisy_digits, factory, tmp_path) -> None:
    x, y = noisy_digits[0][:200], noisy_digits[1][:200]
    quick, plan = TorchFactory(factory.build, epochs=1, group=2), Plan(200, 4)
    whole = shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path / "one")
    first, second = sorted((tmp_path / "one").iterdir())
    content = first.read_bytes()
    with np.load(first) as stored:
        arrays = dict(stored)
    np.savez(first, **{**arrays, "confidences": arrays["confidences"] * 0})
    with pytest.raises(InputError, match="not what this run wrote"):
        shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path / "one")
    first.write_bytes(second.read_bytes())  # another group of the same run
    with pytest.raises(InputError, match="not what this run wrote"):
        shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path / "one")
    first.write_bytes(content)
    for other, data in ((TorchFactory(factory.build, epochs=2, group=2), (x, y)), (quick, (x, y.flip(0))), (quick, (x + 0.1, y))):
        folder = tmp_path / f"other{len(list(tmp_path.iterdir()))}"
        shadow_confidences(other, plan, data, checkpoint=folder)
        names = {path.name for path in folder.iterdir()}
        assert names.isdisjoint({first.name, second.name})
        for path in folder.iterdir():  # brought here under the name that this run looks for
            (first if path.name.endswith("-0.npz") else second).write_bytes(path.read_bytes())
        with pytest.raises(InputError, match="not what this run wrote"):
            shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path / "one")
    for path in (first, second):
        path.unlink()
    assert torch.equal(shadow_confidences(quick, plan, (x, y), checkpoint=tmp_path / "one"), whole)


def test_trees_are_refitted(halves) -> None:
    from sklearn.ensemble import RandomForestClassifier

    x, y = halves[0]

    def fit(inputs, labels, seed):
        return RandomForestClassifier(15, random_state=seed).fit(inputs.reshape(len(inputs), -1), labels)

    class Forest:
        name, access, classes, shape, device = "forest", "score", 10, (64,), "cpu"

        def __init__(self):
            self.model = fit(x.numpy(), y.numpy(), 1)

        def logits(self, x):
            return torch.tensor(self.model.predict_proba(x.numpy())).log()  # zeros become -inf

        def decide(self, x):
            return torch.tensor(self.model.predict(x.numpy()))

    flat = tuple((inputs.flatten(1), labels) for inputs, labels in halves)
    found = privacy.audit(Forest(), *flat, RefitFactory(fit), options=AuditOptions(shadows=8, bootstrap=50), seed=1)
    assert not found.stacked
    assert by_name(found)["lira"].auc.low > 0.8  # a forest on wrong labels tells who taught it
    assert by_name(found)["lira"].auc.value >= by_name(found)["loss"].auc.value


def test_labels_alone_still_tell_something(halves) -> None:
    from sklearn.tree import DecisionTreeClassifier

    flat = tuple((inputs.flatten(1), labels) for inputs, labels in halves)

    class Labels:
        name, access, classes, shape, device = "tree", "decision", 10, (64,), "cpu"
        model = DecisionTreeClassifier(random_state=0).fit(flat[0][0].numpy(), flat[0][1].numpy())

        def decide(self, x):
            return torch.tensor(self.model.predict(x.numpy()))

    found = privacy.audit(Labels(), *flat, TorchFactory(lambda: torch.nn.Linear(1, 1)), options=QUICK)
    assert [one.attack for one in found.attacks] == ["loss"]
    right = (Labels().decide(flat[1][0]) == flat[1][1]).double().mean().item()
    assert found.attacks[0].auc.value == pytest.approx(0.5 + (1 - right) / 2)  # the gap between training and test accuracy
    assert found.attacks[0].auc.low > 0.6
    assert {name for name, _ in found.skipped} == {"lira", "lira-offline", "rmia"}
    assert all("labels alone" in reason for _, reason in found.skipped)
    assert found.shadows == 0


def test_without_a_factory_only_what_needs_none_is_run(leaky, halves) -> None:
    found = privacy.audit(TorchTarget(leaky, (1, 8, 8)), *halves, options=QUICK)
    assert [one.attack for one in found.attacks] == ["loss"]
    assert all("no factory" in reason for _, reason in found.skipped)


def test_a_budget_holds(leaky, halves) -> None:
    from stannary.checks.target.interface import BudgetSpent

    with pytest.raises(BudgetSpent):
        privacy.audit(Counting(TorchTarget(leaky, (1, 8, 8)), budget=1795), *halves)
    assert privacy.audit(Counting(TorchTarget(leaky, (1, 8, 8)), budget=1796), *halves).queries == 1796


def test_what_makes_no_sense_is_refused(leaky, halves) -> None:
    target = TorchTarget(leaky, (1, 8, 8))
    members, others = halves
    with pytest.raises(UsageError, match="no such attack: psychic"):
        privacy.audit(target, members, others, options=AuditOptions(attacks=("psychic",)))
    with pytest.raises(UsageError, match="between 0 and 1"):
        privacy.audit(target, members, others, options=AuditOptions(rates=(1.0,)))
    with pytest.raises(UsageError, match="898 of 898 non-members are members"):
        privacy.audit(target, members, members)
    with pytest.raises(UsageError, match="as many labels as inputs"):
        privacy.audit(target, members, (others[0], others[1][:-1]))
    with pytest.raises(UsageError, match="an even number"):
        Plan(100, 3)


def test_a_target_that_gives_nan_is_no_safe_target(halves) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 10), float("nan"))

    with pytest.raises(InputError, match="no answer for 1796 of 1796"):
        privacy.audit(TorchTarget(Broken(), (1, 8, 8)), *halves)

    class Labels(TorchTarget):
        access = "decision"

    with pytest.raises(InputError, match="no answer for 1796 of 1796"):
        privacy.audit(Labels(Broken(), (1, 8, 8)), *halves)


def test_confidences_are_exact_where_probabilities_round() -> None:
    found = confidences(torch.tensor([[100.0, 0.0, 0.0], [0.0, 800.0, 0.0]]), torch.tensor([0, 0]))
    assert found[0, 1] == pytest.approx(100 - np.log(2))
    assert found[1].tolist() == [pytest.approx(-800.0), pytest.approx(-800.0)]


def test_scores_are_those_of_the_paper() -> None:
    """Against scipy, with so many shadows that the drawn-in variance is each sample's own."""
    from scipy.stats import norm

    draw = torch.Generator().manual_seed(0)
    k, n = 20_000, 3
    inside = torch.rand(k, n, generator=draw) < 0.5
    phi = torch.randn(k, n, generator=draw, dtype=torch.float64) * torch.tensor([0.5, 1.0, 2.0]) + 2.0 * inside
    target = torch.tensor([2.0, 0.0, 1.5], dtype=torch.float64)
    known = Confidences(torch.stack((target, target), 1), torch.stack((phi, phi), 2), inside)
    for i in range(n):
        own, other = phi[inside[:, i], i].numpy(), phi[~inside[:, i], i].numpy()
        ratio = norm.logpdf(target[i], own.mean(), own.std()) - norm.logpdf(target[i], other.mean(), other.std())
        assert lira(known)[i].item() == pytest.approx(ratio, abs=0.05)
        assert lira_offline(known)[i].item() == pytest.approx((target[i].item() - other.mean()) / other.std(), abs=0.05)
        assert rmia(known)[i].item() == pytest.approx(np.log(np.exp(target[i].item()) / np.exp(phi[:, i].numpy()).mean()), abs=1e-9)


def test_the_docstring_of_shadows_is_kept_by_its_factories() -> None:
    assert TorchFactory(lambda: torch.nn.Linear(2, 2), group=1).stacked is False
    assert isinstance(shadowing.RefitFactory(lambda *_: None).identity, str)


def test_networks_of_linear_layers_are_multiplied_as_they_are_and_all_others_mapped() -> None:
    nn = torch.nn

    def small() -> torch.nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Linear(5, 4, bias=False), nn.Linear(4, 3))

    torch.manual_seed(0)
    models = [small() for _ in range(3)]
    x, y = torch.randn(3, 7, 2, 3), torch.randint(0, 3, (3, 7))
    direct, mapped = stacks.stacked(models, x[0]), stacks._Mapped(models)
    assert type(direct) is not type(mapped)
    for stack in (direct, mapped):
        for _ in range(2):  # gradients are set, not added up
            stack.train(stack.seen(x.flatten(0, 1)).unflatten(0, (3, 7)), y)
    for own, other in zip(direct.leaves, mapped.leaves, strict=True):
        assert torch.allclose(own.grad.reshape(stacks._turned(other).shape), stacks._turned(other.grad), atol=1e-6)
    for at, model in enumerate(models):
        assert torch.allclose(direct.ask(direct.seen(x[0]))[at], model(x[0]), atol=1e-6)
        assert torch.allclose(mapped.ask(mapped.seen(x[0]))[at], model(x[0]), atol=1e-6)

    twice = nn.Linear(4, 4)
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda *given: given[2] + 1)
    frozen = nn.Linear(4, 4).requires_grad_(False)
    for other in (nn.Conv1d(4, 4, 1), nn.Sequential(twice, twice), hooked, frozen, nn.Sequential(nn.Linear(4, 4), nn.Softmax(1))):
        assert stacks._layers(other) is None


def test_dropout_between_linear_layers_differs_between_networks_and_ends_with_training() -> None:
    nn = torch.nn
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 2))
    x, y = torch.randn(5, 4), torch.randint(0, 2, (2, 5))
    stack = stacks.stacked([one, one], x)
    y[1] = y[0]
    stack.train(x.expand(2, 5, 4), y)
    assert not torch.allclose(stack.leaves[0].grad[0], stack.leaves[0].grad[1])
    x = x[None]
    assert torch.allclose(stack.ask(x[0])[1], one.eval()(x[0]), atol=1e-6)


@pytest.mark.parametrize(
    "between",
    [
        lambda nn: (nn.ReLU(),),
        lambda nn: (nn.ReLU(inplace=True), nn.Linear(9, 9), nn.ReLU()),
        lambda nn: (nn.Tanh(), nn.ReLU(), nn.Linear(9, 9, bias=False), nn.ELU(inplace=True)),
        lambda nn: (nn.Identity(), nn.GELU()),
    ],
)
@pytest.mark.parametrize("flat", [True, False])
def test_a_stack_has_the_gradients_of_its_networks_and_leaves_out_what_is_always_zero(between, flat) -> None:
    nn = torch.nn
    torch.manual_seed(0)
    shape = (2, 6) if flat else (12,)
    x = torch.randn(40, *shape)
    x.flatten(1)[:, [0, 5, 11]] = 0.0
    x.flatten(1)[0, 5] = 1.0  # once is enough
    y = torch.randint(0, 4, (40,))
    head = (nn.Flatten(),) if flat else ()
    models = [nn.Sequential(*head, nn.Linear(12, 9), *between(nn), nn.Linear(9, 4)) for _ in range(3)]
    stack = stacks.stacked(models, x)
    seen = stack.seen(x)
    assert seen.shape == (40, 10)
    for size in (8, 12, 5):  # more room is taken, and less
        at = torch.randint(0, 40, (3, size))
        stack.train(seen[at], y[at])
        for number, model in enumerate(models):
            model.zero_grad()
            nn.functional.cross_entropy(model(x[at[number]]), y[at[number]]).backward()
            plain = [p.grad for p in model.parameters()]
            assert not plain[0][:, [0, 11]].any()
            live = [column for column in range(12) if column not in (0, 11)]
            plain[0] = plain[0][:, live]
            for leaf, grad in zip(stack.leaves, plain, strict=True):
                assert torch.allclose(leaf.grad[number].reshape(grad.shape), grad, atol=1e-6)
            assert torch.allclose(stack.ask(seen)[number], model(x), atol=1e-5)


@pytest.mark.parametrize("own", [True, False])
def test_wide_layers_have_the_same_gradients_by_either_library(own, monkeypatch) -> None:
    if not own:
        monkeypatch.setattr(stacks, "_onednn", lambda: None)
    nn = torch.nn
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, y = torch.randn(96, 96), torch.randint(0, 10, (96,))
        models = [nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96, bias=False), nn.Linear(96, 10)) for _ in range(2)]
        stack = stacks.stacked(models, x)
        for size in (64, 31, 64):
            at = torch.randint(0, 96, (2, size))
            stack.train(x[at], y[at])
            for number, model in enumerate(models):
                model.zero_grad()
                nn.functional.cross_entropy(model(x[at[number]]), y[at[number]]).backward()
                for leaf, value in zip(stack.leaves, model.parameters(), strict=True):
                    assert torch.allclose(leaf.grad[number].reshape(value.shape), value.grad, atol=1e-5)
    finally:
        torch.set_num_threads(threads)


def test_a_torch_without_the_product_of_onednn_does_without(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert stacks._onednn() is None
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert stacks._onednn() is None


def test_a_cpu_trains_a_stack_in_pieces_and_the_networks_are_the_same(noisy_digits, factory, monkeypatch) -> None:
    x, y = noisy_digits
    plan = Plan(len(x), 6, seed=2)
    six = TorchFactory(factory.build, epochs=2, batch=64, group=6)
    whole = shadow_confidences(six, plan, (x, y))
    held = sum(value.numel() * 4 for value in factory.build().parameters())
    for cache, pieces in ((held * 2, [2, 2, 2]), (held * 5, [3, 3]), (1, [1] * 6)):
        sizes = []
        with monkeypatch.context() as patch:
            patch.setattr(shadowing, "_CACHED", cache)
            patch.setattr(
                shadowing, "stacked", lambda models, x, sizes=sizes: (sizes.append(len(models)), stacks.stacked(models, x))[1]
            )
            found = shadow_confidences(six, plan, (x, y))
        assert sizes == pieces
        assert torch.allclose(found, whole, atol=0.01)


def test_features_are_left_out_only_where_a_linear_layer_reads_them() -> None:
    nn = torch.nn
    x = torch.zeros(5, 2, 3)
    x[:, 1] = 1.0
    for layers, live in (
        ([nn.Flatten(), nn.Linear(6, 2)], [3, 4, 5]),
        ([nn.Identity(), nn.Flatten(), nn.Linear(6, 2)], [3, 4, 5]),
        ([nn.Flatten(), nn.Sigmoid(), nn.Linear(6, 2)], None),  # of 0 it makes a half
        ([nn.Linear(3, 2)], None),
    ):
        found = stacks._live(layers, x)
        assert (found if found is None else found.tolist()) == live
    assert stacks._live([nn.Flatten(), nn.Linear(6, 2)], torch.zeros(5, 2, 3)) is None
