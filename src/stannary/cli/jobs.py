"""`stannary jobs`: scans, bills of materials and decisions in the background of a workspace."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.registry import open_registry
from stannary.cli.registry_remote import server_option
from stannary.cli.workspace import format_option, open_workspace, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stannary.registry.registry import Registry
    from stannary.store.job_table import JobRow, JobTable

__all__ = ["COMMANDS", "add", "cancel", "command", "list_", "show", "work"]

COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("stannary.cli.jobs:add", "Ask for a scan, a bill of materials or a decision."),
    "list": ("stannary.cli.jobs:list_", "List jobs, the newest first."),
    "show": ("stannary.cli.jobs:show", "Show a job, and what it came to."),
    "cancel": ("stannary.cli.jobs:cancel", "End a job that has not ended."),
    "work": ("stannary.cli.jobs:work", "Do what is asked for."),
}
_STATES = ("queued", "running", "done", "failed", "poisoned", "cancelled")


@click.group("jobs", cls=LazyGroup, table=COMMANDS)
@common_options
def command() -> None:
    """Have things done in the background: asked for here or by the API, done by `stannary jobs work` or `serve --job-workers`."""


@click.command("add")
@click.argument("kind", type=click.Choice(["scan", "bom", "gate"]))
@click.argument("target")
@click.option(
    "--policy", metavar="NAME|FILE[#STAGE]", default="baseline", show_default=True,
    help="By which policy a gate decides: baseline, production, high-risk, a YAML file, or a .rego file.",
)  # fmt: skip
@click.option("--bom-format", type=click.Choice(["cyclonedx", "spdx"]), default="cyclonedx", show_default=True, help="Of a bom.")
@click.option(
    "--credentials", is_flag=True, help="Have the worker show its own (HF_TOKEN, AWS) to hf:// or s3://; without, what is public."
)
@click.option("--again", is_flag=True, help="Also when it was done before.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def add(ctx: click.Context, /, kind: str, target: str, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Ask for a KIND of job about TARGET: registry:NAME@ALIAS, hf://, https://, s3:// or oci://; for a gate, a digest too.

    Paths of this machine are not taken: a worker may be elsewhere.
    """
    from stannary.app.jobs import Asked, describe
    from stannary.cli.jobs_remote import jobs_client
    from stannary.report.jobs import JobDocument, job_text

    asked = Asked(kind, target, _policy_text(given["policy"]), given["bom_format"], given["again"], given["credentials"])
    client = jobs_client(given["server"], given["workspace"])
    if client is not None:
        row, made = client.add(asked._asdict()), True
    else:
        with _opened(given["workspace"]) as (registry, table):
            row, made = table.add(describe(registry, asked))
    if given["form"] == "json":
        write_json(JobDocument(job=row))
    else:
        click.echo(job_text(row, {}))
    short = row.key.partition(":")[2][:12]
    talk_of(ctx).note(f"stannary jobs show {short}" if made else f"this was asked for before; stannary jobs show {short}")
    return 0


def _policy_text(name: str) -> str:
    """Return a policy as a job has it: a shipped one by its name, any other one with all that it inherits."""
    from stannary.cli.registry_remote import policy_there
    from stannary.policy.library import SHIPPED

    return name if name in SHIPPED else policy_there(name)[0]["policy"]


@click.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def list_(state: str | None, limit: int, server: str | None, workspace: str | None, form: str) -> int:
    """List jobs, the newest first."""
    from stannary.cli.jobs_remote import jobs_client
    from stannary.report.jobs import JobsDocument, job_lines

    client = jobs_client(server, workspace)
    if client is not None:
        rows = client.jobs(state or "", limit)
    else:
        with _opened(workspace) as (_, table):
            rows = table.rows(state=state or "", limit=limit)
    if form == "json":
        write_json(JobsDocument(jobs=tuple(rows)))
    else:
        click.echo("\n".join(job_lines(rows)), nl=bool(rows))
    return 0


