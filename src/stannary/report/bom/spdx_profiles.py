"""What SPDX 3.0.1 asks of a document that claims a profile; its JSON Schema cannot say so.

Sources: SPDX 3.0.1, model/AI (conformance; AIPackage, cardinality updates) and model/Dataset (conformance; DatasetPackage).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["CLASSES", "NO_ASSERTION", "Lack", "lacks"]

NO_ASSERTION = "expandedlicensing_NoAssertionLicense"
_LICENCES = ("hasDeclaredLicense", "hasConcludedLicense")
# Profile → its class and the properties without which an element of it does not conform.
CLASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ai": (
        "ai_AIPackage",
        ("suppliedBy", "software_downloadLocation", "software_packageVersion", "software_primaryPurpose", "releaseTime"),
    ),
    "dataset": (
        "dataset_DatasetPackage",
        ("builtTime", "originatedBy", "releaseTime", "software_downloadLocation", "software_primaryPurpose"),
    ),
}


class Lack(NamedTuple):
    """What keeps the element at a place of the graph from conforming to a profile."""

    profile: str
    at: int
    message: str


def lacks(rows: Iterable[Any]) -> list[Lack]:
    """Return what the elements of a graph lack for the profiles `ai` and `dataset`, claimed or not."""
    listed = [row if isinstance(row, dict) else {} for row in rows]
    licences = Counter((row.get("from"), row["relationshipType"]) for row in listed if _licensing(row))
    found: list[Lack] = []
    for index, row in enumerate(listed):
        for profile, (kind, wanted) in CLASSES.items():
            if row.get("type") != kind:
                continue
            missing = [name for name in wanted if row.get(name) in (None, "", [])]
            if missing:
                found.append(Lack(profile, index, f"lacks {', '.join(missing)}"))
            for relation in _LICENCES:
                count = licences[str(row.get("spdxId")), relation]
                if count != 1:
                    found.append(Lack(profile, index, f"has {count} relationships {relation}, not one"))
    return found


def _licensing(row: dict[str, Any]) -> bool:
    kind = row.get("relationshipType")
    return isinstance(row.get("from"), str) and isinstance(kind, str) and kind in _LICENCES
