"""Models behind a real server: the answers of every preset, endpoints that misbehave, and what attacks make of it."""

import json

import numpy as np
import pytest
import torch

from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.engine import attack_block, run
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.http_request import request_of
from stannary.checks.target.http_target import http_target
from stannary.core.errors import BackendError, InputError, UsageError
from stannary.testing.http_models import Reply, serve_model

WEIGHTS = np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 2.0], [0.0, 0.5, -1.0]])
X = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def logits(rows):
    return np.asarray(rows, dtype=float) @ WEIGHTS


def probabilities(rows):
    out = np.exp(logits(rows))
    return out / out.sum(1, keepdims=True)


@pytest.fixture
def open_target():
    made = []

    def make(model, probe=X, *, classes=0, columns=(), cache=None, **more):
        more = {"preset": "tf-serving", "timeout": 5, "concurrency": 4, **more}
        made.append(http_target(request_of({"url": model.url, **more}), probe, classes=classes, columns=columns, cache=cache))
        return made[-1]

    yield make
    for one in made:
        one.close()


def kserve(body):
    tensor = body["inputs"][0]
    rows = np.array(tensor["data"]).reshape(tensor["shape"])
    out = logits(rows)
    return Reply({"outputs": [{"name": "o", "datatype": "FP64", "shape": list(out.shape), "data": out.reshape(-1).tolist()}]})


ANSWERS = {
    "tf-serving": lambda body: Reply({"predictions": logits(body["instances"]).tolist()}),
    "sklearn": lambda body: Reply({"predictions": logits(body["instances"]).tolist()}),
    "mlflow": lambda body: Reply({"predictions": logits(body["dataframe_split"]["data"]).tolist()}),
    "seldon": lambda body: Reply({"data": {"ndarray": logits(body["data"]["ndarray"]).tolist()}}),
    "plain": lambda body: Reply(logits(body).tolist()),
    "kserve-v2": kserve,
}


@pytest.mark.parametrize("preset", ANSWERS)
def test_every_preset_gives_the_models_own_scores(open_target, preset):
    with serve_model(ANSWERS[preset]) as model:
        target = open_target(model, preset=preset, columns=("a", "b", "c"), batch=20)
        assert (target.access, target.classes, target.kind) == ("score", 3, "logits")
        before = len(model.seen)
        assert np.allclose(target.logits(X).numpy(), logits(X))
        assert len(model.seen) - before == 3
        assert (target.decide(X).numpy() == logits(X).argmax(1)).all()


def test_probabilities_become_logarithms_and_a_single_one_stands_for_two_classes(open_target):
    with serve_model(lambda body: Reply({"predictions": probabilities(body["instances"]).tolist()})) as model:
        target = open_target(model)
        assert target.kind == "probabilities"
        assert np.allclose(target.logits(X).exp().numpy(), probabilities(X))
    with serve_model(lambda body: Reply({"predictions": probabilities(body["instances"])[:, 0].tolist()})) as model:
        target = open_target(model)
        assert (target.classes, target.kind) == (2, "probabilities")
        assert np.allclose(target.logits(X).exp().numpy()[:, 1], probabilities(X)[:, 0])


def test_labels_by_number_and_by_name_one_object_a_row(open_target):
    names = ("low", "middle", "high")
    with serve_model(lambda body: Reply({"predictions": logits(body["instances"]).argmax(1).tolist()})) as model:
        target = open_target(model, classes=3)
        assert (target.access, target.classes) == ("decision", 3)
        assert (target.decide(X).numpy() == logits(X).argmax(1)).all()
        with pytest.raises(UsageError):
            target.logits(X)
        with pytest.raises(UsageError):
            target.gradient(X, lambda out: out.sum(1))

    def named(body):
        return Reply([{"label": names[k] if k else "none"} for k in logits([list(r.values()) for r in body["rows"]]).argmax(1)])

    with serve_model(named) as model:
        more = {"preset": None, "body": {"rows": "{{records}}"}, "each": "", "scores": "/label", "labels": names}
        target = open_target(model, columns=("a", "b", "c"), **more)
        right = logits(X).argmax(1)
        assert (target.decide(X).numpy() == np.where(right == 0, -1, right)).all()  # a name that nobody listed is no answer
        assert list(model.seen[-1][3]["rows"][0]) == ["a", "b", "c"]


def test_whole_numbers_and_missing_values_are_written_as_they_are_meant(open_target):
    with serve_model(ANSWERS["plain"]) as model:
        target = open_target(model, preset="plain", whole=True)
        model.answer = lambda body: Reply([[0.0, 1.0, 2.0]] * len(body))
        target.logits(torch.tensor([[1.0, 2.5, float("nan")]], dtype=torch.float64))
        assert json.dumps(model.seen[-1][3]) == "[[1, 2.5, null]]"
        with pytest.raises(InputError):
            target.logits(torch.full((1, 3), float("inf"), dtype=torch.float64))


