"""Models and datasets, and their versions."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from stannary.core.errors import InputError, UsageError
from stannary.core.model import Digest, Json
from stannary.evidence.subject import named_digest
from stannary.registry import queries
from stannary.registry.compare import Difference, compare
from stannary.registry.manifest import decode_new
from stannary.registry.names import Name, parse
from stannary.registry.retention import hold, plan, quarantine, retain
from stannary.report.registry import DeletedDocument, FileRow, ModelsDocument, VersionDocument, VersionsDocument
from stannary.server.operations import Call, Operation, Parameter, Reply
from stannary.server.sent import Reason, Text

__all__ = ["OPERATIONS"]

_MODEL = "/models/{namespace}/{name}"
_LIMIT = Parameter("limit", int, "How many at most.", 100, 1, 1000)


class NewVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version whose contents are stored: its manifest as canonical JSON, word for word."""

    manifest: str
    note: str = ""
    info: dict[str, Json] = {}


class Quarantine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A digest, and why it must not be used."""

    digest: Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
    reason: Text


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to keep: so many of the newest versions, and everything that is not so many days old."""

    keep: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 90
    reason: Text = "retention"
    dry_run: bool = False


def _models(call: Call) -> ModelsDocument:
    chosen = queries.Chosen(call.query["kind"], call.query["prefix"], call.query["text"].lower())
    found, last = call.store.page(chosen, after=_after(call.query["after"]), limit=call.query["limit"])
    return ModelsDocument(models=tuple(found), next=f"{last.namespace}/{last.name}" if last else "")


def _versions(call: Call) -> VersionsDocument:
    name, limit = call.name, call.query["limit"]
    found = call.store.versions(name, before=call.query["before"], limit=limit)
    with call.store.reading() as connection:
        placed = tuple(queries.aliases(connection, name))
    return VersionsDocument(name=str(name), versions=tuple(found), aliases=placed, moves=tuple(call.store.moves(name)[:limit]))


def _version(call: Call) -> VersionDocument:
    found = call.store.show(call.reference(call.number()))
    rows: tuple[FileRow, ...] = ()
    if call.query["files"] and not found.dropped:
        rows = tuple(FileRow(file.path, file.size, file.sha256) for file in call.store.manifest(found).files)
    return VersionDocument(version=found, files=rows)


def _register(call: Call) -> Reply:
    content = call.body.manifest.encode()
    _refuse_foreign(call, content)
    made = call.store.register(content, call.name, note=call.body.note, info=call.body.info)
    where = f"/api/v1/models/{made.name.namespace}/{made.name.name}/versions/{made.number}"
    return Reply(body=VersionDocument(version=made), status=201, headers={"location": where})


def _refuse_foreign(call: Call, content: bytes) -> None:
    """Refuse a manifest that names what its caller has not stored: he could read it in this namespace, then."""
    call.store.allowed("push", call.name)
    named = [Digest(file.sha256) for file in decode_new(content).files]
    missing = call.place.uploads.missing(call.principal.id, named)
    if missing:
        msg = f"names {len(missing)} contents that you have not stored here within a day"
        raise InputError(msg, where=str(missing[0]), code="REG005", help="store every content before its manifest")


def _compare(call: Call) -> Difference:
    first, second = (call.reference(call.query[key]) for key in ("first", "second"))
    for reference in (first, second):
        call.store.allowed("read", reference.name)
    return compare(call.store, first, second)


def _hold(call: Call) -> None:
    hold(call.store, call.name, call.number(), call.body.reason)


def _release(call: Call) -> None:
    hold(call.store, call.name, call.number(), "lifted", lifted=True)


def _retain(call: Call) -> DeletedDocument:
    terms, age = call.body, timedelta(days=call.body.days)
    if terms.dry_run:
        chosen = plan(call.store, call.name, keep=terms.keep, older_than=age)
    else:
        chosen = retain(call.store, call.name, keep=terms.keep, older_than=age, reason=terms.reason)
    return DeletedDocument(versions=tuple(chosen), dry_run=terms.dry_run)


