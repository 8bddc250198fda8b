"""Connections to PostgreSQL, and whose fault it is when one fails.

Every connection has an empty search path: names are qualified, and a function or table that somebody put elsewhere is
not found by them. A commit is durable when it returns, whatever the database's default says. No message has a password in it.
A plan is made once (`plan_cache_mode`): to plan a glance at a ledger takes twice as long as to answer it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stannary.core.errors import BackendError, InputError, IntegrityError, StannaryError, UsageError
from stannary.store.ledger_store import LOST

if TYPE_CHECKING:
    import psycopg

__all__ = ["NO_TEXT", "connect", "has_password", "is_lost", "no_text", "redacted", "require", "translated"]

_SETTINGS = """
SET search_path = '';
SET lock_timeout = '60s';
SET default_transaction_isolation = 'read committed';
SET idle_in_transaction_session_timeout = '120s';
SET default_transaction_read_only = {read_only};
SET plan_cache_mode = force_generic_plan;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT current_setting('server_encoding')
"""
NO_TEXT = "cannot contain NUL"  # what psycopg says of it
_SILENT = logging.NullHandler()
_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": 10,
    "application_name": "stannary",
    # A machine that lost its power says nothing; without these its peer would wait for hours.
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
}
# What the server or libpq says when there is no connection (there is no code then) → what it means, what to do, worth waiting for.
_REFUSALS = (
    ("password authentication failed", "the password is wrong", "check the URL, or the variable that it comes from", False),
    ("no password supplied", "a password is needed", "put it into a variable, and name that: --database env:NAME", False),
    ("no pg_hba.conf entry", "the server does not let this user in from here", "ask who runs it (pg_hba.conf)", False),
    ("the database system is", "the server is starting or stopping", "try again", True),
    ("too many clients", "the server has no connection to spare", "try again, or raise its max_connections", True),
    ("remaining connection slots", "the server has no connection to spare", "try again, or raise its max_connections", True),
    ("permission denied for database", "the role may not connect to this database", "GRANT CONNECT ON DATABASE ... TO ...", False),
    ("is not permitted to log in", "the role may not log in", "ALTER ROLE ... LOGIN", False),
    ("Connection refused", "nothing listens there", "check the host and the port, and that the server runs", True),
    ("No such file or directory", "nothing listens there", "check the host and the port, and that the server runs", True),
    ("could not translate host name", "there is no host of this name", "check the URL", False),
    ("timeout expired", "the server does not answer", "check the host and the port, and what lies between", True),
    ("server closed the connection", "the server broke the connection off", "try again", True),
)


def no_text() -> InputError:
    """Return the error for a text with a NUL: it is whose who sent it, not the server's, and does not say where that is."""
    return InputError("has a NUL character, which no text in a table has", code="DBS004", help="leave it out")


def redacted(url: str) -> str:
    """Return an address of PostgreSQL as it may be shown. Raises UsageError for one that is none."""
    parts = _parts(url)
    user = f"{parts['user']}@" if parts.get("user") else ""
    host = parts.get("host") or "localhost"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{host}{port}/{parts.get('dbname', '')}"


def has_password(url: str) -> bool:
    """Tell whether there is a password in an address."""
    return "password" in _parts(url)


