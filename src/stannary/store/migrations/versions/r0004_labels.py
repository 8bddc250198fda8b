"""The table of what is said of models and versions."""

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]


def upgrade() -> None:
    """Make it. It is a projection: an older ledger has nothing for it."""
    op.create_table(
        "registry_label",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("changed", sa.String(length=27), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registry_model.id"], name=op.f("fk_registry_label_model_registry_model")),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_registry_label")),
    )
