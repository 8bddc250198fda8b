"""`stannary scan` as a user meets it: a process, its exit code, its stdout and its stderr."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stannary.report.interface import FORMATS
from stannary.testing.forges import write

STANNARY = str(Path(sys.executable).with_name("stannary"))
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith(("STANNARY_", "NO_COLOR", "FORCE_COLOR"))}


def stannary(*arguments: object, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [STANNARY, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**CLEAN_ENV, "TERM": "xterm-256color", **env},
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(run.args, run.returncode, run.stdout.decode(), run.stderr.decode())


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A clean file, a hostile one, one with an unknown class, and one that cannot be read to its end."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "clean.pkl").write_bytes(pickle.dumps({"a": [1, 2, 3]}))
    for name, forge in (("hostile", "pickle.rule_exec"), ("unknown", "pickle.rule_unknown_class")):
        write(forge, folder / name).rename(folder / f"{name}.pkl")
        (folder / name).rmdir()
    (folder / "cut.pkl").write_bytes(pickle.dumps(list(range(1000)), protocol=2)[:-7])
    (folder / "empty.pkl").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["clean.pkl"], 0),
        (["unknown.pkl"], 0),
        (["unknown.pkl", "--fail-on", "low"], 1),
        (["hostile.pkl"], 1),
        (["hostile.pkl", "--fail-on", "critical"], 1),
        (["hostile.pkl", "--fail-on", "never"], 0),
        (["cut.pkl"], 3),
        (["empty.pkl"], 3),
        (["cut.pkl", "--fail-on", "never"], 3),
        (["clean.pkl", "cut.pkl"], 3),
        (["hostile.pkl", "cut.pkl"], 1),
        (["hostile.pkl", "cut.pkl", "--fail-on", "never"], 3),
        (["hostile.pkl", "cut.pkl", "--exit-zero"], 0),
        (["."], 1),
        (["missing.pkl"], 2),
        (["missing.pkl", "hostile.pkl"], 2),
        (["missing.pkl", "--exit-zero"], 2),
        (["clean.pkl", "--format", "xml"], 2),
        (["clean.pkl", "--format", "json", "--format", "sarif"], 2),
        (["clean.pkl", "--format", "json=no/such/folder/x.json"], 2),
        (["clean.pkl", "--fail-on", "loud"], 2),
        (["clean.pkl", "--no-such-flag"], 2),
        (["hf://org/model", "--offline"], 2),
        ([], 2),
    ],
)
def test_exit_codes(models, arguments, code):
    run = stannary("scan", *arguments, cwd=models)
    assert run.returncode == code, run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def test_the_report_names_the_file_the_rule_and_the_offset_and_ends_with_the_headline(models):
    run = stannary("scan", "hostile.pkl", cwd=models)
    lines = run.stdout.splitlines()
    assert lines[0].startswith(" UNSAFE  hostile.pkl")
    assert any(re.match(r"    (critical|high)\s+PKL\d+\s.*@ \d+\]", line) for line in lines)
    assert re.fullmatch(r"scanned \d+ B in .* · 1 file · 1 unsafe", lines[-1])
    assert run.stderr == ""


def test_piped_output_is_plain_and_the_same_under_a_dumb_terminal(models):
    def told(**env: str) -> str:
        return re.sub(r" in [\d.]+ m?s ", " in TIME ", stannary("scan", ".", cwd=models, **env).stdout)

    plain = told()
    assert "\x1b" not in plain
    assert plain == told(TERM="dumb") == told(NO_COLOR="1") == told(COLUMNS="40")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    "arguments, env, colored",
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_a_terminal_gets_colour_unless_it_asked_not_to(models, arguments, env, colored):
    code, output = _on_terminal(["scan", "hostile.pkl", *arguments], models, env)
    assert code == 1
    assert "UNSAFE" in output
    assert ("\x1b[" in output) is colored


def _on_terminal(arguments: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [STANNARY, *arguments],
        cwd=cwd,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**CLEAN_ENV, "TERM": "xterm-256color", **env},
    )
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(leader)
    return process.wait(60), b"".join(chunks).decode()


def test_one_run_writes_every_format(models, tmp_path):
    outputs = [argument for name in FORMATS for argument in ("--format", f"{name}={tmp_path / name}")]
    run = stannary("scan", ".", *outputs, cwd=models)
    assert run.returncode == 1
    assert run.stdout.startswith(" UNSAFE  .")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FORMATS)
    data = json.loads((tmp_path / "json").read_text())
    assert data["schema"] == "stannary.scan/1"
    assert {file["path"]: file["verdict"] for file in data["targets"][0]["files"]}["hostile.pkl"] == "unsafe"
    assert json.loads((tmp_path / "sarif").read_text())["runs"][0]["results"]
    assert json.loads((tmp_path / "gitlab").read_text())["vulnerabilities"]
    assert int(ET.parse(tmp_path / "junit").getroot().get("failures")) >= 1
    assert (tmp_path / "html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "html").stat().st_mode & 0o044


def test_machine_formats_on_stdout_are_data_only_and_the_verdict_is_said_on_stderr(models):
    run = stannary("scan", "hostile.pkl", "--format", "json", cwd=models)
    assert json.loads(run.stdout)["targets"][0]["verdict"] == "unsafe"
    assert re.fullmatch(r"unsafe: scanned .* · 1 unsafe \(exit 1\)\n", run.stderr)


def test_output_option_writes_the_file_and_leaves_stdout_empty(models, tmp_path):
    run = stannary("scan", "clean.pkl", "--format", "json", "-o", tmp_path / "out.json", cwd=models)
    assert (run.returncode, run.stdout) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["targets"][0]["verdict"] == "clean"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_stdin_is_scanned(models):
    run = stannary("scan", "-", "--format", "json", stdin=(models / "hostile.pkl").read_bytes())
    assert run.returncode == 1
    target = json.loads(run.stdout)["targets"][0]
    assert (target["path"], target["verdict"]) == ("stdin", "unsafe")
    assert "/tmp" not in run.stdout


def test_all_usage_errors_are_told_together_with_help(models):
    run = stannary("scan", "a.pkl", "b.pkl", "clean.pkl", cwd=models)
    lines = run.stderr.splitlines()
    assert [line for line in lines if line.startswith("error")] == [
        "error[USE010]: a.pkl: there is no such file or folder",
        "error[USE010]: b.pkl: there is no such file or folder",
    ]
    assert sum(line.startswith("help: ") for line in lines) == 2
    assert run.stdout == ""


def test_what_is_wrong_with_targets_outputs_configuration_and_waivers_is_told_in_one_run(models, tmp_path):
    (tmp_path / "stannary.toml").write_text('[[waiver]]\nrule = "PKL001"\n')
    run = stannary("scan", "gone.pkl", "--format", "xlsx", "--baseline", "gone.json", cwd=tmp_path)
    assert run.returncode == 2
    assert re.findall(r"error\[(\w+)\]: (\S+)", run.stderr) == [
        ("USE010", "gone.pkl:"),
        ("USE004", "no"),
        ("BSL001", "gone.json:"),
        ("WVR001", "stannary.toml:"),
    ]
    (tmp_path / "stannary.toml").write_text('[scan]\njobs = "many"\n')
    run = stannary("scan", "gone.pkl", "--format", "xlsx", cwd=tmp_path)
    assert [code for code, _ in re.findall(r"error\[(\w+)\]: (\S+)", run.stderr)] == ["USE010", "CFG001", "USE004"]


def test_an_unreadable_configuration_is_told_before_anything_is_scanned(models, tmp_path):
    (tmp_path / "stannary.toml").write_text('[scan]\nfail-on = "x"\njobs = "y"\n')
    run = stannary("scan", models / "clean.pkl", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.count("error[CFG001]") == 2


def test_configuration_and_environment_change_the_threshold_and_flags_win(models, tmp_path):
    hostile = models / "hostile.pkl"
    (tmp_path / "stannary.toml").write_text('[scan]\nfail-on = "never"\n')
    assert stannary("scan", hostile, cwd=tmp_path).returncode == 0
    assert stannary("scan", hostile, cwd=tmp_path, STANNARY_SCAN_FAIL_ON="high").returncode == 1
    assert stannary("scan", hostile, "--fail-on", "never", cwd=tmp_path, STANNARY_SCAN_FAIL_ON="high").returncode == 0


def test_hostile_names_cannot_write_to_the_terminal(models, tmp_path):
    name = "evil\x1b[2J\u202egnp.pkl"
    (tmp_path / name).write_bytes((models / "hostile.pkl").read_bytes())
    for form in FORMATS:
        run = stannary("scan", tmp_path, "--format", form)
        assert "\x1b" not in run.stdout + run.stderr
        assert "\u202e" not in run.stdout + run.stderr


def test_a_reader_that_goes_away_is_no_error(models):
    run = subprocess.run(
        f"{STANNARY} scan . --show all | head -n 1",
        shell=True,
        cwd=models,
        capture_output=True,
        text=True,
        env=CLEAN_ENV,
        timeout=120,
        check=False,
    )
    assert run.stdout.startswith(" UNSAFE ")
    assert run.stderr == ""


def start(*arguments: object, interrupt: signal.Handlers = signal.SIG_DFL, **env: str) -> subprocess.Popen[str]:
    """Start a scan to interrupt. A test run in the background (`./dev test &`) ignores SIGINT, and what it starts inherits that."""
    return subprocess.Popen(
        [STANNARY, "scan", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**CLEAN_ENV, **env},
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),  # noqa: PLW1509 - no threads here
    )


def begun(process: subprocess.Popen[str]) -> None:
    """Wait until a scan's own code runs, as far as the system tells: msgspec is the first that it imports."""
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        while process.poll() is None and "msgspec" not in maps.read_text():
            time.sleep(0.001)
    else:
        time.sleep(0.3)