@click.command("show")
@click.argument("job")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def show(job: str, server: str | None, workspace: str | None, form: str) -> int:
    """Show JOB (its id, or 6 digits or more of it) and what it came to. Exits 1 when it failed or was quarantined."""
    from stannary.cli.jobs_remote import jobs_client
    from stannary.evidence.product import read_product
    from stannary.report.jobs import JobDocument, job_text

    client = jobs_client(server, workspace)
    if client is not None:
        document = client.job(job)
    else:
        with _opened(workspace) as (_, table):
            row = _found(table, job)
            value = table.value(row.key) if row.state == "done" else None
        document = JobDocument(job=row, summary=read_product(value).summary if value else {})
    row = document.job
    if form == "json":
        write_json(document)
    else:
        click.echo(job_text(row, document.summary))
    return 1 if row.state in ("failed", "poisoned") else 0


@click.command("cancel")
@click.argument("job")
@server_option
@workspace_option
@common_options
@click.pass_context
def cancel(ctx: click.Context, job: str, server: str | None, workspace: str | None) -> int:
    """End JOB. A worker that is on it notices within a third of its lease (20 seconds)."""
    from stannary.cli.jobs_remote import jobs_client

    client = jobs_client(server, workspace)
    if client is not None:
        row = client.cancel(job)
    else:
        with _opened(workspace) as (_, table):
            row = _found(table, job)
            if not table.cancel(row.key):
                msg = f"has ended already: {row.state}"
                raise UsageError(msg, where=job, code="JOB006", help="what it came to is in the ledger")
    talk_of(ctx).note(f"{inline(row.kind)} {row.key.partition(':')[2][:12]} is cancelled")
    return 0


@click.command("work")
@click.option(
    "--executor", metavar="NAME", default="pool", show_default=True, help="inline, pool, ray, ray:HOST:PORT or ray://HOST:PORT."
)
@click.option(
    "--workers", type=click.IntRange(0, 1024), default=0, metavar="N", help="Processes of a pool.  [default: one a processor]"
)
@click.option("--drain", is_flag=True, help="End when nothing is left to do.")
@click.option("--until-eof", is_flag=True, help="End when standard input is closed: with whoever started it.")
@workspace_option
@common_options
@click.pass_context
def work(ctx: click.Context, /, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Do the jobs of the workspace until SIGTERM or Ctrl-C; what is under way then goes back to the queue.

    Any number of these may run, on any number of machines that have the workspace and its database.
    """
    from stannary.app.job_working import work as worked

    opened, talk, stop = open_workspace(workspace), talk_of(ctx), threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    if given["until_eof"]:
        threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    try:
        count = worked(
            opened, stop, executor=given["executor"], workers=given["workers"], drain=given["drain"],
            on_event=lambda what, key: talk.note(f"{what} {key.partition(':')[2][:12]}"),
        )  # fmt: skip
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    talk.note(f"{count:,} job{'s were' if count != 1 else ' was'} brought to an end")
    return 0


def _wait_for_end(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not the stream, whose lock would hold up the exit
        pass
    stop.set()


@contextmanager
def _opened(workspace: str | None) -> Iterator[tuple[Registry, JobTable]]:
    """Return the registry of a workspace and its jobs; they are closed afterwards."""
    from stannary.app.jobs import open_table

    registry = open_registry(workspace)
    try:
        yield registry, open_table(registry)
    finally:
        registry.close()
        registry.chain.ledger.close()


def _found(table: JobTable, name: str) -> JobRow:
    wanted = name.removeprefix("sha256:").lower()
    keys = table.find(f"sha256:{wanted}") if len(wanted) >= 6 else []  # noqa: PLR2004 - fewer digits name nothing
    row = table.get(keys[0]) if len(keys) == 1 else None
    if row is None:
        msg = "names no job" if not keys else "names more than one job"
        raise UsageError(msg, where=name, code="JOB007", help="`stannary jobs list` shows the ids")
    return row
