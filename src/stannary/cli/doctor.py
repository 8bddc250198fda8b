"""`stannary doctor`: what this machine offers, what that means for a scan, and what a workspace here lacks."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.talk import wants_color
from stannary.cli.workspace import workspace_option

if TYPE_CHECKING:
    from stannary.evidence.workspace import Workspace

__all__ = ["Answer", "Answers", "command", "examine"]


class Answer(msgspec.Struct, frozen=True):
    """One thing looked at: `ok`, `missing` (a part of the work cannot be done), `warning` (works, and is less safe) or `note`."""

    topic: str
    name: str
    state: Literal["ok", "missing", "warning", "note"]
    text: str


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints."""

    schema: str = "stannary.doctor/1"
    answers: tuple[Answer, ...]


_CODECS = (
    ("gzip, zlib", ("zlib",)),
    ("bzip2", ("bz2",)),
    ("xz, lzma", ("lzma",)),
    ("lz4", ("lz4",)),
    ("zstandard", ("compression.zstd", "backports.zstd")),
)
_COLORS = {"ok": "green", "missing": "yellow", "warning": "yellow", "note": "cyan"}


@click.command("doctor")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print.")
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, form: str, workspace: str | None) -> int:
    """Show isolation levels, codecs, versions, the terminal, and the workspace here. Exits 3 when something is missing."""
    color = wants_color(sys.stdout, talk_of(ctx).color)
    answers = [*examine(), *_terminal(talk_of(ctx).color), *_workspace(workspace)]
    if form == "json":
        from stannary.report.json_ import dump

        click.echo(dump(Answers(answers=tuple(answers))), nl=False)
    else:
        topic = ""
        for answer in answers:
            if answer.topic != topic:
                topic = answer.topic
                click.echo(click.style(topic, bold=True) if color else topic, color=color)
            state = f"{answer.state:<8}"
            click.echo(
                f"  {click.style(state, fg=_COLORS[answer.state]) if color else state}{answer.name:<14} {answer.text}", color=color
            )
    return 3 if any(answer.state == "missing" and answer.topic != "isolation" for answer in answers) else 0


def examine() -> list[Answer]:
    """Look at versions, rules, isolation, codecs and engines. Starts bubblewrap once if it is there."""
    return [*_versions(), *_isolation(), *_codecs(), _rego()]


def _versions() -> list[Answer]:
    from stannary import __version__
    from stannary.checks.static import ruleset

    found = [
        Answer("versions", "stannary", "ok", __version__),
        Answer("versions", "python", "ok", f"{platform.python_version()} ({platform.python_implementation()})"),
        Answer(
            "versions",
            "platform",
            "ok",
            f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors",
        ),
    ]
    try:
        rules = ruleset.load()
        found.append(Answer("versions", "rules", "ok", f"{len(rules.rules)} rules, {rules.digest}"))
    except (OSError, msgspec.DecodeError) as exc:
        found.append(Answer("versions", "rules", "missing", f"the rule set cannot be read: {exc}; install stannary again"))
    return found


def _isolation() -> list[Answer]:
    from stannary.run.jail import best_level, probe

    found = [Answer("isolation", item.level, "ok" if item.holds else "missing", item.reason) for item in probe()]
    found.append(Answer("isolation", "default", "note", f"scans run at level {best_level()} unless --jail says otherwise"))
    return found


def _codecs() -> list[Answer]:
    found = []
    for name, modules in _CODECS:
        module = next((module for module in modules if _importable(module)), None)
        text = f"through {module}" if module else f"not there: content compressed with it is incomplete; pip install {modules[-1]}"
        found.append(Answer("codecs", name, "ok" if module else "missing", text))
    return found


def _rego() -> Answer:
    from stannary.core.errors import BackendError
    from stannary.evidence.engines.bounds import SENT
    from stannary.evidence.engines.interface import choose

    try:
        return Answer("policies", "rego", "ok", choose("auto", SENT).name)
    except BackendError:
        return Answer("policies", "rego", "note", "no engine: policies in Rego cannot be evaluated; pip install 'stannary[rego]'")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False


def _terminal(choice: str) -> list[Answer]:
    stream = sys.stdout
    size = shutil.get_terminal_size()
    kind = f"{size.columns} columns, {os.environ.get('TERM') or 'no TERM'}" if stream.isatty() else "not a terminal"
    color = "coloured" if wants_color(stream, choice) else "not coloured"
    return [Answer("terminal", "stdout", "note", f"{kind}, {stream.encoding}, {color}")]


def _workspace(named: str | None) -> list[Answer]:
    """Look at the workspace that is named, or here, if one is: nothing is decrypted, and no database is asked."""
    from stannary.core.errors import StannaryError
    from stannary.evidence.workspace import Workspace

    try:
        place = Workspace.find(named or os.environ.get("STANNARY_WORKSPACE"))
    except StannaryError as error:
        return [] if error.code == "WSP001" and not named else [Answer("workspace", "settings", "warning", str(error))]
    return [_keys(place), _ledger(place)]


def _keys(place: Workspace) -> Answer:
    try:
        held = {path.name: path.read_bytes() for path in sorted((place.root / "keys").glob("*.pem"))}
    except OSError as error:
        return Answer("workspace", "keys", "warning", f"cannot be read: {error}")
    bare = [name for name, content in held.items() if b"PRIVATE KEY-----" in content and b"ENCRYPTED" not in content]
    if bare:
        text = f"{', '.join(bare)} without a passphrase: whoever reads them signs as you; `stannary keys protect` adds one"
        return Answer("workspace", "keys", "warning", text)
    if place.settings.unlock:
        from stannary.evidence.unlock import place_of

        where = place_of(place.settings.unlock)
        if where.exists():
            return Answer("workspace", "keys", "ok", f"protected by a passphrase that is kept in {where}")
        return Answer("workspace", "keys", "note", f"protected by a passphrase that is not here: not in {where}")
    return Answer("workspace", "keys", "ok", "protected, or not kept here")


def _ledger(place: Workspace) -> Answer:
    from stannary.cli.ledger_watch import HELP, UNWATCHED, watched
    from stannary.core.errors import StannaryError

    if place.settings.database:
        return Answer("workspace", "ledger", "note", "in a database: `stannary ledger verify` says who watches it")
    try:
        with place.ledger() as ledger:
            seen, size = watched(ledger), ledger.head().size
    except StannaryError as error:
        return Answer("workspace", "ledger", "warning", f"{error}; `stannary ledger audit` says more")
    if seen is None:
        return Answer("workspace", "ledger", "warning", f"{UNWATCHED}; {HELP}")
    return Answer("workspace", "ledger", "ok", f"{', '.join(seen.names)} cosigned {seen.size:,} of {size:,} entries")
