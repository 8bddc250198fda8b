"""The root command: commands are imported when they are used, so that none pays for the others."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from stannary.cli.talk import Talk
from stannary.core.errors import UsageError

_Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = ["COMMANDS", "LazyGroup", "common_options", "flags_of", "root", "talk_of"]

# name → (module:attribute, what it does); the order of the help page.
COMMANDS: dict[str, tuple[str, str]] = {
    "scan": ("stannary.cli.scan:command", "Find what is dangerous in models and repositories."),
    "evaluate": ("stannary.cli.evaluate:command", "Attack a model before an attacker does; measure what it stands."),
    "harden": ("stannary.cli.harden:command", "Harden a model, and say by a paired test whether that worked."),
    "attest": ("stannary.cli.attest:command", "State something about an artifact, signed and logged."),
    "evidence": ("stannary.cli.evidence:command", "List, show, verify and export signed evidence."),
    "gate": ("stannary.cli.gate:command", "Decide by a policy, from evidence alone; explain; record."),
    "why": ("stannary.cli.why:command", "Show the chain of evidence behind a decision."),
    "lineage": ("stannary.cli.lineage:command", "Show what something was made from, and what was made from it."),
    "registry": ("stannary.cli.registry:command", "Keep versions; put one in service by a decision; roll back."),
    "bom": ("stannary.cli.bom:command", "Write, validate and compare bills of materials of models."),
    "trust": ("stannary.cli.trust_command:command", "Say whose signatures count."),
    "sign": ("stannary.cli.sign:command", "Sign a model: every file by name and content."),
    "verify": ("stannary.cli.verify:command", "Verify that a model is what somebody you trust signed."),
    "keys": ("stannary.cli.keys:group", "Make keys, show public halves, protect key files."),
    "ledger": ("stannary.cli.ledger:command", "Prove what is in the ledger, and that nothing of it was changed."),
    "jobs": ("stannary.cli.jobs:command", "Have scans, inventories and decisions done in the background."),
    "serve": ("stannary.cli.serve:command", "Serve a workspace: the REST API, for people and pipelines."),
    "access": ("stannary.cli.access:command", "Say who may do what on a server of this workspace."),
    "demo": ("stannary.cli.demo:command", "See it work: real models and hostile ones, scanned and explained."),
    "rule": ("stannary.cli.rule:command", "List the rules, or explain one."),
    "schema": ("stannary.cli.schema:command", "Print the JSON Schema of an output."),
    "config": ("stannary.cli.config_command:command", "Show the configuration and where each value came from."),
    "init": ("stannary.cli.init:command", "Write a commented stannary.toml, and make a workspace."),
    "doctor": ("stannary.cli.doctor:command", "Show what this machine offers: isolation, codecs, versions."),
}


class LazyGroup(click.Group):
    """A group whose commands are named in a table and imported on use."""

    def __init__(self, *args: Any, table: dict[str, tuple[str, str]], **kwargs: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names without importing anything."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import and return a command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve, and suggest the nearest name for one that is not known."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.table, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"no such command {args[0]!r}{hint}"
            raise click.UsageError(msg, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


def talk_of(ctx: click.Context) -> Talk:
    """Return the one Talk of this run."""
    found = ctx.find_object(Talk)
    assert found is not None  # noqa: S101 - main.py always passes one
    return found


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        talk_of(ctx).verbosity = 1 if param.name == "verbose" else -1


def _set_color(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001 - click's signature
    if value is not None:
        talk_of(ctx).color = value
        flags_of(ctx)["color"] = value


def flags_of(ctx: click.Context) -> dict[str, Any]:
    """Return the settings that were given as flags so far, by configuration key."""
    found: dict[str, Any] = ctx.find_root().meta.setdefault("stannary.flags", {})
    return found


def _set_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001 - click's signature
    if value is not None:
        ctx.find_root().meta["stannary.config"] = value


def _refuse_empty(ctx: click.Context) -> None:
    """Refuse an empty file, key, name or target: `--key "$KEY"` without a KEY would verify by other keys than was meant.

    Free text (metavar TEXT) may be empty. Raises a group of UsageErrors.
    """
    problems: list[UsageError] = []
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if value != "" and not (isinstance(value, tuple) and "" in value):
            continue
        if ctx.get_parameter_source(param.name or "") is not click.core.ParameterSource.COMMANDLINE:
            continue
        if isinstance(param, click.Option) and param.metavar in (None, "TEXT"):
            continue
        where = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name.upper()
        problems.append(UsageError("is empty", where=where, code="USE010", help="is a variable of the shell not set?"))
    if problems:
        msg = "empty values"
        raise ExceptionGroup(msg, problems)


def common_options(command: _Function) -> _Function:
    """Add what every command understands: -q, -v, --color, --config. What is given as nothing is refused."""

    @functools.wraps(command)
    def checked(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - click passes each option
        _refuse_empty(click.get_current_context())
        return command(*args, **given)

    return cast("_Function", _with_common(checked))


def _with_common(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "-q", "--quiet", is_flag=True, expose_value=False, callback=_set_verbosity, help="Say only errors and the verdict."
        ),
        click.option(
            "-v", "--verbose", is_flag=True, expose_value=False, callback=_set_verbosity, help="Say more; show tracebacks."
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            expose_value=False,
            callback=_set_color,
            help="Colour the output (auto: on a terminal without NO_COLOR).",
        ),
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False),
            expose_value=False,
            callback=_set_config,
            help="Read this configuration instead of the one found upward.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's signature
    if value and not ctx.resilient_parsing:
        from stannary import __version__

        click.echo(f"stannary {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 clean · 1 findings · 2 cannot run · 3 incomplete · 70 a bug of ours.",
)
@click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version.")
@common_options
def root() -> None:
    """Assay machine-learning models, stamp what was found, let nothing unstamped into service.

    Try `stannary demo`, or `stannary scan PATH`.
    """
