"""What scans found, in the form of CycloneDX's `vulnerabilities`: one entry a rule or advisory, with every place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from stannary.checks.static import ruleset
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import SEVERITIES, Finding
from stannary.evidence.predicates.published import Vulnerabilities
from stannary.report.bom.inventory import Inventory
from stannary.report.bom.words import line, properties, some

__all__ = ["findings"]

_ENTRIES, _PLACES = 1000, 50


class _Rated(NamedTuple):
    """An entry of a statement: its id, how severe it is, where it is."""

    id: str
    ratings: tuple[dict[str, Any], ...]
    rows: tuple[Finding, ...]


def findings(inventory: Inventory, model: str, files: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the newest scan of each kind found. `files` are the references of files by path."""
    newest: dict[tuple[str, str], Verified[Evidence]] = {}
    for item in sorted(inventory.evidence, key=lambda row: row.value.issued):
        if item.value.kind in ("model-scan", "dataset-check", "vuln"):
            newest[item.value.kind, item.value.check.id] = item
    entries: list[dict[str, Any]] = []
    for item in newest.values():
        entries += [_entry(item, rated, model, files) for rated in _rated(item.value)]
    return entries[:_ENTRIES]


def _rated(evidence: Evidence) -> Iterator[_Rated]:
    """Yield what a statement found, the worst first."""
    if evidence.kind == "vuln":
        for row in msgspec.convert(evidence.predicate, Vulnerabilities).scanner.result:
            given = row.severity if isinstance(row.severity, tuple) else (row.severity,)
            yield _Rated(row.id, tuple(_rating(item.score.strip().lower()) for item in given) or (_rating(""),), ())
        return
    rules: dict[str, list[Finding]] = {}
    for finding in evidence.findings:
        rules.setdefault(finding.rule, []).append(finding)
    worst = {rule: min(SEVERITIES.index(row.severity) for row in rows) for rule, rows in rules.items()}
    for rule in sorted(rules, key=lambda rule: (worst[rule], rule)):
        yield _Rated(rule, (_rating(SEVERITIES[worst[rule]]),), tuple(rules[rule]))


def _rating(said: str) -> dict[str, Any]:
    """Return a rating of what a statement says: a word, or a score (of CVSS, the version of which it does not say)."""
    try:
        score = float(said)
    except ValueError:
        return {"severity": said if said in SEVERITIES else "unknown", "method": "other"}
    return {"score": score, "method": "other"} if isfinite(score) else {"severity": "unknown", "method": "other"}


def _entry(item: Verified[Evidence], rated: _Rated, model: str, files: Mapping[str, str]) -> dict[str, Any]:
    evidence = item.value
    known = ruleset.load().rules.get(rated.id) if evidence.kind == "model-scan" else None
    refs = list(dict.fromkeys(files.get(row.where.file, model) for row in rated.rows)) or [model]
    waived = [str(row.data["waived"]) for row in rated.rows if row.data.get("waived")]
    return some(
        bom_ref=f"finding:{evidence.id.hex[:16]}:{line(rated.id, 100)}",
        id=line(rated.id, 100),
        source={"name": line(f"{evidence.check.id} {evidence.check.version}", 200)},
        ratings=list(rated.ratings),
        cwes=sorted({int(name.removeprefix("CWE-")) for name in known.cwe}) if known else None,
        description=f"{known.title}. {known.what}" if known else "",
        detail="\n".join(_place(row) for row in rated.rows[:_PLACES]),
        recommendation=known.fix if known else "",
        created=evidence.issued.isoformat(timespec="seconds").replace("+00:00", "Z"),
        affects=[{"ref": ref} for ref in refs],
        properties=properties(
            [
                ("stannary:evidence", str(evidence.id)),
                ("stannary:findings", len(rated.rows) or None),
                ("stannary:atlas", list(known.atlas) if known else None),
                ("stannary:waived", line("; ".join(dict.fromkeys(waived)), 1000)),
            ]
        ),
    )


def _place(row: Finding) -> str:
    where = row.where.file + (f"!{row.where.part}" if row.where.part else "")
    at = f"@{row.where.offset}" if row.where.offset is not None else f":{row.where.line}" if row.where.line is not None else ""
    return line(f"{where}{at}: {row.message}", 500)
