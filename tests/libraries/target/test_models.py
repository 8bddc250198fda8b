"""Targets decide as the library itself does: its own `predict` is the oracle."""

from __future__ import annotations

import warnings

import catboost
import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stannary.checks.target.boosted import boosted_target
from stannary.checks.target.callable_model import callable_target, import_object, is_import
from stannary.checks.target.file_kind import torch_kind
from stannary.checks.target.onnx_model import open_onnx
from stannary.checks.target.open_file import open_object
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.torch_file import network_target, open_exported, open_pickled, open_script
from stannary.core.errors import InputError, UsageError

X, Y = load_wine(return_X_y=True)
WORDS = np.array(["red", "amber", "white"])[Y]
ROWS = torch.from_numpy(X)
COUNT = X.shape[1]


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(20, random_state=0),
        make_pipeline(StandardScaler(), SVC()),
    ],
)
def test_scikit_learn_decides_as_it_does_itself(model) -> None:
    model.fit(X, WORDS)
    target = sklearn_target(model, probe=ROWS)
    assert target.labels == ("amber", "red", "white")
    said = np.array(target.labels)[target.decide(ROWS).numpy()]
    assert (said == model.predict(X)).all()
    scores = target.logits(ROWS)
    assert scores.shape == (len(X), 3)
    assert torch.equal(scores.argmax(1), target.decide(ROWS))
    with pytest.raises(UsageError, match="no gradient"):
        target.gradient(ROWS, lambda out: out.sum(1))


def test_a_model_without_scores_has_decisions() -> None:
    class Voter:
        classes_ = np.array([1, 2])
        n_features_in_ = COUNT

        def predict(self, x):
            return np.where(x[:, 0] > 13, 2, 1)

    target = sklearn_target(Voter())
    assert target.access == "decision"
    assert target.decide(ROWS).tolist() == (X[:, 0] > 13).astype(int).tolist()
    with pytest.raises(UsageError, match="labels only"):
        target.logits(ROWS)


def test_scores_of_pairs_of_classes_are_not_taken_for_scores_of_classes() -> None:
    model = make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")).fit(X, Y)
    assert model.decision_function(X).shape == (len(X), 3), "as many pairs as classes"
    target = sklearn_target(model, probe=ROWS)
    assert target.access == "decision"
    assert "labels alone" in target.notes[0]
    assert target.decide(ROWS).tolist() == model.predict(X).tolist()


def test_what_is_no_classifier_is_refused() -> None:
    with pytest.raises(InputError, match="numbers, not classes"):
        sklearn_target(LinearRegression().fit(X, Y))
    with pytest.raises(InputError, match="is it fitted"):
        sklearn_target(LogisticRegression())
    with pytest.raises(InputError, match="13 features, the data has 4"):
        sklearn_target(RandomForestClassifier(2).fit(X, Y), probe=ROWS[:, :4])
    with pytest.raises(InputError, match="numbers, not classes"):
        boosted_target(xgboost.XGBRegressor(n_estimators=2).fit(X, Y))
    with pytest.raises(InputError, match="numbers, not classes"):
        boosted_target(lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(X, Y))
    with pytest.raises(InputError, match="numbers, not classes"):
        boosted_target(catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(X, Y))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_boosted_trees_decide_as_they_do_themselves(library, binary) -> None:
    y = (Y == 1).astype(int) if binary else Y
    makers = {
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=8, max_depth=3),
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=8, verbose=-1),
        "catboost": lambda: catboost.CatBoostClassifier(iterations=8, verbose=0, allow_writing_files=False),
    }
    model = makers[library]().fit(X, y)
    target = boosted_target(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said, odds = np.asarray(model.predict(X)).reshape(-1), model.predict_proba(X)
    assert target.classes == (2 if binary else 3)
    assert target.decide(ROWS).tolist() == said.tolist()
    ours = target.logits(ROWS)
    ours = torch.stack([1 - ours[:, 1].sigmoid(), ours[:, 1].sigmoid()], 1) if binary else ours.softmax(1)
    assert np.allclose(ours.numpy(), odds, atol=1e-5)


def test_early_stopping_is_kept() -> None:
    model = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=2, learning_rate=0.9)
    model.fit(X[::2], Y[::2], eval_set=[(X[1::2], Y[1::2])], verbose=False)
    assert model.best_iteration < 199
    ours = boosted_target(model).logits(ROWS).softmax(1).numpy()
    assert np.allclose(ours, model.predict_proba(X), atol=1e-6)


