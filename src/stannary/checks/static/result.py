"""What a scan returns: the structs behind `stannary.scan/1` (CLI.md)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stannary.core.model import Severity, severity_rank
from stannary.formats.interface import Fact

__all__ = ["FileReport", "FileResult", "Missed", "ScanFinding", "ScanResult", "Summary", "TargetResult", "Tool", "Verdict"]

Verdict = Literal["clean", "unverified", "suspicious", "unsafe", "incomplete"]
Status = Literal["scanned", "skipped", "failed"]


class Missed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part that was not read, and why."""

    reason: str
    part: str = ""
    offset: int | None = None


class FileReport(msgspec.Struct, frozen=True):
    """Everything a reading of one file (or one repository folder) saw, before any judgement. Cacheable by content."""

    formats: tuple[str, ...]
    facts: tuple[Fact, ...]
    missed: tuple[Missed, ...]
    skipped: str = ""  # why there was nothing to analyse (recognised, inert content)


class ScanFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, as in the JSON output."""

    rule: str
    severity: Severity
    file: str
    part: str = ""
    offset: int | None = None
    line: int | None = None
    message: str
    evidence: dict[str, Any] = {}
    atlas: tuple[str, ...] = ()
    cwe: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    fingerprint: str = ""
    waived: str | None = None  # the reason of the waiver or baseline that covers it


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a target."""

    path: str
    format: str
    formats: tuple[str, ...] = ()
    sha256: str | None
    size: int
    status: Status
    verdict: Verdict
    reason: str | None = None
    missed: tuple[Missed, ...] = ()


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of the command line."""

    path: str
    digest: str | None
    kind: str
    size: int
    verdict: Verdict
    files: tuple[FileResult, ...]
    findings: tuple[ScanFinding, ...]
    errors: tuple[str, ...] = ()
    source: dict[str, Any] = {}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all targets."""

    files: int
    bytes: int
    seconds: float
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    info: int = 0
    waived: int = 0
    incomplete: int = 0


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What produced the result: versions, rule set, and the isolation that was reached."""

    name: str = "stannary"
    version: str
    ruleset: str
    jail: str = "none"


class ScanResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole result. `verdict` is the worst of the targets'."""

    schema: str = "stannary.scan/1"
    tool: Tool
    targets: tuple[TargetResult, ...]
    summary: Summary

    @property
    def findings(self) -> tuple[ScanFinding, ...]:
        """All findings, worst first."""
        found = [finding for target in self.targets for finding in target.findings]
        return tuple(sorted(found, key=lambda f: severity_rank(f.severity)))

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of all targets."""
        order = ("clean", "unverified", "incomplete", "suspicious", "unsafe")
        return max((t.verdict for t in self.targets), key=order.index, default="incomplete")

    @property
    def ok(self) -> bool:
        """True when every target is clean or unverified: nothing found, nothing unread."""
        return self.verdict in {"clean", "unverified"}
