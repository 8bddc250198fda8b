"""Models at a glance, and one model with its versions, aliases and protections."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.evidence.gate import DECISION
from stannary.registry import queries
from stannary.registry.model import Alias, Model, Move, Version
from stannary.registry.names import Name, Reference, parse
from stannary.registry.promotion import protection_of
from stannary.registry.registry import Registry
from stannary.registry.shredded import shredding_of, shreddings
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import MODEL, number_in
from stannary.server.operations import Call

__all__ = ["PAGES", "AliasRow", "newest_decision"]

_PAGE = 25
_VERSIONS = 50
_MOVES = 100


class DecisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest decision about an artifact."""

    verdict: str
    policy: str
    when: str
    id: str


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model, the state of its newest version and of what its aliases are at."""

    model: Model
    decision: DecisionRow | None
    quarantined: dict[str, str]  # alias, or `latest` → why


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """A page of models; `next` is where to go on, or empty."""

    schema: str = "stannary.console.models/1"
    models: tuple[ModelRow, ...]
    prefix: str
    kind: str
    next: str


class AliasRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alias: where it is, what has to hold before it moves."""

    alias: str
    at: Alias | None
    quarantined: str
    policy: str
    separate: bool
    frozen: str
    entry: int | None
    promote: bool
    rollback: bool
    freeze: bool
    protect: bool


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A model; `before` is where older versions go on, or 0; `shredded` leads from a version to the entry that says so."""

    schema: str = "stannary.console.model/1"
    name: Name
    kind: str
    versions: tuple[Version, ...]
    aliases: tuple[AliasRow, ...]
    moves: tuple[Move, ...]
    before: int
    shredded: dict[str, int]


def _models(call: Call) -> Shown:
    prefix, kind, after = call.query.get("prefix", "")[:128], call.query.get("kind", ""), call.query.get("after", "")
    start = parse(after).name if after else None
    shown, last = call.store.page(queries.Chosen(kind, prefix), after=start, limit=_PAGE)
    with call.store.reading() as connection:
        placed = {(item.name, number) for item in shown for number in (item.latest, *item.aliases.values())}
        states = {(name, number): queries.version(connection, Reference(name, number)) for name, number in sorted(placed) if number}
    rows = tuple(_row(call.store, item, states) for item in shown)
    data = Models(models=rows, prefix=prefix, kind=kind, next=f"{last.namespace}/{last.name}" if last else "")
    return Shown(template="models.html", title="Models and datasets", data=data)


def _row(registry: Registry, model: Model, states: dict[tuple[Name, int], Version]) -> ModelRow:
    latest = states.get((model.name, model.latest))
    where = {"latest": model.latest, **model.aliases}
    found = {alias: states[model.name, number].quarantined for alias, number in where.items() if (model.name, number) in states}
    decision = newest_decision(registry, latest.digest) if latest is not None else None
    return ModelRow(model=model, decision=decision, quarantined={alias: why for alias, why in found.items() if why})


def newest_decision(registry: Registry, digest: str) -> DecisionRow | None:
    """Return the newest decision about an artifact that verifies."""
    from stannary.core.model import Digest

    known = [item.value for item in registry.chain.about(Digest.parse(digest)).evidence if item.value.kind == "vsa"]
    if not known:
        return None
    last = known[-1]
    more: dict[str, Any] = last.predicate.get(DECISION) or {}
    verdict = "allow" if last.outcome == "passed" else "deny"
    return DecisionRow(
        verdict=verdict, policy=str(more.get("policy") or last.check.id), when=last.issued.isoformat(), id=str(last.id)
    )


def _model(call: Call) -> Shown:
    name, store = call.name, call.store
    before = number_in(call, "before")
    found = store.versions(name, before=before or None, limit=_VERSIONS + 1)
    moves = store.moves(name)[:_MOVES]
    with store.reading() as connection:
        placed = {item.alias: item for item in queries.aliases(connection, name)}
        at = {item.alias: queries.version(connection, Reference(name, item.number)).quarantined for item in placed.values()}
        rows = []
        for alias in sorted({*placed, *(move.alias for move in moves), "production"}):
            rule = protection_of(connection, name, alias)
            rows.append(
                AliasRow(
                    alias=alias, at=placed.get(alias), quarantined=at.get(alias, ""),
                    policy=str(rule.policy.get("name", "")), separate=rule.separate, frozen=rule.frozen, entry=rule.entry,
                    promote=store.may("promote", name, alias), rollback=store.may("rollback", name, alias),
                    freeze=store.may("freeze", name, alias), protect=store.may("protect", name, alias),
                )
            )  # fmt: skip
        kind = queries.kind_of(connection, name)
    shown = found[:_VERSIONS]
    older = shown[-1].number if len(found) > _VERSIONS else 0
    data = ModelDocument(
        name=name, kind=kind, versions=tuple(shown), aliases=tuple(rows), moves=tuple(moves), before=older,
        shredded=_shredded(store, shown),
    )  # fmt: skip
    return Shown(template="model.html", title=str(name), data=data)


def _shredded(registry: Registry, rows: list[Version]) -> dict[str, int]:
    dropped = [row for row in rows if row.dropped]
    if not dropped:
        return {}
    told = list(shreddings(registry.chain.ledger, since=min(row.entry for row in dropped)))
    return {str(row.number): by.entry for row in dropped if (by := shredding_of(row, told)) is not None}


PAGES = (
    Page(id="models", path="/models", run=_models),
    Page(id="model", path=f"{MODEL}/versions", run=_model),
)