def test_interrupting_ends_with_130_and_no_traceback():
    process = start("-")
    begun(process)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted" in said


def test_a_baseline_accepts_what_was_there_and_nothing_new(models, tmp_path):
    baseline = tmp_path / "known.json"
    run = stannary("scan", "hostile.pkl", "--write-baseline", baseline, cwd=models)
    assert run.returncode == 0
    assert json.loads(baseline.read_text())["schema"] == "stannary.baseline/1"
    run = stannary("scan", "hostile.pkl", "--baseline", baseline, cwd=models)
    assert run.returncode == 0
    assert "waived" in run.stdout.splitlines()[-1]
    assert stannary("scan", "hostile.pkl", "unknown.pkl", "--baseline", baseline, "--fail-on", "low", cwd=models).returncode == 1
    assert stannary("scan", "hostile.pkl", "--baseline", models / "clean.pkl", cwd=models).returncode == 2


def test_a_baseline_does_not_make_unread_content_clean(models, tmp_path):
    assert stannary("scan", "cut.pkl", "hostile.pkl", "--write-baseline", tmp_path / "known.json", cwd=models).returncode == 3


def _waiver(rule: str, expires: str, **changes: str) -> str:
    values = {"rule": rule, "file": "*.pkl", "reason": "reviewed", "owner": "someone@example.com", **changes}
    lines = [f'{key} = "{value}"' for key, value in values.items() if value]
    return "\n".join(["[[waiver]]", *lines, f"expires = {expires}", ""])


