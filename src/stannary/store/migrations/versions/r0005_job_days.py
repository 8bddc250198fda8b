"""An index by which jobs are listed, the newest first, and counted by day, without reading what they came to."""

from alembic import op

__all__ = ["upgrade"]


def upgrade() -> None:
    """Make it."""
    op.create_index(op.f("ix_job_created"), "job", ["created", "state", "namespace", "model"], unique=False)
