"""The task runner: it says what it can do, and refuses what it cannot."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("setup", "demo", "test", "check", "bench", "rules", "docs", "wheel", "lock")


def dev(*arguments, **more):
    return subprocess.run([ROOT / "dev", *arguments], capture_output=True, text=True, check=False, **more)


def test_help_names_every_verb():
    done = dev("help")
    assert done.returncode == 0
    assert [verb for verb in VERBS if f"\n  {verb} " not in done.stdout] == []


def test_without_a_verb_it_shows_its_use_and_fails():
    assert dev().returncode == 2


def test_an_unknown_verb_is_an_error():
    done = dev("bake")
    assert done.returncode == 2
    assert "unknown verb 'bake'" in done.stderr


def test_without_a_python_it_says_what_to_do(tmp_path):
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(
        ["/bin/sh", ROOT / "dev", "setup"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "help: " in done.stderr


def test_it_runs_from_any_folder(tmp_path):
    assert dev("help", cwd=tmp_path).returncode == 0
