"""How a workspace names its database: a URL without a password, or the variable that has one with it."""

from __future__ import annotations

import os
import re

from stannary.core.errors import UsageError
from stannary.store.ledger_store import is_url

__all__ = ["reach", "url_of"]

_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_HELP = "postgresql://USER@HOST:PORT/DATABASE, or env:NAME for a variable that has the URL"


def url_of(database: str) -> str:
    """Return the URL that a setting means. Raises UsageError."""
    found = database
    variable = _VARIABLE.fullmatch(database)
    if variable:
        found = os.environ.get(variable[1], "")
        if not found:
            msg = f"the variable {variable[1]} is not set, and the address of the ledger's database is to be in it"
            raise UsageError(msg, code="WSP005", help=f"export {variable[1]}=postgresql://USER:PASSWORD@HOST/DATABASE")
    if not is_url(found):
        msg = "the address of the ledger's database is not one of PostgreSQL"
        raise UsageError(msg, code="WSP005", help=_HELP)
    return found


def reach(database: str) -> None:
    """Connect to the database that a new workspace is to use. Raises UsageError for a password in a URL, BackendError."""
    from stannary.store.postgres import connect, has_password, require

    require()
    url = url_of(database)
    if url == database and has_password(url):
        msg = "the URL has a password in it, which would lie in workspace.json"
        raise UsageError(msg, code="WSP006", help="put the URL into a variable, and name that: --database env:NAME")
    connect(url, write=True).close()
