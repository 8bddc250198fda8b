"""Migrations of the tables, in order: one module each in `versions/`, with alembic's operations.

A new database is made from `tables.py` and stamped; an older one is brought up to date when it is opened, in one
transaction. A test holds that both ways lead to the same tables. To change a table: change `tables.py`, add a
module with `upgrade()` to `versions/`, and its name to `MIGRATIONS`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["HEAD", "MIGRATIONS", "upgrade"]

# version → module, the oldest first
MIGRATIONS = {
    "0001": "r0001_registry",
    "0002": "r0002_access",
    "0003": "r0003_jobs",
    "0004": "r0004_labels",
    "0005": "r0005_job_days",
}
HEAD = list(MIGRATIONS)[-1]


def upgrade(connection: Connection, found: str | None, where: str = "") -> None:
    """Bring the tables behind a connection from the version they are of to the newest. Raises UsageError for one unknown here."""
    import sqlalchemy as sa
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    from stannary.core.errors import UsageError

    known = list(MIGRATIONS)
    if found is not None and found not in known:
        msg = f"the tables are of version {found[:20]!r}, which is not known here"
        raise UsageError(msg, where=where, code="DBS003", help="use a newer stannary")
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for name in known[known.index(found) + 1 if found else 0 :]:
            importlib.import_module(f"stannary.store.migrations.versions.{MIGRATIONS[name]}").upgrade()
    connection.execute(sa.text("DELETE FROM alembic_version"))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
