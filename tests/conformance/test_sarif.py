"""Microsoft's validator of SARIF finds no error in what `stannary scan` reports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stannary
from stannary.checks.static import ruleset
from stannary.core.clock import system_clock
from stannary.report.interface import Context, renderer
from stannary.testing.forges import all_forges, write

PER_FAMILY = 2


@pytest.fixture(scope="module")
def multitool(oracles) -> Path:
    program = oracles.parent / "npm/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool"
    if not (sys.platform.startswith("linux") and program.exists()):
        pytest.skip("NOT VALIDATED by @microsoft/sarif-multitool: it is for Linux, or `./dev test` found no npm to install it with")
    program.chmod(0o755)  # what its install script would do: none is run
    return program


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Write the report of hostile files of every family."""
    folder = tmp_path_factory.mktemp("sarif")
    taken: dict[str, int] = {}
    for name, forge in sorted(all_forges().items()):
        if taken.setdefault(forge.family, 0) < PER_FAMILY and forge.malicious:
            taken[forge.family] += 1
            write(name, folder / "files" / name)
    result = stannary.scan(folder / "files")
    now = system_clock()
    context = Context(
        rules=ruleset.load().rules,
        fail_on="medium",
        exit_code=1,
        show="all",
        started=now,
        finished=now,
        command=("stannary", "scan"),
    )
    path = folder / "scan.sarif"
    path.write_text(renderer("sarif")(result, context), encoding="utf-8")
    return path


def validate(multitool: Path, path: Path) -> list[dict[str, object]]:
    found = path.with_suffix(".found.sarif")
    command = [multitool, "validate", path, "--output", found, "--level", "Error;Warning;Note"]
    env = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, timeout=300, check=False)
    assert found.exists(), run.stdout + run.stderr
    return json.loads(found.read_text(encoding="utf-8-sig"))["runs"][0]["results"]


def test_a_report_of_every_family_has_no_error(multitool, report):
    assert len(json.loads(report.read_text(encoding="utf-8"))["runs"][0]["results"]) > 100
    assert [found for found in validate(multitool, report) if found.get("level") == "error"] == []


def test_the_validator_would_say_so(multitool, report, tmp_path):
    broken = json.loads(report.read_text(encoding="utf-8"))
    broken["runs"][0]["results"][0]["ruleIndex"] = 9999
    path = tmp_path / "broken.sarif"
    path.write_text(json.dumps(broken), encoding="utf-8")
    assert any(found.get("level") == "error" for found in validate(multitool, path))
