"""Grants: who has which role where. Each is told to the ledger before it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from stannary.access import rows
from stannary.access.accounts import found
from stannary.access.model import ANY, Grant, Principal, account_id, group_id, stamp
from stannary.access.roles import WHOLE, Place, Verdict, check_grant, decide_access
from stannary.core.errors import PolicyDenied, UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["explain", "grant", "grants", "read_grant", "revoke"]


def read_grant(holder: str, role: str, place: str = ANY) -> Grant:
    """Return the grant that words name: `ann`, `service:ci` or `group:ml`; a role; `*`, `NAMESPACE/*` or `NAMESPACE/MODEL`."""
    if holder.startswith("group:"):
        who = group_id(holder)
    else:
        who = account_id(holder, "service" if holder.startswith("service:") else "user")
    if place == ANY:
        return Grant(who, role)
    namespace, slash, model = place.rpartition("/")
    return Grant(who, role, namespace if slash else "default", model)


def grant(access: Access, actor: Principal, wanted: Grant) -> bool:
    """Grant a role; False when it was granted before. Raises UsageError, PolicyDenied."""
    with access.changing(actor) as connection:
        existing = rows.grants(connection)
        check_grant(wanted, actor.id, actor.groups, existing)
        if not wanted.holder.startswith("group:"):
            found(connection, wanted.holder)
        if wanted in existing:
            return False
        access.diary.tell("grant", change="granted", **_told(wanted), **actor.told())
        values = msgspec.structs.asdict(wanted) | {"created": stamp(access.clock()), "actor": actor.id}
        connection.execute(sa.insert(t.access_grant).values(**values))
    return True


def revoke(access: Access, actor: Principal, unwanted: Grant) -> None:
    """Take a role away. Raises UsageError when it is not there, PolicyDenied."""
    if unwanted.holder == actor.id and unwanted.role == "admin":
        msg = "nobody stops being an admin by themselves: nobody might be left"
        raise PolicyDenied(msg, code="ACC003", help="ask another admin")
    with access.changing(actor) as connection:
        if unwanted not in rows.grants(connection, unwanted.holder):
            msg = f"{unwanted.holder} is not {unwanted.role[:40]!r} on {unwanted.place}"
            raise UsageError(msg, code="ACC019", help=f"stannary access roles {unwanted.holder}")
        access.diary.tell("grant", change="revoked", **_told(unwanted), **actor.told())
        rows.remove(connection, t.access_grant, **msgspec.structs.asdict(unwanted))


def grants(access: Access, actor: Principal, holder: str = "") -> list[Grant]:
    """Return one's own grants, or as an admin or auditor anybody's. Raises PolicyDenied."""
    if holder != actor.id and not access.decide(actor, "audit", WHOLE).allowed:
        access.check(actor, "administer", told=False)
    with access.database.reading() as connection:
        return rows.grants(connection, holder)


def explain(access: Access, actor: Principal, asked: Grant, action: str) -> Verdict:
    """Return whether who holds a grant might do something where it is, and why; its role counts for nothing.

    Of oneself, or as an admin or auditor of anybody: an account, with its groups, or a group. Raises UsageError, PolicyDenied.
    """
    if asked.holder != actor.id and not access.decide(actor, "audit", WHOLE).allowed:
        access.check(actor, "administer", told=False)
    with access.database.reading() as connection:
        holders = [asked.holder]
        if not asked.holder.startswith("group:"):
            holders += [f"group:{name}" for name in found(connection, asked.holder).groups]
        granted = rows.grants_of(connection, holders)
    return decide_access(action, WHOLE if asked.place == ANY else Place(asked.namespace, asked.model), granted)


def _told(item: Grant) -> dict[str, str]:
    return {"holder": item.holder, "role": item.role, "on": item.place}
