"""Corruptions, poses and patches as users ask for them; the worst cases held against the network itself."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from dataclasses import asdict

import jsonschema
import numpy as np
import pytest
import torch

from stannary.checks.robustness.corruptions import CORRUPTIONS, corrupted
from stannary.checks.robustness.spatial import ANGLES, pose
from stannary.checks.robustness.threat_settings import KINDS, read_threats, tag
from stannary.checks.robustness.threats import Beyond, beyond
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset, open_data
from stannary.checks.target.statistics import mean_rate
from stannary.checks.target.torch_file import network_target
from stannary.cli.schema import schema_of
from stannary.core.errors import InputError, UsageError

ALL = ("--threat", "corruptions", "--threat", "poses", "--threat", "patch")


def stannary(*arguments: object):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    line = [sys.executable, "-m", "stannary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300, check=False)


def network(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(folder / "net.pt")


def test_worst_cases_are_those_of_trying_everything(digits, tmp_path) -> None:
    page, out = tmp_path / "card.html", tmp_path / "card.json"
    given = (digits / "net.pt", "--data", digits / "digits.npz", "--preset", "smoke", "--samples", 120, "--eps", 0.05, "--seed", 2)
    done = stannary("evaluate", *given, *ALL, "--format", f"json={out}", "--format", f"html={page}", "--format", "table")
    assert done.returncode == 0, done.stderr
    card = json.loads(out.read_text())
    jsonschema.validate(card, schema_of("evaluate"))
    part, rows = card["robustness"], {row["metric"]: row for row in card["measurements"]}
    whole = open_data(digits / "digits.npz")
    data, net = whole.sample(120, 2), network(digits)
    bounds = (float(whole.x.min()), float(whole.x.max()))

    def right(x):
        return net(x).argmax(1) == data.y

    by_kind = torch.stack(
        [torch.stack([right(corrupted(data.x, name, s, seed=2, bounds=bounds)) for s in range(1, 6)]) for name in CORRUPTIONS]
    )
    assert rows["robustness.corruptions.worst"]["value"] == pytest.approx(float(by_kind.all(0).all(0).double().mean()))
    assert rows["robustness.corruptions.severity_2"]["value"] == pytest.approx(float(by_kind[:, 1].all(0).double().mean()))
    assert rows["robustness.corruptions.fog"]["value"] == pytest.approx(
        float(by_kind[list(CORRUPTIONS).index("fog")].all(0).double().mean())
    )
    assert rows["robustness.corruptions.mean"]["value"] == pytest.approx(float(by_kind.double().mean()))
    assert len(part["corruptions"]) == len(CORRUPTIONS) * 5
    in_all = torch.stack([right(pose(data.x, a, (d, r))) for a in ANGLES for d in (-1, 0, 1) for r in (-1, 0, 1)]).all(0)
    assert rows["robustness.poses.worst"]["value"] == pytest.approx(float(in_all.double().mean()))
    patch = part["patch"]
    assert patch["accuracy"]["n"] == 120
    assert patch["success"]["n"] == round(part["clean"]["value"] * 120)
    assert patch["accuracy"]["value"] == pytest.approx(part["clean"]["value"] * (1 - patch["success"]["value"]))
    assert patch["success"]["value"] > patch["noise"]["value"]
    for row in rows.values():
        assert row["low"] <= row["value"] <= row["high"]
    assert {"corruptions", "poses", "patch"} <= {run["id"] for run in part["attacks"]}
    assert sum(run["queries"] for run in part["attacks"]) <= card["queries"]
    assert "AML.T0041" in card["atlas"]
    html = page.read_text()
    assert all(f'id="{section}"' in html for section in ("corruptions", "patch", "examples"))
    assert "right in every pose" in done.stdout


def test_a_policy_bounds_them_and_tables_have_none(digits, cancer, tmp_path) -> None:
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    given = (digits / "net.pt", "--data", digits / "digits.npz", "--preset", "smoke", "--samples", 60, "--eps", 0.05)
    assert stannary("evaluate", *given, "--threat", "corruptions", "--record", "--workspace", space).returncode == 0
    policy = tmp_path / "natural.yaml"
    for most, rc in ((0.05, 0), (0.99, 1)):
        policy.write_text(
            "name: natural\nrequire:\n- kind: eval-result\n  check: robustness\n  measures:\n"
            f"  - metric: robustness.corruptions.mean\n    min: {most}\n    min_samples: 60\n"
        )
        gate = stannary("gate", digits / "net.pt", "--policy", policy, "--workspace", space)
        assert gate.returncode == rc, gate.stdout + gate.stderr
    table = stannary("evaluate", cancer / "forest.joblib", "--data", cancer / "test.csv", "--preset", "smoke", "--threat", "poses")
    assert table.returncode == 3
    assert "of pictures" in table.stderr
    other = stannary("evaluate", *given, "--suite", "backdoor", "--threat", "poses")
    assert other.returncode == 2
    assert "--threat, --attack, --surrogate and --against are of --suite robustness" in other.stderr


def _data(digits):
    whole = open_data(digits / "digits.npz")
    return whole, whole.sample(80, 0)


def test_a_spent_budget_says_which_threat_was_not_measured(digits) -> None:
    whole, data = _data(digits)
    target = Counting(network_target(network(digits), data.x[:8], name="net"), budget=700)
    found = beyond(target, data, whole, Beyond(read_threats(("corruptions", "poses", "patch")), preset="smoke"))
    assert [text.partition(":")[0] for text in found.incomplete] == ["corruptions", "poses", "patch"]
    assert not found.fields
    assert target.spend.queries <= 700


def test_a_patch_takes_gradients_and_silence_is_told(digits) -> None:
    whole, data = _data(digits)

    blind = Counting(network_target(network(digits), data.x[:8], name="net"))
    blind.access = "score"
    found = beyond(blind, data, whole, Beyond(read_threats(("patch",))))
    assert "takes gradients" in found.incomplete[0]

    class Silent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network(digits)

        def forward(self, x):
            return torch.where(x.mean((1, 2, 3)) < 0.1, math.nan, 1.0)[:, None] * self.net(x)

    found = beyond(Counting(network_target(Silent(), data.x[:8], name="net")), data, whole, Beyond(read_threats(("corruptions",))))
    assert "no answer" in found.incomplete[0]
    table = Dataset(data.x.flatten(1), data.y, (), "", data.label_names)
    with pytest.raises(InputError, match="pictures"):
        beyond(blind, table, table, Beyond(read_threats(("poses",))))


def test_settings_are_in_the_card_in_the_evidence_and_in_the_names_that_policies_bound(digits, tmp_path) -> None:
    space = tmp_path / "space"
    assert stannary("init", space).returncode == 0
    given = (digits / "net.pt", "--data", digits / "digits.npz", "--preset", "smoke", "--samples", 60, "--eps", 0.05)
    hard = ("corruptions:kinds=fog+contrast,severity=2", "poses:degrees=10,shift=0", "patch:size=0.25,places=3,steps=20")
    threats = [word for one in hard for word in ("--threat", one)]
    done = stannary("evaluate", *given, *threats, "--format", "json", "--record", "--workspace", space)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    jsonschema.validate(card, schema_of("evaluate"))
    part, names = card["robustness"], {row["metric"] for row in card["measurements"]}
    assert names >= {
        "robustness.corruptions.severity_2.kinds_contrast+fog",
        "robustness.corruptions.worst.kinds_contrast+fog.to_severity_2",
        "robustness.poses.worst.degrees_10.shift_0",
        "robustness.patch.success.size_0.25.places_3.steps_20",
    }
    assert not names & {"robustness.patch.accuracy", "robustness.poses.worst", "robustness.corruptions.mean"}
    assert part["patch"]["side"] == 2
    assert len(part["corruptions"]) == 4
    assert part["beyond"]["poses"] == {"degrees": 10, "shift": 0}
    turned = next(run for run in part["attacks"] if run["id"] == "poses")
    assert turned["params"] == {"degrees": 10, "pixels": 0, "poses": 11}
    whole = open_data(digits / "digits.npz")
    data, net = whole.sample(60, 0), network(digits)
    right = torch.stack([net(pose(data.x, angle)).argmax(1) == data.y for angle in range(-10, 11, 2)]).all(0)
    assert part["poses"]["value"] == pytest.approx(float(right.double().mean()))
    for metric, verdict in (("robustness.patch.success.size_0.25.places_3.steps_20", 0), ("robustness.patch.success", 1)):
        policy = tmp_path / "policy.yaml"
        measure = f"  - metric: {metric}\n    max: 1\n"
        policy.write_text(f"name: patched\nrequire:\n- kind: eval-result\n  check: robustness\n  measures:\n{measure}")
        gate = stannary("gate", digits / "net.pt", "--policy", policy, "--workspace", space)
        assert gate.returncode == verdict, gate.stdout + gate.stderr


def test_the_usual_settings_have_the_usual_names_and_all_kinds_are_known() -> None:
    assert tuple(CORRUPTIONS) == KINDS
    for name, settings in read_threats(("patch:size=0.3", "poses", "corruptions:severity=5")).items():
        assert tag(name, asdict(settings)) == ""
    many = read_threats((f"corruptions:kinds={'+'.join(KINDS[:-1])}",))["corruptions"]
    assert len(tag("corruptions", asdict(many))) < 30


@pytest.mark.parametrize(
    "text, says",
    [
        ("glasses", "there is no 'glasses' (there are corruptions, poses, patch)"),
        ("patch:side=3", "there is no setting 'side' (there are size, places, steps)"),
        ("patch:size=0", "size lies above 0 and up to 0.9"),
        ("patch:size=nan", "size lies above 0"),
        ("patch:places=1.5", "places is a number"),
        ("patch:size=0.1,size=0.2", "size is given twice"),
        ("poses:degrees", "degrees is a number, as degrees=30.0"),
        ("corruptions:kinds=fog+smog", "there is no corruption smog"),
        ("corruptions:severity=6", "severity lies from 1 to 5"),
    ],
)
def test_settings_that_are_none_are_refused(text, says) -> None:
    with pytest.raises(UsageError) as caught:
        read_threats(("poses", text) if not text.startswith("poses") else (text,))
    assert says in str(caught.value)


def test_one_threat_has_one_set_of_settings() -> None:
    with pytest.raises(UsageError, match="given twice"):
        read_threats(("patch", "patch:size=0.1"))


def test_the_interval_of_a_mean_covers_it_and_narrows() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        values = (rng.random(40) < 0.3) * rng.random(40)
        found = mean_rate(values.tolist())
        missed += not found.low <= 0.15 <= found.high
    assert missed <= 20
    few, many = mean_rate([0.2, 0.4] * 10), mean_rate([0.2, 0.4] * 1000)
    assert few.low < many.low < 0.3 < many.high < few.high
    assert mean_rate([1.0] * 50).high == 1.0
    assert mean_rate([0.0] * 50).low == 0.0
    assert mean_rate([0.0] * 50).high == pytest.approx(1 - 0.025 ** (1 / 50))
    with pytest.raises(UsageError):
        mean_rate([1.2])
