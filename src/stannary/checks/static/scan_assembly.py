"""From what the workers answered to the result: files, findings, verdicts, identity, counts. No reading, no waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from stannary import __version__
from stannary.checks.static.result import (
    FileReport,
    FileResult,
    ScanFinding,
    ScanResult,
    Summary,
    TargetResult,
    Tool,
    Verdict,
)
from stannary.checks.static.ruleset import RuleSet
from stannary.checks.static.scan_plan import Folder, Place, Plan
from stannary.checks.static.scan_worker import Answer
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.waivers import Acceptance, Waiver
from stannary.core.model import severity_rank
from stannary.formats.hashing import Hashed
from stannary.formats.interface import Fact
from stannary.formats.tree import Entry, Tree, digest_of

__all__ = ["INTERRUPTED", "Collected", "assemble"]

INTERRUPTED = "interrupted: what was not read by then is incomplete"

# Kinds of problems that are findings too (rule SCN003); the others only make the target incomplete.
_REPORTED = frozenset({"escape", "name", "encoding", "special", "collision"})
# Empty files with such names are usual, and nothing loads a model from them.
_EMPTY = (
    ".py", ".pyi", ".typed", ".md", ".txt", ".rst", ".lock", ".keep", ".gitkeep", ".csv", ".log", ".cfg", ".toml", ".yaml", ".yml",
    ".jsonl",
)  # fmt: skip


class Collected(NamedTuple):
    """What the workers answered, why some did not, and the hashes of large files by (device, inode)."""

    answers: Mapping[Place, Answer]
    lost: Mapping[Place, str]
    hashes: Mapping[tuple[int, int], Hashed]
    interrupted: bool
    jail: str


def assemble(plan: Plan, collected: Collected, rules: RuleSet, acceptance: Acceptance, seconds: float) -> ScanResult:
    """Put the result together, in an order that does not depend on the workers."""
    targets = tuple(_Target(plan, collected, rules, acceptance, t).result() for t in range(len(plan.targets)))
    counts = dict.fromkeys(("critical", "high", "medium", "low", "info"), 0)
    waived = 0
    for target in targets:
        for finding in target.findings:
            if finding.waived is None:
                counts[finding.severity] += 1
            else:
                waived += 1
    summary = Summary(
        files=plan.files,
        bytes=plan.size,
        seconds=round(seconds, 3),
        waived=waived,
        incomplete=sum(1 for target in targets for file in target.files if file.missed or file.status == "failed"),
        **counts,
    )
    return ScanResult(tool=Tool(version=__version__, ruleset=rules.digest, jail=collected.jail), targets=targets, summary=summary)


class _Target:
    """One target on its way to a TargetResult."""

    def __init__(self, plan: Plan, collected: Collected, rules: RuleSet, acceptance: Acceptance, number: int) -> None:
        self.collected = collected
        self.rules = rules
        self.acceptance = acceptance
        self.number = number
        self.target = plan.targets[number]
        self.tree: Tree = plan.trees[number]
        self.repositories = plan.repositories[number]
        self.findings: list[ScanFinding] = []
        self.files: list[FileResult] = []
        self.incomplete = False

    def result(self) -> TargetResult:
        """Build it."""
        hashes = self._hashes()
        identity = digest_of(self.tree, hashes)
        digest = None if identity is None else str(identity)
        for index, entry in enumerate(self.tree.entries):
            self._file(index, entry, hashes.get(entry.path), digest)
        for index, folder in enumerate(self.repositories):
            self._repository(index, folder, digest)
        self.files.extend(_skipped(skip.path, skip.reason) for skip in self.tree.skipped)
        errors = self._errors()
        self._own_findings(digest)
        self.findings.sort(key=_order)
        self.files.sort(key=lambda file: file.path)
        return TargetResult(
            path=self.target.display or self.target.path,
            digest=digest,
            kind="model",
            size=self.tree.size,
            verdict=verdict_of(self.findings, missed=self.incomplete or bool(errors)),
            files=tuple(self.files),
            findings=tuple(self.findings),
            errors=errors,
            source=self.target.source,
        )

    def _hashes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        answers, number = self.collected.answers, self.number
        for index, entry in enumerate(self.tree.entries):
            answer = answers.get((False, number, index))
            if answer is not None and answer.sha256 and not answer.problem:
                found[entry.path] = answer.sha256
                continue
            large = self.collected.hashes.get((entry.device, entry.inode))
            if large is not None and not large.problem:
                found[entry.path] = large.sha256
        return found

    def _file(self, index: int, entry: Entry, sha256: str | None, digest: str | None) -> None:
        place = (False, self.number, index)
        answer = self.collected.answers.get(place)
        if answer is not None and answer.sha256 and entry.size and not (answer.findings or answer.missed or answer.problem):
            self.files.append(_clean(entry, answer, sha256))  # nearly all of them
            return
        lost = self.collected.lost.get(place)
        if answer is None:
            answer = Answer(problem=lost or "was not read: the scan was interrupted")
        problem = answer.problem or self._changed(entry, answer)
        missed = answer.missed
        if entry.size == 0 and not problem and (entry.path.endswith(_EMPTY) or entry.path.rpartition("/")[2].startswith(".")):
            self.files.append(_skipped(entry.path, "empty", sha256))
            return
        findings = list(answer.findings)
        if findings and findings[0].file != entry.path:  # a name that is no UTF-8 was written out on the way
            findings = [msgspec.structs.replace(finding, file=entry.path) for finding in findings]
        if lost is not None:
            findings += findings_of(_fact("scan.lost", reason=lost), self.rules, entry.path)
        findings = self._accept(findings, (sha256, digest))
        unread = bool(missed or problem)
        skipped = answer.skipped if not (findings or unread) else ""
        self.incomplete = self.incomplete or unread
        self.findings += findings
        verdict: Verdict = verdict_of(findings, missed=unread) if findings or unread else "clean"
        self.files.append(
            FileResult(
                path=entry.path,
                format=answer.formats[0] if answer.formats else "unknown",
                formats=answer.formats,
                sha256=sha256,
                size=entry.size,
                status="failed" if problem else "skipped" if skipped else "scanned",
                verdict=verdict,
                reason=problem or skipped or None,
                missed=missed,
            )
        )

    def _changed(self, entry: Entry, answer: Answer) -> str:
        """Say what is wrong when the bytes that were hashed beside the scan are not those that were read."""
        if answer.sha256 or answer.identity is None:
            return ""
        large = self.collected.hashes.get((entry.device, entry.inode))
        if large is None:
            return ""
        return large.problem or ("" if large.identity == answer.identity else "changed during the scan")

    def _repository(self, index: int, folder: Folder, digest: str | None) -> None:
        place = (True, self.number, index)
        name = folder.path or "."
        answer = self.collected.answers.get(place)
        lost = self.collected.lost.get(place)
        if answer is None:
            answer = Answer(formats=("repository",), problem=lost or "was not read: the scan was interrupted")
        findings = list(answer.findings)
        if lost is not None:
            findings += findings_of(_fact("scan.lost", reason=lost), self.rules, name)
        findings = self._accept(findings, (digest,))
        self.findings += findings
        if not (answer.missed or answer.problem):
            return
        self.incomplete = True
        self.files.append(
            FileResult(
                path=f"{folder.path}/",
                format="repository",
                formats=answer.formats,
                sha256=None,
                size=0,
                status="failed" if answer.problem else "scanned",
                verdict=verdict_of(findings, missed=True),
                reason=answer.problem or None,
                missed=answer.missed,
            )
        )

    def _errors(self) -> tuple[str, ...]:
        errors = [f"{p.path}: {p.detail}" for p in self.tree.problems if p.kind != "collision"]
        if not self.tree.entries:
            errors.append("there are no files in it")
        if self.collected.interrupted:
            errors.append(INTERRUPTED)
        return tuple(errors)

    def _own_findings(self, digest: str | None) -> None:
        for problem in sorted(self.tree.problems, key=lambda p: p.path):
            if problem.kind in _REPORTED:
                report = _fact("artifact.problem", kind=problem.kind, path=problem.path, detail=problem.detail)
                self.findings += self._accept(findings_of(report, self.rules, problem.path), (digest,))
        if self.number == 0:
            for waiver in self.acceptance.expired:
                self.findings += findings_of(_expired(waiver), self.rules, waiver.file)

    def _accept(self, findings: list[ScanFinding], digests: Iterable[str | None]) -> list[ScanFinding]:
        if not findings or not self.acceptance:
            return findings
        path = self.target.display or self.target.path
        known = [digest for digest in digests if digest]
        reasons = [self.acceptance.reason(finding, path, known) for finding in findings]
        return [f if why is None else msgspec.structs.replace(f, waived=why) for f, why in zip(findings, reasons, strict=True)]


def _clean(entry: Entry, answer: Answer, sha256: str | None) -> FileResult:
    """Return the result of a file that was hashed with its reading, and in which there was nothing."""
    formats, skipped = answer.formats, answer.skipped
    return FileResult(
        path=entry.path,
        format=formats[0] if formats else "unknown",
        formats=formats,
        sha256=sha256,
        size=entry.size,
        status="skipped" if skipped else "scanned",
        verdict="clean",
        reason=skipped or None,
    )


def _fact(kind: str, /, **data: str) -> FileReport:
    return FileReport((), (Fact(kind, None, dict(data)),), ())


def _expired(waiver: Waiver) -> FileReport:
    covers = waiver.file or waiver.digest
    return _fact("scan.waiver_expired", rule=waiver.rule, covers=covers, owner=waiver.owner, expires=waiver.expires.isoformat())


def _skipped(path: str, reason: str, sha256: str | None = None) -> FileResult:
    return FileResult(path=path, format="none", sha256=sha256, size=0, status="skipped", verdict="clean", reason=reason)


def _order(finding: ScanFinding) -> tuple[int, str, str, int, str, str]:
    return (severity_rank(finding.severity), finding.file, finding.part, finding.offset or 0, finding.rule, finding.fingerprint)
