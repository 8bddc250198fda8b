"""Canonical JSON (RFC 8785 for the values used here): the same value gives the same bytes."""

from __future__ import annotations

import hashlib

import msgspec

from stannary.core.model import Digest, Json

__all__ = ["canonical_json", "digest_of"]


def canonical_json(value: Json) -> bytes:
    """Return sorted, compact UTF-8 JSON. Raises ValueError for NaN and infinities."""
    return msgspec.json.encode(_checked(msgspec.to_builtins(value)), order="sorted")


def digest_of(value: Json) -> Digest:
    """Return the SHA-256 digest of the canonical JSON of a value."""
    return Digest(hashlib.sha256(canonical_json(value)).hexdigest())


def _checked(value: Json) -> Json:
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN test without math
            msg = "NaN and infinities have no canonical form"
            raise ValueError(msg)
        # RFC 8785 prints 1.0 as 1.
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {k: _checked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_checked(v) for v in value]
    return value
