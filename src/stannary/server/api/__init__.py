"""The operations of the API, one module for each kind of thing; each has a table `OPERATIONS`.

A function takes a `Call` and returns a struct or a `Reply`. Rights are asked where the thing is done: by the registry,
or by `call.store.allowed` for what is no matter of the registry.
"""

from __future__ import annotations

from stannary.server.api import access, aliases, approvals, contents, evidence, jobs, ledger, models, namespaces, search, system
from stannary.server.operations import Operation

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *system.OPERATIONS,
    *models.OPERATIONS,
    *aliases.OPERATIONS,
    *approvals.OPERATIONS,
    *contents.OPERATIONS,
    *namespaces.OPERATIONS,
    *evidence.OPERATIONS,
    *ledger.OPERATIONS,
    *search.OPERATIONS,
    *jobs.OPERATIONS,
    *access.OPERATIONS,
)
