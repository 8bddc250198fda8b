"""`mlflow-artifacts` of MLflow: what a client uploads before it registers, and the files of versions.

uploads/NAMESPACE/NAME/ANY/…        written and listed by whoever may push to that name; each caller has their own
versions/NAMESPACE/NAME/NUMBER/…    read by whoever may read that name; what is quarantined or deleted is not sent
"""

from __future__ import annotations

from typing import Any

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.registry.model import Version
from stannary.registry.names import Reference, parse
from stannary.server.mlflow.staging import Staging, parts_of
from stannary.server.operations import Call, Operation, Parameter, Reply

__all__ = ["OPERATIONS"]

_ROOT = "/mlflow-artifacts/artifacts"


def _upload(call: Call) -> Reply:
    area, path = _area(call.path["path"])
    if area != "uploads":
        msg = "files are uploaded below uploads/, and a version does not change"
        raise UsageError(msg, where=call.path["path"][:200], code="API002", help="mlflow-artifacts:/uploads/NAMESPACE/NAME/ANY")
    staging = Staging.of(call)
    name, _ = staging.place(path)
    call.store.allowed("push", name)
    staging.write(path, call.body)
    return Reply(body={})


def _list(call: Call) -> dict[str, Any]:
    area, path = _area(call.query["path"])
    if area == "uploads":
        staging = Staging.of(call)
        name, _ = staging.place(path)
        call.store.allowed("push", name)
        return {"files": [_info(name, size) for name, size in staging.files(path)]}
    version, inside = _version(call, path)
    prefix = f"{inside}/" if inside else ""
    found: dict[str, int | None] = {}
    for file in call.store.manifest(version).files:
        if file.path.startswith(prefix):
            head, slash, _ = file.path.removeprefix(prefix).partition("/")
            found[head] = None if slash else file.size
    return {"files": [_info(name, size) for name, size in sorted(found.items())]}


def _download(call: Call) -> Reply:
    area, path = _area(call.path["path"])
    if area != "versions":
        msg = "what was uploaded is read as a file of the version that it became"
        raise UsageError(msg, where=call.path["path"][:200], code="API004")
    version, inside = _version(call, path)
    file = next((file for file in call.store.manifest(version).files if file.path == inside), None)
    if file is None:
        msg = f"has no file {inside[:200]!r}"
        raise UsageError(msg, where=str(version), code="API004")
    headers = {"content-length": str(file.size), "content-disposition": "attachment"}
    return Reply(
        body=call.store.contents(version.name.namespace).read(Digest(file.sha256)),
        headers=headers,
        media_type="application/octet-stream",
    )


def _area(path: str) -> tuple[str, str]:
    area, _, rest = path.strip("/").partition("/")
    if area not in ("uploads", "versions"):
        msg = f"is neither below uploads/ nor below versions/: {path[:120]!r}"
        raise UsageError(msg, where="path", code="API004", help="mlflow-artifacts:/uploads/NAMESPACE/NAME/ANY")
    return area, rest


def _version(call: Call, path: str) -> tuple[Version, str]:
    """Return the version that a path leads into, held against the ledger, and the path within it."""
    parts = parts_of(path)
    if len(parts) < 3:  # noqa: PLR2004 - namespace, name, number
        msg = f"names no version: {path[:120]!r}"
        raise UsageError(msg, where="path", code="API004", help="mlflow-artifacts:/versions/NAMESPACE/NAME/NUMBER")
    found = parse(f"{parts[0]}/{parts[1]}:{parts[2]}")
    return call.store.resolve(Reference(found.name, found.number)), "/".join(parts[3:])


def _info(name: str, size: int | None) -> dict[str, Any]:
    return {"path": name, "is_dir": size is None, **({"file_size": size} if size is not None else {})}


OPERATIONS = (
    Operation(
        id="mlflowUpload",
        method="PUT",
        path=f"{_ROOT}/{{path:path}}",
        run=_upload,
        tag="mlflow",
        body=bytes,
        summary="Keep a file until it is registered.",
    ),
    Operation(
        id="mlflowDownload",
        method="GET",
        path=f"{_ROOT}/{{path:path}}",
        run=_download,
        tag="mlflow",
        reply=bytes,
        media_type="application/octet-stream",
        summary="A file of a version.",
    ),
    Operation(
        id="mlflowListFiles",
        method="GET",
        path=_ROOT,
        run=_list,
        tag="mlflow",
        query=(Parameter("path", str, "A folder.", ""),),
        summary="The files in a folder.",
    ),
)
