"""Configuration: found upward, overridden in order, every value with its origin, every error at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stannary.cli.config import load
from stannary.cli.init import template
from stannary.cli.settings import KEYS


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


def _problems(**kwargs) -> list[str]:
    with pytest.raises(ExceptionGroup) as caught:
        load(**{"environ": {}, **kwargs})
    return sorted(str(error) for error in caught.value.exceptions)


def test_without_anything_every_value_is_the_default(tmp_path):
    config = load(start=tmp_path / "a", environ={})
    assert {setting.origin for setting in config.settings.values()} == {"default"}
    assert config["scan.fail-on"] == "medium"
    assert config.file == ""


def test_the_nearest_file_upward_is_read(tmp_path):
    (tmp_path / "stannary.toml").write_text('[scan]\nfail-on = "high"\njobs = 3\n')
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    config = load(start=tmp_path / "a" / "b", environ={})
    assert (config["scan.fail-on"], config["scan.jobs"]) == ("high", 3)
    assert config.settings["scan.jobs"].origin == "stannary.toml: scan.jobs"
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.stannary.scan]\njobs = 5\n")
    config = load(start=tmp_path / "a" / "b", environ={})
    assert (config["scan.fail-on"], config["scan.jobs"]) == ("medium", 5)
    assert config.file == str(Path("a", "pyproject.toml"))


def test_environment_beats_the_file_and_flags_beat_both(tmp_path):
    (tmp_path / "stannary.toml").write_text('color = "never"\n[scan]\njobs = 1\noffline = false\n'.replace("offline = false\n", ""))
    config = load(
        start=tmp_path, environ={"STANNARY_SCAN_JOBS": "2", "STANNARY_OFFLINE": "true", "STANNARY_SCAN_LIMITS_SECONDS": "1.5"}
    )
    config = config.with_flags({"color": "always", "scan.jail": None})
    shown = {name: (s.value, s.origin) for name, s in config.settings.items()}
    assert shown["scan.jobs"] == (2, "env STANNARY_SCAN_JOBS")
    assert shown["offline"] == (True, "env STANNARY_OFFLINE")
    assert shown["scan.limits.seconds"] == (1.5, "env STANNARY_SCAN_LIMITS_SECONDS")
    assert shown["color"] == ("always", "flag")
    assert shown["scan.jail"] == ("auto", "default")


def test_all_errors_are_told_at_once_with_file_and_key(tmp_path):
    (tmp_path / "stannary.toml").write_text(
        '[scan]\nfail-on = "loud"\njobs = -1\nfial-on = "low"\njail = 3\n[scan.limits]\ndepth = 0\n[waiver]\nrule = "X"\n'
    )
    problems = _problems(start=tmp_path, environ={"STANNARY_SCAN_DIGEST": "perhaps", "STANNARY_SCAN_JOSB": "1"})
    assert [problem.partition(": ")[0] for problem in problems] == [
        "env STANNARY_SCAN_DIGEST",
        "env STANNARY_SCAN_JOSB",
        *["stannary.toml"] * 6,
    ]
    for key in ("scan.fail-on", "scan.jobs", "scan.fial-on", "scan.jail", "scan.limits.depth", "waiver"):
        assert any(f"stannary.toml: {key}: " in problem for problem in problems), key


def test_a_misspelt_key_gets_a_suggestion(tmp_path):
    (tmp_path / "stannary.toml").write_text('[scan]\nfial-on = "low"\n')
    with pytest.raises(ExceptionGroup) as caught:
        load(start=tmp_path, environ={})
    assert caught.value.exceptions[0].help == "did you mean scan.fail-on?"


def test_broken_toml_is_an_error_and_not_skipped(tmp_path):
    (tmp_path / "stannary.toml").write_text("[scan\n")
    assert "stannary.toml: cannot be read" in _problems(start=tmp_path)[0]


def test_other_tools_variables_are_left_alone(tmp_path):
    assert load(start=tmp_path, environ={"STANNARY_TOKEN": "x", "STANNARY_WORKSPACE": "y"})


def test_the_template_is_valid_and_holds_every_setting_at_its_default(tmp_path):
    (tmp_path / "stannary.toml").write_text(template())
    assert load(start=tmp_path, environ={}).settings == load(start=tmp_path / "nowhere", environ={}).settings
    text = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [[") else line for line in template().splitlines()
    )
    (tmp_path / "stannary.toml").write_text(text)
    config = load(start=tmp_path, environ={})
    assert {name: s.value for name, s in config.settings.items()} == {key.name: key.default for key in KEYS.values()}
    assert {s.origin for s in config.settings.values()} != {"default"}
    assert config.waivers[0]["owner"] == "ml-platform@example.com"
