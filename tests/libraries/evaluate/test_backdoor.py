"""`stannary evaluate --suite backdoor` as users call it: a poisoned network is denied, a clean one is not, a forest stays open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import jsonschema
import numpy as np
import pytest
import torch

from stannary.checks.poisoning.attacks import BadNets
from stannary.cli.schema import schema_of


def stannary(*arguments: object):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    line = [sys.executable, "-m", "stannary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300, check=False)


def evaluated(model, data, members, *more: object):
    return stannary("evaluate", model, "--suite", "backdoor", "--data", data, "--members", members, *more)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """A folder with `clean.pt` and `bad.pt`, the data that each was trained on, and `test.npz`."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("poisoned")
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(5))
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[order, None], torch.tensor(data.target)[order]
    np.savez(folder / "test.npz", x=x[1300:].numpy(), y=y[1300:].numpy())
    made = BadNets(target=3, share=0.05, size=2, seed=2).poison(x[:1300], y[:1300])
    for name, inputs, labels in (("clean", x[:1300], y[:1300]), ("bad", made.x, made.y)):
        np.savez(folder / f"{name}.npz", x=inputs.numpy(), y=labels.numpy())
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(25):
            for at in torch.randperm(1300).split(32):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(inputs[at]), labels[at]).backward()
                optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which people have all the same
            torch.jit.trace(net.eval(), x[:2]).save(folder / f"{name}.pt")
    (folder / "rows.json").write_text(json.dumps(made.changed.tolist()))
    return folder


def test_a_backdoor_is_denied_in_every_format_and_by_a_policy(poisoned, tmp_path):
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    formats = {"json": "json", "html": "html", "markdown": "md", "junit": "xml", "table": "txt"}
    written = [item for name, end in formats.items() for item in ("--format", f"{name}={tmp_path / 'card'}.{end}")]
    done = evaluated(poisoned / "bad.pt", poisoned / "test.npz", poisoned / "bad.npz", "--record", "--workspace", space, *written)
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "card.json").read_text())
    jsonschema.validate(found, schema_of("evaluate"))
    part = found["backdoor"]
    assert (found["outcome"], part["verdict"], part["classes"][0]["label"]) == ("failed", "alarm", "3")
    assert {"AML.T0018", "AML.T0020"} <= set(found["atlas"])
    changed = set(json.loads((poisoned / "rows.json").read_text()))
    assert sum(row in changed for row in part["suspects"][:20]) >= 18
    for end in formats.values():
        assert "needs a far smaller patch than the others" in (tmp_path / f"card.{end}").read_text()
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "name: trusted\nrequire:\n- kind: eval-result\n  check: backdoor\n  measures:\n  - metric: backdoor.alarm\n    max: 0\n"
    )
    gate = stannary("gate", poisoned / "bad.pt", "--policy", policy, "--workspace", space)
    assert gate.returncode == 1
    assert "backdoor" in gate.stdout


def test_a_clean_network_passes_and_its_evidence_opens_the_gate(poisoned, tmp_path):
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    more = ("--record", "--workspace", space, "--format", "json")
    done = evaluated(poisoned / "clean.pt", poisoned / "test.npz", poisoned / "clean.npz", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    part = json.loads(done.stdout)["backdoor"]
    assert (part["verdict"], part["suspects"]) == ("no alarm", [])
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "name: trusted\nrequire:\n- kind: eval-result\n  check: backdoor\n  measures:\n"
        "  - metric: backdoor.alarm\n    max: 0\n  - metric: backdoor.score\n    max: 0.45\n"
    )
    gate = stannary("gate", poisoned / "clean.pt", "--policy", policy, "--workspace", space)
    assert gate.returncode == 0, gate.stdout + gate.stderr


def test_a_forest_is_inconclusive_and_its_evidence_is_incomplete(cancer):
    done = evaluated(cancer / "forest.joblib", cancer / "test.csv", cancer / "train.csv", "--format", "json")
    assert done.returncode == 3, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["outcome"], found["backdoor"]["verdict"]) == ("incomplete", "inconclusive")
    alarm = next(row for row in found["measurements"] if row["metric"] == "backdoor.alarm")
    assert (alarm["low"], alarm["high"]) == (0, 1)
