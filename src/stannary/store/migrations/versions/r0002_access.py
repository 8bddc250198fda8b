"""The tables of access: accounts, what they prove themselves with, grants, answers that may be asked for again."""

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]


def upgrade() -> None:
    """Make them."""
    _accounts()
    _credentials()
    _providers()


def _accounts() -> None:
    op.create_table(
        "access_account",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("display", sa.String(length=200), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_account")),
    )
    op.create_table(
        "access_password",
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("changed", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["access_account.id"], name=op.f("fk_access_password_account_access_account")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_access_password")),
    )
    op.create_table(
        "access_grant",
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("namespace", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.PrimaryKeyConstraint("holder", "role", "namespace", "model", name=op.f("pk_access_grant")),
    )


def _credentials() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("scope", sa.JSON(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("expires", sa.String(length=27), nullable=False),
        sa.Column("used", sa.String(length=27), nullable=False),
        sa.Column("revoked", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["access_account.id"], name=op.f("fk_access_token_account_access_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_access_token_hash")),
    )
    op.create_index(op.f("ix_access_token_account"), "access_token", ["account"], unique=False)
    op.create_table(
        "access_session",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("seen", sa.String(length=27), nullable=False),
        sa.Column("expires", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["access_account.id"], name=op.f("fk_access_session_account_access_account")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_access_session")),
    )
    op.create_index(op.f("ix_access_session_account"), "access_session", ["account"], unique=False)
    op.create_table(
        "access_attempt",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_access_attempt")),
    )


def _providers() -> None:
    op.create_table(
        "access_federation",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["access_account.id"], name=op.f("fk_access_federation_account_access_account")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_access_federation")),
    )
    op.create_table(
        "access_provider",
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(length=260), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_access_provider")),
    )
    op.create_table(
        "access_flow",
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("redirect", sa.Text(), nullable=False),
        sa.Column("expires", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_access_flow")),
    )
    op.create_table(
        "access_reply",
        sa.Column("principal", sa.String(length=260), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("operation", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_access_reply")),
    )
    op.create_index(op.f("ix_access_reply_created"), "access_reply", ["created"], unique=False)
