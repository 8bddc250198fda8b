"""Errors as RFC 9457 has them: `application/problem+json`, by who is at fault."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import BackendError, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError

__all__ = ["MEDIA_TYPE", "Problem", "Refused", "problem_of"]

MEDIA_TYPE = "application/problem+json"
# Codes of errors of use that mean that something is not there, or is in the way.
_ABSENT = {"REG010", "REG011", "REG013", "REG034", "EVD007", "LED018", "API004", "ACC017", "ACC018", "ACC019", "ACC020", "JOB007"}
_CONFLICTS = {"REG008", "REG012", "REG014", "API012", "ACC016", "JOB006", "POL012"}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong: `detail` says what and why, `help` the next thing to try. `request` is the id to ask about."""

    type: str
    title: str
    status: int
    detail: str
    code: str = ""
    where: str = ""
    help: str = ""
    request: str = ""
    errors: tuple[dict[str, Any], ...] = ()


class Refused(StannaryError):
    """An answer with a status of its own, before any operation is reached."""

    def __init__(self, status: int, title: str, detail: str, *, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail, code=code)
        self.status, self.title, self.headers = status, title, headers or {}


def problem_of(error: BaseException, request: str) -> Problem:
    """Return the problem that an error is. Of what is no error of the house nothing is told but the request's id."""
    if isinstance(error, ExceptionGroup):
        found = [problem_of(item, request) for item in error.exceptions]
        worst = max(found, key=lambda item: item.status)
        rows = tuple({"code": item.code, "detail": item.detail, "where": item.where, "help": item.help} for item in found)
        return msgspec.structs.replace(worst, detail=f"{len(found)} problems: {worst.detail}", errors=rows)
    if isinstance(error, Refused):
        return _made(error, error.status, error.title, request)
    if isinstance(error, StannaryError):
        status, title = _status(error)
        return _made(error, status, title, request)
    detail = "something went wrong here; it is in the log under the id of the request"
    return Problem(type="about:blank", title="Internal error", status=500, detail=detail, code="BUG", request=request)


def _status(error: StannaryError) -> tuple[int, str]:
    code = error.code or ""
    if isinstance(error, PolicyDenied):
        return 403, "Not allowed"
    if code in _ABSENT:
        return 404, "Not found"
    if isinstance(error, UsageError):
        return (409, "Conflict") if code in _CONFLICTS else (400, "Bad request")
    if isinstance(error, InputError):
        return 422, "Content that cannot be taken"
    if isinstance(error, IntegrityError):
        return 409, "Does not verify"
    if isinstance(error, BackendError):
        return 503, "Not available now"
    return 500, "Internal error"


def _made(error: StannaryError, status: int, title: str, request: str) -> Problem:
    return Problem(
        type=f"urn:stannary:error:{error.code}" if error.code else "about:blank",
        title=title,
        status=status,
        detail=error.message,
        code=error.code or "",
        where=error.where or "",
        help=error.help or "",
        request=request,
    )
