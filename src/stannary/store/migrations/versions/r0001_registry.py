"""The tables of the registry."""

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]


def upgrade() -> None:
    """Make them."""
    _rules_and_models()
    _versions_and_aliases()


def _rules_and_models() -> None:
    op.create_table(
        "registry_applied",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_registry_applied")),
    )
    op.create_table(
        "registry_frozen",
        sa.Column("namespace", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", "alias", name=op.f("pk_registry_frozen")),
    )
    op.create_table(
        "registry_model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("latest", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_model")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_registry_model_namespace")),
    )
    op.create_table(
        "registry_protection",
        sa.Column("namespace", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", "alias", name=op.f("pk_registry_protection")),
    )
    op.create_table(
        "registry_quarantine",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.Column("since", sa.String(length=27), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_registry_quarantine")),
    )


def _versions_and_aliases() -> None:
    op.create_table(
        "registry_alias",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("moved", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.Column("decision", sa.String(length=71), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registry_model.id"], name=op.f("fk_registry_alias_model_registry_model")),
        sa.PrimaryKeyConstraint("model", "alias", name=op.f("pk_registry_alias")),
    )
    op.create_table(
        "registry_alias_move",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("moved", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.Column("decision", sa.String(length=71), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registry_model.id"], name=op.f("fk_registry_alias_move_model_registry_model")),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_registry_alias_move")),
    )
    op.create_index(op.f("ix_registry_alias_move_model"), "registry_alias_move", ["model", "alias"], unique=False)
    op.create_table(
        "registry_hold",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registry_model.id"], name=op.f("fk_registry_hold_model_registry_model")),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_registry_hold")),
    )
    op.create_table(
        "registry_version",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("manifest", sa.String(length=71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("creator", sa.String(length=260), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("dropped", sa.Boolean(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registry_model.id"], name=op.f("fk_registry_version_model_registry_model")),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_registry_version")),
    )
    op.create_index(op.f("ix_registry_version_digest"), "registry_version", ["digest"], unique=False)
