"""The suite: whatever the target is, it says what was found, with which shadows, and what it could not say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks.privacy.recipes import recipe_for
from stannary.checks.privacy.suite import Options, metric_of, privacy_suite
from stannary.checks.target.array_model import ArrayTarget, log_of
from stannary.checks.target.callable_model import callable_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError

QUICK = Options(shadows=8, bootstrap=100, rates=(0.02, 0.001))


def dataset(pair, flat=False):
    x, y = pair
    x = x.flatten(1).double() if flat else x
    names = tuple(f"x{at}" for at in range(x.shape[1])) if flat else ()
    return Dataset(x, y, names, "", tuple(map(str, range(10))), "table" if flat else "image", raw_names=names)


@pytest.fixture(scope="module")
def groups(halves):
    return tuple(map(dataset, halves))


@pytest.fixture(scope="module")
def tables(halves):
    return tuple(dataset(pair, flat=True) for pair in halves)


def named(measured):
    return {row.metric: row for row in measured.measurements}


@pytest.fixture(scope="module")
def network(leaky, groups):
    counting = Counting(TorchTarget(leaky, (1, 8, 8)))
    return counting, privacy_suite(counting, *groups, options=QUICK, seed=3)


def test_a_network_is_judged_by_shadows_of_its_own_architecture(network) -> None:
    counting, measured = network
    part, rows = measured.part, named(measured)
    assert counting.spend.queries >= 1796
    assert part.shadows == 8
    assert "target's architecture" in part.notes[0]
    assert {one.attack for one in measured.attacks} == {"loss", "lira", "lira-offline", "rmia"}
    assert set(rows) == {f"privacy.membership.{name}" for name in ("auc", "tpr_at_2pct", "advantage")}
    assert rows["privacy.membership.auc"].low > 0.6
    assert rows["privacy.membership.tpr_at_2pct"].value == max(one.tpr[0].rate.value for one in measured.attacks)
    assert "898 non-members cannot support" in part.refused["tpr_at_0.1pct"]
    assert part.roc[-1] == (1.0, 1.0)
    loss = next(one for one in measured.attacks if one.attack == "loss")
    assert part.auc.value > loss.auc.value + 0.02


def test_the_same_seed_gives_the_same_measurements(network, leaky, groups) -> None:
    again = privacy_suite(TorchTarget(leaky, (1, 8, 8)), *groups, options=QUICK, seed=3)
    assert again.measurements == network[1].measurements


def test_the_number_of_epochs_is_what_it_takes_to_fit_as_well(leaky, groups) -> None:
    half_trained = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    far = recipe_for(TorchTarget(leaky, (1, 8, 8)), groups[0]).factory.epochs
    near = recipe_for(TorchTarget(half_trained, (1, 8, 8)), groups[0]).factory.epochs
    assert near == 1
    assert far > 20


def test_a_forest_is_refitted_with_its_parameters_and_its_own_labels(halves, tables) -> None:
    from sklearn.ensemble import RandomForestClassifier

    letters = np.array(list("abcdefghij"))
    forest = RandomForestClassifier(15, random_state=1, max_depth=30).fit(halves[0][0].flatten(1), letters[halves[0][1]])
    target = sklearn_target(forest, columns=tables[0].names, probe=tables[0].x)
    measured = privacy_suite(target, *tables, options=QUICK)
    assert "RandomForestClassifiers with the target's parameters" in measured.part.notes[0]
    assert measured.part.auc.low > 0.8
    recipe = recipe_for(target, tables[0])
    fitted = recipe.factory.fit(tables[0].x.numpy()[:300], tables[0].y.numpy()[:300], 5)
    assert fitted.logits(tables[0].x).shape == (898, 10)
    assert float((fitted.logits(tables[0].x[:300]).argmax(1) == tables[0].y[:300]).double().mean()) > 0.9  # numbered alike


def test_a_class_that_a_half_lacks_costs_no_shadow(tables) -> None:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=200).fit(tables[0].x, tables[0].y)
    target = sklearn_target(model, columns=tables[0].names, probe=tables[0].x)
    few = tables[0].y.numpy() < 4
    fitted = recipe_for(target, tables[0]).factory.fit(tables[0].x.numpy()[few], tables[0].y.numpy()[few], 1)
    found = fitted.logits(tables[0].x)
    assert found[:, 4:].isneginf().all()
    assert found[:, :4].isfinite().all()


def test_a_pipeline_of_words_is_refitted_on_frames() -> None:
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    from stannary.checks.target.data import open_data

    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.integers(18, 80, 400), "job": draw.choice(["smith", "clerk"], 400)})
    label = draw.integers(0, 2, 400)
    pipe = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), remainder="passthrough"),
        DecisionTreeClassifier(random_state=0),
    ).fit(frame[:200], label[:200])
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        frame.assign(label=label).to_csv(path, index=False)
        data = open_data(path)
    whole = data.aligned(2, ("0", "1"))
    members, others = whole.take(torch.arange(200)), whole.take(torch.arange(200, 400))
    target = sklearn_target(pipe, columns=whole.names, frame=whole.frame, probe=whole.x)
    measured = privacy_suite(target, members, others, options=Options(shadows=4, bootstrap=50, rates=(0.1,)))
    assert "Pipelines" in measured.part.notes[-1]
    assert "members, too" in measured.part.notes[0]  # two people of one age and one job are one row
    assert measured.part.auc is not None


def test_of_a_function_nothing_is_known_and_that_is_said(leaky, groups) -> None:
    net = TorchTarget(leaky, (1, 8, 8))
    target = callable_target(lambda x: net.logits(torch.from_numpy(x)).softmax(1).numpy(), groups[0].x[:8])
    measured = privacy_suite(target, *groups, options=QUICK)
    assert {one.attack for one in measured.attacks} == {"loss", "rmia"}
    assert "how the target was trained is not known" in measured.part.notes[0]
    assert measured.part.auc.value > next(one for one in measured.attacks if one.attack == "loss").auc.value


def test_the_owners_function_comes_first(halves, tables) -> None:
    from sklearn.tree import DecisionTreeClassifier

    asked = []

    def train(x, y, seed):
        asked.append((x.shape, len(y)))
        return DecisionTreeClassifier(random_state=seed).fit(x, y)

    tree = train(tables[0].x.numpy(), tables[0].y.numpy(), 0)
    target = ArrayTarget((64,), 10, lambda x: log_of(tree.predict_proba(x)))
    measured = privacy_suite(target, *tables, train=train, options=Options(shadows=4, bootstrap=50, rates=(0.02,)))
    assert measured.part.notes == ("shadows are trained by the given function",)
    assert asked[1:] == [((898, 64), 898)] * 4
    assert measured.part.auc.low > 0.55


def test_another_function_is_another_recipe(groups, tmp_path) -> None:
    from stannary.app.evaluation_request import Request
    from stannary.app.evaluation_training import trainer

    path = tmp_path / "mine.py"

    def recipe(source, name="train"):
        path.write_text(source)
        made = Request.of(
            {"model": "m.pt", "data": "d.npz", "suites": ("privacy",), "members": "t.npz", "trust": True, "train": f"{path}:{name}"}
        )
        target = callable_target(lambda x: np.full((len(x), 10), 0.1), groups[0].x[:8])
        return recipe_for(target, groups[0], trainer(made)).factory.identity

    source = "def train(x, y, seed):\n    return 1\n\ndef other(x, y, seed):\n    return 1\n"
    first = recipe(source)
    assert recipe(source) == first
    assert recipe(source, "other") != first
    assert recipe(source.replace("1", "2")) != first


def test_labels_alone_give_the_gap(tables) -> None:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(random_state=0).fit(tables[0].x, tables[0].y)
    target = ArrayTarget((64,), 10, None, tree.predict)
    measured = privacy_suite(target, *tables, options=QUICK)
    assert measured.part.attack == "loss"
    assert "labels alone" in measured.part.notes[0]
    assert measured.part.shadows == 0


def test_no_shadows_when_none_are_wanted(leaky, groups) -> None:
    measured = privacy_suite(TorchTarget(leaky, (1, 8, 8)), *groups, options=Options(shadows=0, bootstrap=50))
    assert measured.part.shadows == 0
    assert "no shadows were trained" in measured.part.notes[0]


def test_members_among_the_others_are_left_out(leaky, groups) -> None:
    ours, theirs = groups
    mixed = theirs.take(torch.arange(400))
    mixed = Dataset(torch.cat((mixed.x, ours.x[:100])), torch.cat((mixed.y, ours.y[:100])), (), "", ours.label_names, "image")
    measured = privacy_suite(TorchTarget(leaky, (1, 8, 8)), ours, mixed, options=Options(shadows=0, bootstrap=50, rates=(0.05,)))
    assert "100 of 500 non-members are members, too" in measured.part.notes[0]
    with pytest.raises(UsageError, match="0 inputs"):
        privacy_suite(TorchTarget(leaky, (1, 8, 8)), ours, ours, options=Options(shadows=0))


def test_members_and_others_that_were_exchanged_are_no_private_model(leaky, groups) -> None:
    options = Options(shadows=0, bootstrap=200, rates=(0.05,))
    ours, theirs = groups
    assert privacy_suite(TorchTarget(leaky, (1, 8, 8)), ours, theirs, options=options).incomplete == ()
    (text,) = privacy_suite(TorchTarget(leaky, (1, 8, 8)), theirs, ours, options=options).incomplete
    assert "exchanged" in text
    torch.manual_seed(0)
    blank = TorchTarget(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), (1, 8, 8))
    assert privacy_suite(blank, ours, theirs, options=options).incomplete == ()


def test_a_network_that_cannot_start_anew_is_given_references(groups) -> None:
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(64, 10))

        def forward(self, x):
            return x.flatten(1) @ self.weight

    assert recipe_for(TorchTarget(Own(), (1, 8, 8)), groups[0]).likeness == "default"


def test_batch_norm_is_trained_alone(groups) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.BatchNorm1d(32), torch.nn.Linear(32, 10))
    recipe = recipe_for(TorchTarget(net, (1, 8, 8)), groups[0])
    assert (recipe.likeness, recipe.factory.group) == ("architecture", 1)


def test_a_table_in_float64_and_one_output_are_no_obstacle(tables) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    ours, theirs = (Dataset(one.x, (one.y > 4).long(), one.names, "", ("0", "1"), "table") for one in tables)
    measured = privacy_suite(TorchTarget(net, (64,)), ours, theirs, options=Options(shadows=4, bootstrap=50, rates=(0.02,)))
    assert "architecture" in measured.part.notes[0]
    assert measured.part.auc.low < 0.53  # it saw neither


def test_other_shapes_are_refused(leaky, groups, tables) -> None:
    with pytest.raises(InputError, match="shape"):
        privacy_suite(TorchTarget(leaky, (1, 8, 8)), groups[0], tables[1])


def test_names_of_rates() -> None:
    assert metric_of(0.01) == "privacy.membership.tpr_at_1pct"
    assert metric_of(0.001) == "privacy.membership.tpr_at_0.1pct"