def _quarantine(call: Call) -> VersionsDocument:
    found = quarantine(call.store, call.body.digest, call.body.reason)
    return VersionsDocument(name=call.body.digest, versions=tuple(found))


def _lift(call: Call) -> VersionsDocument:
    digest = named_digest(call.path["digest"])
    if digest is None:
        msg = f"is no digest: {call.path['digest'][:80]!r}"
        raise UsageError(msg, where="digest", code="API002", help="sha256: and 64 digits of hex")
    return VersionsDocument(name=str(digest), versions=tuple(quarantine(call.store, str(digest), "lifted", lifted=True)))


def _after(text: str) -> Name | None:
    return parse(text).name if text else None


OPERATIONS = (
    Operation(
        id="listModels",
        method="GET",
        path="/models",
        run=_models,
        tag="models",
        reply=ModelsDocument,
        summary="Models and datasets by name, as far as the caller may see them.",
        query=(
            _LIMIT,
            Parameter("after", str, "The `next` of the page before.", ""),
            Parameter("kind", str, "`model` or `dataset`.", ""),
            Parameter("prefix", str, "How the name begins.", ""),
            Parameter("text", str, "What stands in `NAMESPACE/NAME`.", ""),
        ),
    ),
    Operation(
        id="listVersions",
        method="GET",
        path=f"{_MODEL}/versions",
        run=_versions,
        tag="models",
        reply=VersionsDocument,
        errors=(404,),
        summary="The versions of a model, the newest first, and its aliases.",
        query=(_LIMIT, Parameter("before", int, "Only versions below this number.", None, 1, 999_999_999)),
    ),
    Operation(
        id="registerVersion",
        method="POST",
        path=f"{_MODEL}/versions",
        run=_register,
        tag="models",
        body=NewVersion,
        reply=VersionDocument,
        status=201,
        errors=(409,),
        summary="Register a manifest whose contents are stored as the next version.",
    ),
    Operation(
        id="getVersion",
        method="GET",
        path=f"{_MODEL}/versions/{{number}}",
        run=_version,
        tag="models",
        reply=VersionDocument,
        errors=(404, 409),
        summary="A version, and its files when asked for.",
        query=(Parameter("files", bool, "List the files.", default=False),),
    ),
    Operation(
        id="compareVersions",
        method="GET",
        path=f"{_MODEL}/compare",
        run=_compare,
        tag="models",
        reply=Difference,
        errors=(404, 409),
        summary="What is different between two versions.",
        query=(
            Parameter("first", int, "A version.", 1, 1, 999_999_999),
            Parameter("second", int, "Another one.", 1, 1, 999_999_999),
        ),
    ),
    Operation(
        id="holdVersion",
        method="PUT",
        path=f"{_MODEL}/versions/{{number}}/hold",
        run=_hold,
        tag="models",
        body=Reason,
        status=204,
        errors=(404,),
        summary="Keep a version from being deleted.",
    ),
    Operation(
        id="releaseVersion",
        method="DELETE",
        path=f"{_MODEL}/versions/{{number}}/hold",
        run=_release,
        tag="models",
        status=204,
        errors=(404,),
        summary="Let a version be deleted again.",
    ),
    Operation(
        id="retainVersions",
        method="POST",
        path=f"{_MODEL}/retain",
        run=_retain,
        tag="models",
        body=Retention,
        reply=DeletedDocument,
        errors=(404,),
        summary="Delete old versions, or say which would be.",
    ),
    Operation(
        id="quarantine",
        method="POST",
        path="/quarantine",
        run=_quarantine,
        tag="models",
        body=Quarantine,
        reply=VersionsDocument,
        summary="Make an artifact unresolvable under every name.",
    ),
    Operation(
        id="liftQuarantine",
        method="DELETE",
        path="/quarantine/{digest}",
        run=_lift,
        tag="models",
        reply=VersionsDocument,
        summary="Let an artifact be used again.",
    ),
)
