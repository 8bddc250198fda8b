"""`stannary jobs ... --server`: jobs that a server keeps, over its API."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

from stannary.access.kept_tokens import token_for
from stannary.core.errors import UsageError
from stannary.registry.client import Client
from stannary.report.jobs import JobDocument, JobsDocument

if TYPE_CHECKING:
    from stannary.store.job_table import JobRow

__all__ = ["JobsClient", "jobs_client"]

_DIGITS, _SHORTEST = 64, 6  # of an id, and of what may stand for one
_PAGE = 1000


def jobs_client(server: str | None, workspace: str | None) -> JobsClient | None:
    """Return the server that was named, or None for a workspace. Raises UsageError when both are."""
    from stannary.cli.registry_remote import client_of

    return JobsClient(server, token_for(server)) if server and client_of(server, workspace) else None


class JobsClient(Client):
    """The jobs of a server."""

    def add(self, given: dict[str, Any]) -> JobRow:
        """Ask for a job; return it, or the one that was asked for before."""
        import msgspec

        return self._json("POST", "/jobs", JobDocument, msgspec.json.encode(given)).job

    def jobs(self, state: str, limit: int) -> list[JobRow]:
        """Return jobs, the newest first."""
        found: list[JobRow] = []
        after = ""
        while len(found) < limit:
            query = urllib.parse.urlencode({"state": state, "limit": min(_PAGE, limit - len(found)), "after": after})
            page = self._json("GET", f"/jobs?{query}", JobsDocument)
            found += page.jobs
            after = page.next
            if not after:
                break
        return found

    def job(self, name: str) -> JobDocument:
        """Return a job by its id, or the digits that it begins with. Raises UsageError."""
        return self._json("GET", f"/jobs/{self._id(name)}", JobDocument)

    def cancel(self, name: str) -> JobRow:
        """End a job, and return it as it was. Raises UsageError when it has ended."""
        row = self.job(name).job
        self._json("DELETE", f"/jobs/{row.key.partition(':')[2]}", None)
        return row

    def _id(self, name: str) -> str:
        wanted = name.removeprefix("sha256:").lower()
        if not wanted.isalnum() or len(wanted) < _SHORTEST:
            found = []
        elif len(wanted) == _DIGITS:
            return wanted
        else:
            keys = (row.key.partition(":")[2] for row in self.jobs("", 10 * _PAGE))
            found = [key for key in keys if key.startswith(wanted)]
        if len(found) != 1:
            msg = "names no job" if not found else "names more than one job"
            raise UsageError(msg, where=name, code="JOB007", help="`stannary jobs list` shows the ids")
        return found[0]