def test_a_waiver_holds_until_it_expires_and_then_is_a_finding(models, tmp_path):
    found = json.loads(stannary("scan", "hostile.pkl", "--format", "json", cwd=models).stdout)["targets"][0]["findings"]
    rules = sorted({finding["rule"] for finding in found if finding["severity"] != "info"})
    config = tmp_path / "stannary.toml"
    config.write_text("".join(_waiver(rule, "2999-01-01") for rule in rules))
    run = stannary("scan", models / "hostile.pkl", "--show", "all", cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "waived by someone@example.com until 2999-01-01: reviewed" in run.stdout
    config.write_text("".join(_waiver(rule, "2020-01-01") for rule in rules))
    run = stannary("scan", models / "hostile.pkl", cwd=tmp_path)
    assert run.returncode == 1
    assert "SCN002" in run.stdout


def test_every_waiver_that_is_wrong_is_told(models, tmp_path):
    (tmp_path / "stannary.toml").write_text(_waiver("PKL001", "2999-01-01", owner="") + _waiver("PKL002", "2999-01-01", file=""))
    run = stannary("scan", models / "clean.pkl", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.count("error[WVR001]: stannary.toml: waiver") == 2


@pytest.fixture
def slow_models(tmp_path) -> Path:
    """4,000 files that take more than a minute."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "0000.pkl").write_bytes(pickle.dumps({"a": list(range(60_000))}, protocol=2))
    for number in range(1, 4000):
        os.link(models / "0000.pkl", models / f"{number:04d}.pkl")
    return models


def test_an_interrupted_scan_reports_what_was_done(slow_models, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = start(slow_models, "--jobs", "1", TMPDIR=str(scratch))
    while not any(scratch.iterdir()) and process.poll() is None:  # the workers start when their scratch folder is there
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted" in said
    assert told.startswith(" INCOMPLETE ")
    assert re.search(r"4,000 files · [\d,]+ incomplete( · [\d,]+ clean)? · 1 target with errors$", told.splitlines()[-1])
    assert list(scratch.iterdir()) == []


def test_ctrl_c_at_any_moment_ends_the_scan_and_all_its_processes(slow_models, tmp_path):
    # The terminal sends it to the workers too; from the end of Python's own start-up through the forks to the reading.
    for number in range(12):
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        process = start(slow_models, "--jobs", "4", "--no-cache", TMPDIR=str(scratch))
        begun(process)
        time.sleep(0.04 * number)
        os.killpg(process.pid, signal.SIGINT)
        told, said = process.communicate(timeout=60)
        assert process.returncode == 130, (number, said)
        assert "Traceback" not in said
        assert said.startswith("interrupted")
        assert told == "" or "4,000 files" in told.splitlines()[-1]
        assert list(scratch.iterdir()) == []
        with pytest.raises(ProcessLookupError):  # nobody is left
            os.killpg(process.pid, 0)


def test_a_scan_in_the_background_is_not_interrupted(models):
    # What a shell starts with `&` ignores Ctrl-C, which is for the program in the foreground.
    process = start("-", interrupt=signal.SIG_IGN)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdin is not None
    process.stdin.buffer.write((models / "hostile.pkl").read_bytes())
    told, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" not in said
    assert told.startswith(" UNSAFE ")


@pytest.fixture
def clone(models, tmp_path) -> Path:
    """A folder to scan that brings a configuration along, which accepts and loosens everything."""
    (tmp_path / "clone" / "sub").mkdir(parents=True)
    (tmp_path / "clone" / "m.pkl").write_bytes((models / "hostile.pkl").read_bytes())
    (tmp_path / "clone" / "stannary.toml").write_text(
        '[scan]\nfail-on = "never"\ncache = "kept"\nshow = "all"\n[scan.limits]\nseconds = 900\ndepth = 3\n'
        + _waiver("*", "2999-01-01")
    )
    return tmp_path / "clone"


@pytest.mark.parametrize("folder, target", [(".", "."), ("sub", ".."), (".", "../clone/stannary.toml")])
def test_a_configuration_within_the_target_cannot_soften_the_scan(clone, folder, target):
    run = stannary("scan", target, "-q", cwd=clone / folder)
    warning, rest = run.stderr.split("help: ")
    for told in (
        "stannary.toml lies inside what is scanned",
        "1 waiver",
        'scan.fail-on = "never"',
        'scan.cache = "kept"',
        "seconds = 900",
    ):
        assert told in warning
    assert "depth" not in warning
    assert "show" not in warning
    assert "--config " in rest
    assert run.returncode == (0 if target.endswith("toml") else 1)
    assert "waived" not in run.stdout.replace("stannary.toml", "")
    assert not (clone / folder / "kept").exists()


def test_a_configuration_within_the_target_holds_when_it_is_named(clone):
    run = stannary("scan", ".", "--config", "stannary.toml", "--no-cache", cwd=clone)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_environment_and_flags_hold_beside_a_configuration_within_the_target(clone):
    assert stannary("scan", ".", cwd=clone, STANNARY_SCAN_FAIL_ON="never").returncode == 0
    assert stannary("scan", ".", "--fail-on", "never", cwd=clone).returncode == 0


def test_a_link_does_not_make_a_configuration_trusted(clone, tmp_path):
    (clone / "stannary.toml").rename(tmp_path / "elsewhere.toml")
    (clone / "stannary.toml").symlink_to(tmp_path / "elsewhere.toml")
    run = stannary("scan", clone, cwd=clone)
    assert run.returncode == 1
    assert "lies inside what is scanned" in run.stderr


def test_a_configuration_that_softens_nothing_is_used_without_a_word(clone):
    (clone / "stannary.toml").write_text('[scan]\nfail-on = "low"\njobs = 1\n')
    run = stannary("scan", ".", cwd=clone)
    assert (run.returncode, run.stderr) == (1, "")


def test_a_configuration_beside_the_target_softens_and_says_so(clone):
    run = stannary("scan", "m.pkl", "--no-cache", cwd=clone)
    assert run.returncode == 0
    assert run.stderr == 'stannary.toml is in force: 1 waiver; scan.fail-on = "never"; scan.limits.seconds = 900\n'
    assert stannary("scan", "m.pkl", "--no-cache", "-q", cwd=clone).stderr == ""


def test_a_configuration_writes_no_file(models, tmp_path):
    (tmp_path / "stannary.toml").write_text('[scan]\nformat = "markdown=written"\n')
    run = stannary("scan", models / "clean.pkl", cwd=tmp_path)
    assert run.returncode == 2
    assert "scan.format: names the format of stdout" in run.stderr
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([""], "the name of a target is empty"),
        (["ftp://host/x"], "not an address"),
        (["clean.pkl", "--limit-seconds", "nan"], "not a time"),
    ],
)
def test_what_cannot_be_meant_is_told(models, arguments, told):
    run = stannary("scan", *arguments, cwd=models)
    assert run.returncode == 2
    assert told in run.stderr
    assert "help: " in run.stderr


@pytest.mark.parametrize(
    "arguments, start",
    [
        (["-o", "out.html"], "<!doctype html>"),
        (["-o", "out.json", "--format", "sarif=other.sarif"], "{"),
        (["-o", "out.txt"], " CLEAN "),
        (["-o", "out.html", "--format", "json"], "{"),
    ],
)
def test_the_ending_of_the_output_names_its_format(models, tmp_path, arguments, start):
    assert stannary("scan", models / "clean.pkl", *arguments, cwd=tmp_path).returncode == 0
    assert (tmp_path / arguments[1]).read_text().startswith(start)


def test_a_version_of_the_registry_is_that_of_the_workspace_that_is_named(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, content in ((here, {"weights": [1.0]}), (there, {"weights": [2.0, 3.0]})):
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "m.pkl").write_bytes(pickle.dumps(content))
        assert stannary("init", "--no-passphrase", cwd=folder).returncode == 0
        assert stannary("registry", "push", "model", "claims", cwd=folder).returncode == 0

    def digest(*more, cwd):
        run = stannary("scan", "registry:claims:1", "--format", "json", *more, cwd=cwd)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)["targets"][0]["source"]["digest"]

    own, other = digest(cwd=here), digest(cwd=there)
    assert own != other
    assert digest("--workspace", there, cwd=here) == other
    assert digest("--workspace", there, cwd=tmp_path) == other
    bom = stannary("bom", "registry:claims:1", "--workspace", there, cwd=here)
    assert (bom.returncode, other.partition(":")[2] in bom.stdout) == (0, True), bom.stderr
    both = stannary("scan", "registry:claims:1", "--workspace", there, cwd=here, STANNARY_SERVER="http://127.0.0.1:9")
    assert both.returncode == 2
    assert "error[USE014]" in both.stderr


def test_what_waits_for_the_end_of_the_process_is_done(models):
    """A scan ends its process without taking apart what it holds: handlers of the end, and what they print, are not left out."""
    code = "import atexit, sys; from stannary.cli.main import run; atexit.register(print, 'the last words'); sys.exit(run())"
    command = [sys.executable, "-c", code, "scan", "-q", str(models / "hostile.pkl")]
    run = subprocess.run(command, capture_output=True, text=True, env=CLEAN_ENV, check=False, timeout=120)
    assert run.returncode == 1
    assert "hostile.pkl" in run.stdout
    assert run.stdout.endswith("the last words\n")


def test_a_thread_that_is_still_running_is_waited_for(models):
    code = (
        "import sys, threading, time; from stannary.cli.main import run;"
        "threading.Thread(target=lambda: (time.sleep(1.5), print('done'))).start(); sys.exit(run())"
    )
    command = [sys.executable, "-c", code, "scan", "-q", str(models / "clean.pkl")]
    run = subprocess.run(command, capture_output=True, text=True, env=CLEAN_ENV, check=False, timeout=120)
    assert run.returncode == 0
    assert run.stdout.endswith("done\n")
