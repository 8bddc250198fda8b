"""Background jobs, as JSON documents and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stannary.core.model import Json
from stannary.report.escape import inline
from stannary.store.job_table import JobRow

__all__ = ["JobDocument", "JobsDocument", "job_lines", "job_text"]


class JobDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and in short what it came to; the evidence is in the ledger under these ids."""

    schema: str = "stannary.job/1"
    job: JobRow
    summary: dict[str, Json] = {}


class JobsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, the newest first; `next` is where to go on, or empty."""

    schema: str = "stannary.jobs/1"
    jobs: tuple[JobRow, ...]
    next: str = ""


def job_lines(rows: Sequence[JobRow]) -> Iterable[str]:
    """Return a line for each job."""
    for row in rows:
        yield f"{_short(row)}  {row.state:<9}  {row.created[:19]}Z  {row.kind:<4}  {inline(_about(row), 80)}{_more(row)}"


def job_text(row: JobRow, summary: Mapping[str, Json]) -> str:
    """Return a job with everything that is known of it."""
    lines = [f"{row.key}", f"  {row.kind} of {inline(_about(row), 300)}, asked for by {inline(row.actor)}"]
    lines.append(f"  {row.state}; {row.tries} run{'' if row.tries == 1 else 's'}, {row.crashes} crashes{_more(row)}")
    times = {"created": row.created, "started": row.started, "finished": row.finished}
    lines.append("  " + ", ".join(f"{name} {value[:19]}Z" for name, value in times.items() if value))
    if row.error:
        lines.append(f"  {inline(row.error, 1000)}")
    lines += [f"  {name}: {inline(str(value), 200)}" for name, value in summary.items()]
    lines += [f"  evidence {name}" for name in row.evidence]
    return "\n".join(lines)


def _short(row: JobRow) -> str:
    return row.key.partition(":")[2][:12]


def _about(row: JobRow) -> str:
    return str(row.params.get("version") or (row.inputs[0] if row.inputs else ""))


def _more(row: JobRow) -> str:
    if row.state == "running" and row.progress.get("bytes_total"):
        return f"  {100 * int(row.progress['bytes']) // max(1, int(row.progress['bytes_total']))} %"
    return ""
