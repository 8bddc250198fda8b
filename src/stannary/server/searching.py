"""What a search finds, as far as whoever asks may see it: models, versions, evidence; for the API and the console.

A word is looked for in names of models, in notes and creators of versions, and among the kinds of evidence; the start of a digest
among versions, ids of evidence and what evidence is about; `NAME:3` and `NAME@ALIAS` are versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from stannary.core.errors import UsageError
from stannary.evidence.ledger import Entry
from stannary.evidence.predicates.table import KINDS
from stannary.registry import queries
from stannary.registry.model import Model, Version
from stannary.registry.names import parse
from stannary.registry.registry import Registry
from stannary.server.sight import readable

__all__ = ["GROUPS", "EvidenceHit", "Hits", "found_in"]

Group: TypeAlias = Literal["models", "versions", "evidence"]
GROUPS: tuple[Group, ...] = ("models", "versions", "evidence")
_DIGITS = re.compile(r"[0-9a-f]{6,64}")
_STATED = ("evidence", "decision")
_EXAMINED = 1_000  # statements of a kind that are looked at for one answer
_LONGEST = 200


class EvidenceHit(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that is in the ledger, without its content."""

    id: str
    kind: str
    subject: str
    time: str
    index: int

    @classmethod
    def of(cls, row: Entry) -> EvidenceHit:
        """Return the row of an entry."""
        return cls(id=row.id, kind=row.kind, subject=row.subject, time=row.time.isoformat(), index=row.index)


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `next` says for each group that goes on with which `after` it does."""

    schema: str = "stannary.search/1"
    q: str
    models: tuple[Model, ...] = ()
    versions: tuple[Version, ...] = ()
    evidence: tuple[EvidenceHit, ...] = ()
    next: dict[str, str] = {}


class _Wanted(NamedTuple):
    text: str
    limit: int
    after: str


def found_in(registry: Registry, text: str, *, group: str = "", after: str = "", limit: int = 20) -> Hits:
    """Return what the registry's actor may see of what a text finds: `limit` of each group, or of one, there from `after` on.

    Raises UsageError for a group that is none, an `after` that was not given, and a text that is too long.
    """
    if group not in ("", *GROUPS):
        msg = f"is no group: {group[:40]!r}"
        raise UsageError(msg, where="group", code="API002", help=", ".join(GROUPS))
    text = text.strip()
    if len(text) > _LONGEST:
        msg = f"is longer than {_LONGEST} characters"
        raise UsageError(msg, where="q", code="API002", help="search for a part of it")
    wanted = _Wanted(text, limit, after if group else "")
    rows: dict[str, tuple[msgspec.Struct, ...]] = {}
    following: dict[str, str] = {}
    for name in (group,) if group else GROUPS:
        look = {"models": _models, "versions": _versions, "evidence": _evidence}[name]
        rows[name], goes_on = look(registry, wanted) if text else ((), "")
        if goes_on:
            following[name] = goes_on
    return msgspec.structs.replace(Hits(q=text, next=following), **rows)


def _models(registry: Registry, wanted: _Wanted) -> tuple[tuple[Model, ...], str]:
    after = parse(wanted.after).name if wanted.after else None
    found, last = registry.page(queries.Chosen(text=wanted.text.lower()), after=after, limit=wanted.limit)
    return tuple(found), f"{last.namespace}/{last.name}" if last else ""


def _versions(registry: Registry, wanted: _Wanted) -> tuple[tuple[Version, ...], str]:
    where = getattr(registry.allowed, "places", None)
    chosen = queries.Chosen(within=where("read") if where is not None else None)
    before, found = _place(wanted.after), list[Version]()
    with registry.reading() as connection:
        named = [] if wanted.after else list(_named(registry, wanted.text))
        while len(found) <= wanted.limit:
            batch = queries.versions_like(connection, wanted.text, chosen, before=before, limit=wanted.limit + 1)
            found += [item for item in batch if registry.may("read", item.name)]
            if len(batch) <= wanted.limit:
                break
            before = batch[-1].entry
    goes_on = str(found[wanted.limit - 1].entry) if len(found) > wanted.limit else ""
    return (*named, *(item for item in found[: wanted.limit] if item not in named)), goes_on


def _named(registry: Registry, text: str) -> Iterator[Version]:
    """Yield the version that a text names, if it names one that may be read."""
    try:
        reference = parse(text.lower())
        if (reference.number or reference.alias) and registry.may("read", reference.name):
            yield registry.show(reference)
    except UsageError:
        return


def _evidence(registry: Registry, wanted: _Wanted) -> tuple[tuple[EvidenceHit, ...], str]:
    text, before = wanted.text.lower().removeprefix("sha256:"), _place(wanted.after)
    if text in KINDS:
        return _of_kind(registry, text, before, wanted.limit)
    if not _DIGITS.fullmatch(text):
        return (), ""
    ledger, key = registry.chain.ledger, f"sha256:{text}"
    rows = {row.index: row for row in (*ledger.beginning(key), *ledger.beginning(key, "subject", _EXAMINED)) if row.type in _STATED}
    ordered = [rows[index] for index in sorted(rows, reverse=True) if before is None or index < before]
    seen = readable(registry, {row.subject for row in ordered})
    shown = [row for row in ordered if row.subject in seen]
    return _page(shown, wanted.limit)


def _of_kind(registry: Registry, kind: str, before: int | None, limit: int) -> tuple[tuple[EvidenceHit, ...], str]:
    rows = [row for row in registry.chain.ledger.last(_EXAMINED, kind=kind, before=before) if row.type in _STATED]
    seen = readable(registry, {row.subject for row in rows})
    shown, goes_on = _page([row for row in rows if row.subject in seen], limit)
    return shown, goes_on or (str(rows[-1].index) if len(rows) == _EXAMINED else "")


def _page(rows: list[Entry], limit: int) -> tuple[tuple[EvidenceHit, ...], str]:
    return tuple(map(EvidenceHit.of, rows[:limit])), str(rows[limit - 1].index) if len(rows) > limit else ""


def _place(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004 - what a log can have
        msg = f"is not where a page goes on: {text[:40]!r}"
        raise UsageError(msg, where="after", code="API002", help="give the `next` of the page before")
    return int(text)
