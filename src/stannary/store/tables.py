"""The tables of a workspace, for SQLite and PostgreSQL alike. Whoever changes one adds a migration beside it.

The registry's tables are a projection: all of them can be made again from the ledger, `applied` says up to
which entry they were. What is not (accounts, sessions, jobs) stands in tables of its own.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "alias",
    "alias_move",
    "applied",
    "frozen",
    "hold",
    "metadata",
    "model",
    "protection",
    "quarantine",
    "version",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_TIME = String(27)  # RFC 3339 in UTC with microseconds: sorts as time does
_DIGEST = String(71)
_NAME = String(260)

# Which entries of which ledger the registry's tables are made from.
applied = Table(
    "registry_applied",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", String(64), nullable=False),
)
model = Table(
    "registry_model",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("created", _TIME, nullable=False),
    Column("latest", Integer, nullable=False),
    UniqueConstraint("namespace", "name"),
)
version = Table(
    "registry_version",
    metadata,
    Column("model", Integer, ForeignKey("registry_model.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("manifest", _DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("creator", _NAME, nullable=False),
    Column("created", _TIME, nullable=False),
    Column("note", Text, nullable=False),
    Column("info", JSON, nullable=False),
    Column("dropped", Boolean, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "number"),
)
Index(None, version.c.digest)
alias = Table(
    "registry_alias",
    metadata,
    Column("model", Integer, ForeignKey("registry_model.id"), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("moved", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("decision", _DIGEST, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "alias"),
)
alias_move = Table(
    "registry_alias_move",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Integer, ForeignKey("registry_model.id"), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("number", Integer, nullable=False),  # 0: the alias was taken away
    Column("reason", String(16), nullable=False),
    Column("moved", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("decision", _DIGEST, nullable=False),
)
Index(None, alias_move.c.model, alias_move.c.alias)
# What has to hold before an alias moves; '*' for every model of a namespace.
protection = Table(
    "registry_protection",
    metadata,
    Column("namespace", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("rule", JSON, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "name", "alias"),
)
frozen = Table(
    "registry_frozen",
    metadata,
    Column("namespace", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "name", "alias"),
)
quarantine = Table(
    "registry_quarantine",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("since", _TIME, nullable=False),
    Column("entry", BigInteger, nullable=False),
)
hold = Table(
    "registry_hold",
    metadata,
    Column("model", Integer, ForeignKey("registry_model.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "number"),
)
