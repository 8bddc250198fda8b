"""Where a command gets a passphrase: STANNARY_PASSPHRASE, or a person at a terminal."""

from __future__ import annotations

import os
import sys

import click

from stannary.core.errors import UsageError

__all__ = ["ask", "choose"]


def ask(what: str = "") -> bytes | None:
    """Return the passphrase of something, or None when there is nobody to ask."""
    text = os.environ.get("STANNARY_PASSPHRASE")
    if text:
        return text.encode()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    answer: str = click.prompt(f"passphrase of {what}" if what else "passphrase", hide_input=True, err=True)
    return answer.encode()


def choose(what: str) -> bytes:
    """Return a new passphrase, asked for twice. Raises UsageError when there is none and nobody to ask."""
    text = os.environ.get("STANNARY_PASSPHRASE")
    if text:
        return text.encode()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = "a key is protected with a passphrase, and none was given"
        raise UsageError(
            msg, where=what, code="KEY003", help="set STANNARY_PASSPHRASE, run it in a terminal, or say --no-passphrase"
        )
    answer: str = click.prompt(f"new passphrase of {what}", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()
