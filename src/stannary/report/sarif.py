"""SARIF 2.1.0 (OASIS, errata 01): for code scanning of GitHub, GitLab, Azure DevOps and editors.

One run. Files are relative URIs; embedded parts are nested artifacts (`parentIndex`, §3.24.3), so
that a byte offset inside a zip member is never taken for one of the file. What was not read is a
tool execution notification of level error (§3.58), so that silence cannot be taken for clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from stannary.checks.static.result import FileResult, Missed, ScanFinding, ScanResult, TargetResult
from stannary.checks.static.ruleset import Rule
from stannary.report.escape import encodable, inline, relative_uri, visible
from stannary.report.interface import Context
from stannary.report.json_ import dump
from stannary.report.outline import foremost
from stannary.report.place import place
from stannary.report.taxa import TAXONOMIES, taxonomy, taxonomy_name

__all__ = ["render"]

_LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "none"}
# GitHub's bands of `security-severity`: over 9 critical, 7-8.9 high, 4-6.9 medium, else low.
_SCORE = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}
_NOTIFICATIONS = 1000
_RESULTS = 10_000  # GitHub shows 5,000 of a run and refuses one with more than 25,000
_FILES = 10_000  # listed even when there is nothing to say about them
# The SDK that most consumers read SARIF with holds offsets in 32 bits, and drops a log with a larger one.
_LARGEST = 2**31 - 1


def render(result: ScanResult, context: Context) -> str:
    """Return one SARIF log with one run."""
    run = _Run(result, context)
    return dump(encodable({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run.build()]}))


class _Run:
    """Builds the run: artifacts and rules get their index when they are first named."""

    def __init__(self, result: ScanResult, context: Context) -> None:
        self.result = result
        self.context = context
        self.artifacts: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.left = 0  # findings for which there is no room
        self._artifact_index: dict[tuple[str, str], int] = {}
        self._rule_index: dict[str, int] = {}
        self._taxa = {name: dict[str, int]() for name in TAXONOMIES}

    def build(self) -> dict[str, Any]:
        findings, self.left = foremost(self.result, _RESULTS)
        self._files({(target.path, finding.file) for target, finding in findings})
        results = [self._result(target, finding) for target, finding in findings]
        tool = self.result.tool
        driver = {
            "name": tool.name,
            "fullName": f"{tool.name} {tool.version}",
            "version": tool.version,
            "semanticVersion": tool.version,
            "shortDescription": {"text": "Static scanner of machine-learning models and repositories."},
            "rules": self.rules,
            "notifications": [
                {
                    "id": "SCAN001",
                    "name": "IncompleteAnalysis",
                    "shortDescription": {"text": "A part of the content could not be analysed."},
                    "defaultConfiguration": {"level": "error"},
                }
            ],
            "properties": {"ruleset": tool.ruleset, "jail": tool.jail},
        }
        taxonomies = [taxonomy(name, list(self._taxa[name])) for name in TAXONOMIES if self._taxa[name]]
        if taxonomies:
            driver["supportedTaxonomies"] = [
                {"name": t["name"], "index": index, "guid": t["guid"]} for index, t in enumerate(taxonomies)
            ]
        return {
            "tool": {"driver": driver},
            "automationDetails": {"id": "stannary/scan/"},
            "columnKind": "unicodeCodePoints",
            "invocations": [self._invocation()],
            "artifacts": self.artifacts,
            "taxonomies": taxonomies,
            "results": results,
            "properties": {"verdict": self.result.verdict},
        }

    # Artifacts

    def _files(self, named: set[tuple[str, str]]) -> None:
        """List the files: all of them while they are few, else those that results name."""
        pairs = [(target, file) for target in self.result.targets for file in target.files]
        for target, file in pairs:
            if len(pairs) <= _FILES or (target.path, file.path) in named:
                self._file(target, file)

    def _file(self, target: TargetResult, file: FileResult) -> int:
        uri = relative_uri(place(target, file.path))
        known = self._artifact_index.get((uri, ""))
        if known is not None:
            return known
        entry: dict[str, Any] = {"location": {"uri": uri}, "properties": {"verdict": file.verdict, "size": file.size}}
        if file.size <= _LARGEST:
            entry["length"] = file.size
        if file.format:
            entry["properties"]["format"] = visible(file.format)
        if file.sha256:
            entry["hashes"] = {"sha-256": file.sha256}
        return self._add(uri, "", entry)

    def _artifact(self, target: TargetResult, path: str, part: str = "") -> int:
        uri = relative_uri(place(target, path))
        key = (uri, part)
        if key in self._artifact_index:
            return self._artifact_index[key]
        if not part:
            return self._add(uri, "", {"location": {"uri": uri}})
        parent = self._artifact(target, path)
        return self._add(uri, part, {"location": {"uri": relative_uri(part)}, "parentIndex": parent})

    def _add(self, uri: str, part: str, entry: dict[str, Any]) -> int:
        index = len(self.artifacts)
        self.artifacts.append(entry)
        self._artifact_index[uri, part] = index
        return index

    # Results

    def _result(self, target: TargetResult, finding: ScanFinding) -> dict[str, Any]:
        index = self._artifact(target, finding.file)
        physical: dict[str, Any] = {"artifactLocation": {"uri": self.artifacts[index]["location"]["uri"], "index": index}}
        region = _region(finding)
        entry: dict[str, Any] = {
            "ruleId": finding.rule,
            "ruleIndex": self._rule(finding),
            "kind": "fail" if finding.severity != "info" else "informational",
            "level": _LEVEL[finding.severity],
            "message": {"text": _sentence(inline(finding.message))},
            "locations": [{"physicalLocation": physical}],
            "partialFingerprints": {
                "primaryLocationLineHash": f"{finding.fingerprint[:16] or '0'}:1",
                "stannary/v1": finding.fingerprint,
            },
            "properties": {
                "severity": finding.severity,
                **({} if finding.offset is None else {"offset": finding.offset}),
                "verdict": target.verdict,
                "evidence": {visible(str(key)): inline(value) for key, value in finding.evidence.items()},
            },
        }
        size = self.artifacts[index].get("length", 0)
        whole = {"byteOffset": 0, "byteLength": size} if size else {}
        outer = whole if finding.part or not region else region
        if outer:
            physical["region"] = outer
        if finding.part:
            inner = self._artifact(target, finding.file, finding.part)
            name = inline(finding.part)
            entry["locations"][0]["logicalLocations"] = [
                {"name": name, "fullyQualifiedName": f"{inline(finding.file)}!{name}", "kind": "resource"}
            ]
            nested: dict[str, Any] = {"artifactLocation": {"uri": self.artifacts[inner]["location"]["uri"], "index": inner}}
            if region:
                nested["region"] = region
            entry["relatedLocations"] = [{"id": 0, "physicalLocation": nested, "message": {"text": f"Inside {name}."}}]
        if finding.waived is not None:
            entry["suppressions"] = [{"kind": "external", "status": "accepted", "justification": inline(finding.waived)}]
        return entry

    # Rules

    def _rule(self, finding: ScanFinding) -> int:
        known = self._rule_index.get(finding.rule)
        if known is not None:
            return known
        rule = self.context.rules.get(finding.rule)
        index = self._rule_index[finding.rule] = len(self.rules)
        self.rules.append(_bare_rule(finding) if rule is None else self._descriptor(rule))
        return index

    def _descriptor(self, rule: Rule) -> dict[str, Any]:
        return {
            "id": rule.id,
            "name": _pascal(rule.title),
            "shortDescription": {"text": _sentence(rule.title)},
            "fullDescription": {"text": _flat(rule.what)},
            "help": {
                "text": f"{_flat(rule.why)}\n\nFix: {_flat(rule.fix)}",
                "markdown": f"**{rule.title}**\n\n{_flat(rule.what)}\n\n**Why it matters.** {_flat(rule.why)}\n\n"
                f"**How it is used.** {_flat(rule.exploit)}\n\n**What to do.** {_flat(rule.fix)}",
            },
            "defaultConfiguration": {"level": _LEVEL[rule.severity]},
            "relationships": [
                {"target": {"id": ident, **self._taxon(name, ident)}, "kinds": ["superset"]} for name, ident in _ids(rule)
            ],
            "properties": {
                "tags": ["security", *(f"external/cwe/{cwe.lower()}" for cwe in rule.cwe), *rule.atlas, *rule.owasp],
                "precision": "high",
                "problem.severity": {"error": "error", "warning": "warning"}.get(_LEVEL[rule.severity], "recommendation"),
                "security-severity": _SCORE[rule.severity],
            },
        }

    def _taxon(self, name: str, ident: str) -> dict[str, Any]:
        taxa = self._taxa[name]
        taxa.setdefault(ident, len(taxa))
        return {"toolComponent": {"name": name, "guid": TAXONOMIES[name].guid}}

    # The run itself

    def _invocation(self) -> dict[str, Any]:
        count = sum(_unread(target) for target in self.result.targets)
        notes = list(islice((note for target in self.result.targets for note in self._notes(target)), _NOTIFICATIONS))
        if count > _NOTIFICATIONS:
            rest = count - _NOTIFICATIONS
            notes = [*notes, _note(f"{rest} more parts could not be analysed.", None)]
        if self.left:
            text = f"{self.left} more findings are left out of this log, none worse than those in it; the JSON report has all."
            notes.insert(0, {"level": "warning", "message": {"text": text}})
        invocation: dict[str, Any] = {
            "executionSuccessful": not any(target.errors for target in self.result.targets),
            "exitCode": self.context.exit_code,
            "startTimeUtc": _utc(self.context.started),
            "endTimeUtc": _utc(self.context.finished),
            "toolExecutionNotifications": notes,
        }
        return invocation

    def _notes(self, target: TargetResult) -> Iterator[dict[str, Any]]:
        for error in target.errors:
            yield _note(_sentence(inline(error)), None)
        for file in target.files:
            gaps = file.missed or ((Missed(file.reason or "could not be read"),) if file.status == "failed" else ())
            for gap in gaps:
                index = self._artifact(target, file.path, gap.part)
                where = f" in {inline(gap.part)}" if gap.part else ""
                yield _note(
                    _sentence(f"Not analysed{where}: {inline(gap.reason)}"),
                    {"uri": self.artifacts[index]["location"]["uri"], "index": index},
                    gap.offset,
                )


def _note(text: str, artifact: dict[str, Any] | None, offset: int | None = None) -> dict[str, Any]:
    note: dict[str, Any] = {"descriptor": {"id": "SCAN001", "index": 0}, "level": "error", "message": {"text": text}}
    if artifact is not None:
        physical: dict[str, Any] = {"artifactLocation": artifact}
        if offset is not None and 0 <= offset <= _LARGEST:
            physical["region"] = {"byteOffset": offset, "byteLength": 1}
        elif offset is not None:
            note["message"]["text"] += f" At byte {offset}."
        note["locations"] = [{"physicalLocation": physical}]
    return note


def _unread(target: TargetResult) -> int:
    return len(target.errors) + sum(len(file.missed) or file.status == "failed" for file in target.files)


def _region(finding: ScanFinding) -> dict[str, Any]:
    if finding.line is not None and finding.line >= 1:
        return {"startLine": finding.line}
    if finding.offset is not None and 0 <= finding.offset <= _LARGEST:
        return {"byteOffset": finding.offset, "byteLength": 1}
    return {}


def _ids(rule: Rule) -> Iterator[tuple[str, str]]:
    for ident in (*rule.cwe, *rule.atlas, *rule.owasp):
        name = taxonomy_name(ident)
        if name is not None:
            yield name, ident


def _bare_rule(finding: ScanFinding) -> dict[str, Any]:
    """Describe a rule that is not in the rule set (a plug-in's, or a later version's)."""
    return {
        "id": finding.rule,
        "shortDescription": {"text": f"Rule {finding.rule}."},
        "defaultConfiguration": {"level": _LEVEL[finding.severity]},
        "properties": {"tags": ["security"], "security-severity": _SCORE[finding.severity]},
    }


def _pascal(title: str) -> str:
    """Return a title as the one-word friendly name that SARIF wants (§3.49.7)."""
    words = re.findall(r"[A-Za-z0-9]+", title)
    return "".join(word.capitalize() for word in words if len(word) > 1 and word.lower() != "the")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _flat(text: str) -> str:
    return _sentence(" ".join(text.split()))


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
