"""Level `bwrap`: a worker started under bubblewrap, in name spaces of its own.

The worker is a fresh interpreter (`stannary.run.boot`) that sees the granted paths and nothing
else, has no network device, and is process 2 of its own process tree. Inside, it enters the
level `landlock` too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from stannary.run.fresh import program
from stannary.run.jail import Jail, runtime_paths

__all__ = ["command", "problem"]

_NAMESPACES = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")


def problem() -> str | None:
    """Return why bubblewrap cannot be used here, or None. Starts it once (10 ms)."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap (bwrap) is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            [program, *_NAMESPACES, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"bubblewrap does not start: {exc}"
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"bubblewrap does not start: {text[-1] if text else f'exit code {done.returncode}'}"
    return None


def command(jail: Jail, arguments: Sequence[str]) -> list[str]:
    """Return the command line that starts `stannary.run.boot` in name spaces; `arguments` are its own."""
    line = [shutil.which("bwrap") or "bwrap", *_NAMESPACES, "--clearenv", "--chdir", "/"]
    line += ["--proc", "/proc", "--dev", "/dev"]
    for path in _python_paths(jail):
        line += ["--ro-bind-try", path, path]
    for path in jail.write:
        line += ["--bind", path, path]
    return [*line, "--", *program(), *arguments]


def _python_paths(jail: Jail) -> list[str]:
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    binaries = {sys.executable, os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin"}
    found: list[str] = []
    for path in sorted((*runtime_paths(), *jail.read, *binaries, package), key=len):
        # A mount below a read-only one has no place to be put, and no need.
        if not path.startswith("/dev/") and not any(path == p or path.startswith(p + "/") for p in found):
            found.append(path)
    return found
