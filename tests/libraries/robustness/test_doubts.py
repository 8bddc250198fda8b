"""Models that do not answer, or always the same: the card says so, and nothing is called robust."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stannary.checks.robustness.company import company_matters
from stannary.checks.robustness.suite import Options, robustness
from stannary.checks.robustness.table_card import table_robustness
from stannary.checks.robustness.table_suite import TableOptions, smallest
from stannary.checks.target.array_model import ArrayTarget
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import Column, TableDomain
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import BackendError


class Net(torch.nn.Module):
    """Scores that a function makes of the sum of the features."""

    def __init__(self, scores) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, x):
        return self.scores(x.flatten(1).sum(1, keepdim=True))


def data_of(digits) -> Dataset:
    return Dataset(digits[0][-40:], digits[1][-40:], (), "sha256:0", tuple("0123456789"), "array")


def measured(digits, scores):
    target = Counting(TorchTarget(Net(scores), (1, 8, 8)))
    return robustness(target, data_of(digits), Box(), Options(preset="smoke", eps=0.1))


def test_a_model_that_gives_no_answer_is_incomplete_and_said(digits) -> None:
    found = measured(digits, lambda total: total * 0 + torch.full((1, 10), torch.nan))
    assert found.part.robust.value == found.part.clean.value == 0
    assert any("no answer (NaN) to 40 of 40 queries" in text for text in found.incomplete)


def test_a_constant_model_is_said_to_be_one(digits) -> None:
    found = measured(digits, lambda total: total * 0 + torch.arange(10.0))
    assert found.part.robust.value == found.part.clean.value > 0
    assert any("of one class (9)" in text and "no robustness" in text for text in found.incomplete)


def test_a_model_that_tells_classes_apart_is_not_called_constant(digits, digits_net) -> None:
    target = Counting(TorchTarget(digits_net, (1, 8, 8)))
    found = robustness(target, data_of(digits), Box(), Options(preset="smoke", eps=1e-4))
    assert found.part.robust.value > 0.9
    assert found.incomplete == ()


def test_rows_of_a_table_without_an_answer_are_said() -> None:
    x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (x[:, 0] > 0.5).long()

    def scores(rows):
        first = torch.as_tensor(rows)[:, 0]
        out = torch.stack((0.5 - first, first - 0.5), 1)
        return torch.where((first > 0.98)[:, None], torch.nan, out).numpy()

    data = Dataset(x, y, tuple("abc"), "sha256:0", ("no", "yes"))
    silent = int((x[:, 0] > 0.98).sum())
    assert silent > 0
    target = Counting(ArrayTarget((3,), 2, scores, name="rows"))
    domain = TableDomain(tuple(Column(name, "continuous", 0, 1, scale=1) for name in "abc"))
    found = smallest(target, data, domain, TableOptions(preset="smoke", eps=0.3))
    assert any("no answer" in note for note in found.notes)


def asked(digits_net, function, access="scores"):
    """A target of numpy functions over a network."""

    def scores(rows):
        with torch.no_grad():
            return function(digits_net(torch.as_tensor(rows).float()).double()).numpy()

    labels = None if access == "scores" else lambda rows: scores(rows).argmax(1)
    return Counting(ArrayTarget((1, 8, 8), 10, scores if labels is None else None, labels, name="rows"))


def test_a_model_whose_answer_depends_on_its_batch_is_not_called_robust(digits, digits_net) -> None:
    data = data_of(digits)

    def in_a_crowd(out):  # among eight or more it is what it is; asked again with few, as examples that fool it are, it is sure
        return out if len(out) >= 8 else out * 0 + torch.eye(10, dtype=torch.float64)[data.y[0]]

    def normalised(out):
        return (out - out.mean(0)) / (out.std(0) + 1e-6) if len(out) > 1 else out

    for function in (in_a_crowd, normalised):
        for access in ("scores", "labels"):
            found = robustness(asked(digits_net, function, access), data, Box(), Options(preset="smoke", eps=0.1))
            assert any("when it is asked alone" in text for text in found.incomplete)
            assert found.part.robust.low == 0.0


@pytest.mark.parametrize("budget", range(90, 1500, 130))
def test_wherever_a_budget_ends_there_is_a_card(digits, digits_net, budget) -> None:
    target = Counting(asked(digits_net, lambda out: out).inner, budget)
    found = robustness(target, data_of(digits), Box(), Options(preset="smoke", eps=0.1))
    assert target.spend.queries <= budget
    assert found.part.unfinished
    assert found.incomplete
    assert all(one.decided != one.label for one in found.part.examples)


def test_rounding_and_randomness_are_not_taken_for_a_model_that_depends_on_its_batch(digits, digits_net) -> None:
    x = data_of(digits).x
    generator = torch.Generator().manual_seed(0)
    kinds = {
        "itself": lambda out: out,
        "rounded by how many there are": lambda out: out * (1 + 1e-6 * len(out)),
        "random in the last bits": lambda out: out + 1e-6 * torch.randn(out.shape, generator=generator).double(),
        "no answer": lambda out: out * torch.nan,
        "shifted, as logits may be": lambda out: out + len(out),
    }
    for name, function in kinds.items():
        assert company_matters(asked(digits_net, function), x) == "", name
    assert company_matters(asked(digits_net, lambda out: out * len(out)), x)


def test_a_budget_is_spared_and_the_card_says_where_it_was_too_small(digits, digits_net) -> None:
    data, smoke = data_of(digits), Options(preset="smoke", eps=0.1)

    def grown(out):
        return out * len(out)

    for budget, most in ((100_000, 48), (1000, 48), (120, 6)):
        target = Counting(asked(digits_net, grown).inner, budget)
        assert "when it is asked alone" in company_matters(target, data.x)
        assert target.spend.queries <= min(most, budget // 20)
        honest = Counting(asked(digits_net, lambda out: out).inner, budget)
        assert company_matters(honest, data.x) == ""
        assert honest.spend.queries <= most * 2 // 3
    few = Counting(asked(digits_net, grown).inner, 100)
    assert company_matters(few, data.x) == ""
    assert few.spend.queries == 0
    assert "was not checked" in few.inner.notes[-1]

    class Gone(Counting):
        def logits(self, _):
            msg = "the endpoint is gone"
            raise BackendError(msg)

        decide = logits

    away = Gone(asked(digits_net, grown).inner, 1000)
    assert company_matters(away, data.x) == ""
    assert "was not checked: the endpoint is gone" in away.inner.notes[-1]
    found = robustness(Counting(asked(digits_net, grown).inner, 100_000), data, Box(), smoke)
    assert any("when it is asked alone" in text for text in found.incomplete)
    assert found.part.robust.low == 0.0
    generator = torch.Generator().manual_seed(0)
    drawn = Counting(asked(digits_net, lambda out: out + 20 * torch.randn(out.shape, generator=generator).double()).inner, 1000)
    assert "when it is asked again" in company_matters(drawn, data.x)


def test_a_function_that_answers_by_turns_or_by_chance_is_not_called_robust(digits, digits_net) -> None:
    data = data_of(digits)
    generator = torch.Generator().manual_seed(0)
    turn = []

    def by_turns(out):
        turn.append(0)
        return out if len(turn) % 2 else torch.eye(10, dtype=torch.float64)[(out.argmax(1) + 1) % 10]

    def by_chance(out):
        return out + 20 * torch.randn(out.shape, generator=generator).double()

    for function in (by_turns, by_chance):
        found = robustness(asked(digits_net, function), data, Box(), Options(preset="smoke", eps=0.1))
        assert any("when it is asked again" in text for text in found.incomplete)
        assert found.part.robust.low == 0.0
        assert "when it is asked again" in company_matters(asked(digits_net, function, "labels"), data.x)


def test_a_network_that_takes_no_single_input_or_draws_is_told_of(digits) -> None:
    nn, x = torch.nn, data_of(digits).x
    torch.manual_seed(0)
    normalised = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 10))

    class Drawing(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] + torch.rand(len(x), 10)

    assert "alone" in company_matters(Counting(TorchTarget(normalised, (1, 8, 8))), x)
    drawing = Counting(TorchTarget(Drawing(), (1, 8, 8)))
    assert company_matters(drawing, x) == ""  # the signs of masked gradients tell it
    assert "when it is asked again" in company_matters(drawing, x, chance=True)
    found = robustness(drawing, data_of(digits), Box(), Options(preset="smoke", norm="l1", eps=1, attacks=("fmn",)))
    assert any("when it is asked again" in text for text in found.incomplete)


def test_a_radius_of_less_than_a_grey_level_is_no_radius(digits, digits_net) -> None:
    class Grey(torch.nn.Module):
        def forward(self, x):
            return digits_net(x / 16)

    data = data_of(digits)
    levels = replace(data, x=(data.x * 16).round())
    target = Counting(TorchTarget(Grey(), (1, 8, 8)))
    for eps, told in ((0.1, True), (1.6, False)):
        found = robustness(target, levels, Box(0, 16), Options(preset="smoke", eps=eps))
        assert any("whole numbers from 0 to 16" in text for text in found.incomplete) == told
    same = robustness(Counting(TorchTarget(digits_net, (1, 8, 8))), data, Box(), Options(preset="smoke", eps=0.1))
    assert same.part.robust == found.part.robust  # at the radius that was meant


def test_a_table_is_asked_alone_too() -> None:
    x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (x[:, 0] > 0.5).long()

    def scores(rows):
        first = torch.as_tensor(rows)[:, 0]
        return torch.stack((first.median() - first, first - first.median()), 1).numpy()

    data = Dataset(x, y, tuple("abc"), "sha256:0", ("no", "yes"))
    domain = TableDomain(tuple(Column(name, "continuous", 0, 1, scale=1) for name in "abc"))
    target = Counting(ArrayTarget((3,), 2, scores, name="rows"))
    found = table_robustness(target, data, domain, TableOptions(preset="smoke", eps=0.1))
    assert any("when it is asked alone" in text for text in found.incomplete)
    assert found.part.robust.low == 0.0
