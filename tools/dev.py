"""The task runner behind ./dev. Standard library only: it runs before anything is installed.

Three environments, made on first use and renewed when their locks change: `.venv` (the project and
what checks it), `.venv-ml` (besides, the real ML libraries that some tests compare with) and
`.venv-oracles` (other people's tools alone, which tests/conformance runs as programs).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
USAGE = """usage: ./dev VERB

  setup          make .venv from the hashed locks, install the project into it
  demo           setup, then `stannary demo`
  test [ARG...]  setup, then every test; with arguments, pytest with them
  check          formatting, lint, types, rooms, rules, docs, budgets
  bench NAME     run benchmarks/NAME
  rules          compile the rule files into the data that is shipped
  docs           write the generated pages of docs/reference
  wheel [--test] build dist/*.whl; with --test, run the unit tests against it
  lock           resolve requirements/*.txt again (needs uv)
"""
# Tests that import the real libraries; they run in .venv-ml. STANNARY_ML=0 leaves them out.
ML_TESTS = "tests/libraries"
RULE_TESTS = "tests/unit/test_house_rules.py"


class Environment(NamedTuple):
    """A virtual environment: its folder, an unhashed file installed first, and its hashed locks.

    `newer`: a hashed list of wheels that are installed though their metadata ask for a newer Python. `npm`: a folder of
    requirements/ with a hashed lock of npm's, installed into `npm` where there is an npm.
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
ML = Environment(ROOT / ".venv-ml", "torch", ("base", "dev", "ml"))
ORACLES = Environment(ROOT / ".venv-oracles", None, ("oracles",), project=False, newer="oracles-newer", npm="npm")


def main(argv: Sequence[str]) -> int:
    """Run one verb and return its exit code."""
    verbs: dict[str, Callable[[Sequence[str]], int]] = {
        "setup": setup,
        "demo": demo,
        "test": test,
        "check": check,
        "bench": bench,
        "rules": lambda args: tool("build_rules.py", args),
        "docs": lambda args: tool("build_docs.py", args),
        "wheel": wheel,
        "lock": lock,
    }
    if not argv or argv[0] in {"help", "-h", "--help"}:
        print(USAGE, end="")
        return 0 if argv else 2
    if argv[0] not in verbs:
        print(f"error: unknown verb {argv[0]!r}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    return verbs[argv[0]](argv[1:])


# Verbs


def setup(_: Sequence[str] = ()) -> int:
    """Bring .venv up to date."""
    ensure(MAIN)
    return 0


def demo(args: Sequence[str]) -> int:
    """Show the product at work on real data."""
    ensure(MAIN)
    return run([str(MAIN.folder / "bin" / "stannary"), "demo", *args])


def test(args: Sequence[str]) -> int:
    """Run every suite, or pytest with the arguments given."""
    ensure(MAIN)
    pytest = [MAIN.python, "-m", "pytest"]
    if not args or any("conformance" in arg for arg in args):
        ensure(ORACLES)
    if args:
        chosen = ML if any(ML_TESTS in arg for arg in args) else MAIN
        ensure(chosen)
        return run([chosen.python, "-m", "pytest", *args])
    codes = [run([*pytest, "-n", "2", f"--ignore={ML_TESTS}"])]
    if (ROOT / ML_TESTS).is_dir():
        if os.environ.get("STANNARY_ML") == "0":
            print(f"left out, as STANNARY_ML=0 asks: {ML_TESTS}")
        else:
            ensure(ML)
            codes.append(run([ML.python, "-m", "pytest", ML_TESTS]))
    return max(codes)


def check(_: Sequence[str]) -> int:
    """Run every check, all of them even when one fails, and name those that failed."""
    ensure(MAIN)
    bin_ = MAIN.folder / "bin"
    # Not the rules: scanning their examples is part of ./dev test.
    budgets = sorted({str(path.relative_to(ROOT)) for path in (ROOT / "tests/unit").glob("test_house_*.py")} - {RULE_TESTS})
    steps = {
        "format": [str(bin_ / "ruff"), "format", "--check", "--output-format=concise"],
        "lint": [str(bin_ / "ruff"), "check", "--output-format=concise"],
        "types": [str(bin_ / "mypy")],
        "rooms": [str(bin_ / "lint-imports"), "--no-logo"],
        "rules": [MAIN.python, "tools/build_rules.py", "--check"],
        "docs": [MAIN.python, "tools/build_docs.py", "--check"],
        "budgets": [MAIN.python, "-m", "pytest", "-q", "-p", "no:randomly", *budgets],
    }
    failed = [name for name, command in steps.items() if run(command, title=name)]
    print(f"\ncheck: failed: {', '.join(failed)}" if failed else "\ncheck: all passed")
    return 1 if failed else 0


def bench(args: Sequence[str]) -> int:
    """Run benchmarks/NAME.py, benchmarks/NAME/__main__.py, or the parts in benchmarks/NAME, with the rest of the arguments.

    Of a folder without a `__main__.py` every module is a part; parts may be named: `./dev bench evidence ledger --small`.
    """
    folder = ROOT / "benchmarks"
    names = sorted({path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/*.py")})
    if not args or args[0] not in names:
        print(f"usage: ./dev bench NAME [ARG...]\nbenchmarks: {', '.join(names) or 'none yet'}", file=sys.stderr)
        return 2
    chosen = [path for path in (folder / f"{args[0]}.py", folder / args[0] / "__main__.py") if path.exists()]
    rest = list(args[1:])
    if not chosen:
        parts = {path.stem: path for path in sorted((folder / args[0]).glob("*.py")) if not path.stem.startswith("_")}
        wanted = [item for item in rest if not item.startswith("-")]
        unknown = [item for item in wanted if item not in parts]
        if unknown:
            print(f"no such part: {', '.join(unknown)}; there are: {', '.join(parts)}", file=sys.stderr)
            return 2
        chosen = [parts[item] for item in wanted or parts]
        rest = [item for item in rest if item.startswith("-")]
    ensure(MAIN)
    if os.environ.get("STANNARY_ML") != "0":
        ensure(ML)  # it makes the models that are measured
    return max([run([MAIN.python, str(path), *rest]) for path in chosen])


def tool(name: str, args: Sequence[str]) -> int:
    """Run a script of tools/ in .venv."""
    ensure(MAIN)
    return run([MAIN.python, f"tools/{name}", *args])


def wheel(args: Sequence[str]) -> int:
    """Build the wheel; with --test, install it into a fresh environment and test it there."""
    ensure(MAIN)
    with tempfile.TemporaryDirectory(prefix="stannary-wheel-") as name:
        scratch = Path(name)
        code = run([MAIN.python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch)])
        if code:
            return code
        built = next(scratch.glob("*.whl"))
        (ROOT / "dist").mkdir(exist_ok=True)
        shutil.copy2(built, ROOT / "dist")
        print(f"dist/{built.name}")
        return _test_wheel(built, scratch) if "--test" in args else 0


def lock(args: Sequence[str]) -> int:
    """Resolve the locks again, in the order in which they constrain each other. `--upgrade` for newer versions."""
    uv = shutil.which("uv", path=f"{os.environ.get('PATH', '')}:{MAIN.folder / 'bin'}")
    if uv is None:
        print("error: ./dev lock needs uv\nhelp: pip install uv", file=sys.stderr)
        return 2
    options = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--quiet"]
    sources = {"base": "pyproject.toml"} | {name: f"requirements/{name}.in" for name in ("dev", "ml", "oracles")}
    for target, source in sources.items():
        output = f"requirements/{target}.txt"
        if run([uv, "pip", "compile", source, "-o", output, "--python-version", "3.11", *options, *args]):
            return 1
    return 0


# How


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
        _must([sys.executable, "-m", "venv", "--clear", str(environment.folder)])
    if have.get("locks") != wanted["locks"]:
        if first:
            # By pip: it takes the build that the machine's own configuration offers.
            _must([environment.python, "-m", "pip", "install", "-qq", "-r", str(first)])
        _install(environment, ["--require-hashes", *(part for path in locks for part in ("-r", str(path)))])
        if newer:
            options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes"]
            _must([environment.python, "-m", "pip", "install", "-qq", *options, "-r", str(newer)])
    if environment.npm and (not wanted["npm"] or have.get("npm") != wanted["npm"]):
        wanted["npm"] = wanted["npm"] if _install_npm(environment, ROOT / "requirements" / environment.npm) else ""
    if environment.project:
        _must([environment.python, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    stamp.write_text(json.dumps(wanted), encoding="utf-8")


def _install(environment: Environment, arguments: Sequence[str]) -> None:
    """Install by uv when it is there; by pip when it is not, or when uv, which does not read pip's configuration, fails."""
    uv = shutil.which("uv")
    if uv and run([uv, "pip", "install", "--quiet", "--python", environment.python, *arguments]) == 0:
        return
    _must([environment.python, "-m", "pip", "install", "-qq", *arguments])


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


def _test_wheel(built: Path, scratch: Path) -> int:
    """Run the unit tests where there is no src/, so that what they import is what was shipped."""
    tree = scratch / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and not name.startswith("src/") and (ROOT / name).is_file():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    environment = Environment(scratch / "venv", None, ("base", "dev"))
    _must([sys.executable, "-m", "venv", str(environment.folder)])
    locks = [part for name in environment.locks for part in ("-r", str(ROOT / "requirements" / f"{name}.txt"))]
    _install(environment, ["--require-hashes", *locks])
    _must([environment.python, "-m", "pip", "install", "-qq", "--no-deps", str(built)])
    where = "import stannary, sys; sys.exit(not stannary.__file__.startswith(sys.prefix))"
    _must([environment.python, "-c", where], cwd=tree)
    return run([environment.python, "-m", "pytest", "-n", "2", "-m", "not tree", "tests/unit"], cwd=tree)


def _must(command: Sequence[str], cwd: Path = ROOT) -> None:
    code = run(command, cwd=cwd)
    if code:
        _fail(f"`{' '.join(command)}` failed with {code}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
