"""`stannary bom TARGET`: the bill of materials of a model; `bom diff`, `bom validate` for anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stannary.cli.bom_run import start
from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.workspace import workspace_option

__all__ = ["COMMANDS", "command", "diff", "validate"]

COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("stannary.cli.bom:validate", "Validate anybody's bill of materials by schema and by sense."),
    "diff": ("stannary.cli.bom:diff", "Compare two: what was added, removed, changed."),
}


class _TargetGroup(LazyGroup):
    """A group whose first word may be a target instead of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line as that of a command of the group, or as that of `bom TARGET`, with options anywhere."""
        first = next((word for word in args if not word.startswith("-")), "")
        if not args or first in self.table:
            return super().parse_args(ctx, args)
        ctx.allow_interspersed_args = True
        return click.Command.parse_args(self, ctx, args)


@click.group(
    "bom",
    cls=_TargetGroup,
    table=COMMANDS,
    invoke_without_command=True,
    subcommand_metavar="TARGET | COMMAND [ARGS]...",
    no_args_is_help=True,
)
@click.option(
    "--format", "form", type=click.Choice(["cyclonedx", "spdx", "table", "json"]), default="cyclonedx", show_default=True,
    help="A document, or what is in it in short (table, json).",
)  # fmt: skip
@click.option(
    "--spec-version", type=click.Choice(["1.6", "1.7"]), default="1.6", show_default=True, help="The version of CycloneDX."
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of stdout.")
@click.option("--record", is_flag=True, help="Sign the document and log it as evidence about TARGET.")
@click.option("--evidence/--no-evidence", default=True, help="Use what the workspace's ledger holds about TARGET.  [default: yes]")
@click.option("--min-score", type=click.FloatRange(0, 100), metavar="N", help="Exit 1 when it is less complete than N of 100.")
@click.option(
    "--timestamp",
    metavar="TIME",
    envvar="SOURCE_DATE_EPOCH",
    help="When it is made (ISO 8601, or seconds since 1970); the same gives the same bytes.",
)
@click.option("--name", default="", metavar="TEXT", help="Call the model this.")
@click.option("--model-version", default="", metavar="TEXT", help="The version of the model.")
@click.option("--supplier", default="", metavar="TEXT", help="Who supplies the model.")
@click.option("--purl", default="", metavar="PURL", help="The package URL of the model.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 although something was not read, or the score is low.")
@click.option("--offline", is_flag=True, help="Open no socket.")
@click.option("--jobs", type=click.IntRange(0, 1024), default=0, metavar="N", help="Processes.  [default: one a processor]")
@click.option(
    "--jail",
    type=click.Choice(["auto", "process", "landlock", "bwrap"]),
    default="auto",
    help="Isolation of readers; one asked for and not there is an error.",
)
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int | None:  # noqa: ANN401 - click passes each option
    """Write the bill of materials of TARGET: a file, a folder, or an address such as hf://org/model.

    Everything in it has its source: file headers, the model card, configurations, locks, code, and the signed
    evidence of the workspace. What no source says is missing, and `--format table` tells where to put it.
    """
    if ctx.invoked_subcommand is not None:
        return None
    if len(ctx.args) != 1:
        msg = f"takes one TARGET, not {len(ctx.args)}"
        raise click.UsageError(msg, ctx)
    if given["form"] == "spdx" and ctx.get_parameter_source("spec_version") is not click.core.ParameterSource.DEFAULT:
        msg = "--spec-version is of CycloneDX; SPDX documents are of 3.0.1"
        raise click.UsageError(msg, ctx)
    return start(ctx.args[0], given, talk_of(ctx))


@click.command("validate")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Exit 1 for what our own checks say as well.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.  [default: table]")
@common_options
@click.pass_context
def validate(ctx: click.Context, files: tuple[str, ...], strict: bool, form: str) -> int:
    """Validate bills of materials: CycloneDX JSON 1.4 to 1.7, SPDX 2.3 and 3.0.1 JSON; - is stdin.

    By the published schemas, which are shipped, and by our own checks: references that lead nowhere, names
    that are there twice, digests that are none. Exits 1 when one is not valid by its schema.
    """
    from stannary.cli.bom_run import validate_files

    return validate_files(files, form, talk_of(ctx), strict=strict)


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.  [default: table]")
@common_options
def diff(old: Path, new: Path, form: str) -> int:
    """Compare the bills of materials OLD and NEW: components, digests, licences, parameters, data.

    Exits 0 when they say the same, 1 when they do not, as diff does; when and by what they were made does not count.
    """
    from stannary.cli.bom_run import compare_files

    return compare_files(old, new, form)
