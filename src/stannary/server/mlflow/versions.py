"""`model-versions` of MLflow."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import UsageError
from stannary.core.model import Json
from stannary.registry.labels import label
from stannary.registry.names import Name, Reference
from stannary.registry.retention import delete
from stannary.server.mlflow.errors import unsupported
from stannary.server.mlflow.moves import transitioned
from stannary.server.mlflow.searching import search_versions
from stannary.server.mlflow.staging import Staging
from stannary.server.mlflow.words import label_of, named, number_of, pairs_of, source_of, version_of
from stannary.server.operations import Call, Operation, Parameter

__all__ = ["OPERATIONS"]

_VERSION = "/mlflow/model-versions"
_UPLOADS = "mlflow-artifacts:/uploads/"
_VERSIONS = re.compile(r"(?:models|mlflow-artifacts):/(?:versions/([a-z0-9._-]+)/)?([a-z0-9._~-]+)/([1-9][0-9]{0,8})/?")
_OURS = "stannary."  # how the tags begin that nobody sets


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What MLflow's client says of a version. `source` is where it uploaded the files to."""

    name: str
    source: str
    run_id: str = ""
    description: str = ""
    tags: list[dict[str, str]] | None = None


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and the stage it is to be in."""

    name: str
    version: str
    stage: str = ""
    description: str = ""


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of a version."""

    name: str
    version: str
    key: str
    value: str = ""


def _create(call: Call) -> dict[str, Any]:
    """Register what was uploaded, or another version of this registry under a new name."""
    name, sent = named(call.body.name), call.body
    told: dict[str, Json] = {"source": sent.source, "run_id": sent.run_id}
    told["tags"] = dict(pairs_of(sent.tags))
    call.store.allowed("push", name)
    other = _VERSIONS.fullmatch(sent.source)
    if other is not None:
        origin = Name(other[1], other[2]) if other[1] else named(other[2])
        found = call.store.resolve(Reference(origin, int(other[3])))
        content = call.store.manifest(found)
        call.store.bring(found, name.namespace)
        made = call.store.register(canonical_json(msgspec.to_builtins(content)), name, note=sent.description, info={"mlflow": told})
    elif sent.source.startswith(_UPLOADS):
        staging = Staging.of(call)
        with staging.taken(sent.source.removeprefix(_UPLOADS)) as path:
            made = call.store.push(path, name, note=sent.description, info={"mlflow": told})
    else:
        what = f"files are not fetched from elsewhere: {sent.source[:200]!r}"
        raise unsupported(what, f"upload them to {_UPLOADS}{name.namespace}/{name.name}/ANY, and name that as the source")
    return {"model_version": version_of(made)}


def _get(call: Call) -> dict[str, Any]:
    found = call.store.show(_reference(call.query["name"], call.query["version"]))
    if found.dropped:
        msg = "was deleted"
        raise UsageError(msg, where=str(found), code="REG013", help="its number is never given again")
    return {"model_version": version_of(found, label_of(call, found))}


def _uri(call: Call) -> dict[str, Any]:
    """Say where to load from. What is quarantined or deleted is not to be loaded."""
    return {"artifact_uri": source_of(call.store.resolve(_reference(call.query["name"], call.query["version"])))}


def _update(call: Call) -> dict[str, Any]:
    """Describe a version. Its contents stay what they are."""
    name, number = named(call.body.name), number_of(call.body.version)
    label(call.store, name, number, note=call.body.description)
    return _shown(call, name, number)


def _tag(call: Call) -> dict[str, Any]:
    label(call.store, named(call.body.name), number_of(call.body.version), tags={_key(call.body.key): call.body.value})
    return {}


def _untag(call: Call) -> dict[str, Any]:
    label(call.store, named(call.body.name), number_of(call.body.version), untag=[_key(call.body.key)])
    return {}


def _key(text: str) -> str:
    if text.startswith(_OURS):
        msg = f"{text[:60]!r} is said by the registry"
        raise UsageError(msg, where="key", code="API002", help="choose another key")
    return text


def _delete(call: Call) -> dict[str, Any]:
    delete(call.store, named(call.body.name), number_of(call.body.version), "deleted by an MLflow client")
    return {}


def _stage(call: Call) -> dict[str, Any]:
    name, number = named(call.body.name), number_of(call.body.version)
    transitioned(call, name, number, call.body.stage)
    return _shown(call, name, number)


def _shown(call: Call, name: Name, number: int) -> dict[str, Any]:
    found = call.store.show(Reference(name, number))
    return {"model_version": version_of(found, label_of(call, found))}


def _reference(name: str, version: str) -> Reference:
    return Reference(named(name), number_of(version))


def _row(name: str, method: str, path: str, run: Any, summary: str, **more: Any) -> Operation:  # noqa: ANN401 - an operation's
    return Operation(id=f"mlflow{name}", method=method, path=f"{_VERSION}/{path}", run=run, tag="mlflow", summary=summary, **more)


_WHICH = (Parameter("name", str, "The name of the model.", ""), Parameter("version", str, "The version.", ""))
OPERATIONS = (
    _row("CreateVersion", "POST", "create", _create, "Register what was uploaded as the next version.", body=NewVersion),
    _row("GetVersion", "GET", "get", _get, "A version.", query=_WHICH),
    _row(
        "SearchVersions",
        "GET",
        "search",
        search_versions,
        "Versions by model, number, run, source, time and tags.",
        query=(
            Parameter("filter", str, "name = '…' AND tags.team = '…'.", ""),
            Parameter(
                "order_by", list, "name, version_number, creation_timestamp or last_updated_timestamp, then ASC or DESC.", ()
            ),
            Parameter("max_results", int, "How many at most.", 1000, 0, 1_000_000),
            Parameter("page_token", str, "The token of the page before.", ""),
        ),
    ),
    _row("DownloadUri", "GET", "get-download-uri", _uri, "Where a version is loaded from.", query=_WHICH),
    _row("UpdateVersion", "PATCH", "update", _update, "Describe a version.", body=Which),
    _row("TagVersion", "POST", "set-tag", _tag, "Set a tag of a version.", body=Tagged),
    _row("UntagVersion", "DELETE", "delete-tag", _untag, "Take a tag of a version away.", body=Tagged),
    _row("DeleteVersion", "DELETE", "delete", _delete, "Delete a version that is not in service or held.", body=Which),
    _row("TransitionStage", "POST", "transition-stage", _stage, "Move the alias of a stage, if its policy allows it.", body=Which),
)
