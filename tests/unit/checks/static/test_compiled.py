"""Bytecode that a jailed worker made and could not keep is kept by the process outside."""

import os
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

import stannary
from stannary.checks.static import compiled

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@pytest.fixture
def installation(tmp_path):
    """A copy of the package as an installer that compiles nothing leaves it."""
    shutil.copytree(Path(stannary.__file__).parent, tmp_path / "site" / "stannary", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def scan(installation, path, **more):
    line = [sys.executable, "-c", "import sys; from stannary.cli.main import run; sys.exit(run())", "scan", "-q", str(path)]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(installation), **more}
    return subprocess.run(line, env=environment, cwd=path.parent, check=False, capture_output=True).returncode


def test_what_only_a_worker_imports_is_compiled_once(installation, tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04}.")
    reader = installation / "stannary" / "formats" / "pickle_machine.py"
    kept = Path(cache_from_source(str(reader)))
    assert scan(installation, tmp_path / "m.pkl", PYTHONDONTWRITEBYTECODE="1") == 0
    assert not kept.exists()
    assert scan(installation, tmp_path / "m.pkl") == 0
    first = kept.read_bytes()
    os.utime(reader, (1, 1))  # the source is another one
    assert scan(installation, tmp_path / "m.pkl") == 0
    assert kept.read_bytes()[16:] == first[16:]
    assert kept.read_bytes()[8:12] == (1).to_bytes(4, "little")
    before = kept.stat().st_mtime_ns
    assert scan(installation, tmp_path / "m.pkl") == 0
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "name", ["os", "stannary.no_such_module", "stannary", "stannary.../x", "stannary.formats;x", "", "json.tool"]
)
def test_a_worker_cannot_have_anything_else_compiled(name, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = set(sys.modules)
    compiled.keep([name])
    assert not {module for module in set(sys.modules) - before if not module.startswith(("importlib", "stannary"))}


def test_only_modules_without_bytecode_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert compiled.uncompiled(0) == ()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    told = compiled.uncompiled(0)
    assert all(name.startswith("stannary.") for name in told)
    assert compiled.uncompiled(len(sys.modules)) == ()
