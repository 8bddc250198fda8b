"""The second act of the demo: what was found becomes evidence, and evidence decides. Real commands, in a workspace of its own."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from stannary.cli.main import run
from stannary.core.errors import Bug

__all__ = ["inside", "say", "second_act", "step"]

_MODEL = "ours/chat"
_FILE = "model.safetensors"
_POLICY = """\
name: release
description: What this team asks for before a model goes out.
extends: baseline
require:
  - kind: model-signature
  - kind: cyclonedx
  - kind: statement
    check: approval
    approvals: 1
"""


def second_act(folder: Path) -> None:
    """Sign, list, approve and gate the clean model; then change one byte of it. Raises Bug when a step does not do what it says."""
    say("Now the chain of evidence: a workspace with a key and a ledger, and a policy that asks for more than a clean scan.")
    (folder / "release.yaml").write_text(_POLICY, encoding="utf-8")
    with inside(folder):
        step("init", "--no-passphrase")
        step("scan", _MODEL, "--record")
        step("gate", _MODEL, "--policy", "release.yaml", code=1)
        say("Denied, and each line says what is missing and which command makes it. So:")
        step("sign", _MODEL, "--record")
        step("bom", _MODEL, "--record", "-o", "chat.cdx.json", quiet=True)
        step("bom", "validate", "chat.cdx.json")
        step("attest", _MODEL, "--topic", "approval", "--decision", "approve", "--statement", "tested on our prompts", quiet=True)
        step("gate", _MODEL, "--policy", "release.yaml")
        say("Allowed, by what is signed and logged alone. Now somebody changes one byte of the weights:")
        weights = folder / _MODEL / _FILE
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        step("verify", _MODEL, code=1)
        step("gate", _MODEL, "--policy", "release.yaml", code=1)
        say("By its digest it is another artifact, and nothing is known of it. What was decided is in the ledger:")
        step("ledger", "head")
        step("evidence", "verify")


def say(text: str) -> None:
    """Say something between two commands."""
    click.echo(f"\n{text}\n")


def step(*arguments: str, code: int | tuple[int, ...] = 0, quiet: bool = False, apart: bool = False) -> int:
    """Run a command as a user would, show it and what it prints, hold it to its exit code, or one of several, and return it.

    `apart`: in a process of its own, as what computes with threads has to be: another command's guard is forked off this one.
    """
    click.echo(click.style(f"$ stannary {shlex.join(arguments)}", bold=True))
    got, text = _apart(arguments) if apart else _here(arguments)
    wanted = (code,) if isinstance(code, int) else code
    if got not in wanted:
        msg = f"`stannary {' '.join(arguments)}` ended with {got}, and {' or '.join(map(str, wanted))} was to be: {text[-800:]}"
        raise Bug(msg, code="DEMO002", help="please report it, with the output of `stannary doctor`")
    if not quiet:
        click.echo("".join(f"  {line}\n" if line else "\n" for line in text.strip("\n").split("\n")))
    return got


def _here(arguments: Sequence[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        got = run(list(arguments))
    return got, out.getvalue() + err.getvalue()


def _apart(arguments: Sequence[str]) -> tuple[int, str]:
    line = [sys.executable, "-m", "stannary", *arguments]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False)  # noqa: S603 - ours
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in the folder, without what the environment says about workspaces and passphrases."""
    names = ("STANNARY_WORKSPACE", "STANNARY_PASSPHRASE", "STANNARY_SERVER")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.update(kept)
