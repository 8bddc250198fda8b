"""The cascade: worst cases that hold, survivors that went through all of it, the same for any workers and after a kill."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from stannary.checks.robustness.attacks.apgd import APGD, APGDT
from stannary.checks.robustness.attacks.pgd import PGD
from stannary.checks.robustness.attacks.square import Square
from stannary.checks.robustness.averaged import Averaged, is_random
from stannary.checks.robustness.cascade import BROKEN, ROBUST, UNFINISHED, WRONG, cascade
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.presets import PRESETS, Plan, preset
from stannary.checks.robustness.replay import Replay, load, store
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError

SHORT = Plan("short", (PGD(5), APGD("ce", 10), APGDT(10, targets=3, steps=10), Square(50)), block=40)


@pytest.fixture(scope="module")
def samples(digits):
    return digits[0][-120:], digits[1][-120:]


def problem_of(net, eps=0.06, *, budget=None, kind=TorchTarget, seed=0):
    return Problem(Counting(kind(net, (1, 8, 8)), budget), Box(), eps=eps, seed=seed)


class Decisions(TorchTarget):
    access = "decision"


class Scores(TorchTarget):
    access = "score"


def same(one, other):
    assert torch.equal(one.status, other.status)
    assert torch.equal(one.by, other.by)
    assert torch.equal(one.x, other.x)
    assert [(s.id, s.survivors_in, s.survivors_out, s.spend) for s in one.stages] == [
        (s.id, s.survivors_in, s.survivors_out, s.spend) for s in other.stages
    ]
    assert one.spend == other.spend


def test_every_sample_has_the_worst_case_that_the_checker_confirms(samples, digits_net) -> None:
    x, y = samples
    y = y.clone()
    y[:3] = (y[:3] + 1) % 10  # wrong from the start
    problem = problem_of(digits_net)
    seen = []
    hook = digits_net.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    result = cascade(SHORT, problem, x, y)
    hook.remove()
    assert result.spend.forward == sum(seen)
    assert sum(result.count(status) for status in range(4)) == len(x)
    assert result.count(UNFINISHED) == 0
    assert result.stopped == ""
    wrong = problem.target.decide(x) != y
    assert torch.equal(result.status == WRONG, wrong)
    assert wrong[:3].all()
    broken = result.status == BROKEN
    assert 0 < broken.sum() < len(x) - wrong.sum()
    assert check(problem, result.x[broken], x[broken], y[broken]).all()
    assert torch.equal(result.x[~broken], x[~broken])
    assert torch.equal(result.by >= 0, broken)
    assert torch.isfinite(result.size).equal(broken)
    alive = len(x) - int(wrong.sum())
    for index, stage in enumerate(result.stages):
        assert stage.survivors_in == alive
        alive -= int((result.by == index).sum())
        assert stage.survivors_out == alive
    assert alive == result.count(ROBUST)
    assert sum(stage.spend.forward for stage in result.stages) + len(x) == result.spend.forward


def test_two_workers_find_exactly_what_one_finds(samples, digits_net) -> None:
    x, y = samples
    same(cascade(SHORT, problem_of(digits_net), x, y), cascade(SHORT, problem_of(digits_net), x, y, workers=2))


def test_an_interrupted_cascade_goes_on_where_it_was(samples, digits_net, tmp_path) -> None:
    x, y = samples
    whole = cascade(SHORT, problem_of(digits_net), x, y)

    class Dying(TorchTarget):
        left = 400

        def logits(self, x):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().logits(x)

        def gradient(self, x, loss):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().gradient(x, loss)

    calls = whole.spend.calls
    dying = problem_of(digits_net, kind=Dying)
    dying.target.inner.left = calls // 2
    with pytest.raises(KeyboardInterrupt):
        cascade(SHORT, dying, x, y, folder=tmp_path)
    stored = sorted(path.name for path in tmp_path.glob("block-*"))
    assert 0 < len(stored) < 3
    problem = problem_of(digits_net)
    same(whole, cascade(SHORT, problem, x, y, folder=tmp_path))
    assert problem.target.spend.calls < calls  # what was done was not done again
    with np.load(tmp_path / stored[0], allow_pickle=False) as block:
        assert set(block["status"]) <= {WRONG, BROKEN, ROBUST}


def test_a_checkpoint_of_another_run_is_refused(samples, digits_net, tmp_path) -> None:
    x, y = samples
    small = Plan("small", (PGD(2),), block=40)
    cascade(small, problem_of(digits_net), x, y, folder=tmp_path)
    with pytest.raises(UsageError, match="different eps"):
        cascade(small, problem_of(digits_net, 0.1), x, y, folder=tmp_path)
    with pytest.raises(UsageError, match="samples"):
        cascade(small, problem_of(digits_net), x.flip(0), y, folder=tmp_path)
    next(tmp_path.glob("block-*")).write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="cannot be read"):
        cascade(small, problem_of(digits_net), x, y, folder=tmp_path)
    assert json.loads((tmp_path / "cascade.json").read_text())["plan"] == "small"


def test_a_block_that_was_edited_or_brought_from_elsewhere_is_not_believed(samples, digits_net, tmp_path) -> None:
    x, y = samples
    small = Plan("small", (PGD(2),), block=40)
    made = cascade(small, problem_of(digits_net), x, y, folder=tmp_path / "one")
    first = min((tmp_path / "one").glob("block-*"))
    with np.load(first, allow_pickle=False) as block:
        arrays = {name: block[name] for name in block.files}
    whole = first.read_bytes()
    fewer = {name: value for name, value in arrays.items() if name != "status"}
    for edited in ({**arrays, "status": np.full_like(arrays["status"], ROBUST)}, fewer, {**arrays, "spend": np.array("{")}):
        with first.open("wb") as out:
            np.savez(out, **edited)
        with pytest.raises(InputError, match="not what this run wrote"):
            cascade(small, problem_of(digits_net), x, y, folder=tmp_path / "one")
    cascade(small, problem_of(digits_net, 0.01), x, y, folder=tmp_path / "other")  # in which more of them stand
    first.write_bytes((tmp_path / "other" / first.name).read_bytes())
    with pytest.raises(InputError, match="not what this run wrote"):
        cascade(small, problem_of(digits_net), x, y, folder=tmp_path / "one")
    first.with_name("block-000001.npz").write_bytes(whole)
    first.write_bytes(whole)
    with pytest.raises(InputError, match="block-000001"):
        cascade(small, problem_of(digits_net), x, y, folder=tmp_path / "one")
    first.with_name("block-000001.npz").unlink()
    same(made, cascade(small, problem_of(digits_net), x, y, folder=tmp_path / "one"))


def test_a_spent_budget_leaves_samples_unfinished_never_robust(samples, digits_net) -> None:
    x, y = samples
    full = cascade(SHORT, problem_of(digits_net), x, y)
    part = cascade(SHORT, problem_of(digits_net, budget=full.spend.queries // 2), x, y)
    assert "budget" in part.stopped
    assert part.count(UNFINISHED) > 0
    assert part.spend.queries <= full.spend.queries // 2
    assert not ((part.status == ROBUST) & (full.status != ROBUST)).any()
    with pytest.raises(UsageError, match="shared"):
        cascade(SHORT, problem_of(digits_net, budget=10), x, y, workers=2)


def test_a_target_that_dies_is_an_outcome_and_not_a_verdict(samples, digits_net) -> None:
    class Gone(TorchTarget):
        def gradient(self, x, loss):  # noqa: ARG002 - the protocol's
            msg = "connection reset"
            raise BackendError(msg)

    result = cascade(SHORT, problem_of(digits_net, kind=Gone), *samples)
    assert result.stopped == "connection reset"
    assert result.count(ROBUST) == result.count(BROKEN) == 0


@pytest.mark.parametrize("looks", [0, 1], ids=["at the first look", "at the checker"])
def test_a_target_that_dies_between_attacks_leaves_samples_unfinished(samples, digits_net, looks) -> None:
    class Dies(TorchTarget):
        left = looks

        def decide(self, x):
            if self.left == 0:
                msg = "no answer"
                raise BackendError(msg)
            self.left -= 1
            return super().decide(x)

    x, y = samples[0][:40], samples[1][:40]
    result = cascade(SHORT, problem_of(digits_net, kind=Dies), x, y)
    assert "no answer" in result.stopped
    assert result.count(ROBUST) == 0
    assert result.count(BROKEN) == 0  # claims that nobody checked are none
    assert result.count(UNFINISHED) > 0
    if looks == 0:
        assert result.count(UNFINISHED) == 40


def test_a_model_that_answers_nan_is_never_robust(samples) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 10), float("nan")) + 0 * x.sum()

    result = cascade(SHORT, problem_of(Broken()), *samples)
    assert result.count(WRONG) == len(samples[0])


@pytest.mark.parametrize("counted", [True, False])
def test_a_model_that_falls_silent_where_it_is_attacked_is_not_robust(samples, digits_net, counted) -> None:
    """The easiest defence there is: no answer to anything but the data."""
    x, y = samples
    known = x.clone()

    class Silent(TorchTarget):
        def _forward(self, seen):
            out = super()._forward(seen)
            strange = (torch.cdist(seen.detach().flatten(1), known.flatten(1)).amin(1) > 1e-3)[:, None]
            return torch.where(strange, out * float("nan"), out)

    target = Silent(digits_net, (1, 8, 8))
    result = cascade(SHORT, Problem(Counting(target) if counted else target, Box(), eps=0.06), x, y)
    assert result.count(ROBUST) == 0
    assert result.count(UNFINISHED) > 100
    assert result.spend.unanswered > 100
    assert "gave no answer" in result.stopped


def test_targets_with_less_access_skip_what_they_cannot_be_asked_and_say_so(samples, digits_net) -> None:
    x, y = samples
    result = cascade(SHORT, problem_of(digits_net, kind=Scores), x, y)
    assert [bool(stage.skipped) for stage in result.stages] == [True, True, True, False]
    assert "takes white access; the target offers score" in result.stages[0].skipped
    assert result.spend.backward == 0
    with pytest.raises(UsageError, match="no attack applies"):
        cascade(SHORT, problem_of(digits_net, kind=Decisions), x, y)


def test_a_stop_rule_looks_after_each_block_at_samples_in_random_order(samples, digits_net) -> None:
    x, y = samples
    plan = Plan("gate", (PGD(5),), block=16, shuffle=True)
    seen = []

    def stop(tally):
        seen.append(len(tally.status))
        return len(tally.status) >= 48

    result = cascade(plan, problem_of(digits_net), x, y, stop=stop)
    assert seen == [16, 32, 48]
    assert "decided after 48 samples" in result.stopped
    assert result.count(UNFINISHED) == len(x) - 48
    assert (result.status[result.order[:48]] != UNFINISHED).all()
    assert not torch.equal(result.order, torch.arange(len(x)))
    again = cascade(plan, problem_of(digits_net), x, y, stop=stop, workers=2)
    assert torch.equal(result.status, again.status)
    assert not torch.equal(result.order, cascade(plan, problem_of(digits_net, seed=1), x, y, stop=stop).order)


def test_samples_outside_the_domain_or_of_another_shape_are_refused(samples, digits_net) -> None:
    x, y = samples
    bad = x.clone()
    bad[0, 0, 0, 0], bad[1, 0, 0, 0] = 1.5, float("nan")
    with pytest.raises(InputError, match="2 of 120 samples lie outside"):
        cascade(SHORT, problem_of(digits_net), bad, y)
    with pytest.raises(InputError, match="do not fit"):
        cascade(SHORT, problem_of(digits_net), x.reshape(-1, 64), y)
    with pytest.raises(InputError, match="do not fit"):
        cascade(SHORT, problem_of(digits_net), x, y[:-1])


def test_presets_get_stronger(samples, digits_net) -> None:
    x, y = samples[0][:40], samples[1][:40]
    broken = {name: cascade(preset(name, 10), problem_of(digits_net), x, y).count(BROKEN) for name in ("smoke", "gate")}
    assert broken["gate"] >= broken["smoke"] > 0
    ids = {name: [stage.id for stage in preset(name, 10).stages] for name in PRESETS}
    assert ids["standard"] == ["pgd-10", "apgd-ce-100", "apgd-t-100x9", "fab-t-100x9", "square-5000"]
    assert [stage.id for stage in preset("standard", 10, fab=False).stages] == [i for i in ids["standard"] if "fab" not in i]
    assert preset("gate", 10).shuffle
    with pytest.raises(UsageError, match="no such preset"):
        preset("best", 10)


def test_random_targets_are_attacked_in_expectation(samples, digits_net) -> None:
    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = digits_net

        def forward(self, x):
            return self.net(x + 0.15 * torch.randn(x.shape))

    x, y = samples
    torch.manual_seed(0)
    noisy, plain = problem_of(Noisy()), problem_of(digits_net)
    assert is_random(noisy.target, x[:8])
    assert not is_random(plain.target, x[:8])
    averaged = Averaged(noisy.target, 10)
    before = noisy.target.spend.copy()
    _, _, grad = averaged.gradient(x, lambda out: torch.nn.functional.cross_entropy(out, y, reduction="none"))
    assert noisy.target.spend.since(before).backward == 10 * len(x)
    assert grad.shape == x.shape
    result = cascade(Plan("eot", (PGD(10),), block=60, eot=10), problem_of(Noisy(), 0.15), x, y)
    blind = cascade(Plan("once", (PGD(10),), block=60), problem_of(Noisy(), 0.15), x, y)
    assert result.stages[0].spend.backward > blind.stages[0].spend.backward
    quiet = cascade(Plan("eot", (PGD(10),), block=60, eot=10), problem_of(digits_net), x, y)
    once = cascade(Plan("once", (PGD(10),), block=60), problem_of(digits_net), x, y)
    assert torch.equal(quiet.status, once.status)  # no averaging where nothing is random


def test_stored_examples_are_tried_first_on_the_next_version(samples, digits_net, tmp_path) -> None:
    x, y = samples
    first = cascade(SHORT, problem_of(digits_net), x, y)
    hit = first.status == BROKEN
    digest = store(tmp_path, x[hit], first.x[hit])
    replay = Replay(*load(tmp_path, digest))
    mixed = torch.randperm(len(x))
    again = cascade(Plan("next", (replay, PGD(5)), block=40), problem_of(digits_net), x[mixed], y[mixed])
    assert torch.equal(again.by == 0, hit[mixed])  # each falls to its own, wherever it stands now
    assert again.stages[0].spend.queries == 2 * int(hit.sum())  # one by the attack, one by the checker
    alone = run(replay, Problem(Counting(Decisions(digits_net, (1, 8, 8))), Box(), eps=0.06), x, y)
    assert torch.equal(alone.success, hit)
    path = tmp_path / f"{digest.removeprefix('sha256:')}.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        load(tmp_path, digest)
    with pytest.raises(InputError, match="no examples"):
        load(tmp_path, "sha256:00")
