"""The task runner behind ./dev: its verbs. Standard library only: it runs before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from dev_browser import ensure_browser
from dev_data import credit_data
from dev_environments import LOCKED, MAIN, ML, MLFLOW, ORACLES, RAY, ROOT, Environment, ensure, install, must, run
from dev_tests import suite as run_suite

USAGE = """usage: ./dev VERB

  setup          make .venv from the hashed locks, install the project into it
  demo           setup of .venv-ml too, then `stannary demo` on real data (STANNARY_ML=0: without models that are attacked)
  test [ARG...]  setup, then every test; with arguments, pytest with them; makes what tests of others' programs need
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
CONSOLE_TESTS = tuple(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/e2e/test_console*.py")))
# The environments of others that tests run programs of, each only before the tests that do.
NEEDED = {
    "tests/conformance": ORACLES,
    "tests/conformance/test_ray.py": RAY,
    "tests/e2e/test_mlflow_client.py": MLFLOW,
    "tests/e2e/test_mlflow_server.py": MLFLOW,
}


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
    """Show the product at work on real data; STANNARY_ML=0 leaves out what takes the libraries of models."""
    ensure(MAIN)
    if os.environ.get("STANNARY_ML") == "0":
        return run([str(MAIN.folder / "bin" / "stannary"), "demo", *args])
    ensure(ML)
    data = credit_data()
    return run([str(ML.folder / "bin" / "stannary"), "demo", *(["--credit", str(data)] if data else []), *args])


def test(args: Sequence[str]) -> int:
    """Run every suite, or pytest with the arguments given."""
    ensure(MAIN)
    for suite, environment in NEEDED.items():
        if reaches(args, suite):
            ensure(environment)
    if any(reaches(args, suite) for suite in CONSOLE_TESTS):
        ensure_browser()
    if args:
        chosen = ML if any(ML_TESTS in arg for arg in args) else MAIN
        ensure(chosen)
        return run([chosen.python, "-m", "pytest", *args])
    codes = [run_suite(MAIN.python, [f"--ignore={ML_TESTS}"])]
    if (ROOT / ML_TESTS).is_dir():
        if os.environ.get("STANNARY_ML") == "0":
            print(f"left out, as STANNARY_ML=0 asks: {ML_TESTS}")
        else:
            ensure(ML)
            # Two processes with OpenMP threads each: those that wait give their core up instead of spinning on it.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            codes.append(run_suite(ML.python, [ML_TESTS]))
    return max(codes)


def reaches(args: Sequence[str], suite: str) -> bool:
    """Tell whether pytest, given these arguments, may run a suite's tests: a path is it, holds it or is in it, or none is named."""
    paths = [found for arg in args if not arg.startswith("-") and (found := ROOT / arg.partition("::")[0]).exists()]
    return not paths or any((ROOT / suite).is_relative_to(path) or path.is_relative_to(ROOT / suite) for path in paths)


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
    python = ML.python if args[0] == "evaluate" else MAIN.python  # what is evaluated takes the libraries of models itself
    return max([run([python, str(path), *rest]) for path in chosen])


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
    sources = {name: "pyproject.toml" if name == "base" else f"requirements/{name}.in" for name in LOCKED}
    for target, source in sources.items():
        output = f"requirements/{target}.txt"
        if run([uv, "pip", "compile", source, "-o", output, "--python-version", "3.11", *options, *args]):
            return 1
    alone = ["requirements/ml-newer.in", "-o", "requirements/ml-newer.txt", "--no-deps"]
    return run([uv, "pip", "compile", *alone, "--python-version", "3.11", *options, *args])


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
    must([sys.executable, "-m", "venv", str(environment.folder)])
    locks = [part for name in environment.locks for part in ("-r", str(ROOT / "requirements" / f"{name}.txt"))]
    install(environment, ["--require-hashes", *locks])
    must([environment.python, "-m", "pip", "install", "-qq", "--no-deps", str(built)])
    where = "import stannary, sys; sys.exit(not stannary.__file__.startswith(sys.prefix))"
    must([environment.python, "-c", where], cwd=tree)
    return run_suite(environment.python, ["-m", "not tree", "tests/unit"], cwd=tree)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
