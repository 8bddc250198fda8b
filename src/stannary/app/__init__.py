"""The composition root: the only place that builds concrete stores, executors, sources and scratch folders.

Belongs here: what is named on a command line or asked of a server becomes something on this disk (`targets`), is stated
(`statements`), is kept somewhere (`places`) or is done later (`jobs`, `job_handling`, `job_working`). The command line and the
server call it. It holds no logic of its own: a module that needs more than 200 lines has some.

Does not belong here: decisions, SQL, readers, what a command prints.

To add one more (a store, an executor, a source): a branch in the function that opens its kind, which imports it there and
then. What only some callers need is imported in the function that needs it: a scan starts without a database, a server
without a scanner.
"""

from stannary.app.places import open_access, open_blobs, open_database, open_registry, owner_of
from stannary.app.statements import Bom, bom_subject, record_bom, record_scan, state_scan, take_bom
from stannary.app.targets import check_names, is_address, located, registry_home, scan

__all__ = [
    "Bom",
    "bom_subject",
    "check_names",
    "is_address",
    "located",
    "open_access",
    "open_blobs",
    "open_database",
    "open_registry",
    "owner_of",
    "record_bom",
    "record_scan",
    "registry_home",
    "scan",
    "state_scan",
    "take_bom",
]
