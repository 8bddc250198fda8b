"""How complete a CycloneDX document is, by the fields that the OWASP AIBOM project scores, and what to write where."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.report.bom.registry import Row, load_rows

__all__ = ["MissingField", "Score", "score"]

# As the registry weighs them: points for a category whose fields are all there.
_POINTS = {"required_fields": 20, "metadata": 20, "component_basic": 20, "component_model_card": 30, "external_references": 10}
_MANY_CRITICAL, _SOME_CRITICAL, _MANY_IMPORTANT = 3, 2, 5


class MissingField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is not there, and where to put it. `human`: only a person can say it."""

    field: str
    tier: str
    category: str
    put: str
    human: bool


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Points of 100, the fields that are there, and those that are not, the weightiest first."""

    points: float
    present: tuple[str, ...]
    missing: tuple[MissingField, ...]
    categories: dict[str, float]


def score(document: dict[str, Any]) -> Score:
    """Return the score of a document: categories by their share of fields, less when critical or important ones are missing."""
    rows = load_rows()
    there = {row.id: _present(document, row.at) for row in rows}
    categories: dict[str, float] = {}
    for name, points in _POINTS.items():
        members = [row for row in rows if row.category == name]
        categories[name] = round(points * sum(there[row.id] for row in members) / len(members), 1)
    missing = [row for row in rows if not there[row.id]]
    critical = sum(row.tier == "critical" for row in missing)
    important = sum(row.tier == "important" for row in missing)
    factor = 0.8 if critical > _MANY_CRITICAL else 0.9 if critical >= _SOME_CRITICAL else 1.0
    factor *= 0.95 if important >= _MANY_IMPORTANT else 1.0
    ranks = ("critical", "important", "supplementary")
    missing.sort(key=lambda row: (ranks.index(row.tier), row.human))
    return Score(
        points=round(sum(categories.values()) * factor, 1),
        present=tuple(row.id for row in rows if there[row.id]),
        missing=tuple(map(_missing, missing)),
        categories=categories,
    )


def _missing(row: Row) -> MissingField:
    return MissingField(field=row.id, tier=row.tier, category=row.category, put=row.put, human=row.human)


def _present(document: dict[str, Any], at: str) -> bool:
    """Tell whether something stands at a place (see `data/registry.toml`)."""
    node: Any = document
    rest = at
    if rest.startswith("component."):
        components = document.get("components")
        node = components[0] if isinstance(components, list) and components else {}
        rest = rest.removeprefix("component.")
    while rest:
        if not isinstance(node, dict):
            return False
        if rest.startswith("property:"):
            return any(_named(row, rest.removeprefix("property:")) for row in _rows(node, "properties"))
        if rest.startswith("reference:"):
            kinds = rest.removeprefix("reference:").split(",")
            return any(row.get("type") in kinds and row.get("url") for row in _rows(node, "externalReferences"))
        part, _, rest = rest.partition(".")
        node = node.get(part)
    return node not in (None, "", [], {})


def _rows(node: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = node.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _named(row: dict[str, Any], name: str) -> bool:
    return row.get("name") == name and bool(row.get("value"))
