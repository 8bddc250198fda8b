"""The task runner: it says what it can do, and refuses what it cannot."""

import json
import os
import subprocess
import sys
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


def tools(lines, **more):
    """Run lines of Python that import from tools/, and return what they print."""
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT / "tools", capture_output=True, text=True, check=True, **more)
    return done.stdout


def test_an_environment_is_made_only_before_tests_that_run_its_programs():
    ray = '"tests/conformance/test_ray.py"'
    rows = {
        "[]": True,
        '["-k", "ray", "-x"]': True,
        '["tests"]': True,
        '["tests/conformance/test_ray.py::test_ray_passes_the_checks_of_every_executor"]': True,
        '["tests/unit", "tests/conformance"]': True,
        '["tests/conformance/test_opa.py"]': False,
        '["tests/unit/run", "-q"]': False,
    }
    lines = f"import dev, json\nprint(json.dumps([dev.reaches(args, {ray}) for args in [{', '.join(rows)}]]))"
    assert json.loads(tools(lines)) == list(rows.values())


def test_where_no_browser_can_be_installed_the_run_goes_on_and_says_what_it_leaves_out(tmp_path):
    said = tools("import dev_browser\nprint(dev_browser.ensure_browser())", env={**os.environ, "PATH": str(tmp_path)})
    assert said.startswith("LEFT OUT, as there is no chromium")
    assert said.endswith("\nFalse\n")


def test_a_package_manager_that_fails_does_not_end_the_run(tmp_path):
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    (tmp_path / "env").symlink_to("/usr/bin/env")
    lines = "import os\nos.geteuid = lambda: 0\nimport dev_browser\nprint(dev_browser.ensure_browser())"
    said = tools(lines, env={**os.environ, "PATH": str(tmp_path)})
    assert "LEFT OUT, as apt-get could not install chromium with its driver" in said
    assert said.endswith("\nFalse\n")


@pytest.mark.parametrize("failures, code, unsteady", [(0, 0, 0), (2, 0, 2), (3, 1, 0)])
def test_a_test_that_fails_once_is_run_again_and_named(tmp_path, failures, code, unsteady):
    once = (
        "import pathlib, pytest\n"
        f"@pytest.mark.parametrize('name', {[f'a {n}' for n in range(failures)]} or [pytest.param('', marks=pytest.mark.skip)])\n"
        "def test_once(name):\n"
        "    seen = pathlib.Path(__file__).with_name(name)\n"
        "    assert seen.exists() or seen.touch()\n"
        "def test_sound(): pass\n"
    )
    (tmp_path / "test_it.py").write_text(once)
    assert suite(tmp_path) == (code, unsteady)


def test_a_test_that_fails_twice_or_by_its_seed_fails_the_suite(tmp_path):
    (tmp_path / "test_it.py").write_text("import random\ndef test_seed(): assert random.random() > 1, random.random()\n")
    assert suite(tmp_path) == (1, 0)


def suite(folder):
    lines = f"import pathlib, sys, dev_tests\nprint('code', dev_tests.suite(sys.executable, [], cwd=pathlib.Path({str(folder)!r})))"
    printed = tools(lines)
    return int(printed.rpartition("code ")[2]), printed.count("\nunsteady: ")
