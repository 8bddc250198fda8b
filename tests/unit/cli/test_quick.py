"""The short reading of a command line says the same as click, or leaves it to click."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.cli.group import flags_of
from stannary.cli.quick import read_line
from stannary.cli.scan import command
from stannary.cli.talk import Talk

WORDS = [
    "model.pkl", "-", "a b", "hf://org/model", "", "-q", "--quiet", "-v", "--exit-zero", "--digest", "--no-digest",
    "--no-cache", "--offline", "--format", "json", "--format=sarif=out.sarif", "table", "-o", "out.json", "--output",
    "--output=x", "--fail-on", "high", "never", "--fail-on=low", "--fail-on=bogus", "--show", "all", "--show=clean",
    "--baseline", "b.json", "--advisories=osv", "--write-baseline", "--jobs", "2", "--jobs=1", "--jobs=99999", "--jobs=+1",
    "--jobs=1_0", "--jail", "process", "--jail=landlock", "--cache", "c", "--color", "--color=never", "auto",
    "--limit-depth", "3", "--config=none.toml", "--", "-qv", "--jo", "--help", "--nope",
]  # fmt: skip


def by_click(words: list[str]) -> tuple[dict[str, Any], int, str]:
    talk = Talk()
    context = command.make_context("scan", list(words), obj=talk)
    return dict(context.params), talk.verbosity, flags_of(context).get("color", "auto")


@given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_what_is_read_is_what_click_reads(words: list[str]) -> None:
    line = read_line(words)
    if line is not None:
        assert (line.given, line.verbosity, line.color or "auto") == by_click(words)


@pytest.mark.parametrize(
    "words",
    [
        ["model.pkl"],
        ["-q", "--exit-zero", "--jobs", "2", "models"],
        ["a", "b", "--format", "json", "--format=sarif=x.sarif", "-o", "y.json", "--no-digest", "--offline"],
        ["--fail-on", "high", "--show=all", "--jail", "landlock", "--color", "never", "-v", "-"],
        ["--baseline", "b", "--advisories", "o", "--write-baseline", "w", "--cache", "c", "--no-cache", "x"],
    ],
)
def test_usual_lines_need_no_click(words: list[str]) -> None:
    line = read_line(words)
    assert line is not None
    assert (line.given, line.verbosity, line.color or "auto") == by_click(words)


@pytest.mark.parametrize(
    "words",
    [[], ["-q"], ["--help"], ["--jobs"], ["--jobs", "-1", "x"], ["--fail-on", "bogus", "x"], ["-q", "-v", "x"], ["--", "x"]],
)
def test_everything_else_is_left_to_click(words: list[str]) -> None:
    assert read_line(words) is None


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_STANNARY_COMPLETE", "bash_complete")
    assert read_line(["x"]) is None


def test_every_option_of_click_has_a_value_here() -> None:
    line = read_line(["x"])
    assert line is not None
    assert set(line.given) == {param.name for param in command.params if param.expose_value} | {"targets"}
    assert isinstance(command, click.Command)


def test_a_scan_imports_no_click(tmp_path: Any) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04K\x01.")
    code = (
        "import sys; from stannary.cli.main import run; code = run(['scan', '-q', 'model.pkl']);"
        "print(code, [n for n in ('click', 'rich', 'pathlib', 'typing_extensions') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
