"""Background jobs: asked for, looked at, ended. Workers do them (`stannary serve --job-workers`, `stannary jobs work`)."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal

import msgspec

from stannary.app.jobs import Asked, describe, open_table
from stannary.core.errors import InputError, UsageError
from stannary.evidence.product import read_product
from stannary.registry.names import Name
from stannary.report.jobs import JobDocument, JobsDocument
from stannary.server.operations import Call, Operation, Parameter, Reply
from stannary.server.sent import MOST_POLICY
from stannary.store.job_table import ENDED, STATES, JobRow

__all__ = ["OPERATIONS", "cancel", "document", "found", "jobs", "may_see"]

_KEY = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_BATCHES = 20  # of jobs that a caller may not see, before a page is left short
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class NewJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done, and with what: `registry:NAME@ALIAS`, a digest (gate), or an address (hf, https, s3, oci).

    The same job is done once; `again` makes it another one. `credentials`: those of the worker are shown to
    hf and s3, which takes the action `fetch`.
    """

    kind: Literal["scan", "bom", "gate"]
    target: _Text
    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_POLICY)] = "baseline"
    format: Literal["cyclonedx", "spdx"] = "cyclonedx"
    again: bool = False
    credentials: bool = False


def _add(call: Call) -> Reply:
    body: NewJob = call.body
    new = describe(call.store, Asked(body.kind, body.target, body.policy, body.format, body.again, body.credentials))
    row, made = open_table(call.store).add(new)
    call.place.metrics.event("job", "queued" if made else "known")
    location = {"location": f"/api/v1/jobs/{row.key.partition(':')[2]}"}
    return Reply(body=document(call, row), status=202 if made else 200, headers=location)


def jobs(call: Call, state: str, after: str, limit: int) -> JobsDocument:
    """Return jobs that the caller may see, the newest first. Raises UsageError."""
    if state and state not in STATES:
        msg = f"is no state of a job: {state[:40]!r}"
        raise UsageError(msg, where="state", code="API002", help=f"one of {', '.join(STATES)}")
    table, before, seen = open_table(call.store), _cursor(after), list[JobRow]()
    for _ in range(_BATCHES):
        rows = table.rows(state=state, before=before, limit=limit + 1)
        seen += [row for row in rows if may_see(call, row)]
        before = (rows[-1].created, rows[-1].key) if len(rows) > limit else None
        if before is None or len(seen) > limit:
            break
    if len(seen) > limit:
        before = (seen[limit - 1].created, seen[limit - 1].key)
    following = base64.urlsafe_b64encode(" ".join(before).encode()).decode() if before else ""
    return JobsDocument(jobs=tuple(seen[:limit]), next=following)


def _list(call: Call) -> JobsDocument:
    return jobs(call, call.query["state"], call.query["after"], call.query["limit"])


def _get(call: Call) -> JobDocument:
    return document(call, found(call))


def cancel(call: Call) -> JobRow:
    """End the job that the path names. Raises UsageError when it has ended, PolicyDenied."""
    row = found(call)
    call.store.allowed("jobs", Name(row.namespace, row.model))
    if not open_table(call.store).cancel(row.key):
        again = open_table(call.store).get(row.key)
        msg = f"has ended already: {again.state if again and again.state in ENDED else row.state}"
        raise UsageError(msg, where=row.key, code="JOB006", help="what it came to is in the ledger")
    return row


def _cancel(call: Call) -> None:
    cancel(call)


def found(call: Call) -> JobRow:
    """Return the job that the path names. Raises UsageError, also for one that the caller may not see."""
    match = _KEY.fullmatch(call.path["id"])
    row = open_table(call.store).get(f"sha256:{match[1]}") if match else None
    if row is None or not may_see(call, row):  # that there is one is told only to who may see it
        msg = "there is no such job"
        raise UsageError(msg, where=call.path["id"][:80], code="JOB007", help="GET /api/v1/jobs lists them")
    return row


def may_see(call: Call, row: JobRow) -> bool:
    """Tell whether the caller may see a job: who runs jobs there, and who may read the model it is about."""
    name = Name(row.namespace, row.model)
    return call.store.may("jobs", name) or (row.model != "*" and call.store.may("read", name))


def document(call: Call, row: JobRow) -> JobDocument:
    """Return a job with what it came to."""
    value = open_table(call.store).value(row.key) if row.state == "done" else None
    try:
        summary = read_product(value).summary if value else {}
    except InputError:
        summary = {}
    return JobDocument(job=row, summary=summary)


def _cursor(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    try:
        created, _, key = base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii").partition(" ")
    except ValueError:
        created, key = "", ""
    if not created or not _KEY.fullmatch(key):
        msg = "is not the `next` of an answer"
        raise UsageError(msg, where="after", code="API002", help="begin without it")
    return created, key


OPERATIONS = (
    Operation(
        id="addJob",
        method="POST",
        path="/jobs",
        run=_add,
        tag="jobs",
        body=NewJob,
        reply=JobDocument,
        status=202,
        errors=(404, 409),
        summary="Have something scanned, inventoried or decided in the background; 200 when that was asked for before.",
    ),
    Operation(
        id="listJobs",
        method="GET",
        path="/jobs",
        run=_list,
        tag="jobs",
        reply=JobsDocument,
        query=(
            Parameter("state", str, f"Only those that are {', '.join(STATES)}.", ""),
            Parameter("limit", int, "How many at most.", 100, 1, 1000),
            Parameter("after", str, "Where to go on: `next` of the last answer.", ""),
        ),
        summary="Jobs, the newest first.",
    ),
    Operation(
        id="getJob",
        method="GET",
        path="/jobs/{id}",
        run=_get,
        tag="jobs",
        reply=JobDocument,
        errors=(404,),
        summary="A job, how far it is, and what it came to.",
    ),
    Operation(
        id="cancelJob",
        method="DELETE",
        path="/jobs/{id}",
        run=_cancel,
        tag="jobs",
        status=204,
        errors=(404, 409),
        summary="End a job that has not ended.",
    ),
)
