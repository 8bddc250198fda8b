"""Contents: stored by their digest before a version is registered, and read as files of a version."""

from __future__ import annotations

import hashlib

from stannary.core.errors import IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.registry.names import DEFAULT, Name
from stannary.server.operations import Call, Operation, Parameter, Reply
from stannary.server.problems import Refused
from stannary.store.blobs.interface import Blobs

__all__ = ["OPERATIONS"]

_FILE = "/models/{namespace}/{name}/versions/{number}/files/{file:path}"


def _put(call: Call) -> Reply:
    """Store a content. Whoever may push to any name may store; nobody reads it before it is a file of a version.

    What is there already is read all the same, and held against its digest: a manifest may name what its caller has.
    """
    digest = _digest(call)
    into = _into(call)
    call.store.allowed("push", into)
    length = call.body.length
    if length is None:
        raise Refused(411, "Length required", "a content is sent with its Content-Length", code="API009")
    made = _kept(call, call.store.contents(into.namespace, begin=True), digest, length)
    call.place.uploads.note(call.principal.id, digest)
    return Reply(status=201 if made else 204, headers={"location": f"/api/v1/contents/{digest}"})


def _kept(call: Call, blobs: Blobs, digest: Digest, length: int) -> bool:
    """Keep what is sent, or hold it against the digest of what is kept. Raises IntegrityError when it is something else."""
    if not blobs.has(digest):
        return blobs.put(digest, length, call.body)
    found, size = hashlib.sha256(), 0
    for chunk in call.body:
        found.update(chunk)
        size += len(chunk)
    if found.hexdigest() != digest.hex or size != length:
        msg = "is not the content of that digest"
        raise IntegrityError(msg, where=str(digest), code="BLB001", help="send what the digest was made of")
    return False


def _has(call: Call) -> Reply:
    """Say whether the caller has stored a content. What others have stored is nothing he learns here."""
    digest = _digest(call)
    into = _into(call)
    call.store.allowed("push", into)
    blobs = call.store.contents(into.namespace, begin=True)
    if not call.place.uploads.has(call.principal.id, digest) or not blobs.has(digest):
        msg = "is not stored"
        raise UsageError(msg, where=str(digest), code="API004", help="PUT it")
    return Reply(status=204, headers={"x-content-size": str(blobs.size(digest))})


def _file(call: Call) -> Reply:
    """Send a file of a version, or a range of it. What is quarantined or deleted is not sent."""
    reference = call.reference(call.number())
    version = call.store.resolve(reference)
    path = call.path["file"]
    found = next((file for file in call.store.manifest(version).files if file.path == path), None)
    if found is None:
        msg = f"has no file {path[:200]!r}"
        raise UsageError(msg, where=str(version), code="API004", help="getVersion with files=true lists them")
    headers = {
        "etag": f'"{found.sha256}"', "accept-ranges": "bytes", "x-content-type-options": "nosniff",
        "content-disposition": "attachment", "repr-digest": f"sha-256=:{_base64(found.sha256)}:",
    }  # fmt: skip
    if call.headers.get("if-none-match", "").strip() == headers["etag"]:
        return Reply(status=304, body=b"", headers=headers)
    digest, blobs = Digest(found.sha256), call.store.contents(version.name.namespace)
    if call.range is None:
        headers["content-length"] = str(found.size)
        return Reply(body=blobs.read(digest), headers=headers, media_type="application/octet-stream")
    start, length = call.range
    if start >= found.size:
        raise Refused(
            416,
            "Range not there",
            f"the file has {found.size:,} bytes",
            code="API010",
            headers={"content-range": f"bytes */{found.size}"},
        )
    length = min(found.size - start, length if length is not None else found.size)
    headers |= {"content-range": f"bytes {start}-{start + length - 1}/{found.size}", "content-length": str(length)}
    body = blobs.read(digest, start, length)
    return Reply(body=body, status=206, headers=headers, media_type="application/octet-stream")


def _digest(call: Call) -> Digest:
    try:
        return Digest.parse(call.path["digest"])
    except ValueError as error:
        raise UsageError(str(error), where="digest", code="API002", help="sha256: and 64 digits of hex") from error


def _into(call: Call) -> Name:
    from stannary.registry.names import parse_model

    return parse_model(call.query["into"]) if call.query["into"] else Name(DEFAULT, "*")


def _base64(digest: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(digest)).decode()


_INTO = Parameter("into", str, "The name that it is pushed to: NAMESPACE/NAME.", "")
OPERATIONS = (
    Operation(
        id="storeContent",
        method="PUT",
        path="/contents/{digest}",
        run=_put,
        tag="contents",
        body=bytes,
        status=201,
        errors=(409,),
        query=(_INTO,),
        summary="Store a content under its digest, once.",
    ),
    Operation(
        id="hasContent",
        method="GET",
        path="/contents/{digest}",
        run=_has,
        tag="contents",
        status=204,
        errors=(404,),
        query=(_INTO,),
        summary="Whether a content is stored, so that it need not be sent.",
    ),
    Operation(
        id="readFile",
        method="GET",
        path=_FILE,
        run=_file,
        tag="contents",
        reply=bytes,
        errors=(404, 409, 416),
        media_type="application/octet-stream",
        summary="A file of a version; ranges are served.",
    ),
)
