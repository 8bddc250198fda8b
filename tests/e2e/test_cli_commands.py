"""The other commands as a user meets them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.ports import free_port

from stannary import __version__
from stannary.checks.static import ruleset
from stannary.cli.demo import BENIGN, HOSTILE
from stannary.cli.group import COMMANDS
from stannary.testing.forges import all_forges

STANNARY = str(Path(sys.executable).with_name("stannary"))
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith(("STANNARY_", "NO_COLOR", "FORCE_COLOR"))}


def stannary(*arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [STANNARY, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**CLEAN_ENV, **env},
        timeout=200,
        check=False,
    )


def test_version_is_said():
    assert stannary("--version").stdout == f"stannary {__version__}\n"


def test_the_interpreter_runs_the_package_too():
    command = [sys.executable, "-m", "stannary"]
    run = subprocess.run([*command, "-q", "--version"], capture_output=True, text=True, env=CLEAN_ENV, check=True)
    assert run.stdout == f"stannary {__version__}\n"
    run = subprocess.run([*command, "no-such-command"], capture_output=True, text=True, env=CLEAN_ENV, check=False)
    assert (run.returncode, run.stdout) == (2, "")


def test_the_version_flag_works_in_company_too():
    assert stannary("-q", "--version").stdout == f"stannary {__version__}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_help_page_on_stdout(name):
    run = stannary(name, "--help")
    assert run.returncode == 0
    assert run.stdout.startswith(f"Usage: stannary {name}")
    assert run.stderr == ""


def test_help_lists_every_command_without_importing_one():
    code = "import sys; from stannary.cli.main import run; run(['--help']); print(sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"\n  {name}" in run.stdout
    assert "stannary.cli.scan" not in run.stdout.splitlines()[-1]


def test_without_a_command_the_help_is_on_stderr_and_the_code_is_2():
    run = stannary()
    assert (run.returncode, run.stdout) == (2, "")
    assert "Commands:" in run.stderr


def test_a_misspelt_command_gets_a_suggestion():
    run = stannary("scam")
    assert run.returncode == 2
    assert run.stderr.splitlines()[0] == "error[USE001]: no such command 'scam'; did you mean 'scan'?"


def test_rules_are_listed_and_each_can_be_explained():
    rules = ruleset.load().rules
    listed = stannary("rule")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(rules)
    rule = next(iter(rules.values()))
    told = stannary("rule", rule.id.lower()).stdout
    assert told.startswith(f"{rule.id}: {rule.title} ({rule.severity})")
    for heading in ("What it is", "Why it matters", "How it is used", "What to do"):
        assert f"\n{heading}\n" in told
    printed = json.loads(stannary("rule", rule.id, "--format", "json").stdout)
    assert (printed["schema"], [item["id"] for item in printed["rules"]]) == ("stannary.rule/1", [rule.id])


def test_unknown_rules_are_all_named():
    run = stannary("rule", "NOPE1", "NOPE2")
    assert run.returncode == 2
    assert run.stderr.count("error[USE002]") == 2


def test_config_show_says_where_each_value_came_from(tmp_path):
    (tmp_path / "stannary.toml").write_text("[scan]\njobs = 3\n")
    run = stannary("config", "show", "--color", "never", cwd=tmp_path, STANNARY_SCAN_SHOW="all")
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in run.stdout.splitlines()}
    assert rows["scan.jobs"] == ["3", "stannary.toml: scan.jobs"]
    assert rows["scan.show"] == ['"all"', "env STANNARY_SCAN_SHOW"]
    assert rows["color"] == ['"never"', "flag"]
    assert rows["scan.fail-on"] == ['"medium"', "default"]


def test_init_writes_a_configuration_that_is_in_force_and_never_overwrites(tmp_path):
    assert stannary("init", tmp_path / "new", XDG_CONFIG_HOME=str(tmp_path / "home")).returncode == 0
    assert stannary("config", "show", cwd=tmp_path / "new").returncode == 0
    again = stannary("init", tmp_path / "new")
    assert again.returncode == 2
    assert "error[USE005]" in again.stderr


def test_doctor_names_jails_codecs_and_versions():
    run = stannary("doctor", "--format", "json")
    answers = {answer["name"]: answer for answer in json.loads(run.stdout)["answers"]}
    assert answers["stannary"]["text"] == __version__
    assert {"process", "landlock", "bwrap", "zstandard", "rules", "stdout"} <= set(answers)
    assert answers["process"]["state"] == "ok"
    assert (answers["rego"]["state"], answers["rego"]["text"]) in [("ok", "regopy"), ("ok", f"opa ({shutil.which('opa')})")]
    program = "import sys; sys.modules['regopy'] = None; from stannary.cli.main import run; sys.exit(run(['doctor']))"
    without = subprocess.run(
        [sys.executable, "-c", program],
        env={**CLEAN_ENV, "PATH": "/nonexistent"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "policies in Rego cannot be evaluated" in without.stdout, without.stderr


def test_the_demo_uses_forges_that_are_there():
    forges = all_forges()
    assert [name for name in BENIGN.values() if forges[name].malicious is not False] == []
    assert [name for name in HOSTILE.values() if forges[name].malicious is not True] == []


def test_the_demo_explains_the_worst_names_three_commands_and_leaves_nothing_behind(tmp_path):
    before = os.times()
    run = stannary("demo", cwd=tmp_path, TMPDIR=str(tmp_path))
    after = os.times()
    assert run.returncode == 0, run.stderr
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert took < 60  # of its processes: what others do on this machine makes it longer by the clock
    assert "What to do" in run.stdout
    assert run.stdout.partition("Try next:")[2].count("\n  stannary ") == 3
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_begin_where_its_server_could_not_listen(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [STANNARY, "demo", "--serve", "--port", str(port)], cwd=tmp_path, env=CLEAN_ENV, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "SRV001" in done.stderr
    assert "--port N takes another" in done.stderr


def test_the_demo_leaves_a_server_open_that_lets_its_people_in(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [STANNARY, "demo", "--serve", "--port", str(port)], cwd=tmp_path, env={**CLEAN_ENV, "TMPDIR": str(tmp_path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        lines = iter(process.stdout.readline, "")
        token = next(line.strip() for line in lines if line.strip().startswith("stn_"))
        address = f"http://127.0.0.1:{port}/api/v1/models"
        deadline = time.monotonic() + 60
        while True:
            try:
                request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"})
                with urllib.request.urlopen(request, timeout=30) as answer:
                    models = json.loads(answer.read())["models"]
                break
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # it does not listen yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        assert [(model["name"]["name"], model["aliases"]) for model in models] == [("chat", {"staging": 1})]
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130), said
    assert list(tmp_path.iterdir()) == []


def test_the_demo_can_leave_its_models(tmp_path):
    run = stannary("demo", "--keep", tmp_path / "kept")
    assert run.returncode == 0, run.stderr
    for name in HOSTILE:
        assert (tmp_path / "kept" / name).is_file()
    again = stannary("demo", "--keep", tmp_path / "kept")
    assert again.returncode == 2


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="the extra is installed here")
def test_evaluate_says_which_extra_it_takes(tmp_path: Path) -> None:
    run = stannary("evaluate", tmp_path / "model.onnx", "--data", tmp_path / "data.csv")
    assert run.returncode == 2
    assert "error[USE014]" in run.stderr
    assert "pip install 'stannary[evaluate]'" in run.stderr