def test_columns_go_into_the_models_own_order() -> None:
    import pandas as pd

    names = [f"c{at}" for at in range(COUNT)]
    model = RandomForestClassifier(10, random_state=0).fit(pd.DataFrame(X, columns=names), Y)
    turned = names[::-1]
    target = sklearn_target(model, columns=turned, probe=ROWS.flip(1))
    assert target.decide(ROWS.flip(1)).tolist() == model.predict(pd.DataFrame(X, columns=names)).tolist()
    with pytest.raises(InputError, match="wants the columns c0"):
        sklearn_target(model, columns=["other", *turned[:-1]], probe=ROWS)


def test_functions() -> None:
    weights = np.random.default_rng(0).normal(size=(COUNT, 3))
    scores = callable_target(lambda x: x @ weights, ROWS)
    assert (scores.access, scores.classes) == ("score", 3)
    assert np.allclose(scores.logits(ROWS).numpy(), X @ weights)
    labels = callable_target(lambda x: (x @ weights).argmax(1), ROWS, classes=3)
    assert (labels.access, labels.classes) == ("decision", 3)
    assert torch.equal(labels.decide(ROWS), scores.decide(ROWS))
    chance = callable_target(lambda x: 1 / (1 + np.exp(-(x[:, 0] - 13))), ROWS)
    assert np.allclose(chance.logits(ROWS)[:, 1].numpy(), X[:, 0] - 13)
    for wrong in (lambda x: x[:3], lambda x: [str(row) for row in x], lambda _x: 1 / 0):
        with pytest.raises(InputError, match="the function"):
            callable_target(wrong, ROWS)


def test_a_row_without_an_answer_has_none_and_its_neighbours_have_theirs() -> None:
    def touchy(x):
        if (x[:, 0] > 14.5).any():
            msg = "out of\nrange"
            raise ValueError(msg)
        out = np.stack([x[:, 0], x[:, 1]], 1)
        out[x[:, 0] < 11.5] = np.nan
        return out

    calm = ROWS[(ROWS[:, 0] <= 14.5)]
    target = callable_target(touchy, calm)
    said = target.decide(ROWS)
    none = (ROWS[:, 0] > 14.5) | (ROWS[:, 0] < 11.5)
    assert none.any()
    assert torch.equal(said == -1, none)
    target.decide(ROWS)
    assert [note for note in target.notes if "fails" in note] == ["it fails on some inputs, at first with ValueError: out of range"]


def test_what_names_a_function(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def build():\n    return lambda x: x\n\ndef twice(x):\n    return 2 * x\n")
    assert import_object(f"{path}:twice")(4) == 8
    assert import_object(f"{path}:build()")(4) == 4
    for text, yes in {
        "a.b:c": True,
        "m.py:f": True,
        "a:b()": True,
        "http://x:80": False,
        "model.pkl": False,
        "C:\\m": False,
    }.items():
        assert is_import(text) is yes, text
    with pytest.raises(UsageError, match="no 'none'"):
        import_object(f"{path}:none")
    with pytest.raises(UsageError, match="cannot be imported"):
        import_object("no_such_module_here:f")


def net(end=None):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(COUNT, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)]
    return torch.nn.Sequential(*layers, *([end] if end is not None else [])).eval()


def as_file(save) -> bytes:
    import io

    file = io.BytesIO()
    save(file)
    return file.getvalue()


def test_files_of_torch_give_the_same_network() -> None:
    network = net()
    due = network(ROWS.float()).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = as_file(lambda file: torch.jit.save(torch.jit.script(network), file))
        fixed = as_file(lambda file: torch.export.save(torch.export.export(network, (ROWS[:5].float(),)), file))
    pickled = as_file(lambda file: torch.save(network, file))
    assert [torch_kind(one) for one in (script, fixed, pickled, b"PK\x03\x04")] == ["script", "export", "pickle", ""]
    module, batch = open_exported(fixed, "m.pt2")
    assert batch == 5
    for found, size in ((open_script(script, "m"), 0), (module, batch), (open_pickled(pickled, "m"), 0)):
        target = network_target(found, ROWS, name="m", batch=size)
        assert torch.allclose(target.logits(ROWS), due, atol=1e-5)
        assert target.gradient(ROWS, lambda out: out[:, 0])[2].shape == ROWS.shape
    with pytest.raises(InputError, match="weights without the network"):
        open_pickled(as_file(lambda file: torch.save(network.state_dict(), file)), "m")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("shape", [(3, 9, 9), (7,)])
