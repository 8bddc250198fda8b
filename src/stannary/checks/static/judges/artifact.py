"""Names and links of an artifact: how bad each kind of problem is (rule SCN003)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["judge"]

# A name that collides only on some systems is worth knowing; both files were read here.
_SEVERITIES: dict[str, Severity] = {
    "escape": "high",
    "name": "medium",
    "encoding": "medium",
    "special": "medium",
    "collision": "info",
}


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Yield a hit for each `artifact.problem` (kind, path, detail)."""
    for fact in facts:
        severity = _SEVERITIES.get(fact.data.get("kind", ""))
        if severity is not None:
            yield Hit("SCN003", fact, severity=severity)
