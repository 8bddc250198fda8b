"""Who may do what, decided from grants alone. Pure: no clock, no table, no log.

1. What is not granted is denied.
2. A grant holds for a namespace and a model, `*` for any; what concerns the whole registry takes a grant for `*`.
3. The scope of the credential narrows it, and never widens it.
4. Duties are apart: who may push somewhere neither puts into service nor approves there, whatever else they were granted.
   A role has what stands in its row and nothing more; an admin administers.
5. Nobody grants rights to themselves, nor to a group they are in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stannary.access.model import ANY, Grant, Scope
from stannary.core.errors import PolicyDenied, UsageError

__all__ = [
    "ACTIONS",
    "PRIVILEGED",
    "ROLES",
    "WHOLE",
    "Place",
    "Verdict",
    "check_grant",
    "check_scope",
    "decide_access",
    "places_of",
    "table",
]

# action → what it lets one do
ACTIONS: dict[str, str] = {
    "read": "see and pull versions, evidence and decisions",
    "push": "register versions and state evidence",
    "promote": "move an alias to a version, by its policy's decision",
    "rollback": "move an alias back, or take it away",
    "approve": "log approvals and other statements of people",
    "protect": "say by which policy an alias moves",
    "freeze": "keep an alias where it is",
    "quarantine": "make an artifact unresolvable everywhere",
    "hold": "keep a version from being deleted",
    "delete": "delete versions by retention",
    "sweep": "delete contents that no version names",
    "shred": "destroy the key of a namespace, and with it all its contents",
    "backup": "write and restore backups",
    "administer": "accounts, tokens of services, grants, federation",
    "audit": "read the ledger",
    "jobs": "run scans, evaluations and bills of materials",
    "fetch": "have them fetch hf:// and s3:// with the workers' own credentials",
    "metrics": "read what the server counts (`/metrics`) from another machine",
}
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "contributor": frozenset({"read", "push", "jobs"}),
    "reviewer": frozenset({"read", "approve", "jobs"}),
    "releaser": frozenset({"read", "promote", "rollback", "freeze", "quarantine"}),
    "admin": frozenset({"read", "protect", "hold", "delete", "sweep", "shred", "backup", "administer", "metrics"}),
    "auditor": frozenset({"read", "audit", "metrics"}),
    "fetcher": frozenset({"read", "jobs", "fetch"}),
}
# What is written to the ledger each time it is used.
PRIVILEGED = frozenset(
    {
        "promote",
        "rollback",
        "approve",
        "protect",
        "freeze",
        "quarantine",
        "hold",
        "delete",
        "sweep",
        "shred",
        "backup",
        "administer",
        "fetch",
    }
)
_APART = frozenset({"promote", "rollback", "approve"})  # what is kept from whoever may push
_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_CLASH = ({"contributor", "releaser"}, {"contributor", "reviewer"})


class Place(NamedTuple):
    """A model in a namespace; `*` for every one."""

    namespace: str
    model: str


WHOLE = Place("default", ANY)  # how the registry names what concerns all of it


class Verdict(NamedTuple):
    """Whether, and why."""

    allowed: bool
    reason: str


def decide_access(action: str, place: Place, grants: Iterable[Grant], scope: Scope | None = None) -> Verdict:
    """Return whether an action is allowed to whoever has these grants, with a credential of this scope."""
    if action not in ACTIONS:
        return Verdict(allowed=False, reason=f"there is no action {action[:40]!r}")
    here = [grant for grant in grants if _covers(grant, place)]
    actions = frozenset().union(*(ROLES.get(grant.role, frozenset()) for grant in here))
    where = "the whole registry" if place == WHOLE else f"{place.namespace}/{place.model}"
    if action not in actions:
        roles = ", ".join(role for role, has in ROLES.items() if action in has)
        return Verdict(allowed=False, reason=f"no grant for {action} on {where}; the role for it is {roles}")
    if action in _APART and "push" in actions:
        return Verdict(allowed=False, reason=f"who pushes to {where} does not {action} there: duties are apart")
    if scope is not None and not _in_scope(action, place, scope):
        return Verdict(allowed=False, reason=f"the token is not for {action} on {where}")
    by = sorted({grant.role for grant in here if action in ROLES.get(grant.role, ())})
    return Verdict(allowed=True, reason=f"{', '.join(by)} on {where}")


def places_of(action: str, grants: Iterable[Grant], scope: Scope | None = None) -> list[Place]:
    """Return where somebody with these grants may do an action that is kept apart from no other, `*` for every one.

    What `decide_access` says of each place is the same; this is for questions to tables, which cannot ask it of every row.
    """
    scope = scope or Scope()
    if not {ANY, action} & set(scope.actions):
        return []
    narrowed: dict[Place, None] = {}
    for grant in grants:
        if action not in ROLES.get(grant.role, ()):
            continue
        if ANY in scope.namespaces or grant.namespace in scope.namespaces:
            narrowed[Place(grant.namespace, grant.model)] = None
        elif grant.namespace == ANY:
            narrowed |= dict.fromkeys(Place(name, grant.model) for name in scope.namespaces)
    return list(narrowed)


def check_grant(grant: Grant, actor: str, groups: Sequence[str], existing: Iterable[Grant]) -> None:
    """Return when an actor may make a grant. Raises UsageError when it means nothing, PolicyDenied when it must not be."""
    if grant.role not in ROLES:
        msg = f"there is no role {grant.role[:40]!r}"
        raise UsageError(msg, code="ACC011", help=f"one of {', '.join(ROLES)}")
    for part in (grant.namespace, grant.model):
        if part != ANY and not (_PART.fullmatch(part) and ".." not in part):
            msg = f"is no namespace or model: {part[:80]!r}"
            raise UsageError(msg, code="ACC011", help="NAMESPACE/MODEL, with * for every one")
    if grant.namespace == ANY and grant.model != ANY:
        msg = "a model is one of a namespace: */NAME names none"
        raise UsageError(msg, code="ACC011", help="NAMESPACE/MODEL, NAMESPACE/*, or *")
    if grant.holder == actor or grant.holder in groups:
        msg = f"{actor} cannot grant a role to {'themselves' if grant.holder == actor else 'a group they are in'}"
        raise PolicyDenied(msg, code="ACC003", help="ask another admin")
    for other in existing:
        if other.holder == grant.holder and {other.role, grant.role} in _CLASH and _overlap(other, grant):
            msg = f"{grant.holder} is {other.role} on {other.place}, and duties are apart: a {grant.role} there is somebody else"
            raise PolicyDenied(msg, code="ACC004", help=f"stannary access revoke {grant.holder} {other.role} '{other.place}'")


def check_scope(scope: Scope) -> None:
    """Raise UsageError for a scope that means nothing."""
    unknown = [action for action in scope.actions if action != ANY and action not in ACTIONS]
    if unknown or not scope.actions or not scope.namespaces:
        msg = f"there is no action {unknown[0][:40]!r}" if unknown else "a token that is good for nothing"
        raise UsageError(msg, code="ACC012", help=f"some of {', '.join(ACTIONS)}")
    bad = [part for part in scope.namespaces if part != ANY and not _PART.fullmatch(part)]
    if bad:
        msg = f"is no namespace: {bad[0][:80]!r}"
        raise UsageError(msg, code="ACC012", help="small letters, digits, and . _ - within")


def table() -> str:
    """Return the roles as a table in Markdown."""
    lines = [f"| action | {' | '.join(ROLES)} | what it lets one do |", f"|---|{':-:|' * len(ROLES)}---|"]
    for action, text in ACTIONS.items():
        lines.append(f"| `{action}` | {' | '.join('●' if action in has else '' for has in ROLES.values())} | {text} |")
    return "\n".join(lines) + "\n"


def _covers(grant: Grant, place: Place) -> bool:
    if place == WHOLE:
        return (grant.namespace, grant.model) == (ANY, ANY)
    return grant.namespace in (ANY, place.namespace) and grant.model in (ANY, place.model)


def _overlap(one: Grant, other: Grant) -> bool:
    return all(
        ANY in (mine, theirs) or mine == theirs for mine, theirs in ((one.namespace, other.namespace), (one.model, other.model))
    )


def _in_scope(action: str, place: Place, scope: Scope) -> bool:
    namespaces = (ANY,) if place == WHOLE else (ANY, place.namespace)
    return bool({ANY, action} & set(scope.actions)) and bool(set(namespaces) & set(scope.namespaces))
