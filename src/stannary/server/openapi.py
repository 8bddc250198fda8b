"""The description of the API (OpenAPI 3.1), made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from stannary.server.operations import Operation
from stannary.server.problems import MEDIA_TYPE, Problem

__all__ = ["describe"]

_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_PATTERNS = {
    "namespace": r"^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$",
    "name": r"^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$",
    "alias": r"^[a-z]([a-z0-9._-]{0,62}[a-z0-9])?$",
    "digest": r"^sha256:[0-9a-f]{64}$",
}
_TYPES = {str: "string", int: "integer", bool: "boolean"}
_ANY = (400, 401, 403, 429)
_TITLES = {
    400: "What was sent is not right", 401: "No credentials, or none that hold", 403: "Not allowed", 404: "Not there",
    409: "In conflict with what is there, or does not verify", 412: "It changed meanwhile", 413: "Too large",
    416: "The range is not there", 422: "The content cannot be taken", 429: "Too many requests", 503: "Not available now",
}  # fmt: skip


def describe(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document."""
    rows = list(operations)
    structs = [Problem, *(row.body for row in rows if _is_struct(row.body)), *(row.reply for row in rows if _is_struct(row.reply))]
    unique = list(dict.fromkeys(structs))
    references, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(unique, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = _PARAMETER.sub(r"{\1}", row.path)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stannary",
            "version": version,
            "description": "Models and datasets, the evidence about them, and the decisions that put them in service.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(row.tag for row in rows)],
    }


def _operation(row: Operation, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    parameters = [_in_path(name) for name in _PARAMETER.findall(row.path)] + [_in_query(item) for item in row.query]
    found: dict[str, Any] = {
        "operationId": row.id,
        "summary": row.summary,
        "tags": [row.tag],
        "parameters": parameters,
        "responses": {str(row.status): _success(row, schema_of)},
    }
    problem = {"content": {MEDIA_TYPE: {"schema": schema_of[Problem]}}}
    statuses = sorted({*(() if row.open else _ANY), *row.errors, *((422, 413) if row.body is not None else ())})
    for status in statuses:
        found["responses"][str(status)] = {"description": _TITLES[status], **problem}
    if row.body is bytes:
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    elif row.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of[row.body]}}}
    if row.open:
        found["security"] = []
    return found


def _success(row: Operation, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if row.reply is None:
        return {"description": "Done"}
    schema = schema_of.get(row.reply, {"type": "string"} if row.reply is str else {})
    return {"description": "What was asked for", "content": {row.media_type: {"schema": schema}}}


def _in_path(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name in _PATTERNS:
        schema["pattern"] = _PATTERNS[name]
    if name in ("number", "index"):
        schema = {"type": "integer", "minimum": 1 if name == "number" else 0, "maximum": 999_999_999}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(item: Any) -> dict[str, Any]:  # noqa: ANN401 - Parameter
    schema: dict[str, Any] = {"type": _TYPES[item.type]}
    for key in ("minimum", "maximum", "default"):
        value = getattr(item, key)
        if value is not None:
            schema[key] = value
    return {"name": item.name, "in": "query", "required": False, "description": item.text, "schema": schema}


def _is_struct(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
