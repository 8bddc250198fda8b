"""`stannary init [DIR]`: a configuration in which every setting stands, commented, at its default."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import click

from stannary.cli.config_command import toml
from stannary.cli.group import common_options, talk_of
from stannary.cli.settings import KEYS
from stannary.core.errors import UsageError
from stannary.report.escape import inline

__all__ = ["command", "template"]

_WAIVER = """
# A finding that was looked at and accepted. It needs a reason, an owner and an end; when it has
# expired, it becomes a finding itself. Name the rule and either the file or the digest of its content.
# [[waiver]]
# rule = "PKL050"
# file = "models/legacy.pkl"
# reason = "our own class, reviewed"
# owner = "ml-platform@example.com"
# expires = 2027-06-30
"""


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Replace a stannary.toml that is there.")
@common_options
@click.pass_context
def command(ctx: click.Context, folder: str, force: bool) -> int:
    """Write a commented stannary.toml to DIR (default: here)."""
    path = Path(folder) / "stannary.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileExistsError:
        msg = "is there already"
        raise UsageError(msg, where=str(path), code="USE005", help="edit it, or replace it with --force") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(template())
    talk_of(ctx).note(f"wrote {inline(str(path))}; `stannary config show` shows what is in force")
    return 0


def template() -> str:
    """Return the file: each setting with its help, commented out, at its default."""
    lines = [
        "# stannary.toml: settings for everything below this folder.",
        "# Each is shown at its default; `stannary config show` says what is in force.",
    ]
    section = ""
    for key in KEYS.values():
        table, _, name = key.name.rpartition(".")
        if table != section:
            lines.extend(["", f"[{table}]"])
            section = table
        lines.extend(textwrap.wrap(key.help, 96, initial_indent="# ", subsequent_indent="# "))
        lines.append(f"# {name} = {toml(key.default)}")
    return "\n".join(lines) + "\n" + _WAIVER