def connect(url: str, *, write: bool, patience: float = 0.0) -> psycopg.Connection[Any]:
    """Connect, in autocommit. A server that is not there yet is waited for, for `patience` seconds. Raises BackendError."""
    import psycopg

    parts, where = {**_DEFAULTS, **_parts(url)}, redacted(url)
    until, pause = time.monotonic() + patience, 0.02
    logging.getLogger("psycopg").addHandler(_SILENT)  # what it warns of on stderr is an error of ours already
    while True:
        try:
            connection = psycopg.connect(**parts, autocommit=True, client_encoding="utf8")  # type: ignore[arg-type] # libpq's own names
            break
        except psycopg.OperationalError as error:
            failure, passing = _refused(str(error), where)
            if not passing or time.monotonic() > until:
                raise failure from error
        time.sleep(pause)
        pause = min(pause * 2, 0.5)
    try:
        with translated(where):
            cursor = connection.execute(_SETTINGS.format(read_only="off" if write else "on").encode())
            while cursor.nextset():
                pass
            (encoding,) = cursor.fetchone() or ("",)
    except BaseException:
        connection.close()
        raise
    if encoding != "UTF8":
        connection.close()
        msg = f"the database keeps text as {encoding}, and UTF8 is needed"
        raise BackendError(msg, where=where, code="LED022", help="CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0")
    return connection


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Say whose fault an error of PostgreSQL is."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise _translation(error, where) from error


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that the connection is gone, and not that the statement failed."""
    import psycopg

    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate or ""
    if state.startswith(("08", "57P0")) or state == "25P03":  # gone, shut down, idle for too long
        return True
    return not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))


def require() -> None:
    """Raise UsageError when what talks to PostgreSQL is not installed."""
    try:
        import psycopg  # noqa: F401 - whether it is there
    except ImportError as error:
        msg = "PostgreSQL needs psycopg, which is not installed"
        raise UsageError(
            msg, where="the address of the database", code="LED022", help="pip install 'stannary[postgres]'"
        ) from error


def _parts(url: str) -> dict[str, str]:
    import psycopg
    from psycopg import conninfo

    try:
        found = conninfo.conninfo_to_dict(url)
    except psycopg.Error:  # which quotes the address, password and all: not told, and not chained
        found = {}
    if not found:
        msg = "is not one of PostgreSQL"
        hint = "postgresql://USER@HOST:PORT/DATABASE, with other characters than letters and digits as %XX"
        raise UsageError(msg, where="the address of the database", code="LED022", help=hint) from None
    return {name: str(value) for name, value in found.items() if value is not None}


def _refused(said: str, where: str) -> tuple[BackendError, bool]:
    """Return the error for a connection that was not made, and whether it is worth waiting."""
    for text, meaning, hint, passing in _REFUSALS:
        if text in said:
            return BackendError(f"cannot be opened: {meaning}", where=where, code="LED022", help=hint), passing
    for what in ("database", "role"):
        if f'{what} "' in said and "does not exist" in said:
            msg = f"cannot be opened: there is no {what} of this name on the server"
            return BackendError(msg, where=where, code="LED022", help=f"CREATE {what.upper()} makes one"), False
    reason = " ".join(said.split())[-300:]
    return BackendError(f"cannot be opened: {reason}", where=where, code="LED022", help="check the address"), False


def _translation(error: psycopg.Error, where: str) -> StannaryError:
    from psycopg import errors

    said = " ".join((error.diag.message_primary or str(error)).split())[:300]
    if NO_TEXT in said:
        return no_text()
    if isinstance(error, errors.IntegrityError):
        msg = f"holds rows where new ones belong: {said}"
        return IntegrityError(msg, where=where, code="LED006", help="`stannary ledger audit` says which")
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.DatatypeMismatch)):
        msg = f"has other tables than a ledger: {said}"
        return IntegrityError(msg, where=where, code="LED010", help="restore it from a backup")
    if isinstance(error, (errors.DataCorrupted, errors.IndexCorrupted)):
        msg = f"is damaged: {said}"
        return IntegrityError(msg, where=where, code="LED010", help="restore it from a backup, then verify it --since a checkpoint")
    if is_lost(error):
        msg = f"the connection was lost: {said}"
        return BackendError(msg, where=where, code=LOST, help="try again; if it happens again, look at the server's log")
    hints = {
        "42501": "GRANT what is missing: writing needs USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on its tables",
        "25006": "a standby or a read-only database was named: write to the primary",
        "53100": "free the disk of the server",
        "55P03": "another writer holds the ledger: see pg_stat_activity",
    }
    hint = hints.get(error.sqlstate or "", "see the server's log")
    return BackendError(f"could not be read or written: {said}", where=where, code="LED020", help=hint)
