"""MLflow's searches: models and versions by filter strings, in an order, a page at a time.

Without an order rows come by name, versions of a model the newest first, and a page's token says where it ended. With one, all that
match are sorted, so many at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from stannary.core.errors import UsageError
from stannary.registry.labels import Label, labels_of, labels_of_models
from stannary.registry.model import Version
from stannary.registry.names import Name
from stannary.registry.queries import Chosen
from stannary.server.mlflow.filters import Clause, holds, order_of, parse_filter
from stannary.server.mlflow.words import asked, model_of, model_tags, name_of, named, number_of, tags_of, version_of
from stannary.server.operations import Call

__all__ = ["search_models", "search_versions"]

_MOST = 1000
_SORTED = 20_000
_BATCH = 200
_MODEL_FIELDS = ("name",)
_MODEL_ORDER = ("name", "creation_timestamp", "last_updated_timestamp")
_VERSION_FIELDS = ("name", "version_number", "version", "run_id", "source_path", "creation_timestamp", "last_updated_timestamp")
_VERSION_ORDER = ("name", "version_number", "creation_timestamp", "last_updated_timestamp")


def search_models(call: Call) -> dict[str, Any]:
    """Return the page of models that is asked for. Raises UsageError for a filter or an order that is none."""
    clauses = parse_filter(asked(call.query["filter"]), _MODEL_FIELDS)
    order = order_of(_terms(call), _MODEL_ORDER)
    token = call.query["page_token"]
    found = (model_of(call, name) for name in _models(call, clauses, named(token) if token and not order else None))
    if order:
        return _sorted("registered_models", call, list(islice(found, _SORTED + 1)), order)
    limit = _limit(call)
    rows = list(islice(found, limit + 1))
    following = {"next_page_token": rows[limit - 1]["name"]} if len(rows) > limit else {}
    return {"registered_models": rows[:limit], **following}


def search_versions(call: Call) -> dict[str, Any]:
    """Return the page of versions that is asked for. Raises UsageError for a filter or an order that is none."""
    clauses = parse_filter(asked(call.query["filter"]), _VERSION_FIELDS)
    order = order_of(_terms(call), _VERSION_ORDER)
    token = call.query["page_token"]
    after = _place(token) if token and not order else None
    found = (version_of(version, label) for version, label in _versions(call, clauses, after))
    if order:
        return _sorted("model_versions", call, list(islice(found, _SORTED + 1)), order)
    limit = _limit(call)
    rows = list(islice(found, limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return {"model_versions": rows[:limit], **({"next_page_token": f"{last['name']}:{last['version']}"} if last else {})}


def _models(call: Call, clauses: Sequence[Clause], after: Name | None) -> Iterator[Name]:
    """Yield the names of models that match and that there are, by name."""
    chosen = Chosen("model", *_narrowed(clauses))
    while True:
        batch, following = call.store.page(chosen, after=after, limit=_BATCH)
        names = [item.name for item in batch]
        with call.store.reading() as connection:
            labels = labels_of_models(connection, names)
        for item in batch:
            said = labels.get(item.name, {})
            is_there = item.versions or 0 in said
            if is_there and holds(clauses, {"name": name_of(item.name)}, model_tags(said)):
                yield item.name
        if following is None:
            return
        after = following


def _narrowed(clauses: Sequence[Clause]) -> tuple[str, str]:
    """Return with what names begin and what stands in them, where the filter says: the table is asked for no more than those."""
    prefix = text = ""
    for clause in clauses:
        value = clause.value
        if clause.field != "name" or not isinstance(value, str):
            continue
        plain = value.rpartition("~")[2]
        if clause.operator == "=":
            prefix = plain
        elif clause.operator == "LIKE" and "_" not in value and value.count("%") == 1 and value.endswith("%") and "~" not in value:
            prefix = plain[:-1]
        elif clause.operator in ("LIKE", "ILIKE") and "_" not in value and "~" not in value:
            text = value.strip("%").lower() if "%" not in value.strip("%") else ""
    return prefix, text


def _versions(call: Call, clauses: Sequence[Clause], after: tuple[Name, int] | None) -> Iterator[tuple[Version, Label | None]]:
    names = [clause for clause in clauses if clause.field == "name"]
    exact = next((clause.value for clause in names if clause.operator == "=" and isinstance(clause.value, str)), None)
    for name in _all_names(call, names, after) if exact is None else _one(exact):
        before = after[1] if after is not None and after[0] == name else None
        try:
            versions = call.store.versions(name, before=before)
        except UsageError:
            continue
        with call.store.reading() as connection:
            labels = labels_of(connection, name)
        for version in versions:
            label = labels.get(version.number)
            if not version.dropped and holds(clauses, _fields(version_of(version, label)), tags_of(version, label)):
                yield version, label


def _all_names(call: Call, clauses: Sequence[Clause], after: tuple[Name, int] | None) -> Iterator[Name]:
    if after is not None:
        yield after[0]
    yield from _models(call, clauses, after[0] if after is not None else None)


def _one(text: str) -> list[Name]:
    try:
        return [named(text)]
    except UsageError:  # no model can be called so
        return []


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    number = int(row["version"])
    return {**row, "version": number, "version_number": number, "source_path": row["source"]}


def _terms(call: Call) -> list[str]:
    return [text for text in call.query["order_by"] if text.strip()]


def _limit(call: Call) -> int:
    return min(_MOST, max(1, int(call.query["max_results"])))


def _sorted(what: str, call: Call, rows: list[dict[str, Any]], order: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    if len(rows) > _SORTED:
        msg = f"more than {_SORTED:,} match, and so many are not sorted"
        raise UsageError(msg, where="filter", code="API002", help="narrow the filter, or leave out the order")
    token = call.query["page_token"]
    start, limit = _offset(token) if token else 0, _limit(call)
    for field, is_falling in [*reversed(order)]:
        rows.sort(key=lambda row: int(row["version"]) if field == "version_number" else row[field], reverse=is_falling)
    following = {"next_page_token": f"at:{start + limit}"} if len(rows) > start + limit else {}
    return {what: rows[start : start + limit], **following}


def _offset(token: str) -> int:
    head, _, number = token.partition(":")
    if head != "at" or not (number.isascii() and number.isdigit() and len(number) < 9):  # noqa: PLR2004 - more than is sorted
        msg = f"is no token of a page: {token[:60]!r}"
        raise UsageError(msg, where="page_token", code="API002", help="give the token of the page before")
    return int(number)


def _place(token: str) -> tuple[Name, int]:
    name, _, number = token.rpartition(":")
    return named(name), number_of(number)
