"""Namespaces: what is in each and whether it has a key of its own; and the page by which an admin destroys that key.

The page says what will be unreadable and what will not, and asks for the name once more. What was destroyed is shown there from
then on, by whom and why, with its entry of the ledger.
"""

from __future__ import annotations

import msgspec

from stannary.core.errors import UsageError
from stannary.registry.model import Version
from stannary.registry.names import Name, parse_model
from stannary.registry.namespaces import Filled, KeyState, Namespace, kept_in, key_state, models_in, namespaces
from stannary.registry.shredded import PastShredding, shreddings
from stannary.registry.shredding import shred, why_kept
from stannary.server.console.page import Go, Page, Shown
from stannary.server.operations import Call
from stannary.server.sight import reads_in

__all__ = ["PAGES"]

_PAGE = 100
_MODELS = 50
_KEPT = 20
_LONGEST = 2000
_SHRED = "/namespaces/{namespace}/shred"


class NamespaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace that one may read in; `shredded`: its newest shredding; `shred`: one may destroy its key."""

    found: Namespace
    key: KeyState
    shredded: PastShredding | None
    shred: bool


class NamespacesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Namespaces by name; `next` is where to go on, or empty."""

    schema: str = "stannary.console.namespaces/1"
    namespaces: tuple[NamespaceRow, ...]
    separate: bool
    next: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A version that keeps a namespace from being shredded, and why."""

    version: Version
    why: str


class ShredPage(msgspec.Struct, frozen=True, kw_only=True):
    """What shredding a namespace would destroy, what keeps it from happening, and what was destroyed before.

    `unfinished`: the ledger says that the key is destroyed, and it is still there. `problem`, `wrong` and `reason`: what was wrong
    with the form that was sent, in which field, and what it said.
    """

    schema: str = "stannary.console.shred/1"
    found: Namespace
    key: KeyState
    key_id: str
    unfinished: bool
    models: tuple[Filled, ...]
    models_left: int
    kept: tuple[Kept, ...]
    kept_more: bool
    shredded: tuple[PastShredding, ...]
    problem: str = ""
    wrong: str = ""
    reason: str = ""


def _namespaces(call: Call) -> Shown:
    store, after = call.store, call.query.get("after", "")
    with store.reading() as connection:
        found = [row for row in namespaces(connection) if row.name > after]
    seen = [row for row in found if reads_in(store, Name(row.name, "*"))]
    told = {row.namespace: row for row in reversed(list(shreddings(store.chain.ledger)))}  # the newest one stays
    keys = frozenset(store.blobs.namespaces())
    rows = tuple(
        NamespaceRow(
            found=row, shredded=told.get(row.name), shred=store.may("shred", Name(row.name, "*")),
            key=key_state(row, separate=store.blobs.separate, has_key=row.name in keys, was_shredded=row.name in told),
        )
        for row in seen[:_PAGE]
    )  # fmt: skip
    following = seen[_PAGE - 1].name if len(seen) > _PAGE else ""
    data = NamespacesPage(namespaces=rows, separate=store.blobs.separate, next=following)
    return Shown(template="namespaces.html", title="Namespaces", data=data)


def _shred_page(call: Call) -> Shown:
    return _shown(call, _asked(call))


def _asked(call: Call) -> str:
    """Return the namespace of the path. Raises PolicyDenied when its key is not the caller's to destroy.

    That somebody looks at the page is no use of the privilege, and not written down as one; that they may not is.
    """
    namespace = parse_model(f"{call.path['namespace']}/x").namespace
    whole = Name(namespace, "*")
    if not call.store.may("shred", whole):
        call.store.allowed("shred", whole)
    return namespace


def _shown(call: Call, namespace: str, *, problem: str = "", wrong: str = "", reason: str = "") -> Shown:
    store = call.store
    with store.reading() as connection:
        found = next(iter(namespaces(connection, namespace)), None)
        models = models_in(connection, namespace, _MODELS + 1)
        kept = kept_in(connection, namespace, _KEPT + 1)
    if found is None:
        msg = "nothing was ever pushed to a namespace of that name"
        raise UsageError(msg, where=namespace, code="REG034", help="/namespaces lists what there is")
    told = tuple(row for row in shreddings(store.chain.ledger) if row.namespace == namespace)
    key = store.blobs.key_of(namespace)
    data = ShredPage(
        found=found, key_id=key, unfinished=any(row.key == key for row in told), models=tuple(models[:_MODELS]),
        key=key_state(found, separate=store.blobs.separate, has_key=bool(key), was_shredded=bool(told)),
        models_left=max(0, len(models) - _MODELS), kept=tuple(Kept(version=row, why=why_kept(row)) for row in kept[:_KEPT]),
        kept_more=len(kept) > _KEPT, shredded=told, problem=problem, wrong=wrong, reason=reason,
    )  # fmt: skip
    return Shown(template="shred.html", title=f"Shred {namespace}", data=data, status=400 if problem else 200)


def _shred(call: Call) -> Shown | Go:
    namespace = _asked(call)
    reason, confirm = call.body.get("reason", "").strip(), call.body.get("confirm", "").strip()
    if not 0 < len(reason) <= _LONGEST:
        problem = f"Nothing was destroyed. Say why, in {_LONGEST:,} characters at most: it is what the ledger will say."
        return _shown(call, namespace, problem=problem, wrong="reason", reason=reason[:_LONGEST])
    key = call.store.blobs.key_of(namespace)
    if call.body.get("key", key) != key:
        problem = (
            "Nothing was destroyed. The namespace has another key than when this page was made: it was shredded, and begun again."
        )
        return _shown(call, namespace, problem=problem, reason=reason)
    if confirm != namespace:
        problem = "Nothing was destroyed. What was typed is not the name of this namespace."
        return _shown(call, namespace, problem=problem, wrong="confirm", reason=reason)
    shred(call.store, namespace, reason)
    return Go(f"/namespaces/{namespace}/shred")


PAGES = (
    Page(id="namespaces", path="/namespaces", run=_namespaces),
    Page(id="shred", path=_SHRED, run=_shred_page),
    Page(id="do.shred", path=_SHRED, run=_shred, method="POST"),
)
