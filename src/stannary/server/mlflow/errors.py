"""Errors in MLflow's words: `{"error_code": …, "message": …}`, which its client raises as a RestException."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stannary.core.errors import UsageError
from stannary.server.problems import MEDIA_TYPE, Problem, Refused

__all__ = ["as_mlflow", "denied", "exists", "unsupported"]

_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "INVALID_STATE",
    413: "INVALID_PARAMETER_VALUE",
    415: "BAD_REQUEST",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def as_mlflow(response: Response) -> Response:
    """Return an answer as MLflow's client reads it: a problem becomes an error, everything else stays."""
    if not response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        return response
    found = msgspec.json.decode(bytes(response.body), type=Problem)
    message = f"{found.where}: {found.detail}" if found.where else found.detail
    message += f" ({found.help})" if found.help else ""
    code = "RESOURCE_ALREADY_EXISTS" if found.code == "MLF001" else _CODES.get(found.status, "INTERNAL_ERROR")
    kept = {name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")}
    content = msgspec.json.encode({"error_code": code, "message": message, "request": found.request})
    return Response(content, found.status, kept, "application/json")


def exists(name: str) -> Refused:
    """Return the error for a name that is there."""
    return Refused(400, "Exists", f"the model {name} exists already", code="MLF001")


def denied(message: str) -> Refused:
    """Return the error for an alias that its policy does not let move."""
    return Refused(403, "Denied", message, code="MLF002")


def unsupported(what: str, instead: str) -> UsageError:
    """Return the error for what MLflow has and we do not."""
    return UsageError(what, code="MLF003", help=instead)
