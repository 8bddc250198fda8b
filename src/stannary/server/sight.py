"""Who may see which artifact, by the names it has in the registry; and lineage as far as somebody may see it.

An artifact is seen by whoever may read one of its names. One that was never registered is of no namespace: evidence names it,
and whoever reads that evidence knows of it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from stannary.core.errors import UsageError
from stannary.core.evidence import Decision
from stannary.core.model import Digest
from stannary.evidence.gate import spelled_out
from stannary.evidence.lineage_index import LineageIndex
from stannary.registry import queries
from stannary.registry.names import DEFAULT, Name
from stannary.registry.registry import Registry
from stannary.store.lineage_db import Walked

__all__ = ["Lineage", "lineage_of", "no_statement", "readable", "reads_in", "seen_decision", "sees", "somewhere", "visible"]

_WHOLE = Name(DEFAULT, "*")


class Lineage(NamedTuple):
    """What an artifact was made from and what was made of it, nearest first. `hidden`: artifacts that are not told of."""

    name: str
    above: list[Walked]
    below: list[Walked]
    hidden: int


def visible(registry: Registry, digests: Iterable[str]) -> set[str]:
    """Return which artifacts the registry's actor may see; digests with or without `sha256:`, as they were given."""
    given = list(digests)
    if registry.may("read", _WHOLE):
        return set(given)
    full = {digest: digest if digest.startswith("sha256:") else f"sha256:{digest}" for digest in given}
    with registry.reading() as connection:
        names = queries.names_with(connection, list(full.values()))
    may = {name: registry.may("read", name) for name in set().union(*names.values())}
    return {digest for digest in given if full[digest] not in names or any(may[name] for name in names[full[digest]])}


def readable(registry: Registry, digests: Iterable[str]) -> set[str]:
    """Return the artifacts that have a name which the registry's actor may read; all of them for who may read everything."""
    given = set(digests)
    if registry.may("read", _WHOLE):
        return given
    with registry.reading() as connection:
        names = queries.names_with(connection, list(given))
    may = {name: registry.may("read", name) for name in set().union(*names.values())}
    return {digest for digest in given if any(may[name] for name in names.get(digest, ()))}


def no_statement(name: str) -> UsageError:
    """Return the error for a statement that is not there, or that the caller may not see: the same for both."""
    return UsageError(
        "names no evidence that you may read", where=name[:80], code="EVD007", help="/artifacts/DIGEST/evidence has the ids"
    )


def sees(registry: Registry, digest: Digest) -> bool:
    """Tell whether the registry's actor may see an artifact."""
    return bool(visible(registry, [str(digest)]))


def seen_decision(registry: Registry, decision: Decision) -> Decision:
    """Return a decision whose reasons tell of revoked ancestors what the actor may see."""
    return spelled_out(registry.chain, decision, admit=lambda other: sees(registry, other))


def reads_in(registry: Registry, name: Name) -> bool:
    """Tell whether the actor may read a model, or for the name `*` anything in its namespace."""
    if name.name != "*":
        return registry.may("read", name)
    where = getattr(registry.allowed, "places", None)
    if where is None:
        return registry.may("read", name)
    return any(namespace in ("*", name.namespace) for namespace, _ in where("read"))


def somewhere(registry: Registry, action: str) -> bool:
    """Tell whether the actor may do something in any place at all."""
    where = getattr(registry.allowed, "places", None)
    return bool(where(action)) if where is not None else registry.may(action, _WHOLE)


def lineage_of(registry: Registry, digest: Digest) -> Lineage:
    """Return the lineage of an artifact. A walk ends where the actor may not see: what lies behind is not told of, nor counted."""
    hidden: set[str] = set()

    def admit(found: Sequence[str]) -> set[str]:
        seen = visible(registry, found)
        hidden.update(set(found) - seen)
        return seen

    index = LineageIndex(registry.chain)
    try:
        above, below = index.above(digest, admit=admit), index.below(digest, admit=admit)
        names = _registered(registry, [digest.hex, *(row.digest for row in (*above, *below))])
        above, below = ([_called(row, names) for row in rows] for rows in (above, below))
        return Lineage(names.get(digest.hex) or index.name_of(digest), above, below, len(hidden))
    finally:
        index.close()


def _registered(registry: Registry, digests: Iterable[str]) -> dict[str, str]:
    """Return what artifacts are called in the registry, of the names that the actor may read; digests in hex.

    A statement calls its subject whatever its signer likes; a name in the registry took a right to push there.
    """
    with registry.reading() as connection:
        found = queries.names_with(connection, [f"sha256:{digest}" for digest in dict.fromkeys(digests)])
    may = {name: registry.may("read", name) for name in set().union(*found.values())}
    readable_names = {digest: sorted(str(name) for name in names if may[name]) for digest, names in found.items()}
    return {digest.removeprefix("sha256:"): names[0] for digest, names in readable_names.items() if names}


def _called(row: Walked, names: dict[str, str]) -> Walked:
    return msgspec.structs.replace(row, name=names[row.digest]) if row.digest in names else row
