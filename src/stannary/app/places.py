"""Where a workspace keeps what it has: its registry, its tables, its contents, its accounts; whose it is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stannary.access.access import Access, Turns
    from stannary.evidence.workspace import Workspace
    from stannary.registry.registry import Allowed, Registry
    from stannary.store.blobs.namespaced import NamespacedBlobs
    from stannary.store.database import Database

__all__ = ["open_access", "open_blobs", "open_database", "open_registry", "owner_of"]


def open_registry(workspace: Workspace, *, write: bool = True, actor: str = "", allowed: Allowed | None = None) -> Registry:
    """Open the registry of a workspace. To read it, no key of the workspace is needed.

    Args:
        workspace: where its ledger and its contents are.
        write: whether something is to be changed.
        actor: who acts; the owner of the workspace's key by default.
        allowed: says what the actor may; everything by default.

    Raises UsageError or BackendError.
    """
    from stannary import __version__
    from stannary.evidence.chain import Chain
    from stannary.registry.registry import Registry

    name = actor or (owner_of(workspace) if write else "reader")
    chain = Chain(workspace, write=write)
    more = {"allowed": allowed} if allowed else {}
    with ExitStack() as opened:  # what is open is closed when the rest cannot be opened: a database that restarts is asked again
        opened.callback(chain.ledger.close)
        database = open_database(workspace)
        opened.callback(database.close)
        registry = Registry(chain, database, open_blobs(workspace), actor=name, tool=__version__, **more)
        opened.pop_all()
    return registry


def open_access(workspace: Workspace, registry: Registry | None = None, *, turns: Turns | None = None, denials: int = 60) -> Access:
    """Open the accounts and grants of a workspace, with a registry's tables and ledger where there is one. Raises BackendError.

    `turns` and `denials` are what the processes of a server share, see `Access`.
    """
    from stannary.access.access import Access
    from stannary.core.model import Json
    from stannary.evidence.chain import Chain
    from stannary.evidence.ledger import entry

    ledger = (registry.chain if registry else Chain(workspace, write=True)).ledger
    if registry is None:
        with ExitStack() as opened:
            opened.callback(ledger.close)
            database = open_database(workspace)
            opened.pop_all()
    else:
        database = registry.database

    def journal(kind: str, body: dict[str, Json]) -> None:
        ledger.append([entry("access", body, time=workspace.clock(), kind=kind)])

    return Access(database, journal, clock=workspace.clock, offline=workspace.offline, turns=turns, denials=denials)


def open_database(workspace: Workspace) -> Database:
    """Return the tables of a workspace: beside its ledger, in PostgreSQL where that is, in a schema of the workspace's own."""
    import hashlib

    from stannary.store.database import Database

    if not workspace.settings.database:
        return Database(workspace.root / "registry.db")
    own = hashlib.sha256(workspace.settings.origin.encode()).hexdigest()[:16]
    return Database(str(workspace.ledger_address), f"stannary_tables_{own}")


def open_blobs(workspace: Workspace) -> NamespacedBlobs:
    """Return where the contents of a workspace's registry are, by namespace."""
    from stannary.evidence.contents import open_contents

    return open_contents(workspace)


def owner_of(workspace: Workspace) -> str:
    """Return whose workspace it is: the identity of its signing key."""
    key = workspace.signer.public.keyid
    return next((row.identity for row in workspace.trust.keys if row.keyid == key), key[:16])
