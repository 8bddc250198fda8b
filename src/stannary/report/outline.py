"""The order in which a result is told: targets as given, files and findings worst first."""

from __future__ import annotations

import os

import msgspec

from stannary.checks.static.result import FileResult, ScanFinding, ScanResult, TargetResult
from stannary.core.model import severity_rank
from stannary.report.wording import VERDICTS

__all__ = ["FileStory", "display_name", "foremost", "last_name", "stories"]


_ORDER = {verdict: place for place, verdict in enumerate(VERDICTS)}


class FileStory(msgspec.Struct, frozen=True):
    """One file and what there is to say about it; findings worst first, waived ones apart."""

    file: FileResult
    findings: tuple[ScanFinding, ...]
    waived: tuple[ScanFinding, ...]

    @property
    def notes(self) -> int:
        """Return how many findings are only notes (severity info)."""
        return sum(finding.severity == "info" for finding in self.findings)

    @property
    def telling(self) -> tuple[ScanFinding, ...]:
        """Return the findings that count: all but the notes."""
        return tuple(finding for finding in self.findings if finding.severity != "info")

    @property
    def unread(self) -> bool:
        """Tell whether a part of the file was not read."""
        return bool(self.file.missed) or self.file.status == "failed"


def stories(target: TargetResult) -> list[FileStory]:
    """Group the findings of a target by file, worst file first.

    A finding about something that is no file of the target (a folder, a missing file) gets a
    story of its own, so that nothing found can be lost on the way to the page.
    """
    groups: dict[str, list[ScanFinding]] = {}
    for finding in target.findings:
        groups.setdefault(finding.file, []).append(finding)
    told = [_story(file, groups.pop(file.path, [])) for file in map(_subject, target.files)]
    told.extend(_story(_stand_in(target, path), found) for path, found in groups.items())
    told.sort(key=_rank)
    return told


def display_name(target: TargetResult, file: str, *, several: bool) -> str:
    """Return how a page that does not nest files below targets names one: with its target, when there are several. Not escaped."""
    if len(target.files) == 1 and last_name(target.path) == last_name(file):
        return target.path
    if file == ".":
        return target.path
    return f"{target.path.rstrip('/')}/{file}" if several else file


def foremost(result: ScanResult, limit: int, *, counted_only: bool = False) -> tuple[list[tuple[TargetResult, ScanFinding]], int]:
    """Return at most `limit` findings with their targets, the worst ones, in the order of the result; and how many are left out.

    `counted_only` passes over waived findings and notes. For formats whose consumers refuse or choke on more.
    """
    pairs = [
        (target, finding)
        for target in result.targets
        for finding in target.findings
        if not counted_only or (finding.waived is None and finding.severity != "info")
    ]
    if len(pairs) <= limit:
        return pairs, 0
    worst = sorted(
        range(len(pairs)), key=lambda index: (pairs[index][1].waived is not None, severity_rank(pairs[index][1].severity))
    )
    return [pairs[index] for index in sorted(worst[:limit])], len(pairs) - limit


def last_name(path: str) -> str:
    """Return the last component of a path. Not by pathlib, whose import costs every scan 3 ms."""
    return os.path.basename(os.path.normpath(path))  # noqa: PTH119 - see above


def _subject(file: FileResult) -> FileResult:
    """Return a folder that was read as a whole (`models/`) under the name that its findings have (`models`, or `.`)."""
    if file.format != "repository":
        return file
    return msgspec.structs.replace(file, path=file.path.rstrip("/") or ".")


def _story(file: FileResult, found: list[ScanFinding]) -> FileStory:
    if not found:  # thousands of files have nothing to tell
        return FileStory(file, (), ())
    found.sort(key=lambda f: (severity_rank(f.severity), f.rule, f.part, f.offset or 0))
    return FileStory(
        file,
        tuple(finding for finding in found if finding.waived is None),
        tuple(finding for finding in found if finding.waived is not None),
    )


def _stand_in(target: TargetResult, path: str) -> FileResult:
    return FileResult(path=path, format="", sha256=None, size=0, status="scanned", verdict=target.verdict)


def _rank(story: FileStory) -> tuple[int, int, int, str]:
    if not story.findings:
        return _ORDER[story.file.verdict], 9, 0, story.file.path
    worst = min((severity_rank(finding.severity) for finding in story.findings), default=9)
    return _ORDER[story.file.verdict], worst, -len(story.telling), story.file.path
