"""`stannary scan TARGET...`: the command line, declared for click. What it does is in `scan_run.py`, short cuts in `quick.py`."""

from __future__ import annotations

from typing import Any

import click

from stannary.cli.group import common_options, flags_of, talk_of
from stannary.cli.scan_run import start
from stannary.cli.settings import MOST_SECONDS
from stannary.core.model import SEVERITIES
from stannary.report.interface import FORMATS

__all__ = ["command"]


class _Seconds(click.FloatRange):
    """A range that `nan` is outside of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the number. Fails with click's usage error."""
        found = super().convert(value, param, ctx)
        if found != found:  # noqa: PLR0124 - what nan is
            self.fail("nan is not a time", param, ctx)
        return found


@click.command("scan", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "--format", "formats", metavar="NAME[=FILE]", multiple=True, help=f"{', '.join(FORMATS)}; NAME=FILE writes a file; repeatable."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the report to FILE instead of stdout; its ending names the format when --format does not.",
)
@click.option("--fail-on", type=click.Choice([*SEVERITIES, "never"]), help="Exit 1 from this severity on.  [default: medium]")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever is found or could not be read.")
@click.option("--show", type=click.Choice(["findings", "clean", "all"]), help="How much the table shows.  [default: findings]")
@click.option("--baseline", metavar="FILE", help="Do not count the findings recorded in FILE.")
@click.option("--advisories", metavar="FILE", help="Match pinned dependencies with a dump of OSV records.")
@click.option("--write-baseline", metavar="FILE", help="Record all findings in FILE, as accepted.")
@click.option("--record", is_flag=True, help="Sign what was found and log it in the workspace.")
@click.option(
    "--workspace",
    metavar="DIR",
    envvar="STANNARY_WORKSPACE",
    help="The workspace for --record and for registry:NAME, not the one found upward.",
)
@click.option("--jobs", type=click.IntRange(0, 1024), metavar="N", help="Processes.  [default: one a processor]")
@click.option(
    "--jail",
    type=click.Choice(["auto", "process", "landlock", "bwrap"]),
    help="Isolation; one asked for and not there is an error.",
)
@click.option("--digest/--no-digest", default=None, help="Hash every byte.  [default: yes]")
@click.option("--cache", metavar="DIR", help="Keep facts by content in DIR and use them again.")
@click.option("--no-cache", is_flag=True, help="Use no cache, whatever the configuration says.")
@click.option("--offline", is_flag=True, default=None, help="Open no socket.")
@click.option("--limit-depth", type=click.IntRange(1), metavar="N", help="Containers within containers.")
@click.option("--limit-members", type=click.IntRange(1), metavar="N", help="Entries of all containers of a file.")
@click.option("--limit-inflated", type=click.IntRange(1), metavar="BYTES", help="Bytes decompressed for one file.")
@click.option(
    "--limit-processor",
    type=_Seconds(0, MOST_SECONDS, min_open=True),
    metavar="S",
    help="CPU seconds for one file of up to 64 MiB.",
)
@click.option("--limit-seconds", type=_Seconds(0, MOST_SECONDS, min_open=True), metavar="S", help="Time for one file.")
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Find what is dangerous in models and repositories, without loading them.

    A TARGET is a file, a folder, - for stdin, or an address: hf://org/model[@revision], https://...,
    s3://bucket/key, mlflow:models/name/3, oci://registry/name:tag.
    """
    return start(given, talk_of(ctx), config_file=ctx.find_root().meta.get("stannary.config"), flags=flags_of(ctx))
