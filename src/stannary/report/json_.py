"""JSON: the result as it is, versioned by `schema` (CLI.md); its JSON Schema comes from the same structs."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.checks.static.result import ScanResult
from stannary.report.escape import encodable, json_text
from stannary.report.interface import Context

__all__ = ["dump", "render", "schema", "shape"]


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


def schema(
    struct: type = ScanResult, name: str = "stannary.scan/1", description: str = "What `stannary scan --format json` writes."
) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a struct whose field `schema` says `name`.

    Unknown properties are allowed: fields may be added within a version, never renamed or removed.
    """
    found = shape(struct, f"urn:stannary:schema:{name}", description)
    found["title"] = name
    found["$defs"][struct.__name__]["properties"]["schema"] = {"const": name}
    return found


def shape(struct: type, identifier: str, description: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a struct under a URI."""
    (reference,), components = msgspec.json.schema_components((struct,), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        "title": identifier,
        "description": description,
        **reference,
        "$defs": components,
    }
