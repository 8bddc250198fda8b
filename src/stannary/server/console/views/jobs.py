"""Background jobs: what is asked for, how far it is, what it came to. A page with one that has not ended asks again."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.app.jobs import EVERYTHING, FORMATS, KINDS, Asked, describe, open_table
from stannary.core.model import Json
from stannary.policy.library import SHIPPED
from stannary.server.api.jobs import cancel, document, found, jobs
from stannary.server.console.page import Go, Page, Shown
from stannary.server.console.views.job_days import Activity, activity_of
from stannary.server.operations import Call
from stannary.store.job_table import ENDED, STATES, JobRow

__all__ = ["PAGES"]

_PAGE = 50
_MOST = 2000
_UNDONE = ("failed", "cancelled", "poisoned")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. `percent` is how far it is, None when that is not known; `about` what it is about."""

    id: str
    kind: str
    about: str
    state: str
    created: str
    actor: str
    percent: int | None
    ended: bool

    @classmethod
    def of(cls, row: JobRow) -> Row:
        """Return the row of a job."""
        about = str(row.params.get("version") or (row.inputs[0] if row.inputs else ""))
        return cls(
            id=row.key.partition(":")[2], kind=row.kind, about=about, state=row.state, created=row.created, actor=row.actor,
            percent=_percent(row), ended=row.state in ENDED,
        )  # fmt: skip


class JobsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, the newest first; `next` is where to go on, or empty. `fetch`: whether one may use the workers' own credentials.

    `activity`: jobs by day; None on an older page, or one of a single state.
    """

    schema: str = "stannary.console.jobs/1"
    jobs: tuple[Row, ...]
    state: str
    states: tuple[str, ...]
    live: bool
    next: str
    kinds: tuple[str, ...]
    policies: tuple[str, ...]
    formats: tuple[str, ...]
    fetch: bool
    activity: Activity | None


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job."""

    when: str
    what: str


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """A job: how far it is, what happened to it, what it came to. `again`: the form by which it is asked for again, or empty."""

    schema: str = "stannary.console.job/1"
    row: Row
    job: JobRow
    progress: dict[str, Json]
    log: tuple[LogLine, ...]
    summary: dict[str, Json]
    cancel: bool
    again: dict[str, str]


def _jobs(call: Call) -> Shown:
    state = call.query.get("state", "")
    listed = jobs(call, state, call.query.get("after", ""), _PAGE)
    rows = tuple(map(Row.of, listed.jobs))
    data = JobsPage(
        jobs=rows,
        state=state,
        states=STATES,
        live=not all(row.ended for row in rows),
        next=listed.next,
        kinds=KINDS,
        policies=SHIPPED,
        formats=FORMATS,
        fetch=call.store.may("fetch", EVERYTHING),
        activity=None if state or call.query.get("after") else activity_of(call),
    )
    return Shown(template="jobs.html", title="Jobs", data=data)


def _job(call: Call) -> Shown:
    from stannary.registry.names import Name

    row = found(call)
    shown = Row.of(row)
    may = call.store.may("jobs", Name(row.namespace, row.model))
    data = JobPage(
        row=shown, job=row, progress=row.progress, log=tuple(_log(row)), summary=document(call, row).summary,
        cancel=may and not shown.ended, again=_again(row) if may and row.state in _UNDONE else {},
    )  # fmt: skip
    return Shown(template="job.html", title=f"{row.kind} of {shown.about}"[:200], data=data)


def _again(row: JobRow) -> dict[str, str]:
    """Return what the form of jobs would send for a job that came to nothing. One that broke workers is made another job."""
    target = f"registry:{row.params['version']}" if "version" in row.params else row.inputs[0]
    fields = {"kind": row.kind, "target": target, "again": "yes" if row.state == "poisoned" else ""}
    fields |= {name: str(row.params[name]) for name in ("policy", "format") if name in row.params}
    return fields | ({"credentials": "yes"} if row.params.get("credentials") else {})


def _log(row: JobRow) -> list[LogLine]:
    lines = [LogLine(when=row.created, what=f"asked for by {row.actor}")]
    if row.started:
        again = "" if row.tries == 1 else f", for the {row.tries}. time"
        lines.append(LogLine(when=row.started, what=f"taken up by a worker{again}"))
    if row.crashes:
        lines.append(LogLine(when=row.finished or row.due, what=f"{row.crashes} workers were lost with it"))
    if row.error:
        lines.append(LogLine(when=row.finished or row.due, what=row.error))
    if row.state == "queued" and row.tries:
        lines.append(LogLine(when=row.due, what="it is tried again from then on"))
    if row.finished:
        lines.append(LogLine(when=row.finished, what=row.state))
    return lines


def _percent(row: JobRow) -> int | None:
    progress: dict[str, Any] = row.progress
    total = progress.get("bytes_total") or 0
    if row.state == "done":
        return 100
    if row.state != "running" or not total:
        return None
    return min(100, 100 * int(progress.get("bytes", 0)) // int(total))


def _ask(call: Call) -> Go:
    body: dict[str, str] = call.body
    asked = Asked(
        body.get("kind", ""), body.get("target", "").strip()[:_MOST], body.get("policy") or "baseline",
        body.get("format") or "cyclonedx", again=body.get("again") == "yes", credentials=body.get("credentials") == "yes",
    )  # fmt: skip
    row, made = open_table(call.store).add(describe(call.store, asked))
    call.place.metrics.event("job", "queued" if made else "known")
    return Go(f"/jobs/{row.key.partition(':')[2]}")


def _cancel(call: Call) -> Go:
    row = cancel(call)
    return Go(f"/jobs/{row.key.partition(':')[2]}")


PAGES = (
    Page(id="jobs", path="/jobs", run=_jobs),
    Page(id="do.jobs", path="/jobs", run=_ask, method="POST"),
    Page(id="job", path="/jobs/{id}", run=_job),
    Page(id="do.cancel", path="/jobs/{id}/cancel", run=_cancel, method="POST"),
)
