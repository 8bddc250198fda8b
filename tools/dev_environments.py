"""The virtual environments of ./dev, made on first use and renewed when their locks change.

`.venv` has the project and what checks it, `.venv-ml` besides the real ML libraries that some tests compare with,
`.venv-oracles` other people's tools alone, which tests/conformance runs as programs; under `.venv-peers/` are those that
are too large for it, or clash with it: `ray` (a cluster on this machine) and `mlflow` (its client). Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent


class Environment(NamedTuple):
    """A virtual environment: its folder, an unhashed file installed first, and its hashed locks.

    `newer`: a hashed list of wheels that are installed without what their metadata ask for (a newer Python, torch). `npm`:
    a folder of requirements/ with a hashed lock of npm's, installed into `npm` where there is an npm.
    """

    folder: Path
    first: str | None
    locks: tuple[str, ...]
    project: bool = True  # whether the project is installed into it
    newer: str | None = None
    npm: str | None = None

    @property
    def python(self) -> str:
        """Return the path of its interpreter."""
        return str(self.folder / "bin" / "python")


MAIN = Environment(ROOT / ".venv", None, ("base", "dev"))
ML = Environment(ROOT / ".venv-ml", "torch", ("base", "dev", "ml"), newer="ml-newer")
ORACLES = Environment(ROOT / ".venv-oracles", None, ("oracles",), project=False, newer="oracles-newer", npm="npm")
RAY = Environment(ROOT / ".venv-peers" / "ray", None, ("base", "ray"), project=False)
MLFLOW = Environment(ROOT / ".venv-peers" / "mlflow", None, ("mlflow",), project=False)
LOCKED = ("base", "dev", "ml", "oracles", "ray", "mlflow")  # in the order in which they constrain each other


def run(command: Sequence[str], *, title: str = "", cwd: Path = ROOT) -> int:
    """Run a command to its end, print how long it took when it has a title, return its exit code."""
    if title:
        print(f"--- {title}", flush=True)
    started = time.monotonic()
    # Compiled modules are kept, whatever the machine is set to: without them every start pays for compiling.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = subprocess.run(command, cwd=cwd, env=environment, check=False).returncode
    if title:
        print(f"--- {title}: {'failed' if code else 'passed'} ({time.monotonic() - started:.1f} s)", flush=True)
    return code


def ensure(environment: Environment) -> None:
    """Make the environment, or renew what its locks or pyproject.toml changed."""
    locks = [ROOT / "requirements" / f"{name}.txt" for name in environment.locks]
    first = ROOT / "requirements" / f"{environment.first}.txt" if environment.first else None
    newer = ROOT / "requirements" / f"{environment.newer}.txt" if environment.newer else None
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = {
        "python": version,
        "locks": _digest([*locks, *(path for path in (first, newer) if path)]),
        "project": _digest([ROOT / "pyproject.toml"]) if environment.project else "",
    } | _npm_wanted(environment)
    stamp = environment.folder / "stannary-stamp.json"
    have: dict[str, str] = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    if have == wanted and Path(environment.python).exists():
        return
    if not Path(environment.python).exists() or have.get("python", version) != version:
        print(f"making {environment.folder.name} with Python {version}", flush=True)
        must([sys.executable, "-m", "venv", "--clear", str(environment.folder)])
    if have.get("locks") != wanted["locks"]:
        if first:
            # By pip: it takes the build that the machine's own configuration offers.
            must([environment.python, "-m", "pip", "install", "-qq", "-r", str(first)])
        install(environment, ["--require-hashes", *(part for path in locks for part in ("-r", str(path)))])
        if newer:
            options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes"]
            must([environment.python, "-m", "pip", "install", "-qq", *options, "-r", str(newer)])
    if environment.npm and (not wanted["npm"] or have.get("npm") != wanted["npm"]):
        wanted["npm"] = wanted["npm"] if _install_npm(environment, ROOT / "requirements" / environment.npm) else ""
    if environment.project:
        must([environment.python, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
        # As pip compiles a wheel; what is edited afterwards is compiled when it is imported.
        must([environment.python, "-m", "compileall", "-qq", str(ROOT / "src" / "stannary")])
    stamp.write_text(json.dumps(wanted), encoding="utf-8")


def install(environment: Environment, arguments: Sequence[str]) -> None:
    """Install by uv when it is there; by pip when it is not, or when uv, which does not read pip's configuration, fails."""
    uv = shutil.which("uv")
    if uv and run([uv, "pip", "install", "--quiet", "--python", environment.python, *arguments]) == 0:
        return
    must([environment.python, "-m", "pip", "install", "-qq", *arguments])


def _npm_wanted(environment: Environment) -> dict[str, str]:
    """Return what the stamp says of npm's packages: that there is no npm, or the digest of their lock."""
    if environment.npm is None:
        return {}
    lock = ROOT / "requirements" / environment.npm / "package-lock.json"
    return {"npm": _digest([lock]) if shutil.which("npm") else ""}


def _install_npm(environment: Environment, source: Path) -> bool:
    """Install packages of npm's, and tell whether that was possible: they are compared with, and nothing needs them."""
    target = environment.folder / "npm"
    npm = shutil.which("npm")
    if npm is not None:
        target.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, target / name)
        if run([npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target) == 0:
            return True
    why = "npm could not install it" if npm else "there is no npm"
    print(f"LEFT OUT, as {why}: the comparison with @sigstore/verify", flush=True)
    return False


def must(command: Sequence[str], cwd: Path = ROOT) -> None:
    """Run a command, and end when it fails."""
    code = run(command, cwd=cwd)
    if code:
        _fail(f"`{' '.join(command)}` failed with {code}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
