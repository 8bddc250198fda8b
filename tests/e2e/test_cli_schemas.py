"""Every JSON document that a command prints or writes holds to the schema of its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from stannary.checks.target.card import Compared, EvaluationResult, Model, Tool
from stannary.checks.target.statistics import rate
from stannary.cli.schema import SCHEMAS
from stannary.harden.card import HardeningResult
from stannary.testing.forges import make
from stannary.testing.simulators import FileSimulator

STANNARY = str(Path(sys.executable).with_name("stannary"))

# schema → the command that prints it, in a workspace where the steps of `place` were taken
PRINTS = {
    "job": "jobs add bom hf://org/model --format json",
    "jobs": "jobs list --format json",
    "bom": "bom model --format json",
    "bom-diff": "bom diff bom.json bom.json --format json",
    "bom-validation": "bom validate bom.json --format json",
    "accounts": "access user list --format json",
    "authority": "trust show --format json",
    "authority-audit": "trust audit --format json",
    "check": "access check ann read --format json",
    "config": "config show --format json",
    "deleted": "registry retain claims --keep 1 --older-than 1s --dry-run --format json",
    "difference": "registry diff claims:1 claims:2 --format json",
    "decision": "gate model --format json",
    "doctor": "doctor --format json",
    "evidence": "evidence list --format json",
    "federation": "access federate list --format json",
    "issued": "access token issue ann --format json",
    "keys": "keys list --format json",
    "kinds": "evidence kinds --format json",
    "ledger-audit": "ledger audit --format json",
    "ledger-keys": "ledger keys --format json",
    "ledger-head": "ledger head --format json",
    "ledger-proof": "ledger prove 1 --format json",
    "lineage": "lineage model --format json",
    "models": "registry list --format json",
    "promotion": "registry promote claims:1 production --format json",
    "recorded": "attest model --topic review --statement read --format json",
    "roles": "access roles --format json",
    "rule": "rule --format json",
    "scan": "scan model --format json",
    "sign": "sign signed --key own.pem --format json",
    "swept": "registry retain --sweep --dry-run --format json",
    "tainted": "lineage --tainted --format json",
    "tokens": "access token list --format json",
    "trust": "trust list --format json",
    "verify": "verify model --key own.pub --format json",
    "version": "registry show claims:1 --format json",
    "versions": "registry list claims --format json",
    "why": "why model --format json",
}


def run(folder, line, codes=(0,), **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")} | more
    done = subprocess.run(
        [STANNARY, *line.split()], cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in codes, (line, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a workspace with a signed model that was made from revoked data, recorded, stated about and decided on."""
    folder = tmp_path_factory.mktemp("schemas")
    for name in ("model", "signed"):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(make("safetensors.plain"))
    (folder / "data.csv").write_text("a,b\n1,2\n")
    for line in (
        "init --no-passphrase",
        "keys generate own.pem --no-passphrase",
        "trust init --no-passphrase",
        "sign model --key own.pem",
        "scan model --record --write-baseline baseline.json",
        "attest model --kind lineage --edge trained-from=data.csv",
        "gate model",
        "bom model -o bom.json",
        "registry push model claims",
        "registry push data.csv claims",
        "access user add ann",
        "access service add ci",
        "access federate add ci --issuer github --claim repository=team/models --as ci",
        "access federate people --issuer https://idp.example --client stannary",
        "access grant ann viewer",
        "access token issue ann --label schemas --action read",
        "attest data.csv --kind revocation --reason withdrawn --owner dpo",
    ):
        run(folder, line)
    return folder


def imported(folder):
    """Return what an import from a server prints that has a version and an alias."""
    api, files = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
    served = {
        f"{api}/model-versions/search": {"model_versions": [{"name": "fraud", "version": "7"}]},
        f"{api}/model-versions/get-download-uri": {"artifact_uri": "mlflow-artifacts:/1/m"},
        f"{api}/registered-models/get": {"registered_model": {"aliases": [{"alias": "champion", "version": "7"}]}},
        files: {"files": [{"path": "weights.bin", "is_dir": False, "file_size": 2}]},
        f"{files}/1/m/weights.bin": {},
    }
    with FileSimulator({path: json.dumps(answer).encode() for path, answer in served.items()}) as server:
        return json.loads(run(folder, "registry import mlflow:models/fraud --format json", MLFLOW_TRACKING_URI=server.url))


def printed_by(name, folder):
    """Return the document that schema NAME describes, as a command printed or wrote it."""
    if name == "baseline":
        return json.loads((folder / "baseline.json").read_text())
    if name == "import":
        return imported(folder)
    if name == "evaluate":  # the command takes torch, which is not here; what it writes is tried in tests/libraries/evaluate
        tool, model = Tool(version="0"), Model(path="m.onnx", name="m.onnx")
        return msgspec.json.decode(
            msgspec.json.encode(EvaluationResult(tool=tool, model=model, suite=("robustness",), seed=0, outcome="passed"))
        )
    if name == "harden":  # the same: tests/libraries/harden
        tool, model, half = Tool(version="0"), Model(path="m.pt", name="m.pt"), rate(5, 10)
        card = EvaluationResult(tool=tool, model=model, suite=("robustness",), seed=0, outcome="passed")
        same = Compared(before=half, after=half, gained=0, lost=0, difference=0.0, low=0.0, high=0.0, p=1.0)
        made = HardeningResult(
            tool=tool, method="trades", verdict="not shown", before=card, after=card, standing=same, accuracy=same
        )
        return msgspec.json.decode(msgspec.json.encode(made))
    if name == "shredding":  # of a workspace whose contents are encrypted
        other = folder / "encrypted"
        other.mkdir(exist_ok=True)
        for line in (
            "keys generate w.key --algorithm wrapping --no-passphrase",
            "init --no-passphrase --wrapping-key w.key",
            "registry push w.key team/m",
        ):
            run(other, line)
        return json.loads(run(other, "registry shred team --dry-run --format json"))
    if name == "statement":
        first = json.loads(run(folder, PRINTS["evidence"]))["evidence"][0]["id"]
        return json.loads(run(folder, f"evidence show {first}"))
    return json.loads(run(folder, PRINTS[name], codes=(0, 1)))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_holds_for_what_is_printed(name, place):
    schema = json.loads(run(place, f"schema {name}"))
    jsonschema.Draft202012Validator.check_schema(schema)
    printed = printed_by(name, place)
    jsonschema.validate(printed, schema)
    assert printed["schema"] == schema["title"] == f"stannary.{name}/1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**printed, "schema": "stannary.other/1"}, schema)