def test_rows_without_an_answer_are_counted_and_their_neighbours_have_theirs(open_target):
    def partly(body):
        rows = np.array(body["instances"], dtype=float)
        if (rows[:, 0] > 5).any():
            return Reply({"error": "row out of range"}, 400)
        out = logits(rows)
        out[rows[:, 1] > 5] = np.nan
        return Reply({"predictions": out.tolist()})  # NaN, as Python servers write it

    with serve_model(partly) as model:
        counting = Counting(open_target(model, batch=16))
        x = X.clone()
        x[7, 0] = x[30, 1] = 9
        found = counting.logits(x)
        assert found.isnan().any(1).nonzero()[:, 0].tolist() == [7, 30]
        assert np.allclose(found[8:30].numpy(), logits(x)[8:30])
        assert counting.decide(x).tolist().count(-1) == 2
        assert counting.spend.unanswered == 4


@pytest.mark.parametrize(
    "bad",
    [
        Reply({"predictions": [[1.0, 2.0]]}), Reply({"predictions": []}), Reply({"predictions": [[1, 2, 3], [1]]}), Reply({"p": 1}),
        Reply({"predictions": "hello"}), Reply(b"<html>"), Reply({"predictions": {"a": 1}}), Reply({"predictions": None}),
    ],
    ids=["classes", "none", "ragged", "elsewhere", "text", "html", "object", "null"],
)  # fmt: skip
def test_answers_of_a_wrong_shape_are_no_answers(open_target, bad):
    with serve_model(ANSWERS["tf-serving"]) as model:
        target = open_target(model)
        model.answer = lambda _: bad
        assert (target.decide(X[:5]) == -1).all()
        assert target.logits(X[:5]).isnan().all()
    with serve_model(lambda _: bad) as model, pytest.raises((BackendError, InputError)):
        open_target(model, classes=3)


def test_no_answer_is_never_a_number(open_target):
    with serve_model(lambda body: Reply({"predictions": [[1.0, None, 0.0]] * len(body["instances"])})) as model:
        assert (open_target(model).decide(X) == -1).all()
    with serve_model(lambda _: Reply(b'{"predictions": [[1e999, 0.0, 1.0], [1, 2, 3]]}')) as model:
        target = open_target(model, X[:2])
        assert target.decide(X[:2]).tolist() == [-1, 2]


def problem(target, x=X):
    return Problem(Counting(target), Box(), norm="l2", eps=None, seed=3), x, torch.from_numpy(logits(x).argmax(1))


def test_attacks_find_the_same_through_http_as_beside_it_and_cost_what_is_counted(open_target):
    from stannary.checks.target.callable_model import callable_target

    attack = HopSkipJump(3)
    with serve_model(ANSWERS["tf-serving"]) as model:
        target = open_target(model, batch=256)
        before = len(model.seen)
        asked, x, y = problem(target, X[:10])
        found = run(attack, asked, x, y)
        local = run(attack, problem(callable_target(logits, X))[0], x, y)
        assert torch.equal(found.x, local.x)
        assert found.success.all()
        assert found.spend.calls == len(model.seen) - before


def test_a_target_that_dies_ends_the_attack_with_what_was_found(open_target):
    with serve_model(ANSWERS["tf-serving"]) as model:
        target = open_target(model, tries=1, batch=256)
        asked, x, y = problem(target, X[:10])
        calls = len(model.seen) + 25

        def dying(body):
            return ANSWERS["tf-serving"](body) if len(model.seen) < calls else Reply(drop=True)

        model.answer = dying
        found = attack_block(HopSkipJump(20), asked, x, y)
        assert "no longer answers" in found.stopped or found.spend.unanswered
        assert not found.finished.all()


def test_a_budget_of_money_ends_the_attack_and_the_next_run_goes_on_from_there(open_target, tmp_path):
    price = {"price": {"sample": 0.01}, "cache": tmp_path / "answers.db", "batch": 256}
    with serve_model(ANSWERS["tf-serving"]) as model:
        target = open_target(model, money=5.0, **price)
        asked, x, y = problem(target, X[:4])
        first = run(HopSkipJump(3), asked, x, y)
        assert "budget" in first.stopped
        assert not first.finished.all()
        assert target.pool.costs.money <= 5.0
        target.close()
        sent = len(model.seen)
        target = open_target(model, **price)
        second = run(HopSkipJump(3), problem(target)[0], x, y)
        assert second.finished.all()
        assert target.pool.costs.cached >= sent - 1
        answered = len(model.seen)
        target.close()
        assert run(HopSkipJump(3), problem(open_target(model, **price))[0], x, y).spend.calls == 0
        assert len(model.seen) == answered