def test_what_a_network_says_of_a_wrong_shape_is_one_line(shape) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    for module in (net, torch.jit.script(net)):
        with pytest.raises(InputError) as caught:
            network_target(module, torch.zeros(4, *shape), name="net")
        said = caught.value.message
        assert f"inputs of shape {shape}" in said
        assert "(4, 1, 3, 3)" in said
        assert "conv2d" in said or "channels" in said
        assert "\n" not in said
        assert "Traceback" not in said
        assert len(said) < 400


def test_probabilities_become_their_logarithms() -> None:
    target = network_target(net(torch.nn.Softmax(1)), ROWS, name="m")
    assert torch.allclose(target.logits(ROWS).exp().sum(1), torch.ones(len(ROWS)), atol=1e-5)
    assert "probabilities" in target.notes[0]


def as_onnx(network) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return as_file(
            lambda file: torch.onnx.export(
                network, (ROWS[:2].float(),), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
            )
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("end", [None, torch.nn.Softmax(1)])
def test_onnx_is_white_box_where_the_conversion_agrees(end) -> None:
    import onnxruntime

    network = net(end)
    content = as_onnx(network)
    target = open_onnx(content, ROWS)
    assert target.access == "white", target.notes
    oracle = onnxruntime.InferenceSession(content).run(None, {"x": X.astype(np.float32)})[0]
    assert target.decide(ROWS).tolist() == oracle.argmax(1).tolist()
    x = ROWS.float().requires_grad_()
    (due,) = torch.autograd.grad(net()(x)[:, 0].sum(), x)
    assert torch.allclose(target.gradient(ROWS, lambda out: out[:, 0])[2].float(), due, atol=1e-4), "of the logits, not of softmax"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_without_a_conversion_stays_black_and_says_why() -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Hardmax", ["x"], ["y"], axis=1)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", COUNT])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", COUNT])
    model = helper.make_model(
        helper.make_graph([node], "g", [given], [gives]), opset_imports=[helper.make_opsetid("", 13)], ir_version=9
    )
    onnx.checker.check_model(model)
    target = open_onnx(model.SerializeToString(), ROWS)
    assert target.access == "score"
    assert "cannot be converted" in target.notes[0]
    assert target.decide(ROWS).tolist() == X.argmax(1).tolist()
    with pytest.raises(InputError):
        open_onnx(b"\x08nonsense", ROWS)
    with pytest.raises(InputError, match="the data has 4"):
        open_onnx(model.SerializeToString(), ROWS[:, :4])


@pytest.mark.filterwarnings("ignore")
def test_keras_gives_logits_and_gradients() -> None:
    from stannary.checks.target.keras_model import open_keras, use_keras

    keras = use_keras()
    model = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")])
    rows = torch.rand(20, 3, 4, 5)
    due = model(rows.movedim(1, -1), training=False).detach()
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "m.keras"))
        content = Path(folder, "m.keras").read_bytes()
    target = open_keras(content, rows)
    assert torch.allclose(target.logits(rows).softmax(1), due, atol=1e-5)
    assert not looks_bounded(target.logits(rows))
    assert target.gradient(rows, lambda out: out[:, 0])[2].abs().sum() > 0
    with pytest.raises(InputError, match="takes inputs of 4x5x3"):
        open_keras(content, torch.rand(5, 7))


def looks_bounded(out) -> bool:
    return bool(((out >= 0) & (out <= 1)).all())


def test_what_cannot_be_trained_again_is_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = as_file(lambda file: torch.export.save(torch.export.export(net(), (ROWS[:5].float(),)), file))
    for content, says in (
        (program, "an exported program cannot be trained again"),
        (as_onnx(net()), "an ONNX model cannot be trained again"),
        (b"nothing of the kind", "the file holds no model"),
    ):
        with pytest.raises(InputError, match=says):
            open_object(content, name="m")
