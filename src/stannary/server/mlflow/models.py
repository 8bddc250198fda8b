"""`registered-models` of MLflow: names, and their aliases."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.registry import promotion
from stannary.registry.labels import forget, label, labels_of, rename, take
from stannary.registry.names import Reference
from stannary.server.mlflow.errors import exists
from stannary.server.mlflow.moves import promoted
from stannary.server.mlflow.searching import search_models
from stannary.server.mlflow.words import (
    STAGES,
    alias_named,
    label_of,
    model_of,
    named,
    number_of,
    pairs_of,
    registered_model,
    version_of,
)
from stannary.server.operations import Call, Operation, Parameter

__all__ = ["OPERATIONS"]

_MODEL = "/mlflow/registered-models"


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A name, and what is said of it."""

    name: str
    description: str = ""
    tags: list[dict[str, str]] | None = None
    stages: list[str] | None = None
    new_name: str = ""


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of a model."""

    name: str
    key: str
    value: str = ""


class Aliased(msgspec.Struct, frozen=True, kw_only=True):
    """An alias, and the version that it is to be at."""

    name: str
    alias: str
    version: str = ""


def _create(call: Call) -> dict[str, Any]:
    """Take a name."""
    name, sent = named(call.body.name), call.body
    if not take(call.store, name, note=sent.description, tags=pairs_of(sent.tags)):
        raise exists(sent.name)
    return {"registered_model": model_of(call, name)}


def _get(call: Call) -> dict[str, Any]:
    return {"registered_model": model_of(call, named(call.query["name"]))}


def _update(call: Call) -> dict[str, Any]:
    name = named(call.body.name)
    label(call.store, name, note=call.body.description)
    return {"registered_model": model_of(call, name)}


def _rename(call: Call) -> dict[str, Any]:
    """Register everything under the new name. Aliases move by the policy of their own name, and are not taken along."""
    new = named(call.body.new_name)
    rename(call.store, named(call.body.name), new)
    return {"registered_model": model_of(call, new)}


def _tag(call: Call) -> dict[str, Any]:
    label(call.store, named(call.body.name), tags={call.body.key: call.body.value})
    return {}


def _untag(call: Call) -> dict[str, Any]:
    label(call.store, named(call.body.name), untag=[call.body.key])
    return {}


def _delete(call: Call) -> dict[str, Any]:
    forget(call.store, named(call.body.name), "deleted by an MLflow client")
    return {}


def _latest(call: Call) -> dict[str, Any]:
    name = named(call.body.name)
    versions = [row for row in call.store.versions(name) if not row.dropped]
    wanted = {stage.lower() for stage in call.body.stages or [*STAGES, "None"]}
    with call.store.reading() as connection:
        labels = labels_of(connection, name)
    found = registered_model(name, versions, labels)["latest_versions"]
    return {"model_versions": [row for row in found if row["current_stage"].lower() in wanted]}


def _alias(call: Call) -> dict[str, Any]:
    reference = Reference(named(call.query["name"]), alias=alias_named(call.query["alias"]))
    found = call.store.resolve(reference)
    return {"model_version": version_of(found, label_of(call, found))}


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
        search_models,
        "Models by name and tags.",
        query=(
            Parameter("filter", str, "name LIKE '…%' AND tags.team = '…'.", ""),
            Parameter("order_by", list, "name, creation_timestamp or last_updated_timestamp, then ASC or DESC.", ()),
            Parameter("max_results", int, "How many at most.", 100, 0, 100_000),
            Parameter("page_token", str, "The token of the page before.", ""),
        ),
    ),
    _row("UpdateModel", "PATCH", "update", _update, "Describe a model.", body=Named),
    _row(
        "RenameModel", "POST", "rename", _rename, "Register all versions under another name, unless one is in service.", body=Named
    ),
    _row("TagModel", "POST", "set-tag", _tag, "Set a tag of a model.", body=Tagged),
    _row("UntagModel", "DELETE", "delete-tag", _untag, "Take a tag of a model away.", body=Tagged),
    _row("DeleteModel", "DELETE", "delete", _delete, "Delete every version, unless one is in service or kept.", body=Named),
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
