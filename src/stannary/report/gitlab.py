"""GitLab security report (`gl-sast-report.json`), schema 15.2.1 of security-report-schemas, type `sast`.

Publish it as `artifacts: reports: sast:`. Locations have no byte offsets in this schema: the offset
and the member stand in `details` as a `module-location`.
"""

from __future__ import annotations

import uuid
from typing import Any

from stannary.checks.static.result import ScanFinding, ScanResult, TargetResult
from stannary.checks.static.ruleset import Rule
from stannary.report.escape import encodable, inline
from stannary.report.interface import Context
from stannary.report.json_ import dump
from stannary.report.outline import foremost
from stannary.report.place import place
from stannary.report.taxa import url_of
from stannary.report.wording import location

__all__ = ["SCHEMA_VERSION", "render"]

SCHEMA_VERSION = "15.2.1"
_NAMESPACE = uuid.UUID("5a1b7f7e-2c3d-4f57-8f0e-7d1f3f9f6a11")
_MESSAGES = 200
_FINDINGS = 10_000  # 20 MB; an instance refuses reports of 100 MB and more


def render(result: ScanResult, context: Context) -> str:
    """Return one report; waived findings and notes are left out, unread parts are scan messages."""
    findings, left = foremost(result, _FINDINGS, counted_only=True)
    tool = {"id": "stannary", "name": "stannary", "version": result.tool.version, "vendor": {"name": "stannary"}}
    report = {
        "version": SCHEMA_VERSION,
        "scan": {
            "analyzer": tool,
            "scanner": tool,
            "type": "sast",
            "start_time": context.started.strftime("%Y-%m-%dT%H:%M:%S"),
            "end_time": context.finished.strftime("%Y-%m-%dT%H:%M:%S"),
            "status": "failure" if any(target.errors for target in result.targets) else "success",
            "messages": _messages(result, left),
        },
        "vulnerabilities": [_vulnerability(target, finding, context.rules.get(finding.rule)) for target, finding in findings],
    }
    return dump(encodable(report))


def _messages(result: ScanResult, left: int) -> list[dict[str, str]]:
    notes = [f"{left} more findings are left out of this report, none worse than those in it"] if left else []
    notes.extend(f"{inline(target.path)}: {inline(error)}" for target in result.targets for error in target.errors)
    for target in result.targets:
        for file in target.files:
            where = inline(place(target, file.path))
            notes.extend(
                f"not analysed: {where}: {inline(f'{gap.part}: {gap.reason}' if gap.part else gap.reason)}" for gap in file.missed
            )
            if file.status == "failed" and not file.missed:
                notes.append(f"not analysed: {where}: {inline(file.reason or 'could not be read')}")
    if len(notes) > _MESSAGES:
        notes = [*notes[:_MESSAGES], f"{len(notes) - _MESSAGES} more parts could not be analysed"]
    return [{"level": "warn", "value": note} for note in notes]


def _vulnerability(target: TargetResult, finding: ScanFinding, rule: Rule | None) -> dict[str, Any]:
    path = inline(place(target, finding.file))
    message = inline(finding.message)
    entry: dict[str, Any] = {
        "id": str(uuid.uuid5(_NAMESPACE, f"{path}\0{finding.fingerprint or message}\0{finding.offset}")),
        "name": (rule.title if rule else finding.rule)[:255],
        "description": f"{message}\n\n{' '.join(rule.what.split())} {' '.join(rule.why.split())}" if rule else message,
        "severity": finding.severity.capitalize(),
        "identifiers": [_identifier(finding.rule, "stannary_rule"), *map(_public, (*finding.cwe, *finding.atlas, *finding.owasp))],
        "location": {"file": path, "start_line": max(1, finding.line or 1)},
        "details": _details(finding, path),
    }
    if rule is not None:
        entry["solution"] = " ".join(rule.fix.split())[:7000]
        entry["links"] = [{"url": url} for ident in (*rule.cwe, *rule.atlas) if (url := url_of(ident))]
    return entry


def _details(finding: ScanFinding, path: str) -> dict[str, Any]:
    details: dict[str, Any] = {"message": {"name": "Message", "type": "value", "value": inline(finding.message)}}
    if finding.offset is not None:
        module = f"{path}!{inline(finding.part)}" if finding.part else path
        details["offset"] = {"name": "Byte offset", "type": "module-location", "module_name": module, "offset": finding.offset}
    elif finding.part:
        details["where"] = {"name": "Where", "type": "value", "value": inline(location(finding))}
    for key, value in list(finding.evidence.items())[:20]:
        name = inline(key, 60) or "evidence"
        details[f"evidence_{name}"] = {"name": name, "type": "value", "value": inline(value)}
    return details


def _identifier(ident: str, kind: str) -> dict[str, str]:
    return {"type": kind, "name": ident, "value": ident}


def _public(ident: str) -> dict[str, str]:
    if ident.startswith("CWE-"):
        found = {"type": "cwe", "name": ident, "value": ident[4:]}
    else:
        found = _identifier(ident, "atlas" if ident.startswith("AML.") else "owasp")
    url = url_of(ident)
    return {**found, "url": url} if url else found
