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
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "access_account",
    "access_attempt",
    "access_federation",
    "access_flow",
    "access_grant",
    "access_password",
    "access_provider",
    "access_reply",
    "access_session",
    "access_token",
    "alias",
    "alias_move",
    "applied",
    "frozen",
    "hold",
    "job",
    "label",
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
label = Table(
    "registry_label",
    metadata,
    Column("model", Integer, ForeignKey("registry_model.id"), nullable=False),
    Column("number", Integer, nullable=False),  # 0: the model itself
    Column("note", Text, nullable=True),  # NULL: what was said when it was pushed
    Column("tags", JSON, nullable=False),  # null for one that was taken away
    Column("changed", _TIME, nullable=False),
    Column("entry", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "number"),
)

# Access: no projection of the ledger. What happens to it is told there, and a rebuild leaves it as it is.
_HASH = String(64)  # SHA-256 in hex: of what is secret, nothing else is kept
_ACCOUNT = String(80)

access_account = Table(
    "access_account",
    metadata,
    Column("id", _ACCOUNT, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("display", String(200), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
)
access_password = Table(
    "access_password",
    metadata,
    Column("account", _ACCOUNT, ForeignKey("access_account.id"), primary_key=True),
    Column("hash", Text, nullable=False),
    Column("changed", _TIME, nullable=False),
)
access_token = Table(
    "access_token",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("account", _ACCOUNT, ForeignKey("access_account.id"), nullable=False),
    Column("hash", _HASH, nullable=False),
    Column("label", String(200), nullable=False),
    Column("scope", JSON, nullable=False),
    Column("created", _TIME, nullable=False),
    Column("expires", _TIME, nullable=False),
    Column("used", String(27), nullable=False),
    Column("revoked", String(27), nullable=False),
    Column("actor", _NAME, nullable=False),
    UniqueConstraint("hash"),
)
Index(None, access_token.c.account)
access_grant = Table(
    "access_grant",
    metadata,
    Column("holder", _ACCOUNT, nullable=False),
    Column("role", String(32), nullable=False),
    Column("namespace", String(128), nullable=False),
    Column("model", String(128), nullable=False),
    Column("created", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
    PrimaryKeyConstraint("holder", "role", "namespace", "model"),
)
access_session = Table(
    "access_session",
    metadata,
    Column("hash", _HASH, primary_key=True),
    Column("account", _ACCOUNT, ForeignKey("access_account.id"), nullable=False),
    Column("created", _TIME, nullable=False),
    Column("seen", _TIME, nullable=False),
    Column("expires", _TIME, nullable=False),
)
Index(None, access_session.c.account)
access_federation = Table(
    "access_federation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("account", _ACCOUNT, ForeignKey("access_account.id"), nullable=False),
    Column("claims", JSON, nullable=False),
    Column("jwks", Text, nullable=False),
    Column("created", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
)
access_provider = Table(
    "access_provider",
    metadata,
    Column("issuer", String(500), primary_key=True),
    Column("client", Text, nullable=False),
    Column("secret", Text, nullable=False),  # where it is, never what it is
    Column("scopes", Text, nullable=False),
    Column("jwks", Text, nullable=False),
    Column("created", _TIME, nullable=False),
    Column("actor", _NAME, nullable=False),
)
# A login at an identity provider that is under way: found by its state, bound to the browser that began it.
access_flow = Table(
    "access_flow",
    metadata,
    Column("state", _HASH, primary_key=True),
    Column("browser", _HASH, nullable=False),
    Column("issuer", String(500), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("redirect", Text, nullable=False),
    Column("expires", _TIME, nullable=False),
)
access_attempt = Table(
    "access_attempt",
    metadata,
    Column("name", _ACCOUNT, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("until", _TIME, nullable=False),
)
# What was answered to a request that may be sent again.
access_reply = Table(
    "access_reply",
    metadata,
    Column("principal", _NAME, nullable=False),
    Column("key", String(128), nullable=False),
    Column("operation", String(64), nullable=False),
    Column("digest", _HASH, nullable=False),
    Column("status", Integer, nullable=False),  # 0: not answered yet
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created", _TIME, nullable=False),
    PrimaryKeyConstraint("principal", "key"),
)
Index(None, access_reply.c.created)

# Work to be done in the background. `key` is the digest of what is to be done: the same work is one row.
job = Table(
    "job",
    metadata,
    Column("key", _DIGEST, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Column("namespace", String(128), nullable=False),
    Column("model", String(128), nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", _TIME, nullable=False),
    Column("due", _TIME, nullable=False),  # not before
    Column("started", String(27), nullable=False),
    Column("finished", String(27), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("owner", String(64), nullable=False),  # the worker that has it
    Column("lease", String(27), nullable=False),  # until then; whoever does not renew it is taken for dead
    Column("progress", JSON, nullable=False),
    Column("error", Text, nullable=False),
    Column("value", LargeBinary, nullable=True),  # what it came to, from the first run that ended
    Column("evidence", JSON, nullable=False),
)
Index(None, job.c.state, job.c.due)
Index(None, job.c.created, job.c.state, job.c.namespace, job.c.model)
