"""`stannary harden` as users call it: a model file in, a better one out, judged, refused, booked and signed."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings

import jsonschema
import numpy as np
import pytest
import torch

from stannary.cli.schema import schema_of
from stannary.harden.methods import METHODS

NEEDS_OPACUS = pytest.mark.skipif(importlib.util.find_spec("opacus") is None, reason="Opacus is not installed")


def stannary(*arguments: object, cwd=None, **variables: str):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | variables
    line = [sys.executable, "-m", "stannary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300, check=False)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, digits, trained):
    """A folder with the trained network as `net.pt` (whole) and `script.pt`, `train.npz` and `test.npz`."""
    made = tmp_path_factory.mktemp("harden")
    x, y, test_x, test_y = digits
    np.savez(made / "train.npz", x=x.numpy(), y=y.numpy())
    np.savez(made / "test.npz", x=test_x.numpy(), y=test_y.numpy())
    torch.save(trained, made / "net.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, which people have all the same
        torch.jit.trace(trained, x[:2]).save(made / "script.pt")
    return made


def harden(folder, output, *more: object, rc: int, model: str = "net.pt", **variables):
    given = (folder / model, "--data", folder / "train.npz", "--test", folder / "test.npz", "--save", output)
    done = stannary("harden", *given, "--format", "json", *more, **variables)
    assert done.returncode == rc, done.stderr
    return json.loads(done.stdout), done


def test_a_trained_network_is_hardened_and_the_file_stands_what_was_said(folder, tmp_path) -> None:
    more = ("--method", "trades", "--eps", 0.1, "--epochs", 15, "--rate", 3e-3, "--preset", "gate")
    found, _ = harden(folder, tmp_path / "new.pt", *more, rc=0)
    jsonschema.validate(found, schema_of("harden"))
    assert found["verdict"] == "hardened"
    standing = found["standing"]
    assert 0 < standing["low"] <= standing["difference"] <= standing["high"]
    assert standing["gained"] - standing["lost"] == round(standing["difference"] * standing["after"]["n"])
    assert found["parameters"]["beta"] == 6.0
    assert [row["batch"] for row in found["latency"]] == [1, 64]
    # the file is a model that `evaluate` opens and finds to be what hardening said of it
    again = stannary(
        "evaluate", tmp_path / "new.pt", "--data", folder / "test.npz", "--preset", "gate", "--eps", 0.1, "--samples", 300,
        "--format", "json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    card = json.loads(again.stdout)
    assert card["model"]["digest"] == found["after"]["model"]["digest"]
    assert abs(card["robustness"]["robust"]["value"] - standing["after"]["value"]) <= 0.03


def test_a_model_that_lost_its_accuracy_is_not_hardened(folder, tmp_path) -> None:
    """What decides nearly the same for everything cannot be attacked, and is of no use."""
    more = ("--method", "adversarial-training", "--eps", 0.25, "--epochs", 10, "--rate", 0.03, "--preset", "gate", "--samples", 300)
    found, _ = harden(folder, tmp_path / "new.pt", *more, "--max-accuracy-loss", 0.05, rc=1)
    assert found["standing"]["low"] > 0, "by the attacks alone it would be"
    assert found["verdict"] == "too costly"
    assert found["max_accuracy_loss"] == 0.05
    assert found["accuracy"]["difference"] < -0.05
    assert found["accuracy"]["high"] < 0
    jsonschema.validate(found, schema_of("harden"))


def test_quick_attacks_show_no_hardening(folder, tmp_path) -> None:
    found, _ = harden(
        folder, tmp_path / "new.pt", "--method", "free", "--eps", 0.1, "--epochs", 20, "--preset", "smoke", rc=1, model="script.pt"
    )
    assert found["standing"]["low"] > 0
    assert found["verdict"] == "not shown"
    assert any("too weak" in text for text in found["notes"])


def test_what_is_trained_on_judges_nothing(folder, tmp_path) -> None:
    given = (folder / "net.pt", "--data", folder / "train.npz", "--save", tmp_path / "new.pt", "--method", "free", "--epochs", 1)
    more = ("--preset", "smoke", "--samples", 40, "--format", "json", "--exit-zero")
    same = stannary("harden", *given, *more, "--test", folder / "train.npz")
    assert same.returncode not in (0, 1)
    assert "all 1297 test samples are in the training data" in same.stderr
    assert not (tmp_path / "new.pt").exists()

    train, test = np.load(folder / "train.npz"), np.load(folder / "test.npz")
    mixed = {name: np.concatenate((train[name][:300], test[name][:80])) for name in ("x", "y")}
    np.savez(tmp_path / "mixed.npz", **mixed)
    done = stannary("harden", *given, *more, "--test", tmp_path / "mixed.npz")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["accuracy"]["before"]["n"] == 80
    assert any("300 of 380 test samples are in the training data" in text for text in found["notes"])


@pytest.mark.parametrize("method", ["squeeze", "distill", "output-perturbation"])
def test_what_masks_is_never_called_hardened(folder, tmp_path, method: str) -> None:
    found, _ = harden(folder, tmp_path / "new.pt", "--method", method, "--preset", "smoke", "--epochs", 3, "--exit-zero", rc=0)
    assert found["verdict"] == "masking"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = torch.jit.load(tmp_path / "new.pt") if method != "distill" else torch.load(tmp_path / "new.pt", weights_only=False)
    assert new(torch.rand(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("method", ["smoothing", "ensemble"])
def test_wrappers_become_files_that_need_nothing_of_ours(folder, tmp_path, method: str) -> None:
    more = ("--preset", "smoke", "--epochs", 3, "--norm", "l2", "--eps", 0.3, "--samples", 60, "--exit-zero")
    settings = ("--set", "votes=20") if method == "smoothing" else ("--set", "members=2")
    found, _ = harden(folder, tmp_path / "new.pt", "--method", method, *more, *settings, rc=0, model="script.pt")
    plain = "import torch, sys; print(tuple(torch.jit.load(sys.argv[1])(torch.rand(5, 1, 8, 8)).shape))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", plain, tmp_path / "new.pt"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(5, 10)"
    if method == "smoothing":
        certified = found["after"]["robustness"]["certified"]
        assert 0 < certified["value"] <= found["after"]["robustness"]["robust"]["high"]


@NEEDS_OPACUS
def test_privacy_is_spent_on_the_ledger_and_not_twice(folder, tmp_path) -> None:
    assert stannary("init", cwd=tmp_path).returncode == 0
    given = ("--method", "dp-sgd", "--set", "epsilon=3", "--epochs", 2, "--record", "--max-epsilon", 4, "--exit-zero")
    data = (folder / "net.pt", "--data", folder / "train.npz", "--test", folder / "test.npz")
    first = stannary("harden", *data, *given, "--save", "one.pt", "--format", "json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    spent = json.loads(first.stdout)["privacy"]
    assert 0 < spent["epsilon"] <= 3
    second = stannary("harden", *data, *given, "--save", "two.pt", cwd=tmp_path)
    assert second.returncode == 1
    assert "does not fit" in second.stderr
    assert not (tmp_path / "two.pt").exists()
    lineage = stannary("lineage", "one.pt", "--format", "json", cwd=tmp_path)
    relations = {edge["relation"] for edge in json.loads(lineage.stdout)["above"]}
    assert {"fine-tuned-from", "trained-from"} <= relations
    kinds = {row["kind"] for row in json.loads(stannary("evidence", "list", "--format", "json", cwd=tmp_path).stdout)["evidence"]}
    assert {"privacy-spend", "training-run", "eval-result"} <= kinds


@NEEDS_OPACUS
def test_a_leak_that_is_there_is_closed_and_both_curves_are_drawn_as_measured(digits, tmp_path) -> None:
    """A network that has learned wrong labels by heart tells its rows; trained with noise, it does not."""
    x, y, test_x, test_y = digits
    torch.manual_seed(0)
    wrong, test_y = (torch.where(torch.rand(len(a)) < 0.4, torch.randint(0, 10, (len(a),)), a) for a in (y[:500], test_y))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(150):
        for at in torch.randperm(500).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), wrong[at]).backward()
            optimizer.step()
    torch.save(net.eval(), tmp_path / "net.pt")
    np.savez(tmp_path / "train.npz", x=x[:500].numpy(), y=wrong.numpy())
    np.savez(tmp_path / "test.npz", x=test_x.numpy(), y=test_y.numpy())
    page = tmp_path / "page.html"
    more = ("--method", "dp-sgd", "--set", "epsilon=3", "--epochs", 10, "--rate", 0.01, "--format", f"html={page}")
    found, _ = harden(tmp_path, tmp_path / "new.pt", *more, rc=0)
    before, after = (found[side]["privacy"] for side in ("before", "after"))
    assert before["auc"]["low"] > 0.6
    assert after["auc"]["low"] < 0.55, "what is left is what these 600 rows cannot tell from none"
    assert after["auc"]["high"] < before["auc"]["low"] - 0.05
    assert found["verdict"] == "hardened"
    text = page.read_text(encoding="utf-8")
    for side, measured in (("before", before["roc"]), ("after", after["roc"])):
        plot = text.partition(f'id="roc-{side}"')[2].partition("</svg>")[0]
        drawn = re.findall(r'class="curve" points="([^"]+)"', plot)
        assert len(drawn) == 1, side
        places = [tuple(map(float, pair.split(","))) for pair in drawn[0].split()]
        # Three decades along each axis: 454 wide from x = 52, 242 high from y = 256.
        read = [(10 ** ((along - 52) / 454 * 3 - 3), 10 ** ((256 - up) / 242 * 3 - 3)) for along, up in places]
        assert np.allclose(read, sorted((max(f, 1e-3), max(t, 1e-3)) for f, t in measured), rtol=0.01), side


def test_what_cannot_be_hardened_is_said_and_nothing_is_written(folder, tmp_path) -> None:
    data = ("--data", folder / "train.npz", "--save", tmp_path / "new.pt")
    unknown = stannary("harden", folder / "net.pt", "--method", "trades", "--set", "gamma=1", *data)
    assert unknown.returncode == 2
    assert "no setting 'gamma'" in unknown.stderr
    nowhere = stannary("harden", folder / "net.pt", "--method", "trades", "--data", folder / "train.npz", "--save", "none/new.pt")
    assert nowhere.returncode == 2
    assert "folder is not there" in nowhere.stderr
    over = stannary("harden", folder / "net.pt", "--method", "trades", "--data", folder / "train.npz", "--save", folder / "net.pt")
    assert over.returncode == 2
    assert "written over" in over.stderr
    layers = stannary("harden", folder / "script.pt", "--method", "distill", *data)
    assert layers.returncode == 3
    assert "TorchScript" in layers.stderr
    unbooked = stannary("harden", folder / "net.pt", "--method", "dp-sgd", "--max-epsilon", 3, *data)
    assert unbooked.returncode == 2
    assert "--record" in unbooked.stderr
    bomb = tmp_path / "bomb.pkl"
    bomb.write_bytes(b"cposix\nsystem\n(S'echo never'\ntR.")
    refused = stannary("harden", bomb, "--method", "trades", *data)
    assert refused.returncode == 1
    assert "never" not in refused.stdout
    wrong = tmp_path / "list.pkl"
    wrong.write_bytes(pickle.dumps([1, 2, 3]))
    assert stannary("harden", wrong, "--method", "trades", *data).returncode == 3
    assert not (tmp_path / "new.pt").exists()


class _Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/score":
            self.send_error(501)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"scores": [0.5, 0.5]}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("path", ["score", "answers"])
def test_an_endpoint_cannot_be_trained_and_what_can_is_said(folder, tmp_path, path: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/{path}"
        done = stannary("harden", address, "--method", "trades", "--data", folder / "train.npz", cwd=tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 2
    assert "an endpoint cannot be trained" in done.stderr
    assert "TorchScript, a pickled module or classifier" in done.stderr
    assert f"stannary evaluate {address} --request FILE" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_offers_every_method(folder) -> None:
    said = stannary("harden", folder / "net.pt", "--method", "?", "--data", "x").stderr
    assert all(name in said for name in METHODS)


def test_a_network_on_a_table_is_hardened_in_standard_deviations(tmp_path) -> None:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    frame.iloc[:400].to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[400:].to_csv(tmp_path / "test.csv", index=False)
    x, y = torch.tensor(frame.iloc[:400, :-1].to_numpy(np.float32)), torch.tensor(frame["target"].iloc[:400].to_numpy())
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    torch.save(net.eval(), tmp_path / "net.pt")
    done = stannary(
        "harden", tmp_path / "net.pt", "--method", "adversarial-training", "--data", tmp_path / "train.csv", "--test",
        tmp_path / "test.csv", "--samples", 40, "--preset", "gate", "--epochs", 5, "--save", tmp_path / "new.pt", "--exit-zero",
        "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["standing"]["after"]["n"] > 0
    assert found["accuracy"]["after"]["value"] > 0.85
    new = torch.load(tmp_path / "new.pt", weights_only=False)  # the same module, without what scaled its inputs in training
    assert type(new) is torch.nn.Sequential


def test_trees_are_trained_anew_or_kept_and_never_called_hardened_without_proof(tmp_path) -> None:
    import joblib
    import xgboost
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    frame.iloc[:400].to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[400:].to_csv(tmp_path / "test.csv", index=False)
    model = xgboost.XGBClassifier(n_estimators=15, max_depth=3, n_jobs=1).fit(frame.iloc[:400, :-1], frame["target"].iloc[:400])
    joblib.dump(model, tmp_path / "trees.joblib")
    model.save_model(tmp_path / "trees.ubj")
    given = ("--method", "tree-robust", "--data", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--samples", 40)
    more = ("--set", "samples=40", "--preset", "smoke", "--exit-zero", "--save", tmp_path / "new.joblib", "--format", "json")
    done = stannary("harden", tmp_path / "trees.joblib", *given, *more)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "not shown"  # by quick attacks nothing is
    assert found["accuracy"]["after"]["value"] > 0.85
    assert type(joblib.load(tmp_path / "new.joblib")) is xgboost.XGBClassifier
    page = ("--format", f"html={tmp_path / 'page.html'}")
    own = stannary("harden", tmp_path / "trees.ubj", *given, *more[:5], "--save", tmp_path / "new.ubj", *more[-2:], *page)
    assert own.returncode == 0, own.stderr
    assert "read off" in own.stdout or "returned as it was" in own.stdout  # what was guessed is said
    assert xgboost.Booster(model_file=tmp_path / "new.ubj").num_boosted_rounds() == 15
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<polyline") == 2
    assert "http" not in text.replace("http-equiv", "")
    network = stannary("harden", tmp_path / "trees.joblib", "--method", "trades", *given[2:])
    assert network.returncode == 3
    assert "tree-robust" in network.stderr
