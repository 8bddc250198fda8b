"""The programs of others that must accept what we write, in an environment of their own."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Return the folder of other people's programs. Fails where they are not: a comparison that is left out proves nothing."""
    folder = Path(os.environ.get("STANNARY_ORACLES") or ROOT / ".venv-oracles") / "bin"
    if not (folder / "python").exists():
        pytest.fail(f"{folder.parent} is not there: `./dev test` makes it, STANNARY_ORACLES names another")
    return folder


@pytest.fixture(scope="session")
def model_signing(oracles):
    """Return a function that runs `model_signing` and returns its exit code and what it said."""

    def run(*arguments):
        command = [oracles / "model_signing", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = run("--version")
    assert code == 0, text
    return run
