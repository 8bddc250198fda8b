"""The demo's act about attacks: a credit model on real data, its cheapest evasion, the model hardened, compared, gated."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from stannary.cli.demo_chain import inside, say
from stannary.cli.demo_chain import step as shown_step
from stannary.cli.demo_table import Credit, missing, packaged, read
from stannary.core.errors import Bug
from stannary.report.escape import inline

__all__ = ["VARIABLE", "credit_act", "train"]

VARIABLE = "STANNARY_DEMO_CREDIT"
step = functools.partial(shown_step, apart=True)
_MODEL, _HARDENED = "credit.ubj", "credit-hard.ubj"
_EPS, _SAMPLES, _LEAST = "0.2", "200", 0.3
_TRAIN, _TEST = 6000, 1000
_FIXED = ("LIMIT_BAL", "SEX", "AGE", "EDUCATION", "MARRIAGE")  # nobody who asks for credit changes these
_POLICY = f"""\
name: credit
description: What a credit model has to stand before it decides about anybody.
extends: baseline
require:
  - kind: eval-result
    check: robustness
    measures:
      - metric: robustness.l2.eps_{_EPS}
        min: {_LEAST}
        min_samples: 100
"""


def credit_act(folder: Path, given: str | None) -> None:
    """Attack a credit model, harden it and gate both; or say in a line what that needs and is not there.

    Args:
        folder: the demo's, with its workspace.
        given: the file with the data, as the caller named it.

    Raises:
        UsageError: the file that was named is not the data.
        Bug: a step does not do what it says.
    """
    name = given or os.environ.get(VARIABLE) or packaged()
    lacking = missing(name)
    if lacking:
        click.echo(f"\nThe act in which a credit model is attacked and hardened was left out: {lacking}\n")
        return
    credit = read(Path(name))
    say(
        f"Now an attack. {len(credit.rows):,} real holders of credit cards (Yeh and Lien 2009), as many who did not pay as who\n"
        "did, and boosted trees that decide who is refused (1). Bills and payments can be arranged; who somebody is cannot."
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small batches: threads would wait for each other, on a busy machine for long
    with inside(folder):
        _trained(credit)
        step("scan", _MODEL, "--record", quiet=True)
        step("evaluate", _MODEL, "--data", "test.csv", "--target", credit.label, "--write-domain", "domain.yaml", quiet=True)
        _fix_columns(Path("domain.yaml"))
        attack = ("--target", credit.label, "--domain", "domain.yaml", "--eps", _EPS, "--preset", "gate", "--samples", _SAMPLES)
        written = ("--format", "table", "--format", "json=card.json", "--format", "html=card.html")
        step("evaluate", _MODEL, "--data", "test.csv", *attack, *written, "--record")
        _show_cheapest(Path("card.json"))
        Path("credit.yaml").write_text(_POLICY, encoding="utf-8")
        step("gate", _MODEL, "--policy", "credit.yaml", code=(0, 1))
        say("Now it is trained again so that this is harder, and both are attacked alike, on people neither was trained on:")
        less = ("--set", "samples=200", "--set", "copies=1", "--epochs", "1")  # of the search for a way to train: a demo is short
        written = ("--format", "table", "--format", "json=hardening.json", "--format", "html=hardening.html")
        data = ("--data", "train.csv", "--test", "test.csv", "--save", _HARDENED)
        made = step("harden", _MODEL, "--method", "tree-robust", *data, *attack, *less, *written, "--record", code=(0, 1))
        if made:
            say(
                "The interval of the difference does not show it, so it is not called hardened. What was measured is on the ledger."
            )
        step("scan", _HARDENED, "--record", quiet=True)
        allowed = step("gate", _HARDENED, "--policy", "credit.yaml", code=(0, 1)) == 0
        says = "goes by the worse end of the interval, not by the word hardened"
        say(f"The policy {'lets it through' if allowed else 'keeps it out'}: it {says}.")


def _trained(credit: Credit) -> None:
    """Write `train.csv`, `test.csv` and the model, which is trained on the first."""
    credit.write(Path("train.csv"), credit.rows[:_TRAIN])
    credit.write(Path("test.csv"), credit.rows[_TRAIN : _TRAIN + _TEST])
    # In a process of its own: whoever has trained has threads, and what is forked off it for the guard would wait for them.
    code = f"from {__name__} import train; train()"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        msg = f"the credit model could not be trained: {done.stderr.strip()[-500:]}"
        raise Bug(msg, code="DEMO002", help="please report it, with the output of `stannary doctor`")


def train() -> None:
    """Train the model of the act on `train.csv` of the current folder, and write it there."""
    np: Any = importlib.import_module("numpy")
    xgboost: Any = importlib.import_module("xgboost")
    table = np.loadtxt("train.csv", delimiter=",", skiprows=1, dtype=np.float64)
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1, random_state=0)
    model.fit(table[:, :-1], table[:, -1].astype(int)).save_model(_MODEL)


def _fix_columns(path: Path) -> None:
    """Edit the inferred domain as a user would: the columns that nobody can change become immutable."""
    names = "|".join(_FIXED)
    text, count = re.subn(
        rf"^(  (?:{names})(?:_\d+)?: {{)(.*)}}$", r"\1\2, immutable: true}", path.read_text("utf-8"), flags=re.MULTILINE
    )
    if count < len(_FIXED):
        msg = f"{count} columns of the domain became immutable, which are not all"
        raise Bug(msg, code="DEMO002", help="please report it, with the output of `stannary doctor`")
    path.write_text(text, encoding="utf-8")


def _show_cheapest(card: Path) -> None:
    """Say what the person who is refused changes least to be accepted, from the report card."""
    examples = json.loads(card.read_text(encoding="utf-8"))["robustness"]["examples"]
    refused = [one for one in examples if one["label"] == "1" and one["changes"]]
    if not refused:
        say("Nobody who is refused, among those shown, gets accepted by a change.")
        return
    cheapest = min(refused, key=lambda one: float(one["distance"]))
    lines = [f"{inline(one['column'])}: {one['before']:,g} → {one['after']:,g}" for one in cheapest["changes"]]
    how_far = f"{cheapest['distance']:.2g} standard deviations in all"
    say(f"The cheapest way from refused to accepted, of person {cheapest['sample']}, {how_far}:\n  " + "\n  ".join(lines))
