"""The published schemas, as shipped: `data/schemas.json`, made by tools/build_bom_schemas.py."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import msgspec

from stannary.report.bom.json_schema import Schema

__all__ = ["CYCLONEDX", "load_library", "schema_of"]

CYCLONEDX = ("1.4", "1.5", "1.6", "1.7")


@cache
def load_library() -> dict[str, dict[str, Any]]:
    """Return the schemas by file name."""
    raw = resources.files("stannary.report.bom").joinpath("data/schemas.json").read_bytes()
    return {name: row["schema"] for name, row in msgspec.json.decode(raw).items()}


@cache
def schema_of(name: str) -> Schema:
    """Return a compiled schema: `cyclonedx-1.6`, `spdx-2.3`, `spdx-3.0.1`."""
    kind, _, version = name.partition("-")
    library = load_library()
    if name == "spdx-2.3":
        from stannary.report.bom.spdx2_schema import SCHEMA

        return Schema(SCHEMA)
    return Schema(library[f"{'bom' if kind == 'cyclonedx' else 'spdx'}-{version}.schema.json"], library)
