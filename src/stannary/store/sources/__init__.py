"""Addresses made into files on this disk: `hf://`, `https://`, `s3://`, `mlflow:`, `oci://`.

Downloads are streamed, capped, resumed after a broken connection, and verified against every
digest that the source announces. Names from a source are hostile until `safe_path` let them pass.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.core.errors import BackendError, UsageError

if TYPE_CHECKING:
    from stannary.store.sources.public import Public

__all__ = ["DEFAULT_CAP", "Resolved", "resolve"]

_SOURCES = {"hf": "hub", "https": "web", "http": "web", "s3": "bucket", "mlflow": "mlflow", "oci": "oci"}
DEFAULT_CAP = 256 << 30


class Resolved(NamedTuple):
    """A target on this disk: its path, how to name it, and where it came from (revision, digests, URL)."""

    path: Path
    display: str
    source: Mapping[str, Any]


def resolve(target: str, *, offline: bool, dest: Path, cap: int = DEFAULT_CAP, public: Public | None = None) -> Resolved:
    """Fetch a target below `dest`, at most `cap` bytes in all.

    With `public`, only what is public is reached: for an address that somebody else names (`public.py`).
    Offline, only what a local cache of the source holds is used and no socket is opened.
    Raises UsageError (address), BackendError (the service, or offline), IntegrityError (a digest
    that does not hold), InputError (a name that leaves the folder, more than the cap).
    """
    if public is not None:
        from stannary.store.sources.public import check_public

        if not public.plain:
            check_public(target)
    scheme = target.partition(":")[0].lower()
    if scheme == "registry":
        msg = "there is no registry in this version"
        raise UsageError(msg, where=target, code="FET001", help="name a path, or hf://, https://, s3://, mlflow:, oci://")
    if scheme not in _SOURCES:
        msg = f"no source is called {scheme}:"
        raise UsageError(msg, where=target, code="FET001", help="hf://, https://, s3://, mlflow:, oci://")
    module = importlib.import_module(f"{__name__}.{_SOURCES[scheme]}")
    if offline:
        own = public is None or public.credentials  # what was fetched with them lies in the cache
        found: Resolved | None = module.cached(target) if own and hasattr(module, "cached") else None
        if found is None:
            msg = "not in a local cache, and --offline opens no socket"
            raise BackendError(msg, where=target, code="FET002", help=f"stannary scan {target}")
        return found
    from stannary.store.sources.fetch import Fetcher

    result: Resolved = module.fetch(target, Fetcher(cap, public), dest)
    return result
