"""JSON: the result as it is, versioned by `schema` (CLI.md); its JSON Schema comes from the same structs."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.checks.static.result import ScanResult
from stannary.report.escape import encodable, json_text
from stannary.report.interface import Context

__all__ = ["dump", "render", "schema"]


def render(result: ScanResult, context: Context) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return the result as indented JSON."""
    return dump(result)


def dump(value: object) -> str:
    """Return indented JSON of any value, with control and bidirectional characters escaped."""
    try:
        encoded = msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):  # a file name that is not UTF-8, a number over 64 bits
        encoded = msgspec.json.encode(encodable(msgspec.to_builtins(value)))
    return json_text(msgspec.json.format(encoded, indent=2)) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `stannary.scan/1`.

    Unknown properties are allowed: fields may be added within a version, never renamed or removed.
    """
    (reference,), components = msgspec.json.schema_components((ScanResult,), ref_template="#/$defs/{name}")
    components["ScanResult"]["properties"]["schema"] = {"const": "stannary.scan/1"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:stannary:schema:stannary.scan/1",
        "title": "stannary.scan/1",
        "description": "What `stannary scan --format json` writes.",
        **reference,
        "$defs": components,
    }
