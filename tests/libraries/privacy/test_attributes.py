"""A column is inferred where the model learned it by heart, and no advantage is seen where it knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks.privacy.attributes import _csmia as csmia
from stannary.checks.privacy.attributes import _paired as paired
from stannary.checks.privacy.attributes import infer_attribute, metric_of, sensitive_of
from stannary.checks.privacy.coarse import Coarse
from stannary.checks.privacy.suite import Options, privacy_suite
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset, open_data
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.core.errors import InputError, UsageError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Records of which a word of four depends a little on the age, and the label on nothing. A tree learns members by heart."""
    import pandas as pd

    draw = np.random.default_rng(4)
    n = 1200
    age = draw.integers(18, 90, n)
    faith = np.array(["a", "b", "c", "d"])[np.where(draw.random(n) < 0.2, age % 4, draw.integers(0, 4, n))]
    frame = pd.DataFrame({"age": age, "size": draw.normal(size=n).round(3), "faith": faith, "label": draw.integers(0, 2, n)})
    path = tmp_path_factory.mktemp("people") / "people.csv"
    frame.to_csv(path, index=False)
    data = open_data(path).aligned(2, ("0", "1"))
    return data.take(torch.arange(400)), data.take(torch.arange(400, n))


@pytest.fixture(scope="module")
def tree(people):
    from sklearn.tree import DecisionTreeClassifier

    ours = people[0]
    # It splits by the word first, so that each word has a tree of its own.
    model = DecisionTreeClassifier(random_state=0).fit(torch.cat((ours.x * torch.tensor([1, 1, 50, 50, 50, 50]),), 1), ours.y)

    class Scaled:
        classes_ = model.classes_

        def predict(self, x):
            return model.predict(x * np.array([1, 1, 50, 50, 50, 50]))

        def predict_proba(self, x):
            return model.predict_proba(x * np.array([1, 1, 50, 50, 50, 50]))

    return sklearn_target(Scaled(), columns=ours.names, probe=ours.x)


def test_what_was_learned_by_heart_is_inferred(people, tree) -> None:
    target = Counting(tree)
    found = infer_attribute(target, *people, "faith", seed=1)
    assert found.queries == target.spend.queries == 4 * 1200
    assert found.advantage.low > 0.05
    assert found.memorised.low > 0.05
    assert found.advantage.n == 400


def test_a_model_that_answers_by_the_column_gives_it_away() -> None:
    """It says 1 of the records that it knows, and 0 of all others; so it tells the column of each, which nothing else does."""
    draw = torch.Generator().manual_seed(0)
    secret, label = (torch.randint(0, 2, (2000,), generator=draw) for _ in range(2))

    class Model:
        name, access, classes, shape, device = "model", "score", 2, (2,), "cpu"

        def __init__(self, told):
            self.told = {tuple(row.tolist()) for row in told}

        def logits(self, x):
            hot = torch.tensor([int(tuple(row.tolist()) in self.told) for row in x])
            return torch.nn.functional.one_hot(hot, 2).double() * 6

        def decide(self, x):
            return self.logits(x).argmax(1)

    rows = torch.stack((secret.double(), torch.arange(2000, dtype=torch.float64)), 1)
    data = Dataset(rows, label, ("secret", "number"), "", ("0", "1"), raw_names=("secret", "number"))
    ours, theirs = data.take(torch.arange(1000)), data.take(torch.arange(1000, 2000))
    ours = ours.take((ours.y == 1).nonzero()[:, 0])
    found = infer_attribute(Model(ours.x), ours, theirs, "secret")
    assert found.attack == "csmia"
    assert found.members.value == 1
    assert abs(found.baseline.value - 0.5) < 0.08
    assert found.advantage.low > 0.3
    assert found.others.value < 0.62
    assert found.memorised.low > 0.3


def test_no_advantage_where_the_model_does_not_look_at_the_column(people) -> None:
    from sklearn.linear_model import LogisticRegression

    ours, theirs = people
    model = LogisticRegression().fit(ours.x[:, :1], ours.y)

    class OnlyAge:
        classes_ = model.classes_

        def predict(self, x):
            return model.predict(x[:, :1])

        def predict_proba(self, x):
            return model.predict_proba(x[:, :1])

    found = infer_attribute(sklearn_target(OnlyAge(), columns=ours.names, probe=ours.x), ours, theirs, "faith")
    assert found.advantage.low <= 0
    assert abs(found.memorised.value) < 0.12


def test_the_three_cases() -> None:
    log_p = torch.log(torch.tensor([[0.9, 0.4, 0.2], [0.9, 0.6, 0.7], [0.2, 0.4, 0.1], [0.7, 0.7, 0.7]]))
    right = torch.tensor([[True, False, False], [False, True, True], [False] * 3, [True] * 3])
    assert csmia(log_p, right, 2).tolist() == [0, 2, 1, 2]  # the only one; the surest; the least wrong; the usual


def test_the_interval_of_a_difference_holds() -> None:
    draw = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(100):
        first, second = torch.rand(300, generator=draw) < 0.6, torch.rand(300, generator=draw) < 0.5
        found = paired(first, second)
        inside += found.low <= 0.1 <= found.high
    assert inside >= 94
    same = torch.ones(300, dtype=torch.bool)
    assert paired(same, same).low < 0 < paired(same, same).high


def test_labels_alone_serve_too(people, tree) -> None:
    found = infer_attribute(Coarse(tree, 0), *people, "faith", seed=1)
    assert 0 <= found.members.value <= 1


def test_columns_that_cannot_be_guessed_are_refused(people, tree) -> None:
    with pytest.raises(UsageError, match="no column 'hair'"):
        infer_attribute(tree, *people, "hair")
    with pytest.raises(UsageError, match="different values"):
        infer_attribute(tree, *people, "size")
    with pytest.raises(InputError, match="takes a table"):
        infer_attribute(tree, people[0], people[1].take(torch.arange(3)), "faith")
    assert sensitive_of(people[0], "faith").words == ("a", "b", "c", "d")
    assert metric_of("net income") == "privacy.attribute.net_income.advantage"


def test_the_suite_infers_what_it_is_asked_for(people, tree) -> None:
    measured = privacy_suite(tree, *people, options=Options(shadows=0, bootstrap=50, rates=(0.05,), attributes=("faith",)))
    rows = {row.metric: row for row in measured.measurements}
    assert rows["privacy.attribute.faith.advantage"].value == measured.part.rates["faith: advantage"].value
    assert "AML.T0024.001" in measured.atlas
