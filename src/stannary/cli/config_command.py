"""`stannary config show`: every setting, its value, and where it came from."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from stannary.cli.config import load
from stannary.cli.group import common_options, flags_of
from stannary.cli.settings import KEYS
from stannary.report.escape import inline
from stannary.report.wording import counted

__all__ = ["Configuration", "command", "toml"]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in force, where it came from, and the variable that would set it."""

    value: bool | int | float | str | tuple[str, ...]
    origin: str
    env: str


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints."""

    schema: str = "stannary.config/1"
    file: str | None
    settings: dict[str, Shown]
    waivers: tuple[dict[str, Any], ...]


@click.group("config", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at the configuration."""


@command.command("show")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Show it as if this were given as a flag; repeatable.")
@common_options
@click.pass_context
def show(ctx: click.Context, form: str, changes: tuple[str, ...]) -> int:
    """Show every setting, its value and where it came from."""
    config = load(ctx.find_root().meta.get("stannary.config")).with_flags({**flags_of(ctx), **_changes(changes)})
    if form == "json":
        from stannary.report.json_ import dump

        settings = {name: Shown(value=s.value, origin=s.origin, env=KEYS[name].variable) for name, s in config.settings.items()}
        click.echo(dump(Configuration(file=config.file or None, settings=settings, waivers=config.waivers)), nl=False)
        return 0
    names = max(map(len, config.settings))
    values = {name: inline(toml(setting.value), 60) for name, setting in config.settings.items()}
    width = max(map(len, values.values()))
    for name, setting in config.settings.items():
        click.echo(f"{name:<{names}}  {values[name]:<{width}}  {inline(setting.origin)}")
    if config.waivers:
        click.echo(f"\n{counted(len(config.waivers), 'waiver')} in {inline(config.file)}")
    return 0


def _changes(changes: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in KEYS:
            msg = f"{name!r} is not a setting"
            raise click.UsageError(msg)
        try:
            found[name] = KEYS[name].of_text(value)
        except msgspec.ValidationError as exc:
            msg = f"{name}: {exc}"
            raise click.UsageError(msg) from exc
    return found


def toml(value: Any) -> str:  # noqa: ANN401 - a setting of any type
    """Return a setting as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
