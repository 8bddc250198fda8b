"""Models that the real libraries wrote: nothing to complain about, everything read, whatever is installed beside the scanner."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNVERIFIED = 0.05  # of the models, at most
HERE = Path(sys.executable).with_name("stannary")
BARE = ROOT / ".venv" / "bin" / "stannary"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return a folder of models made by the libraries of this environment: a subset of the corpus."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, str(ROOT / "benchmarks" / "corpus" / "benign.py"), str(folder), "--subset", "ci"]
    subprocess.run(command, check=True)
    return folder


def scan(program, folder):
    done = subprocess.run([program, "scan", folder, "--format", "json", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, 3}, done.stderr
    return json.loads(done.stdout)["targets"][0]


@pytest.fixture(scope="session")
def result(models):
    return scan(HERE, models)


def test_there_are_enough_of_them(result):
    assert len(result["files"]) >= 150


def test_none_raises_an_alarm(result):
    alarms = [finding for finding in result["findings"] if finding["severity"] in {"critical", "high", "medium"}]
    assert [(finding["file"], finding["rule"], finding["message"]) for finding in alarms] == []


def test_every_byte_is_read(result):
    assert [
        (file["path"], file.get("missed"), file.get("reason")) for file in result["files"] if file["verdict"] == "incomplete"
    ] == []


def test_few_hold_names_that_nobody_knows(result):
    unverified = [file["path"] for file in result["files"] if file["verdict"] == "unverified"]
    assert len(unverified) <= UNVERIFIED * len(result["files"]), unverified


def test_the_answer_does_not_depend_on_what_is_installed(models, result):
    assert scan(BARE, models)["findings"] == result["findings"]
