"""What several pages ask: numbers in queries, who may see an artifact."""

from __future__ import annotations

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.registry import queries
from stannary.registry.model import Version
from stannary.registry.names import DEFAULT, Name
from stannary.server.operations import Call

__all__ = ["MODEL", "VERSION", "WHOLE", "digest_in", "may_see", "number_in"]

MODEL = "/models/{namespace}/{name}"
VERSION = f"{MODEL}/versions/{{number:int}}"
WHOLE = Name(DEFAULT, "*")


def number_in(call: Call, name: str, default: int | None = None, most: int = 10**15) -> int | None:
    """Return a number of the query, or the default. Raises UsageError."""
    text = call.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) <= most):  # noqa: PLR2004 - digits of the largest
        msg = f"is no number: {text[:40]!r}"
        raise UsageError(msg, where=name, code="API002", help="a whole number from 0")
    return int(text)


def digest_in(text: str) -> Digest:
    """Return a digest that stands in an address. Raises UsageError."""
    try:
        return Digest.parse(text if text.startswith("sha256:") else f"sha256:{text}")
    except ValueError as error:
        raise UsageError(str(error), where="digest", code="API002", help="sha256: and 64 digits of hex") from error


def may_see(call: Call, digest: Digest) -> list[Version]:
    """Return the versions that are an artifact and that the caller may read. Raises PolicyDenied when they may read none."""
    with call.store.reading() as connection:
        found = queries.versions_with(connection, str(digest))
    seen = [version for version in found if call.store.may("read", version.name)]
    if not seen:
        call.store.allowed("read", WHOLE)
    return seen
