"""The other scanners: where they come from, how each is called, and what its answer means.

Each gets an environment of its own under `.venv-peers/`, made here from requirements/peers.txt on
first use, so that none constrains another. One that cannot be installed, fails, refuses a file or
runs out of time is reported as that: it is never left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["PEERS", "QUIET", "Peer", "answer", "ensure", "put", "version"]

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers"
LOCK = ROOT / "requirements" / "peers.txt"
# What keeps them from calling home, and from asking.
QUIET = {"NO_ANALYTICS": "1", "PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
BEGIN, END = "<!-- beside other scanners: made, see below -->", "<!-- end of the part that is made -->"
TIMED_OUT = (-9, 124, 137)


class Peer(NamedTuple):
    """A scanner: its arguments before the path, its entry point, and the exit codes that are an answer."""

    name: str
    arguments: tuple[str, ...]
    entry: str
    folders: bool = True  # reads one when it is given one
    every: int = 1  # of the comparison of detection, it is given every n-th file: it takes seconds for each

    @property
    def python(self) -> Path:
        """Return the interpreter of its environment."""
        return HOME / self.name / "bin" / "python"

    def command(self, path: Path) -> list[str]:
        """Return the command line that reads one path."""
        return [str(self.python.with_name(self.name)), *self.arguments, str(path)]


# Called as their documentation says. hayward passes over files of more than 500 MB unless told otherwise.
PEERS = {
    peer.name: peer
    for peer in (
        Peer("picklescan", ("-p",), "picklescan.cli:main"),
        Peer("modelscan", ("-p",), "modelscan.cli:main"),
        Peer("fickling", ("--check-safety",), "fickling.__main__:main", folders=False),
        Peer("hayward", ("scan", "--max-size", "8g"), "hayward.cli:main"),
        Peer("modelaudit", ("scan",), "modelaudit.__main__:_run", every=48),
    )
}


def answer(code: int) -> str:
    """Return what an exit code says: all five have 0 for nothing found and 1 for something, and other codes for the rest."""
    if code in TIMED_OUT:
        return "no answer in time"
    return {0: "nothing found", 1: "flagged"}.get(code, "refused or failed")


def ensure(peer: Peer) -> str:
    """Make the environment of a peer; return why it is not there, or nothing."""
    wanted = [line.strip() for line in LOCK.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    own = [line for line in wanted if line.partition("==")[0].strip() == peer.name]
    others = {line for name in PEERS for line in wanted if line.partition("==")[0].strip() == name}
    stamp = HOME / peer.name / "installed.txt"
    lines = [*own, *(line for line in wanted if line not in others)]
    if stamp.exists() and stamp.read_text(encoding="utf-8").split() == lines:
        return ""
    print(f"installing {' '.join(own)} into {stamp.parent.relative_to(ROOT)}", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(stamp.parent)],
        [str(peer.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *lines],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})
        if done.returncode:
            return f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:120]}"
    stamp.write_text("\n".join(lines), encoding="utf-8")
    return ""


def version(peer: Peer) -> str:
    """Return the version that is installed."""
    code = f"import importlib.metadata as m; print(m.version({peer.name!r}))"
    done = subprocess.run([str(peer.python), "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def put(path: Path, lines: list[str]) -> None:
    """Replace what stands between the marks of a page; add it at the end when there are none."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if rest else "\n"
    path.write_text("\n".join([before.rstrip() + "\n", BEGIN, "", *lines, "", END]) + (after or "\n"), encoding="utf-8")
