"""Access: who somebody is, and what they may do.

What belongs here: accounts of people and services, what they prove themselves with (passwords, tokens, sessions, tokens of
identity providers), roles and grants, and the answer to "may they?". `roles.py` decides and is pure: a table of roles, deny by
default, duties kept apart. `access.py` is the facade that shells call.

What does not: HTTP (`server/`), the registry (it asks by a callable), the ledger: what has to stand in it is handed to a
`journal` that the composition root ties to it. Accounts and grants are no projection of the ledger; a rebuild leaves them.

To add an action: a name in `ACTIONS`, the roles that have it, and whoever does the thing asks for it. A secret is in no log, no
exception and no entry of the ledger: what is stored of it is a digest, and what is told of it its public name.
"""

from __future__ import annotations

from importlib.util import find_spec

from stannary.core.errors import UsageError

__all__: list[str] = []

# Said here, once, and without importing it: most modules of this room have tables.
if find_spec("sqlalchemy") is None:
    _MSG = "accounts need SQLAlchemy, which is not installed"
    raise UsageError(_MSG, code="DEP001", help="pip install 'stannary[server]'")
