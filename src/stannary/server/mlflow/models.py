"""`registered-models` of MLflow: names, and their aliases."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stannary.core.errors import UsageError
from stannary.registry import promotion
from stannary.registry.names import Reference
from stannary.registry.queries import Chosen
from stannary.registry.retention import delete
from stannary.server.mlflow.errors import exists, unsupported
from stannary.server.mlflow.moves import promoted
from stannary.server.mlflow.words import (
    STAGES,
    alias_named,
    asked,
    model_of,
    name_of,
    named,
    number_of,
    registered_model,
    version_of,
)
from stannary.server.operations import Call, Operation, Parameter

__all__ = ["OPERATIONS"]

_MODEL = "/mlflow/registered-models"
_FILTER = re.compile(r"\s*name\s*(=|like|ilike)\s*'([^']*)'\s*", re.IGNORECASE)
_MOST = 1000


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A name, and what MLflow's client sends besides: read, and kept nowhere."""

    name: str
    description: str = ""
    tags: list[dict[str, str]] | None = None
    stages: list[str] | None = None


class Aliased(msgspec.Struct, frozen=True, kw_only=True):
    """An alias, and the version that it is to be at."""

    name: str
    alias: str
    version: str = ""


def _create(call: Call) -> dict[str, Any]:
    """Say that versions may be pushed under a name: it is there with the first of them."""
    name = named(call.body.name)
    call.store.allowed("push", name)
    try:
        call.store.versions(name, limit=1)
    except UsageError:
        return {"registered_model": registered_model(name, [])}
    raise exists(call.body.name)


def _get(call: Call) -> dict[str, Any]:
    return {"registered_model": model_of(call, named(call.query["name"]))}


def _search(call: Call) -> dict[str, Any]:
    prefix, exact, contained = "", "", ""
    text = asked(call.query["filter"])
    if text:
        match = _FILTER.fullmatch(text)
        if match is None:
            what = f"cannot search by {text[:120]!r}"
            raise unsupported(what, "name = '…', or name LIKE '…%'")
        operator, value = match[1].lower(), match[2]
        if operator == "=":
            exact = value
        elif value.endswith("%") and "%" not in value[:-1]:
            prefix = value[:-1]
        else:
            contained = value.strip("%")
    if exact:
        try:
            return {"registered_models": [model_of(call, named(exact))]}
        except UsageError:
            return {"registered_models": []}
    limit = min(_MOST, max(1, call.query["max_results"]))
    after = named(call.query["page_token"]) if call.query["page_token"] else None
    found, last = call.store.page(Chosen("model", prefix, contained), after=after, limit=limit)
    # Names are compared without the namespace, so that a page may be shorter; the token goes on where it ended.
    rows = [model_of(call, item.name) for item in found if contained in item.name.name]
    return {"registered_models": rows, **({"next_page_token": name_of(last)} if last else {})}


def _update(call: Call) -> dict[str, Any]:
    del call
    what = "a description of a model is not kept"
    raise unsupported(what, "describe a version when it is created")


def _delete(call: Call) -> dict[str, Any]:
    name = named(call.body.name)
    for version in call.store.versions(name):
        if not version.dropped:
            delete(call.store, name, version.number, "deleted by an MLflow client")
    return {}


def _latest(call: Call) -> dict[str, Any]:
    name = named(call.body.name)
    versions = [row for row in call.store.versions(name) if not row.dropped]
    wanted = {stage.lower() for stage in call.body.stages or [*STAGES, "None"]}
    found = registered_model(name, versions)["latest_versions"]
    return {"model_versions": [row for row in found if row["current_stage"].lower() in wanted]}


def _alias(call: Call) -> dict[str, Any]:
    reference = Reference(named(call.query["name"]), alias=alias_named(call.query["alias"]))
    return {"model_version": version_of(call.store.resolve(reference))}


def _set_alias(call: Call) -> dict[str, Any]:
    promoted(call, named(call.body.name), number_of(call.body.version), alias_named(call.body.alias))
    return {}


def _remove_alias(call: Call) -> dict[str, Any]:
    promotion.remove(call.store, named(call.body.name), alias_named(call.body.alias))
    return {}


def _row(name: str, method: str, path: str, run: Any, summary: str, **more: Any) -> Operation:  # noqa: ANN401 - an operation's
    return Operation(id=f"mlflow{name}", method=method, path=f"{_MODEL}/{path}", run=run, tag="mlflow", summary=summary, **more)


_NAME = Parameter("name", str, "The name of the model.", "")
OPERATIONS = (
    _row("CreateModel", "POST", "create", _create, "Take a name for a model.", body=Named),
    _row("GetModel", "GET", "get", _get, "A model with its aliases.", query=(_NAME,)),
    _row(
        "SearchModels",
        "GET",
        "search",
        _search,
        "Models by name.",
        query=(
            Parameter("filter", str, "name = '…' or name LIKE '…%'.", ""),
            Parameter("max_results", int, "How many at most.", 100, 0, 100_000),
            Parameter("page_token", str, "The token of the page before.", ""),
        ),
    ),
    _row("UpdateModel", "PATCH", "update", _update, "Not kept.", body=Named),
    _row("DeleteModel", "DELETE", "delete", _delete, "Delete every version, unless one is in service or held.", body=Named),
    _row("GetLatest", "POST", "get-latest-versions", _latest, "The versions in stages.", body=Named),
    _row("SetAlias", "POST", "alias", _set_alias, "Move an alias, if its policy allows it.", body=Aliased),
    _row("RemoveAlias", "DELETE", "alias", _remove_alias, "Take an alias away.", body=Aliased),
    _row(
        "GetByAlias",
        "GET",
        "alias",
        _alias,
        "The version that an alias is at, held against the ledger.",
        query=(_NAME, Parameter("alias", str, "The alias.", "")),
    ),
)
