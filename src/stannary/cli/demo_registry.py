"""The third act of the demo: versions, an alias that moves by a decision, a bad version, a way back."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import click

from stannary.cli.demo_chain import inside, say, step
from stannary.cli.main import run
from stannary.core.errors import UsageError

__all__ = ["fourth_act", "refuse_taken", "third_act"]

_MODEL = "ours/chat"
_NEXT = "ours/vision"
_BAD = "downloads"


def third_act(folder: Path) -> None:
    """Put a model in service, keep a bad one out of it, take a version back. Raises Bug when a step does not do what it says."""
    if importlib.util.find_spec("sqlalchemy") is None:
        click.echo("\nThe registry needs an extra that is not installed here: pip install 'stannary[registry]'\n")
        return
    say("Now the registry: versions by their content, and an alias that moves by a decision and nothing else.")
    with inside(folder):
        step("scan", _MODEL, "--record", quiet=True)
        step("registry", "push", _MODEL, "chat")
        step("registry", "promote", "chat:1", "staging")
        say("Somebody pushes what was downloaded as the next version. Pushing is not promoting:")
        step("registry", "push", _BAD, "chat", quiet=True)
        step("scan", "registry:chat:2", "--record", quiet=True, code=1)
        step("registry", "promote", "chat:2", "staging", code=1)
        say("A good version goes in; then it turns out not to be, and one command takes it out again:")
        step("scan", _NEXT, "--record", quiet=True)
        step("registry", "push", _NEXT, "chat", quiet=True)
        step("registry", "promote", "chat:3", "staging", quiet=True)
        step("registry", "quarantine", "chat:3", "--reason", "wrong training data")
        step("registry", "rollback", "chat@staging")
        step("registry", "list", "chat")


def refuse_taken(port: int) -> None:
    """Raise UsageError where something listens already: the server is the last act, and the others take a minute."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does, after one that has just ended
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            msg = f"cannot listen on 127.0.0.1:{port}: {error.strerror}"
            raise UsageError(
                msg, where="--port", code="SRV001", help="another server may be there: --port N takes another"
            ) from error


def fourth_act(folder: Path, port: int) -> int:
    """Serve the workspace until Ctrl-C, for somebody who may look and promote. Returns the exit code of `serve`."""
    say("Now the server, with an account that may promote and take back, and one that may only look:")
    with inside(folder):
        step("access", "user", "add", "rita", quiet=True)
        step("access", "grant", "rita", "releaser", quiet=True)
        step("access", "user", "add", "vera", quiet=True)
        step("access", "grant", "vera", "viewer", quiet=True)
        say("Tokens, shown this once: log in to the console with one, or take it as $TOKEN:")
        for name in ("rita", "vera"):
            step("access", "token", "issue", name, "--expires", "12h")
        click.echo(f'  curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:{port}/api/v1/models\n')
        return run(["serve", "--port", str(port), "--log", "text"])
